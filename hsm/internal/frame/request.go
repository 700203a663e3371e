package frame

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/key"
)

// Settings is what a worker is told about its token. It names the file with
// the PIN and never the PIN.
type Settings struct {
	Module     string // absolute, symlinks resolved
	Label      string // empty fields match every token
	Serial     string
	Model      string
	PINFile    string // empty: hsm-pin among the systemd credentials
	GCMIV      string // caller, writeback or appended
	Format     string // auto, or the one that must pass the self-test
	Sessions   int    // 0: as many as cores and token suggest
	ForceLogin bool   // also when the token says it is the last try
}

// Request is one operation on its way to a worker. Which fields count depends
// on Op; the others stay zero.
type Request struct {
	ID   uint64
	Op   Op
	Left time.Duration // until nobody waits for the answer any more

	Ref   key.Ref      // Wrap, Unwrap, Check, Destroy; Rewrap: from
	To    key.Ref      // Rewrap
	Input []byte       // Wrap: the DEK; Unwrap: the wrapped DEK
	AAD   []byte       // Wrap, Unwrap
	Items []key.Rewrap // Rewrap
	Spec  key.Spec     // Generate
	After key.ID       // List: the last one of the page before
	Size  int          // Random: how many bytes

	Settings Settings // Configure
}

// AppendTo appends r as a frame to dst.
func (r *Request) AppendTo(dst []byte) ([]byte, error) {
	from := len(dst)
	dst = begin(dst, r.ID, r.Op)
	dst = binary.BigEndian.AppendUint32(dst, micros(r.Left))
	switch r.Op {
	case Configure:
		dst = appendSettings(dst, &r.Settings)
	case Generate:
		dst = append(dst, r.Spec.ID[:]...)
		dst = append(dst, byte(r.Spec.Format))
		dst = appendBytes(dst, r.Spec.Label)
		dst = appendBytes(dst, r.Spec.CanaryAAD)
	case Wrap, Unwrap:
		dst = appendRef(dst, &r.Ref)
		dst = appendBytes(dst, r.AAD)
		dst = appendBytes(dst, r.Input)
	case Rewrap:
		dst = appendRef(dst, &r.Ref)
		dst = appendRef(dst, &r.To)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.Items)))
		for i := range r.Items {
			dst = appendBytes(dst, r.Items[i].Wrapped)
			dst = appendBytes(dst, r.Items[i].From)
			dst = appendBytes(dst, r.Items[i].To)
		}
	case Check, Destroy:
		dst = appendRef(dst, &r.Ref)
	case List:
		dst = append(dst, r.After[:]...)
	case Random:
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.Size))
	case Status:
	default:
		return dst[:from], ErrMalformed
	}
	return end(dst, from)
}

// ParseRequest reads the body of the frame that h is the head of. Byte fields
// of the result point into body.
func ParseRequest(h Head, body []byte, r *Request) error {
	*r = Request{ID: h.ID, Op: h.Op}
	f := fields{rest: body}
	r.Left = time.Duration(f.u32()) * time.Microsecond
	switch h.Op {
	case Configure:
		r.Settings = f.settings()
	case Generate:
		r.Spec.ID = f.id()
		r.Spec.Format = key.Format(f.u8())
		r.Spec.Label = f.text()
		r.Spec.CanaryAAD = f.bytes()
	case Wrap, Unwrap:
		r.Ref = f.ref()
		r.AAD = f.bytes()
		r.Input = f.bytes()
	case Rewrap:
		r.Ref = f.ref()
		r.To = f.ref()
		r.Items = make([]key.Rewrap, f.count(3*4))
		for i := range r.Items {
			r.Items[i] = key.Rewrap{Wrapped: f.bytes(), From: f.bytes(), To: f.bytes()}
		}
	case Check, Destroy:
		r.Ref = f.ref()
	case List:
		r.After = f.id()
	case Random:
		r.Size = int(f.u32())
	case Status:
	default:
		return ErrMalformed
	}
	return f.done()
}

func micros(d time.Duration) uint32 {
	return uint32(min(max(d.Microseconds(), 0), math.MaxUint32))
}

func appendSettings(dst []byte, s *Settings) []byte {
	for _, v := range []string{s.Module, s.Label, s.Serial, s.Model, s.PINFile, s.GCMIV, s.Format} {
		dst = appendBytes(dst, v)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(s.Sessions))
	return appendBool(dst, s.ForceLogin)
}

func (f *fields) settings() (s Settings) {
	for _, v := range []*string{&s.Module, &s.Label, &s.Serial, &s.Model, &s.PINFile, &s.GCMIV, &s.Format} {
		*v = f.text()
	}
	s.Sessions = int(f.u32())
	s.ForceLogin = f.bool()
	return s
}
