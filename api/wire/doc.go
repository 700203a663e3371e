// Package wire is what every dialect does with HTTP: requests in, responses
// out, errors to responses. It knows no secret and no key, and no dialect's
// words: those come with a [Dialect].
//
//	serve.go     Dialect.Serve: the one place where an error becomes a response
//	read.go      a JSON object from a request, by rules that all dialects share
//	write.go     a JSON response
//	request.go   the request ID
package wire
