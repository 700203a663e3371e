package frame

import (
	"encoding/binary"

	"github.com/strongroom-kms/strongroom/hsm/key"
)

// Failure is an error on its way to the server: the call that failed, the
// return code, and the class the worker has settled it to.
type Failure struct {
	Call  string // C_Decrypt; with Code 0 a few words on what the worker found
	Code  uint32
	Class uint8
}

// Texts come from modules and are cut, so that an answer always fits.
const maxTextBytes = 200

// Item answers one key.Rewrap.
type Item struct {
	Wrapped []byte // unless Failed
	Failed  bool
	Failure Failure
}

// Greeting is how a worker introduces itself, once its token is open and has
// passed the self-test.
type Greeting struct {
	Version  int
	Sessions int
	Token    key.TokenStatus
}

// Reply is the answer to the request of the same ID. Which fields count
// depends on Op; with Failed set it is Failure alone.
type Reply struct {
	ID      uint64
	Op      Op
	Failed  bool
	Failure Failure

	Output   []byte          // Wrap: the wrapped DEK; Unwrap: the DEK; Random: the bytes
	Made     key.Made        // Generate
	Items    []Item          // Rewrap
	Result   key.CheckResult // Check
	IDs      []key.ID        // List: one page, in order
	More     bool            // List: there are others after the last one
	Token    key.TokenStatus // Status
	Greeting Greeting        // Hello
}

// ListPage is how many IDs one answer to List holds at most.
const ListPage = (MaxBytes - 64) / len(key.ID{})

// AppendTo appends r as a frame to dst.
func (r *Reply) AppendTo(dst []byte) ([]byte, error) {
	from := len(dst)
	if r.Failed {
		dst = begin(dst, r.ID, failed)
		dst = appendFailure(dst, &r.Failure)
		return end(dst, from)
	}
	dst = begin(dst, r.ID, r.Op|replied)
	switch r.Op {
	case Hello:
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.Greeting.Version))
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.Greeting.Sessions))
		dst = appendToken(dst, &r.Greeting.Token)
	case Generate:
		dst = appendRef(dst, &r.Made.Ref)
		dst = appendBytes(dst, r.Made.TokenLabel)
		dst = appendBytes(dst, r.Made.TokenSerial)
		dst = appendBytes(dst, r.Made.CheckValue)
	case Wrap, Unwrap, Random:
		dst = appendBytes(dst, r.Output)
	case Rewrap:
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.Items)))
		for i := range r.Items {
			dst = appendItem(dst, &r.Items[i])
		}
	case Check:
		dst = append(dst, byte(r.Result))
	case List:
		dst = appendBool(dst, r.More)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.IDs)))
		for i := range r.IDs {
			dst = append(dst, r.IDs[i][:]...)
		}
	case Status:
		dst = appendToken(dst, &r.Token)
	case Destroy:
	default:
		return dst[:from], ErrMalformed
	}
	return end(dst, from)
}

// ParseReply reads the body of the frame that h is the head of. Byte fields
// of the result point into body.
func ParseReply(h Head, body []byte, r *Reply) error {
	*r = Reply{ID: h.ID}
	f := fields{rest: body}
	if h.Op == failed {
		r.Failed = true
		r.Failure = f.failure()
		return f.done()
	}
	if h.Op&replied == 0 {
		return ErrMalformed
	}
	r.Op = h.Op &^ replied
	switch r.Op {
	case Hello:
		r.Greeting.Version = int(f.u32())
		r.Greeting.Sessions = int(f.u32())
		r.Greeting.Token = f.token()
	case Generate:
		r.Made.Ref = f.ref()
		r.Made.TokenLabel = f.text()
		r.Made.TokenSerial = f.text()
		r.Made.CheckValue = f.bytes()
	case Wrap, Unwrap, Random:
		r.Output = f.bytes()
	case Rewrap:
		r.Items = make([]Item, f.count(1+4))
		for i := range r.Items {
			r.Items[i] = f.item()
		}
	case Check:
		r.Result = f.result()
	case List:
		r.More = f.bool()
		r.IDs = make([]key.ID, f.count(len(key.ID{})))
		for i := range r.IDs {
			r.IDs[i] = f.id()
		}
	case Status:
		r.Token = f.token()
	case Destroy:
	default:
		return ErrMalformed
	}
	return f.done()
}

func appendFailure(dst []byte, e *Failure) []byte {
	dst = appendBytes(dst, cut(e.Call))
	dst = binary.BigEndian.AppendUint32(dst, e.Code)
	return append(dst, e.Class)
}

func (f *fields) failure() (e Failure) {
	e.Call = f.label()
	e.Code = f.u32()
	e.Class = f.u8()
	return e
}

// label reads a text that its writer has cut.
func (f *fields) label() string {
	b := f.bytes()
	if len(b) > maxTextBytes {
		f.bad = true
	}
	return string(b)
}

func cut(s string) string { return s[:min(len(s), maxTextBytes)] }

func appendItem(dst []byte, it *Item) []byte {
	dst = appendBool(dst, it.Failed)
	if it.Failed {
		return appendFailure(dst, &it.Failure)
	}
	return appendBytes(dst, it.Wrapped)
}

func (f *fields) item() (it Item) {
	if it.Failed = f.bool(); it.Failed {
		it.Failure = f.failure()
	} else {
		it.Wrapped = f.bytes()
	}
	return it
}

func (f *fields) result() key.CheckResult {
	r := key.CheckResult(f.u8())
	if r > key.WrongKey {
		f.bad = true
	}
	return r
}

// appendToken carries what a worker knows about its token; what the server
// adds for itself (breaker, workers, respawns) does not travel.
func appendToken(dst []byte, t *key.TokenStatus) []byte {
	for _, v := range []string{t.Label, t.Serial, t.Model, t.Problem} {
		dst = appendBytes(dst, cut(v))
	}
	dst = appendBool(dst, t.Usable)
	dst = binary.BigEndian.AppendUint32(dst, uint32(t.Sessions))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(t.Formats)))
	for _, r := range t.Formats {
		dst = append(dst, byte(r.Format))
		dst = appendBool(dst, r.Passed)
		dst = appendBytes(dst, cut(r.Problem))
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(t.Warnings)))
	for _, w := range t.Warnings {
		dst = appendBytes(dst, cut(w))
	}
	return dst
}

func (f *fields) token() (t key.TokenStatus) {
	for _, v := range []*string{&t.Label, &t.Serial, &t.Model, &t.Problem} {
		*v = f.label()
	}
	t.Usable = f.bool()
	t.Sessions = int(f.u32())
	t.Formats = make([]key.FormatReport, f.count(1+1+4))
	for i := range t.Formats {
		t.Formats[i] = key.FormatReport{Format: key.Format(f.u8()), Passed: f.bool(), Problem: f.label()}
	}
	t.Warnings = make([]string, f.count(4))
	for i := range t.Warnings {
		t.Warnings[i] = f.label()
	}
	return t
}
