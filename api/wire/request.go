package wire

import (
	"context"
	"net"
	"net/http"
)

type requestIDKey struct{}

// WithRequestID returns ctx carrying the ID of the request: req- and a UUID.
// It is put there once, before routing.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the ID that WithRequestID put into ctx, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// Remote is the address that a request came from, without the port: the same
// caller has another one with each connection.
func Remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
