package barbican_test

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// bodies makes one row of POST /v1/secrets per body.
func bodies(id string, want int, check func(*testing.T, *world, answer), bodies ...string) []row {
	var rows []row
	for _, b := range bodies {
		rows = append(rows, row{id: id, do: "POST /v1/secrets", body: b, want: want, check: check})
	}
	return rows
}

// members makes bodies out of values of one member.
func members(name string, values ...string) []string {
	var out []string
	for _, v := range values {
		out = append(out, fmt.Sprintf(`{%q:%s}`, name, v))
	}
	return out
}

// textPayload is a body with a text payload and more members.
func textPayload(text string) string {
	return `{"payload":` + text + `,"payload_content_type":"text/plain"}`
}

func binaryPayload(text string) string {
	return `{"payload":` + text + `,"payload_content_type":"application/octet-stream","payload_content_encoding":"base64"}`
}

func TestCreate(t *testing.T) {
	post := func(id, body string, want int, check func(*testing.T, *world, answer)) row {
		return row{id: id, do: "POST /v1/secrets", body: body, want: want, check: check}
	}
	run(t, []row{
		post("BAR-050", `{}`, 201, func(t *testing.T, _ *world, a answer) {
			ref, _ := a.json()["secret_ref"].(string)
			if !regexp.MustCompile(`^https://kms\.test/v1/secrets/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(ref) ||
				a.header.Get("Location") != ref || len(a.json()) != 1 {
				t.Errorf("body %s, Location %q", a.body, a.header.Get("Location"))
			}
		}),
		post("BAR-051", `{"foo":"bar","deep":{"er":[1,null]}}`, 201, nil),
		post("BAR-052", `{"creator_id":"evil","status":"DEAD","project_id":"evil","id":"`+NX+`"}`, 201, func(t *testing.T, w *world, a answer) {
			s := w.shown(a)
			if s["creator_id"] != "u1" || s["status"] != "ACTIVE" || strings.Contains(fmt.Sprint(s), "evil") || strings.Contains(a.body, NX) {
				t.Errorf("shows %v", s)
			}
		}),
		{id: "BAR-053", do: "POST /v1/secrets", headers: "Content-Type: text/plain", body: "{}", want: 415},
		{id: "BAR-053", do: "POST /v1/secrets", headers: "-Content-Type", body: "{}", want: 415},
		{id: "BAR-054", do: "POST /v1/secrets", headers: "Content-Type: application/json; charset=utf-8", body: "{}", want: 201},
		{id: "§5.3 any case", do: "POST /v1/secrets", headers: "Content-Type: application/JSON", body: "{}", want: 201},
		{id: "BAR-055", do: "POST /v1/secrets", headers: "Content-Type: application/jsön", body: "{}", want: 415},
		{id: "BAR-056", do: "POST /v1/secrets", headers: "Content-Type: application/json", want: 400},
		post("BAR-058", `{"name":"a","name":"b"}`, 201, shows("name", "b")),
		post("BAR-059", textPayload(quoted("x", 25_001)), 413, nil),
		post("BAR-062", `{"name":"  pad "}`, 201, shows("name", "pad")),
		post("BAR-107", `{"expiration":"2001-01-01","payload":"x"}`, 400, describes("expiration")),
		post("BAR-109", `{"transport_key_needed":"true"}`, 400, nil),
		post("BAR-110", `{"payload":"x","payload_content_type":"text/plain","transport_key_id":"`+NX+`"}`, 400, describes("transport key")),
		{id: "BAR-111", as: "obs", do: "POST /v1/secrets", body: "{}", want: 403},
		{id: "BAR-111", as: "aud", do: "POST /v1/secrets", body: "{}", want: 403},
		{id: "BAR-111", as: "svc", do: "POST /v1/secrets", body: "{}", want: 403},
	})
	run(t, bodies("BAR-056", 400, nil, "{bad", "{} x", "\xef\xbb\xbf{}", "{'name':'x'}"))
	run(t, bodies("BAR-057", 400, nil, "[]", `"abc"`, "null", "5"))
}

func TestCreateReadsAttributes(t *testing.T) {
	null := func(member string) func(*testing.T, *world, answer) { return shows(member, nil) }
	var rows []row
	add := func(r []row) { rows = append(rows, r...) }
	add(bodies("BAR-060", 201, null("name"), `{"name":null}`))
	add(bodies("BAR-061", 201, shows("name", ""), `{"name":""}`))
	add(bodies("BAR-063", 201, shows("name", strings.Repeat("ü", 255)), `{"name":`+quoted("ü", 255)+`}`))
	add(bodies("BAR-063", 400, nil, `{"name":`+quoted("n", 256)+`}`))
	add(bodies("BAR-064", 400, nil, members("name", "5", "true", "[]", "{}")...))
	add(bodies("BAR-065", 400, nil, members("algorithm", "null", "5", quoted("a", 256))...))
	add(bodies("BAR-066", 400, nil, members("mode", "null", "0", quoted("a", 256))...))
	add(bodies("BAR-066", 201, shows("mode", ""), `{"mode":""}`))
	add(bodies("BAR-067", 400, nil, members("bit_length",
		"0", "-1", `"256"`, `""`, `" "`, "null", "true", "256.5", "32768", "1e400", "[]")...))
	add(bodies("BAR-068", 201, nil, members("bit_length", "1", "7", "15", "16", "128", "256", "512", "2048", "32767")...))
	add(bodies("BAR-068", 201, shows("bit_length", 256.0), `{"bit_length":256.0}`))
	add(bodies("BAR-069", 400, nil, members("expiration", `"2026-05-16T19:40:44"`, `"1999-12-31"`)...))
	add(bodies("BAR-070", 400, nil, members("expiration", `"garbage"`, "null", "1234567", `"2040-13-01T00:00:00Z"`)...))
	add(bodies("BAR-071", 201, null("expiration"), members("expiration", `""`, `"  "`)...))
	add(bodies("BAR-072", 201, shows("expiration", "2040-01-01T00:00:00"), `{"expiration":"2040-01-01"}`))
	add(bodies("BAR-073", 201, shows("expiration", "2039-12-31T19:00:00"), `{"expiration":"2040-01-01T00:00:00+05:00"}`))
	add(bodies("BAR-074", 201, shows("expiration", "2040-01-01T00:00:00.123456"), `{"expiration":"2040-01-01T00:00:00.123456Z"}`))
	add(bodies("BAR-075", 201, nil, members("expiration", `"2040-01-01T00:00:00-05:00"`, `"2040-01-01T00:00:00+05:00"`,
		`"2040-01-01T00:00:00-01"`, `"2040-01-01T00:00:00+01"`)...))
	add(bodies("BAR-076", 400, nil, `{"expiration":"2040-01-01T00:00:00-5:00"}`))
	for _, kind := range []string{"symmetric", "public", "private", "passphrase", "certificate", "opaque"} {
		add(bodies("BAR-077", 201, shows("secret_type", kind), `{"secret_type":"`+kind+`"}`))
	}
	add(bodies("BAR-078", 201, shows("secret_type", "opaque"), `{}`))
	add(bodies("BAR-079", 400, nil, members("secret_type", `"OPAQUE"`, `"foo"`, `""`, "null", "5")...))
	add(bodies("BAR-108", 201, nil, `{"transport_key_needed":"false"}`))
	add(bodies("BAR-108", 400, nil, members("transport_key_needed", `"TRUE"`, "true", "null")...))
	add(bodies("NUL in text is named", 400, describes("NUL"), members("name", `"a\u0000b"`)...))
	add(bodies("NUL in text is named", 400, describes("algorithm"), members("algorithm", `"\u0000"`)...))
	add(bodies("NUL in text is named", 400, describes("mode"), members("mode", `"\u0000"`)...))
	run(t, rows)
}

func TestCreateReadsPayloads(t *testing.T) {
	var rows []row
	add := func(r []row) { rows = append(rows, r...) }
	typed := func(types ...string) []string {
		var out []string
		for _, v := range types {
			out = append(out, `{"payload":"x","payload_content_type":`+v+`}`)
		}
		return out
	}
	add(bodies("BAR-080", 400, nil, `{"payload":"x"}`))
	add(bodies("BAR-081", 400, nil, typed("null")...))
	add(bodies("BAR-082", 400, nil, members("payload_content_type", `"text/plain"`, "null", `""`)...))
	add(bodies("BAR-083", 400, describes("Provided object does not match schema 'Secret': payload_content_type is not one of "+
		"['text/plain', 'text/plain;charset=utf-8', 'text/plain; charset=utf-8', 'application/octet-stream'"), typed(`"plain-text"`)...))
	add(bodies("BAR-084", 400, nil, typed(`"text"`, `"text/"`, `"invalid"`, `""`, "123", quoted("a", 256))...))
	add(bodies("BAR-085", 400, nil, `{"payload":"aGVsbG8=","payload_content_type":"text/plain","payload_content_encoding":"base64"}`))
	add(bodies("BAR-086", 400, nil, typed(`"application/octet-stream"`)...))
	add(bodies("BAR-087", 400, nil, members("payload_content_encoding", `"binary"`, `"gzip"`, `""`, "null", "123")...))
	add(bodies("BAR-088", 201, nil, `{"payload_content_encoding":"base64"}`))
	add(bodies("BAR-089", 201, contentType("text/plain"), typed(`"text/plain"`, `"text/plain;charset=utf-8"`,
		`"text/plain; charset=utf-8"`, `"text/plain; charset=UTF-8"`, `"TEXT/PLAIN"`)...))
	add(bodies("BAR-090", 400, nil, typed(`"text/plain;charset=ISO-8859-1"`, `"text/plain; charset=utf-88"`, `"text/plain;foo"`,
		`"text/plain;charset=\"utf-8\""`, `"text/plain;"`)...))
	add(bodies("BAR-091", 201, contentType("application/pkcs8"),
		`{"payload":"aGVsbG8=","payload_content_type":"application/pkcs8","payload_content_encoding":"base64"}`))
	add(bodies("BAR-092", 400, nil, typed(`"application/aes"`, `"application/pkix"`)...))
	add(bodies("BAR-093", 400, nil, textPayload(`""`), textPayload(`"  "`)))
	add(bodies("BAR-094", 400, nil, textPayload("null"), textPayload("123"), textPayload(`["boom"]`)))
	add(bodies("BAR-095", 201, payload("hi there"), textPayload(`"  hi there \n"`)))
	add(bodies("BAR-096", 201, payload("Grüße, 世界 😀"), textPayload(`"Grüße, 世界 😀"`), textPayload(`"Gr\u00fc\u00dfe, 世界 \ud83d\ude00"`)))
	add(bodies("BAR-097", 400, nil, binaryPayload(`"aGVsbG8"`), binaryPayload(`"x"`)))
	add(bodies("BAR-098", 400, nil, binaryPayload(`"aGVsbG8=é"`)))
	add(bodies("BAR-099", 201, payload("hello"), binaryPayload(`"aGVs bG8=\n"`)))
	add(bodies("§8.3 surplus padding", 201, payload("hello"), binaryPayload(`"aGVsbG8==="`)))
	add(bodies("BAR-100", 400, nil, binaryPayload(`"!!!!"`), binaryPayload(`"===="`), binaryPayload(`"aGVs-G8="`), binaryPayload(`"a===bG8="`)))
	add(bodies("BAR-101", 201, payload(strings.Repeat("x", 20_000)), textPayload(quoted("x", 20_000))))
	add(bodies("BAR-102", 413, nil, textPayload(quoted("x", 20_001))))
	add(bodies("BAR-103", 413, nil, textPayload(quoted("é", 10_001))))
	add(bodies("BAR-104", 201, payload(strings.Repeat("b", 15_000)), binaryPayload(base64Of(15_000))))
	add(bodies("BAR-104", 413, nil, binaryPayload(base64Of(15_001))))
	add(bodies("BAR-105", 400, nil, `{"payload":`+quoted("x", 20_001)+`}`))
	add(bodies("BAR-106", 201, payload("x"), textPayload(`"x`+strings.Repeat(" ", 20_001)+`"`)))
	add(bodies("text may hold NUL", 201, payload("a\x00b"), textPayload(`"a\u0000b"`)))
	run(t, rows)
}

func base64Of(n int) string {
	return `"` + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("b", n))) + `"`
}

func contentType(want string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		types, _ := w.shown(a)["content_types"].(map[string]any)
		if len(types) != 1 || types["default"] != want {
			t.Errorf("content_types %v, want %s", types, want)
		}
	}
}

// D27: a value of the wrong type is never repeated, for it may be a payload.
func TestErrorsNeverEchoValues(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{
		`{"payload":["hunter2"]}`, `{"payload":{"hunter2":"hunter2"}}`, `{"payload":"hunter2"}`,
		`{"payload":"hunter2","payload_content_type":"hunter2"}`, `{"name":["hunter2"]}`, `{"secret_type":"hunter2"}`,
		`{"expiration":"hunter2"}`, `{"transport_key_needed":"hunter2"}`, `{"payload_content_encoding":"hunter2"}`,
		`{"payload":"hunter2!","payload_content_type":"application/octet-stream","payload_content_encoding":"base64"}`,
	} {
		a := w.do("u1", "POST /v1/secrets", "", body)
		if a.code != 400 || strings.Contains(a.body, "hunter2") {
			t.Errorf("%s: %d %s", body, a.code, a.body)
		}
	}
	if n := w.logs.Len(); n != 0 {
		t.Errorf("%d log lines about clients' mistakes", n)
	}
}
