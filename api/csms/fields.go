package csms

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/fault"
)

// fields are the members of a request body, read one by one. The first one of
// the wrong JSON type is remembered, so that a body's shape is judged before
// anything it says (csms.md §4.1). Unknown members are ignored, and null is as
// good as absent.
type fields struct {
	members map[string]any
	err     error
	within  *fields // the object that these are a member of
}

func readFields(r *http.Request) (*fields, error) {
	m, err := wire.ReadObject(r)
	if err != nil {
		return nil, err
	}
	return &fields{members: m}, nil
}

// readFieldsIfAny is readFields for operations that need no body.
func readFieldsIfAny(r *http.Request) (*fields, error) {
	raw, err := wire.ReadBody(r)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return &fields{}, nil
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	return readFields(r)
}

// wrong notes that a member is not what it must be.
func (f *fields) wrong(name, want string) {
	err := fault.Wrap(fault.Invalid, "The parameter "+name+" must be "+want+".", errType)
	for ; f != nil; f = f.within {
		if f.err == nil {
			f.err = err
		}
	}
}

// object returns a member that has members itself, and nil where there is none.
func (f *fields) object(name string) *fields {
	switch v := f.members[name].(type) {
	case nil:
	case map[string]any:
		return &fields{members: v, within: f}
	default:
		f.wrong(name, "an object")
	}
	return nil
}

// objects returns a list of such members.
func (f *fields) objects(name string) []*fields {
	list, ok := f.members[name].([]any)
	if !ok {
		if f.members[name] != nil {
			f.wrong(name, "an array of objects")
		}
		return nil
	}
	out := make([]*fields, 0, len(list))
	for _, one := range list {
		members, ok := one.(map[string]any)
		if !ok {
			f.wrong(name, "an array of objects")
			return nil
		}
		out = append(out, &fields{members: members, within: f})
	}
	return out
}

// given reports whether the body has the member, be it null.
func (f *fields) given(name string) bool {
	_, ok := f.members[name]
	return ok
}

func (f *fields) text(name string) string {
	if s := f.optional(name); s != nil {
		return *s
	}
	return ""
}

func (f *fields) optional(name string) *string {
	switch v := f.members[name].(type) {
	case nil:
	case string:
		return &v
	default:
		f.wrong(name, "a string")
	}
	return nil
}

func (f *fields) flag(name string) *bool {
	switch v := f.members[name].(type) {
	case nil:
	case bool:
		return &v
	default:
		f.wrong(name, "true or false")
	}
	return nil
}

// number returns a whole number, which fits 64 bits. Another number is not of
// the wrong type but out of range.
func (f *fields) number(name string) (*int64, error) {
	switch v := f.members[name].(type) {
	case nil:
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		if err != nil {
			return nil, invalid(name)
		}
		return &n, nil
	default:
		f.wrong(name, "a whole number")
	}
	return nil, f.err
}

func (f *fields) list(name string) []string {
	members, ok := f.members[name].([]any)
	if !ok {
		if f.members[name] != nil {
			f.wrong(name, "an array of strings")
		}
		return nil
	}
	out := make([]string, 0, len(members))
	for _, m := range members {
		s, ok := m.(string)
		if !ok {
			f.wrong(name, "an array of strings")
			return nil
		}
		out = append(out, s)
	}
	return out
}

// invalid is the refusal of a parameter, which it names. It never repeats the
// value.
func invalid(name string) error {
	return fault.New(fault.Invalid, "The value of parameter "+name+" is invalid.")
}

func missing(name string) error {
	return fault.New(fault.Invalid, "The parameter "+name+" is missing.")
}

// short checks a free text: at most limit bytes, and no NUL, which PostgreSQL
// cannot hold in a text.
func short(name, s string, limit int) error {
	if len(s) > limit || strings.IndexByte(s, 0) >= 0 {
		return invalid(name)
	}
	return nil
}
