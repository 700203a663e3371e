// Package hsm is the server's side of a token: it starts workers, asks them,
// replaces them when they fail, and says in faults what a failure means. It
// contains no cgo and holds no PIN, no handle and no session.
//
// # Words
//
//	Token    all that the key hierarchy sees; one value for the life of a server
//	member   one of the tokens of a group, which all hold the same keys
//	seat     a place for one worker; its supervisor fills it again and again
//	worker   one strongroom-hsm process and the pipes to it
//	call     one request on its way through one worker
//
// # What a caller may rely on
//
// A worker that dies, hangs or loses its token fails no request that is safe
// to repeat: the request waits for the next worker, within its own deadline.
// Errors are faults. Damaged speaks of one stored value; Unavailable means
// that the same request may work later; the *ckr.Error below says which call
// failed.
//
// # Where things are
//
//	config.go, uri.go   what an operator may say, and what is a mistake
//	token.go            the operations
//	request.go          one request: pick, ask, repeat (pkcs11.md §7.3)
//	pool.go             the workers that take requests, and waiting for one
//	member.go, seat.go  supervision: start, watch, replace
//	breaker.go, pin.go  when not to start one
//	login.go            who may try the PIN, among all nodes
//	worker.go, call.go  one process, its pipes, many calls at once
//	fault.go            return codes become faults
package hsm
