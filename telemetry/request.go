package telemetry

import (
	"context"
	"strings"

	"github.com/google/uuid"
)

const requestPrefix = "req-"

// NewRequestID returns a fresh identifier, req-<uuid>, in OpenStack's form.
func NewRequestID() string { return requestPrefix + uuid.NewString() }

// IsRequestID reports whether s has that form. Only then a caller's own
// identifier may go to the log: anything else could forge lines.
func IsRequestID(s string) bool {
	id, ok := strings.CutPrefix(s, requestPrefix)
	return ok && len(id) == 36 && uuid.Validate(id) == nil
}

type requestKey struct{}

// WithRequestID returns a context that carries id down to whoever logs.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// RequestID returns the identifier that ctx carries, or nothing.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}
