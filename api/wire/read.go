package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/fault"
)

// maxDepth is how deep a body may nest. No request of any dialect needs more
// than four levels.
const maxDepth = 32

var (
	// ErrNotObject says that a body is not what ReadObject reads.
	ErrNotObject = fault.New(fault.Invalid, "the request body is not a JSON object")
	// ErrBodyTooLarge says that a body is over the limit given to Serve.
	ErrBodyTooLarge = fault.New(fault.TooLarge, "the request body is larger than allowed")
	// ErrBodyCut says that a body did not arrive whole.
	ErrBodyCut = fault.New(fault.Invalid, "the request body did not arrive")
)

// ReadObject reads the body as one JSON object (RFC 8259) in UTF-8. Numbers
// are json.Number, names match exactly, and of two equal names the last one
// counts. Which members there may be and what they may hold is the dialect's.
//
// A byte order mark, trailing data, invalid UTF-8, half a surrogate pair and a
// body nested too deeply are ErrNotObject: nothing is silently replaced.
func ReadObject(r *http.Request) (map[string]any, error) {
	raw, err := ReadBody(r)
	if err != nil {
		return nil, err
	}
	defer clear(raw) // it may hold a payload
	if !utf8.Valid(raw) || !sound(raw) {
		return nil, ErrNotObject
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var object map[string]any
	if dec.Decode(&object) != nil || object == nil { // null decodes into nil
		return nil, ErrNotObject
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, ErrNotObject
	}
	return object, nil
}

// ReadBody reads the whole body. The limit is the one given to Serve. Whoever
// reads a payload with it wipes the bytes.
func ReadBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	size := bytes.MinRead
	if r.ContentLength > 0 {
		size += int(min(r.ContentLength, 64<<10))
	}
	buf := bytes.NewBuffer(make([]byte, 0, size))
	if _, err := buf.ReadFrom(r.Body); err != nil {
		clear(buf.Bytes())
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, ErrBodyTooLarge
		}
		return nil, fault.Wrap(ErrBodyCut.Kind, ErrBodyCut.Public, err)
	}
	return buf.Bytes(), nil
}

// sound reports what the decoder would not: it nests deeper than anybody needs
// and turns half a surrogate pair into U+FFFD, a text that nobody sent. Syntax
// is left to the decoder.
func sound(raw []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			n, ok := escape(raw[i:])
			if !ok {
				return false
			}
			i += n - 1
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return true
}

// escape returns the length of the escape that b begins with. A high surrogate
// counts together with the low one that must follow it.
func escape(b []byte) (int, bool) {
	if len(b) < 2 {
		return 0, false
	}
	if b[1] != 'u' {
		return 2, true
	}
	switch u := unit(b); {
	case u < 0, u >= 0xDC00 && u <= 0xDFFF:
		return 0, false
	case u >= 0xD800 && u <= 0xDBFF:
		low := unit(b[6:])
		return 12, low >= 0xDC00 && low <= 0xDFFF
	}
	return 6, true
}

// unit is the UTF-16 code unit of the \uXXXX that b begins with, or -1.
func unit(b []byte) int {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	v := 0
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		v = v<<4 | int(c)
	}
	return v
}
