// Package fault is the product's one vocabulary of errors. A kind says what
// the caller could do about a failure, not what broke; a dialect turns kinds
// into statuses of its own.
package fault

import (
	"context"
	"errors"
)

// Kind says what the caller could do about an error.
type Kind uint8

const (
	Internal        Kind = iota // the zero value: unclassified, never explained to a client
	Invalid                     // the request can never succeed as sent
	Unauthenticated             // we do not know who asks
	Denied                      // we know who asks, and the answer is no
	NotFound                    // no such thing, or not visible to this caller
	Exists                      // the name is taken
	WrongState                  // e.g. reading a key that is pending deletion
	TooLarge                    // over a documented limit
	Damaged                     // what is stored does not open; no neighbour is affected
	Unavailable                 // token or database away; the same request may work later
)

// Kinds lists every kind, for tests that a table knows them all.
var Kinds = []Kind{
	Internal, Invalid, Unauthenticated, Denied, NotFound,
	Exists, WrongState, TooLarge, Damaged, Unavailable,
}

var names = [...]string{
	"internal", "invalid", "unauthenticated", "denied", "not found",
	"exists", "wrong state", "too large", "damaged", "unavailable",
}

func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown kind"
}

// Error carries two texts for two readers: Public goes to the client, the
// cause goes to the log. Neither ever holds a payload, a key, a PIN, a DSN or
// query arguments.
type Error struct {
	Kind   Kind
	Public string
	cause  error
}

// New returns a fault without a cause. Use it for package-level sentinels.
func New(k Kind, public string) *Error { return &Error{Kind: k, Public: public} }

// Wrap classifies cause. The client sees public, never the cause.
func Wrap(k Kind, public string, cause error) *Error {
	return &Error{Kind: k, Public: public, cause: cause}
}

func (e *Error) Error() string {
	if e.cause == nil {
		return e.Public
	}
	return e.Public + ": " + e.cause.Error()
}

func (e *Error) Unwrap() error { return e.cause }

// KindOf returns the kind of the outermost fault in err's chain. A deadline
// that passed or a caller that went away is Unavailable: the same request may
// work later. Everything else is Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Unavailable
	}
	return Internal
}

// PublicText returns what a client may read about err: the outermost fault's
// text, and nothing for an error that nobody classified.
func PublicText(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Public
	}
	return ""
}
