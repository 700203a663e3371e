// Package sensitive has bytes that do not print. A search for "Reveal(" lists
// every line of this codebase that touches plaintext.
package sensitive

import (
	"errors"
	"fmt"
	"io"
)

// Bytes prints as "[sensitive]" whatever the verb, and refuses to be encoded.
// The zero value is empty. A value may be copied; the copies share content, so
// one Wipe clears them all. It is not safe to Wipe while another goroutine
// reads.
//
// The content hides in a closure rather than a slice field: fmt cannot call
// Format on an unexported field, so it walks into slices and even pointers,
// but it prints a func as an address. The closure also makes == a compile
// error, which keeps careless comparisons out.
type Bytes struct{ get func() []byte }

// Take wraps b and takes ownership of it: the caller must not keep a copy.
func Take(b []byte) Bytes { return Bytes{func() []byte { return b }} }

// Reveal returns the content. It stays valid until Wipe.
func (s Bytes) Reveal() []byte {
	if s.get == nil {
		return nil
	}
	return s.get()
}

// Wipe overwrites the content. It is best effort: the runtime may have copied
// the slice earlier.
func (s Bytes) Wipe() { clear(s.Reveal()) }

// Len reports the size in bytes without revealing anything else.
func (s Bytes) Len() int { return len(s.Reveal()) }

const mask = "[sensitive]"

// Format implements fmt.Formatter for every verb.
func (s Bytes) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

// String implements fmt.Stringer, which some loggers look for first.
func (s Bytes) String() string { return mask }

var errEncode = errors.New("sensitive bytes must be revealed before encoding")

// MarshalText makes encoders fail loudly instead of leaking quietly.
func (s Bytes) MarshalText() ([]byte, error) { return nil, errEncode }
