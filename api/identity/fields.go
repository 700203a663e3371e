package identity

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// object is a JSON object that knows where in the body it stands, so that an
// error can name the member. Members that nobody asks for are ignored, as
// Keystone does.
type object struct {
	path    string
	members map[string]any
}

// readBody reads a body of one object with one member, what: {"project":{…}}.
func readBody(r *http.Request, what string) (object, error) {
	all, err := wire.ReadObject(r)
	if err != nil {
		return object{}, err
	}
	return object{members: all}.need(what)
}

// clean reports whether a text may be stored: valid UTF-8 without NUL.
func clean(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

func (o object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

func (o object) bad(name, must string) error {
	return fault.New(fault.Invalid, o.at(name)+" must be "+must+".")
}

// has reports whether the member is there and not null.
func (o object) has(name string) bool { return o.members[name] != nil }

// object returns a member that is an object; nil members where it is not there.
func (o object) object(name string) (object, error) {
	v := o.members[name]
	if v == nil {
		return object{path: o.at(name)}, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return object{}, o.bad(name, "an object")
	}
	return object{o.at(name), m}, nil
}

// need is object for a member that must be there.
func (o object) need(name string) (object, error) {
	if !o.has(name) {
		return object{}, o.bad(name, "an object")
	}
	return o.object(name)
}

// text returns a member that is a string; nil where it is not there or null.
func (o object) text(name string) (*string, error) {
	v := o.members[name]
	if v == nil {
		return nil, nil
	}
	s, ok := v.(string)
	if !ok || !clean(s) {
		return nil, o.bad(name, "a string")
	}
	return &s, nil
}

// word is text with "" for what is not there.
func (o object) word(name string) (string, error) {
	s, err := o.text(name)
	if s == nil {
		return "", err
	}
	return *s, err
}

// secret is text that must be there and must not print.
func (o object) secret(name string) (sensitive.Bytes, error) {
	s, err := o.text(name)
	if err == nil && s == nil {
		err = o.bad(name, "a string")
	}
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return sensitive.Take([]byte(*s)), nil
}

func (o object) flag(name string) (*bool, error) {
	v := o.members[name]
	if v == nil {
		return nil, nil
	}
	b, ok := v.(bool)
	if !ok {
		return nil, o.bad(name, "true or false")
	}
	return &b, nil
}

// list returns a member that is a list; nil where it is not there.
func (o object) list(name string) ([]any, error) {
	v := o.members[name]
	if v == nil {
		return nil, nil
	}
	l, ok := v.([]any)
	if !ok {
		return nil, o.bad(name, "a list")
	}
	return l, nil
}

// time reads a member in ISO 8601, with or without a time zone: UTC then.
func (o object) time(name string) (time.Time, error) {
	s, err := o.word(name)
	if err != nil || s == "" {
		return time.Time{}, err
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC().Truncate(time.Microsecond), nil
		}
	}
	return time.Time{}, o.bad(name, "a time, such as 2030-01-31T12:00:00")
}

// embedded reads a member that is a string with a JSON object in it.
func (o object) embedded(name string) (object, error) {
	v := o.members[name]
	if m, ok := v.(map[string]any); ok {
		return object{o.at(name), m}, nil
	}
	s, err := o.word(name)
	if err != nil {
		return object{}, err
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil || m == nil {
		return object{}, o.bad(name, "a JSON object in a string")
	}
	return object{o.at(name), m}, nil
}

// stamp is a time as Keystone writes it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// bareOrNull is a time as Keystone writes it of application credentials, where
// it leaves the zone out; null for the zero time.
func bareOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000000")
	return &s
}

// query is the URL's query, checked once.
type query struct{ url.Values }

func readQuery(r *http.Request) (query, error) {
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return query{}, fault.New(fault.Invalid, "The query string cannot be read.")
	}
	for name, values := range v {
		for _, s := range values {
			if !clean(s) || !clean(name) {
				return query{}, fault.New(fault.Invalid, "The query string is not valid text.")
			}
		}
	}
	return query{v}, nil
}

// flag reads a filter such as enabled=true. Without a value it is true, and so
// is what Keystone does not take for false.
func (q query) flag(name string) *bool {
	if !q.Has(name) {
		return nil
	}
	on := true
	switch strings.ToLower(q.Get(name)) {
	case "0", "false", "no", "off", "f", "n":
		on = false
	}
	return &on
}

// on reports whether a switch is there and not false.
func (q query) on(name string) bool {
	f := q.flag(name)
	return f != nil && *f
}

// elsewhere reports whether a filter names something that can't be here, such
// as another domain: the answer is then an empty list.
func (q query) elsewhere(name, here string) bool {
	return q.Get(name) != "" && q.Get(name) != here
}

type linksBody struct {
	Next     *string `json:"next"`
	Self     string  `json:"self"`
	Previous *string `json:"previous"`
}

type selfBody struct {
	Self string `json:"self"`
}

// writeList answers with a collection.
func (a *API) writeList(w http.ResponseWriter, r *http.Request, what string, items any) {
	self := a.base(r) + r.URL.Path
	if r.URL.RawQuery != "" {
		self += "?" + r.URL.RawQuery
	}
	wire.WriteJSON(w, http.StatusOK, map[string]any{what: items, "links": linksBody{Self: self}})
}

// self is the URL of one thing.
func (a *API) self(r *http.Request, format string, args ...any) selfBody {
	return selfBody{a.base(r) + fmt.Sprintf(format, args...)}
}

// each turns domain values into bodies; the result is never null.
func each[T, B any](all []T, body func(T) B) []B {
	out := make([]B, 0, len(all))
	for _, v := range all {
		out = append(out, body(v))
	}
	return out
}
