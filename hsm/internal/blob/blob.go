// Package blob defines what a wrapped DEK looks like (pkcs11.md §4.1):
//
//	offset  size  field
//	0       1     format: key.Format
//	1       1     length n of the IV
//	2       n     the IV that was used, whoever made it
//	2+n     …     ciphertext, with its tag or MAC
//
// Every length is fixed by the format: a wrapped DEK is always 32 bytes under
// its key. So Parse needs no second look at what the token gives it.
//
// The package knows the layout and what the format byte covers, and no key.
package blob

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/strongroom-kms/strongroom/hsm/key"
)

const (
	// DEKBytes is the size of what is wrapped, a canary's text included.
	DEKBytes = 32

	// GCMTagBytes and MACBytes end the body of formats 1 and 2.
	GCMTagBytes = 16
	MACBytes    = 32

	// CBCBytes is a DEK under CBC with PKCS#7 padding, which adds a whole
	// block to a text that already fills its last one.
	CBCBytes = DEKBytes + 16

	header = 2
)

// Wrapped is a wrapped DEK in its parts.
type Wrapped struct {
	Format key.Format
	IV     []byte
	Body   []byte // ciphertext and tag, or ciphertext and MAC
}

var errShort = errors.New("wrapped DEK is shorter than its header")

// Parse takes a wrapped DEK apart. It accepts what Marshal writes and nothing
// else: known formats, exact lengths, nothing left over. The parts point into
// in.
func Parse(in []byte) (Wrapped, error) {
	if len(in) < header {
		return Wrapped{}, errShort
	}
	format, n := key.Format(in[0]), int(in[1])
	body, ok := bodyBytes(format, n)
	if !ok {
		return Wrapped{}, fmt.Errorf("wrapped DEK of format %d with an IV of %d bytes", in[0], n)
	}
	if len(in) != header+n+body {
		return Wrapped{}, fmt.Errorf("wrapped DEK of format %d has %d bytes instead of %d", in[0], len(in), header+n+body)
	}
	// Full slice expressions: who appends to a part must not write into the next.
	return Wrapped{
		Format: format,
		IV:     in[header : header+n : header+n],
		Body:   in[header+n : len(in) : len(in)],
	}, nil
}

// bodyBytes returns the length of the body, and whether the format is known
// and takes an IV of this length. The 16-byte IV of format 1 comes from tokens
// that make their own (pkcs11.md §3.2).
func bodyBytes(f key.Format, iv int) (n int, ok bool) {
	switch f {
	case key.A256GCM:
		return DEKBytes + GCMTagBytes, iv == 12 || iv == 16
	case key.A256CBCHS256:
		return CBCBytes + MACBytes, iv == 16
	}
	return 0, false
}

// Marshal puts the parts together. Parse returns the same parts.
func (w Wrapped) Marshal() []byte {
	out := make([]byte, 0, header+len(w.IV)+len(w.Body))
	out = append(out, byte(w.Format), byte(len(w.IV)))
	out = append(out, w.IV...)
	return append(out, w.Body...)
}

// Split parts the body of format 2 into ciphertext and MAC. Call it only on
// what Parse returned.
func (w Wrapped) Split() (ciphertext, mac []byte) {
	return w.Body[:CBCBytes:CBCBytes], w.Body[CBCBytes:]
}

// GCMAAD is what format 1 authenticates beside the DEK: the caller's
// associated data and the format byte, so that a body cannot move to another
// format.
func GCMAAD(aad []byte) []byte {
	out := make([]byte, 0, len(aad)+1)
	return append(append(out, aad...), byte(key.A256GCM))
}

// MACInput is what format 2 authenticates. The length before the associated
// data keeps it apart from the ciphertext behind it.
func MACInput(iv, aad, ciphertext []byte) []byte {
	out := make([]byte, 0, 1+len(iv)+8+len(aad)+len(ciphertext))
	out = append(out, byte(key.A256CBCHS256))
	out = append(out, iv...)
	out = binary.BigEndian.AppendUint64(out, uint64(len(aad)))
	out = append(out, aad...)
	return append(out, ciphertext...)
}
