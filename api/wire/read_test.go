package wire_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/fault"
)

func post(body string) *http.Request {
	return httptest.NewRequest("POST", "/", strings.NewReader(body))
}

func TestReadObject(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       map[string]any
	}{
		{"an empty object", `{}`, map[string]any{}},
		{"blanks around it", " \r\n\t{} \n", map[string]any{}},
		{"names as they are written", `{"Name":1,"name":2}`, map[string]any{"Name": json.Number("1"), "name": json.Number("2")}},
		{"the last of two equal names", `{"a":{"x":1},"a":{"y":2}}`, map[string]any{"a": map[string]any{"y": json.Number("2")}}},
		{"null over a value", `{"a":"x","a":null}`, map[string]any{"a": nil}},
		{"numbers as text", `{"a":1e400,"b":9007199254740993}`, map[string]any{"a": json.Number("1e400"), "b": json.Number("9007199254740993")}},
		{"a surrogate pair", `{"a":"\ud83d\uDE00"}`, map[string]any{"a": "😀"}},
		{"an escaped backslash before u", `{"a":"\\ud800"}`, map[string]any{"a": `\ud800`}},
		{"a NUL", `{"a":"\u0000"}`, map[string]any{"a": "\x00"}},
		{"brackets in a string", `{"a":"` + strings.Repeat("[", 99) + `"}`, map[string]any{"a": strings.Repeat("[", 99)}},
	} {
		t.Run("reads "+tc.name, func(t *testing.T) {
			got, err := wire.ReadObject(post(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %#v, want %#v", got, tc.want)
			}
		})
	}
}

func TestReadObjectRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":                 "",
		"blanks":                  "  ",
		"null":                    "null",
		"a list":                  "[]",
		"a string":                `"x"`,
		"a number":                "5",
		"a byte order mark":       "\xEF\xBB\xBF{}",
		"trailing data":           "{}x",
		"a second object":         "{} {}",
		"a trailing comma":        `{"a":1,}`,
		"single quotes":           `{'a':1}`,
		"a comment":               `{/**/}`,
		"NaN":                     `{"a":NaN}`,
		"a leading zero":          `{"a":01}`,
		"an object cut short":     `{"a":`,
		"a string cut short":      `{"a":"\`,
		"a raw line break":        "{\"a\":\"\n\"}",
		"invalid UTF-8":           "{\"a\":\"\xff\"}",
		"an encoded surrogate":    "{\"a\":\"\xed\xa0\x80\"}",
		"half a pair, high":       `{"a":"\ud800"}`,
		"half a pair, low":        `{"a":"\udc00"}`,
		"a high one before text":  `{"a":"\ud800abcdef"}`,
		"two high ones":           `{"a":"\ud800\ud800"}`,
		"an escape cut short":     `{"a":"\u00"}`,
		"a nesting bomb":          `{"a":` + strings.Repeat("[", 1_000_000),
		"33 levels":               strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33),
		"an unknown escape":       `{"a":"\x41"}`,
		"more brackets than open": "{}}",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wire.ReadObject(post(body))
			if !errors.Is(err, wire.ErrNotObject) {
				t.Errorf("error %v, want %v", err, wire.ErrNotObject)
			}
		})
	}
}

func TestReadObjectReads32Levels(t *testing.T) {
	if _, err := wire.ReadObject(post(strings.Repeat(`{"a":`, 32) + "1" + strings.Repeat("}", 32))); err != nil {
		t.Error(err)
	}
}

func TestReadObjectMindsTheLimit(t *testing.T) {
	for _, tc := range []struct {
		size int
		kind fault.Kind
	}{{100, fault.Invalid}, {101, fault.TooLarge}} {
		r := post(strings.Repeat(" ", tc.size))
		r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 100)
		if _, err := wire.ReadObject(r); fault.KindOf(err) != tc.kind {
			t.Errorf("%d bytes: %v, want %v", tc.size, err, tc.kind)
		}
	}
}

func TestReadBodyCutShort(t *testing.T) {
	r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("{"), broken{}))
	_, err := wire.ReadBody(r)
	if fault.KindOf(err) != fault.Invalid || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want an invalid request that keeps its cause", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// What ReadObject accepts is JSON that means the same after a round trip, in
// valid UTF-8 throughout; what it refuses is the client's mistake.
func FuzzReadObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":null}],"c":"\ud83d\ude00"}`, `{"a":"\ud800"}`, `{"a":1,"a":2}`, "\xff", `{"a":"\\"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := wire.ReadObject(post(in))
		if err != nil {
			if k := fault.KindOf(err); k != fault.Invalid {
				t.Errorf("%q is %v", in, k)
			}
			return
		}
		if !json.Valid([]byte(in)) {
			t.Errorf("%q is not JSON", in)
		}
		out, err := json.Marshal(got)
		if err != nil || !utf8.Valid(out) {
			t.Fatalf("%q read as %#v: %v", in, got, err)
		}
		again, err := wire.ReadObject(post(string(out)))
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("%q read as %#v, then as %#v (%v)", in, got, again, err)
		}
	})
}
