// Package aksk verifies and makes request signatures of the kind
// SDK-HMAC-SHA256 (aksk-signing.md): HMAC-SHA-256, under the secret key of an
// access key, of a canonical form of the request.
//
// # Where things are
//
//	canonical.go  the canonical form: one text per meaning of a request
//	header.go     the Authorization header
//	verify.go     Verifier
//	replay.go     Replays, which refuses a signature's second use; off by default
//	sign.go       Sign, for tests and for clients of our own
//
// # What is signed
//
// The signature covers the path, the query, the headers that the client chose
// and the body. It does not cover the host unless the client chose it, and it
// has no nonce.
package aksk
