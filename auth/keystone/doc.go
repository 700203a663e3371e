// Package keystone turns access tokens into principals by asking a Keystone,
// version 3 of its API.
//
// # Words
//
//	Subject        the token that a caller shows, and that Keystone is asked about
//	Service user   who asks; it needs the right to validate tokens and nothing else
//	Service token  a second token, of an OpenStack service that calls for a user
//	Answer         what Keystone said of a subject, good news or bad, for a while
//
// # How fresh an answer is
//
// Good news is remembered for Config.CacheTTL, counted from before Keystone was
// asked, and never past the token's own end: for so long a revoked token, a
// disabled user and a role that was taken away go unnoticed. Bad news is
// remembered for a few seconds. While it is remembered, an answer costs no call.
// That Keystone is away is an Unavailable fault and is not remembered; what is
// remembered stays good for its time.
//
// Answers are found by a keyed hash of the token. The token itself is kept
// nowhere.
//
// # Where things are
//
//	keystone.go  Client, what it remembers, service tokens
//	ask.go       one question to Keystone, and what its statuses mean
//	login.go     the service user's own token
//	read.go      Keystone's answer to auth.Principal
//	pause.go     what happens while Keystone is away
package keystone
