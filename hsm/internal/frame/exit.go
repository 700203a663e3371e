package frame

// Exit statuses of a worker, after sysexits.h. They tell the server what the
// last answer may have had no time to say.
const (
	ExitOK       = 0  // the server closed its pipe
	ExitUsage    = 64 // somebody else than the server started it
	ExitToken    = 69 // the token or its module is not available (any more)
	ExitProtocol = 76 // the server sent something that is no request
	ExitPIN      = 77 // the PIN was rejected, or must not be tried
)
