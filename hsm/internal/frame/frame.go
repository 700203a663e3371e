// Package frame is what travels between the server and a worker: binary frames
// over two pipes (pkcs11.md §2.2).
//
//	length  4 bytes, big endian, of all that follows
//	id      8 bytes, chosen by the server; a reply repeats it
//	op      1 byte; a reply has the high bit set
//	fields  fixed numbers, or 4 bytes of length and as many bytes
//
// A frame is at most 64 KiB: a larger batch travels in several. Decoding is
// strict: what it accepts has exactly one encoding, and it is this one. Byte
// fields of a decoded message point into the frame it came from.
//
// Frames may carry a DEK. So Reader and Writer overwrite each frame as soon as
// it has been used.
package frame

import (
	"encoding/binary"
	"errors"

	"github.com/strongroom-kms/strongroom/hsm/key"
)

// Version is the protocol's. Both binaries come from one build; a mismatch
// means that one of them was left behind by an update.
const Version = 2

const (
	// MaxBytes limits one frame, its length field included.
	MaxBytes = 64 << 10

	lengthBytes = 4
	headBytes   = lengthBytes + 8 + 1
)

// The file descriptors of a worker.
const (
	RequestsFD = 3
	AnswersFD  = 4
)

// Op says what a frame asks for or answers.
type Op uint8

// The operations of a worker. Configure is the first frame of a connection
// and goes to the worker; Hello answers it.
const (
	Configure Op = iota + 1
	Generate
	Wrap
	Unwrap
	Rewrap
	Check
	Destroy
	List
	Status
	Random
	lastOp = Random

	Hello = Configure // as an answer

	replied Op = 0x80
	failed  Op = 0xFF
)

var opNames = [...]string{
	"", "configure", "generate", "wrap", "unwrap", "rewrap", "check", "destroy", "list", "status", "random",
}

// String returns the name that logs and metrics use.
func (o Op) String() string {
	if int(o) < len(opNames) && o != 0 {
		return opNames[o]
	}
	return "unknown"
}

var (
	// ErrMalformed is a frame that nobody of ours has written.
	ErrMalformed = errors.New("malformed frame")
	// ErrTooLarge is a message that does not fit into one frame.
	ErrTooLarge = errors.New("message does not fit into a frame")
	// ErrFull means that the other end does not read.
	ErrFull = errors.New("too many frames wait to be written")
)

// begin leaves room for the length and writes the rest of the head.
func begin(dst []byte, id uint64, op Op) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, id)
	return append(dst, byte(op))
}

// end fills in the length of the frame that starts at from. A message that is
// too large is wiped and taken back.
func end(dst []byte, from int) ([]byte, error) {
	n := len(dst) - from
	if n > MaxBytes {
		clear(dst[from:])
		return dst[:from], ErrTooLarge
	}
	binary.BigEndian.PutUint32(dst[from:], uint32(n-lengthBytes))
	return dst, nil
}

func appendBytes[T ~[]byte | ~string](dst []byte, b T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(b)))
	return append(dst, b...)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendRef(dst []byte, r *key.Ref) []byte {
	dst = append(dst, r.ID[:]...)
	dst = append(dst, byte(r.Format))
	dst = appendBytes(dst, r.Canary.Wrapped)
	return appendBytes(dst, r.Canary.AAD)
}

// fields reads the fields of one frame in order. After the first mistake all
// further reads return zeros, and done says so.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) take(n int) []byte {
	if f.bad || n > len(f.rest) {
		f.bad = true
		return nil
	}
	b := f.rest[:n:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) u8() uint8 {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) u32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) bytes() []byte {
	n := f.u32()
	if uint64(n) > uint64(len(f.rest)) {
		f.bad = true
		return nil
	}
	return f.take(int(n))
}

func (f *fields) text() string { return string(f.bytes()) }

func (f *fields) bool() bool {
	v := f.u8()
	if v > 1 {
		f.bad = true
	}
	return v == 1
}

// count reads the length of a list whose items take at least least bytes
// each, so that a lying count cannot ask for memory the frame does not back.
func (f *fields) count(least int) int {
	n := f.u32()
	if uint64(n)*uint64(least) > uint64(len(f.rest)) {
		f.bad = true
		return 0
	}
	return int(n)
}

func (f *fields) id() (id key.ID) {
	copy(id[:], f.take(len(id)))
	return id
}

func (f *fields) ref() (r key.Ref) {
	r.ID = f.id()
	r.Format = key.Format(f.u8())
	r.Canary.Wrapped = f.bytes()
	r.Canary.AAD = f.bytes()
	return r
}

// done reports a mistake on the way, or bytes that nobody asked for.
func (f *fields) done() error {
	if f.bad || len(f.rest) != 0 {
		return ErrMalformed
	}
	return nil
}
