// Package worker is the inside of strongroom-hsm: one PKCS#11 module, one
// token, its sessions and its keys. Handles, sessions, templates and the PIN
// never leave it; what goes out are the plain values of package key and errors
// of package ckr.
//
// # Words
//
//	module   the PKCS#11 library (package cryptoki has our view of it)
//	anchor   the session that holds the login and does nothing else
//	place    room for one session in the pool; may stand empty
//	scheme   what a key of one format does to a DEK
//	settle   look closer at a return code that does not tell who is ill
//
// # Where things are
//
//	config.go      what a worker is told; pin.go where the PIN comes from
//	open.go        from a Config to a Token; login; what the token says of itself
//	wrap.go        Wrap, Unwrap, Rewrap; random.go Random
//	generate.go    Generate; destroy.go Destroy; check.go Check and canaries
//	scheme.go      formats 1 and 2, call by call; iv.go who makes the IV
//	settle.go      retries and verdicts (pkcs11.md §7.2)
//	pool.go        sessions; lock.go who waits while a key is made
//	find.go        a key's handles; cache.go remembers them; template.go attributes
//	selftest.go    what the token can do, found out by trying: crosscheck.go
//	               against Go's own AES, protection.go whether keys stay inside
//	module.go      the real module: why miekg here and crypto11 there; oneshot.go
//	               why neither, for two calls; moduledata.go data and objects
//	harden.go      a process that is hard to look into
//
// # Errors
//
// Every error of a Token's operation is a *ckr.Error. Its class is settled:
// what comes out is Data (this blob does not open), Capability (key or token
// are not as they should be), Handle (the token works and has no such key),
// Busy, or one of Module, Login and PIN, after which this process has no
// future and should be replaced.
//
// # Calls that hang
//
// A call into the module cannot be cancelled. A context ends the wait for a
// session or a search, never a call; the server kills the process instead.
package worker
