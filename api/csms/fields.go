package csms

import (
	"encoding/json"
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
}

func readFields(r *http.Request) (*fields, error) {
	m, err := wire.ReadObject(r)
	if err != nil {
		return nil, err
	}
	return &fields{members: m}, nil
}

// wrong notes that a member is not what it must be.
func (f *fields) wrong(name, want string) {
	if f.err == nil {
		f.err = fault.Wrap(fault.Invalid, "The parameter "+name+" must be "+want+".", errType)
	}
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
