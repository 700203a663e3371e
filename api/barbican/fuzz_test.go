package barbican

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/secret"
)

func TestEveryKindHasAStatus(t *testing.T) {
	for _, k := range fault.Kinds {
		if status[k] < 400 {
			t.Errorf("%v has the status %d", k, status[k])
		}
	}
}

// Whoever adds JSON to what it accepts, accepts JSON.
func FuzzAccept(f *testing.F) {
	for _, s := range []string{"", "*/*", "text/html;q=0.8, application/*;q=0", `a/b;c="d,e"`, "application/json;q=nan", ";q=,;;="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		more := []string{header, "application/json"}
		if !accepts(more, mediaJSON) || !wantsMetadata(more) {
			t.Errorf("%q and JSON is not JSON", header)
		}
		if p := preference([]string{header}, mediaJSON); !(p >= 0 && p <= 1) {
			t.Errorf("%q prefers JSON by %v", header, p)
		}
		if got, ok := parsePayloadAccept([]string{header}); ok && got.media == secret.Text && mediaType(got.answer) != secret.Text {
			t.Errorf("%q is answered as %q", header, got.answer)
		}
	})
}

// A recognised type is one of three, and recognising it again changes nothing.
func FuzzContentType(f *testing.F) {
	for _, s := range []string{"text/plain", "TEXT/PLAIN ; charset=UTF-8", "application/pkcs8;x=utf-8;y", "text/plain;", "text"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := knownPayloadType(value)
		if got == "" {
			return
		}
		if !slices.Contains([]string{secret.Text, secret.Binary, secret.PKCS8}, got) || knownPayloadType(got) != got {
			t.Errorf("%q is %q", value, got)
		}
		if !strings.HasPrefix(strings.ToLower(strings.TrimSpace(value)), got) {
			t.Errorf("%q is %q", value, got)
		}
	})
}

// A header either is refused as the client's mistake or gives a version that
// is served; and what is appended last wins.
func FuzzMicroversion(f *testing.F) {
	for _, s := range []string{"key-manager 1.1", "compute 2.1, KEY-MANAGER latest", "key-manager 1.01", "key-manager", "1.1", "key-manager ١.١"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		v, err := requested([]string{header})
		switch {
		case err != nil && fault.KindOf(err) != fault.Invalid:
			t.Errorf("%q: %v", header, err)
		case err == nil && (v < minVersion || v > maxVersion):
			t.Errorf("%q is %v", header, v)
		}
		if v, err := requested([]string{header, "key-manager 1.2"}); err != nil || v != v1_2 {
			t.Errorf("%q and 1.2 is %v, %v", header, v, err)
		}
	})
}

// What is read as a time is written in a form that is read as the same time.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"2040", "2040-1-1", "20400101T000000Z", "2040-02-29 10:30:15,1234567-0530", "0001-01-01T00:00:00+05:00", "2040-W01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, ok := parseTime(text)
		if !ok {
			return
		}
		written := formatTime(at)
		if again, ok := parseTime(written); !ok || !again.Equal(at) || formatTime(again) != written {
			t.Errorf("%q is %v, written %q", text, at, written)
		}
		if _, err := time.Parse("2006-01-02T15:04:05", written); err != nil {
			t.Errorf("clients cannot read %q", written)
		}
	})
}

// A query is refused as the client's mistake or selects something that the
// store can be asked for; links keep what was asked.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"limit=3&offset=6&name=n0%25", "sort=name:desc,created&bits=128", "created=gt:2020-01-01,lte:2021",
		"&&name=%zz", "limit=1&limit=2", `name=\`, "offset=9223372036854775807", "force",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw)
		var s secret.Query
		if err == nil {
			s, err = parseSelection(q)
		}
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		p := q.page(Limits{}.orDefaults())
		if p.limit < 1 || p.limit > 100 || p.offset < 0 || s.BitLength < 0 || s.BitLength > beyondBits {
			t.Errorf("%q: %+v of %+v", raw, p, s)
		}
		for _, text := range []string{s.Name, s.Algorithm, s.Mode, s.Type} {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Errorf("%q asks the store for %q", raw, text)
			}
		}
		_, next := page{limit: 10}.links("u", q, 1, 100)
		again, err := parseQuery(strings.TrimPrefix(next, "u?"))
		if err != nil {
			t.Fatalf("%q: the link %q: %v", raw, next, err)
		}
		for _, p := range q {
			if v, ok := again.find(p.name); p.name != "limit" && p.name != "offset" && (!ok || v != p.value) {
				t.Errorf("%q: the link %q loses %q", raw, next, p.name)
			}
		}
	})
}

// bodyOf is a JSON body as a handler has it; ok is false where none gets there.
func bodyOf(t *testing.T, schema, text string) (o object, ok bool) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/", strings.NewReader(text))
	r.Header.Set("Content-Type", mediaJSON)
	o, err := (&call{r: r}).object(schema)
	return o, err == nil
}

// storableText reports whether a database takes text as it is.
func storableText(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsRune(text, 0) && utf8.RuneCountInString(text) <= maxText
}

// A body is refused as the client's mistake, or what it makes of an ACL is
// shown in a form that is read as the same.
func FuzzACL(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"read":{}}`, `{"read":{"users":[" u1 ","u2","u1",""],"project-access":false}}`, `{"read":{"users":[]}}`,
		`{"read":{"users":["a",1]}}`, `{"read":{"project-access":"true"}}`, `{"read":null}`, `{"write":{}}`, `{"read":{"users":["\u0000"]}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		body, ok := bodyOf(t, "ACL", text)
		if !ok {
			return
		}
		change, err := newACL(body)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		acl := change.Replace(nil, time.Unix(1, 0))
		if acl == nil {
			return
		}
		for _, u := range acl.Readers {
			if !storableText(string(u)) {
				t.Errorf("%q lets %q read", text, u)
			}
		}
		shown, err := json.Marshal(map[string]any{"read": map[string]any{
			"project-access": newACLBody(acl).Read.ProjectAccess, "users": newACLBody(acl).Read.Users,
		}})
		if err != nil {
			t.Fatal(err)
		}
		if body, ok = bodyOf(t, "ACL", string(shown)); !ok {
			t.Fatalf("%q is shown as %s", text, shown)
		}
		again, err := newACL(body)
		if err != nil || !reflect.DeepEqual(again.Replace(nil, time.Unix(1, 0)), acl) {
			t.Errorf("%q is shown as %s, and that is read as %+v, %v", text, shown, again, err)
		}
	})
}

// A body is refused as the client's mistake, or names a consumer that answers
// show in a form that is read as the same.
func FuzzConsumer(f *testing.F) {
	for _, s := range []string{
		`{"service":"image","resource_type":"image","resource_id":"1"}`, `{"service":" a ","resource_type":"b","resource_id":"c","x":1}`,
		`{"service":"","resource_type":"b","resource_id":"c"}`, `{"service":"\u0000","resource_type":null,"resource_id":5}`, `{}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		body, ok := bodyOf(t, "Secret Consumer", text)
		if !ok {
			return
		}
		u, err := newUse(body)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		for _, part := range []string{u.Service, u.ResourceType, u.ResourceID} {
			if part == "" || !storableText(part) {
				t.Errorf("%q has %q", text, part)
			}
		}
		shown, err := json.Marshal(newConsumerBody(u))
		if err != nil {
			t.Fatal(err)
		}
		if body, ok = bodyOf(t, "Secret Consumer", string(shown)); !ok {
			t.Fatalf("%q is shown as %s", text, shown)
		}
		if again, err := newUse(body); err != nil || again != u {
			t.Errorf("%q is shown as %s, and that is read as %+v, %v", text, shown, again, err)
		}
	})
}

// What decodes has bytes; what was encoded decodes to itself, wherever blanks
// were put.
func FuzzBase64(f *testing.F) {
	f.Add([]byte("hello"), 3)
	f.Add([]byte{0xff}, 0)
	f.Fuzz(func(t *testing.T, in []byte, at int) {
		if out, ok := decodeBase64(in); ok && len(out) == 0 {
			t.Errorf("%q decodes to nothing", in)
		}
		if len(in) == 0 {
			return
		}
		text := base64.StdEncoding.EncodeToString(in)
		at = min(max(at, 0), len(text))
		if out, ok := decodeBase64([]byte(text[:at] + " \r\n" + text[at:])); !ok || !bytes.Equal(out, in) {
			t.Errorf("%q decodes to %q, %v", text, out, ok)
		}
	})
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{ // §7.3
		"2040":                          "2040-01-01T00:00:00",
		"2040-01":                       "2040-01-01T00:00:00",
		"2040-01-01":                    "2040-01-01T00:00:00",
		"2040-1-1":                      "2040-01-01T00:00:00",
		"20400101":                      "2040-01-01T00:00:00",
		"2040-01-01T10":                 "2040-01-01T10:00:00",
		"2040-01-01 10:30":              "2040-01-01T10:30:00",
		"2040-01-01T10:30:15":           "2040-01-01T10:30:15",
		"2040-01-01T10:30:15.5":         "2040-01-01T10:30:15.500000",
		"2040-01-01T10:30:15,1234567":   "2040-01-01T10:30:15.123456",
		"20400101T000000Z":              "2040-01-01T00:00:00",
		"2040-01-01T00:00:00+05:00":     "2039-12-31T19:00:00",
		"2040-01-01T00:00:00+0530":      "2039-12-31T18:30:00",
		"2040-01-01T00:00:00-05":        "2040-01-01T05:00:00",
		"2040-02-29":                    "2040-02-29T00:00:00",
		"2040-01-01T10:30:15.000000999": "2040-01-01T10:30:15",
	} {
		at, ok := parseTime(text)
		if got := formatTime(at); !ok || got != want {
			t.Errorf("%q is %s (%v), want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "20", "2040-", "2040-13", "2040-00", "204001", "2040-02-30", "2041-02-29", "2040-01-00", "2040-1-32", "10000-01-01", "0000",
		"2040-01-01t10:00", "2040-01-01T10:00z", "2040-W01-1", "2040-01-01T24:00", "2040-01-01T10:60", "2040-01-01T10:30:60",
		"2040-01-01T10:30:15.", "2040-01-01T10:30:15 +05:00", "2040-01-01T10:30:15-5:00", "2040-01-01T10:30:15+24:00",
		"2040-01-01T10:30:15+05:60", "2040-01-01T", "2040-01-01  10", "2040T10", "2040-01T10", "2040-01-01T10:30:15Zx", "now", "٢٠٤٠",
		"9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00",
	} {
		if at, ok := parseTime(text); ok {
			t.Errorf("%q is %v, want nothing", text, at)
		}
	}
}
