package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
)

// Handler answers one request of one caller. It either writes a response or
// returns an error and leaves the response to the dialect; a header that it
// set before the error is sent with it.
type Handler func(w http.ResponseWriter, r *http.Request, who auth.Principal) error

// Dialect is what the families of clients do differently on every request.
type Dialect struct {
	// Identify says who is asking. It may leave the body unread or replace it.
	Identify func(*http.Request) (auth.Principal, error)
	// WriteFault answers with the dialect's body and status for err: its
	// fault.Kind, or a sentinel that has words of its own.
	WriteFault func(w http.ResponseWriter, r *http.Request, err error)
}

// Serve turns a Handler into an http.Handler. It is the one place where an
// error becomes a response and a log line. maxBody is in bytes; reading past
// it is fault.TooLarge, and the rest of the body is not waited for.
func (d Dialect) Serve(log *zap.Logger, maxBody int64, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &response{ResponseWriter: w}
		if r.ContentLength > maxBody {
			r.Body = refusedBody{w, r.Body, maxBody}
		} else {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		if err := d.run(out, r, h); err != nil {
			d.fail(out, r, log, err)
		}
	})
}

// maxHeader limits the request line and the headers, in bytes. A listener takes
// more, so that it is the dialect that refuses, in its own words, and a token
// that is too long is a wrong token first.
const maxHeader = 64 << 10

var errHeader = fault.New(fault.TooLarge, "the request's line and headers are larger than 64 KiB")

func headerBytes(r *http.Request) int {
	n := len(r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return n
}

// refusedBody stands for a body that is declared to be over the limit. None of
// it is read, so a client that waits for 100 Continue never sends it, and the
// answer does not wait for one that is slow.
type refusedBody struct {
	w http.ResponseWriter
	io.Closer
	limit int64 // bytes
}

func (b refusedBody) Read([]byte) (int, error) {
	b.w.Header().Set("Connection", "close") // what is on its way is not the next request
	return 0, &http.MaxBytesError{Limit: b.limit}
}

// run identifies the caller and lets h answer. A panic in either becomes an
// error, so that one request's bug stays one request's failure.
func (d Dialect) run(w http.ResponseWriter, r *http.Request, h Handler) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler: // net/http's own way to drop a connection
			panic(v)
		default:
			err = &panicked{what: describe(v), stack: zap.StackSkip("stack", 2)}
		}
	}()
	who, err := d.Identify(r)
	if err != nil {
		return err
	}
	if headerBytes(r) > maxHeader {
		return errHeader
	}
	return h(w, r, who)
}

// fail logs what somebody should look at, and answers.
func (d Dialect) fail(w *response, r *http.Request, log *zap.Logger, err error) {
	kind := fault.KindOf(err)
	request := zap.String("request", RequestID(r.Context()))
	p, bug := errors.AsType[*panicked](err)
	switch {
	case bug:
		log.Error("request panicked", request, zap.Error(err), p.stack)
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		log.Info("client left", request, zap.Error(err))
	case kind == fault.Internal, kind == fault.Damaged, kind == fault.Unavailable:
		log.Error("request failed", request, zap.Error(err), zap.Stringer("kind", kind))
	}
	if w.started {
		// The client has a status and part of a body. Cutting the connection
		// is the only way left to say that this is not the whole of it.
		panic(http.ErrAbortHandler)
	}
	if kind == fault.Unavailable {
		w.Header().Set("Retry-After", "1")
	}
	d.WriteFault(w, r, err)
}

// panicked is a panic on its way to becoming a 500.
type panicked struct {
	what  string
	stack zap.Field
}

func (p *panicked) Error() string { return "panic: " + p.what }

// describe names a panic value without printing what it may hold: only the
// runtime's own errors are known to carry no data of a request.
func describe(v any) string {
	if e, ok := v.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("a value of type %T", v)
}

// response notes whether an answer has begun.
type response struct {
	http.ResponseWriter
	started bool
}

func (w *response) WriteHeader(status int) {
	if status >= 200 { // a 1xx is not the answer yet
		w.started = true
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(b []byte) (int, error) {
	w.started = true
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
