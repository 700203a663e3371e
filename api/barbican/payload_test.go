package barbican_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const allMembers = "algorithm bit_length created creator_id expiration mode name secret_ref secret_type status updated"

func hasMembers(want string, more ...string) func(*testing.T, *world, answer) {
	return func(t *testing.T, _ *world, a answer) {
		t.Helper()
		got := slices.Sorted(maps.Keys(a.json()))
		all := slices.Sorted(slices.Values(append(strings.Fields(want), more...)))
		if !slices.Equal(got, all) {
			t.Errorf("members %v, want %v", got, all)
		}
	}
}

func TestShow(t *testing.T) {
	run(t, []row{
		{id: "BAR-120", do: "GET /v1/secrets/{S0}", want: 200, check: all(hasMembers(allMembers), func(t *testing.T, w *world, a answer) {
			m := a.json()
			if m["status"] != "ACTIVE" || m["created"] != m["updated"] || m["creator_id"] != "u1" || m["secret_ref"] != base+"/v1/secrets/"+w.names["S0"] {
				t.Errorf("shows %v", m)
			}
		})},
		{id: "BAR-121", do: "GET /v1/secrets/{ST}", want: 200, check: all(hasMembers(allMembers, "content_types"), hasText)},
		{id: "BAR-122", do: "GET /v1/secrets/{ST}", headers: "OpenStack-API-Version: key-manager 1.1", want: 200,
			check: all(hasMembers(allMembers, "content_types", "consumers"), func(t *testing.T, _ *world, a answer) {
				if !strings.Contains(a.body, `"consumers":[]`) {
					t.Errorf("body %s", a.body)
				}
			})},
		{id: "BAR-123", do: "GET /v1/secrets/{ST}", want: 200, check: func(t *testing.T, _ *world, a answer) {
			form := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$`)
			for _, m := range []string{"created", "updated"} {
				if v, _ := a.json()[m].(string); !form.MatchString(v) {
					t.Errorf("%s is %q", m, v)
				}
			}
		}},
		{id: "BAR-124", do: "GET /v1/secrets/{ST}", headers: "Accept: */*", want: 200, check: hasText},
		{id: "BAR-124", do: "GET /v1/secrets/{ST}", headers: "Accept: application/json", want: 200, check: hasText},
		{id: "BAR-125", do: "GET /v1/secrets/{ST}", headers: "Accept: text/plain", want: 200, check: is("hello", "text/plain; charset=UTF-8")},
		{id: "BAR-126", do: "GET /v1/secrets/{SB}", headers: "Accept: application/octet-stream", want: 200, check: is("\x00\xff\x10binary", "application/octet-stream")},
		{id: "BAR-127", do: "GET /v1/secrets/{ST}", headers: "Accept:", want: 200, check: is("hello", "application/octet-stream")},
		{id: "BAR-128", do: "GET /v1/secrets/{ST}", headers: "Accept: application/json;q=0.9", want: 200, check: hasText},
		{id: "BAR-128", do: "GET /v1/secrets/{ST}", headers: "Accept: application/json, text/plain", want: 200, check: hasText},
		{id: "BAR-128", do: "GET /v1/secrets/{ST}", headers: "Accept: application/json\nAccept: text/plain", want: 200, check: hasText},
		{id: "BAR-129", do: "GET /v1/secrets/{ST}", headers: "Accept: text/*", want: 406},
		{id: "BAR-129", do: "GET /v1/secrets/{ST}", headers: "Accept: application/*", want: 406},
		{id: "BAR-129", do: "GET /v1/secrets/{ST}", headers: "Accept: text/plain;q=0.5", want: 406},
		{id: "BAR-129", do: "GET /v1/secrets/{ST}", headers: "Accept: application/xml", want: 406},
		{id: "BAR-129", do: "GET /v1/secrets/{ST}", headers: "Accept: text/html", want: 406},
		{id: "BAR-130", do: "GET /v1/secrets/{ST}", headers: "Accept: foo/bar", want: 406, check: description(nil)},
		{id: "BAR-131", do: "GET /v1/secrets/{NX}", want: 404},
		{id: "BAR-132", do: "GET /v1/secrets/{BAD}", want: 404},
		{id: "BAR-132", do: "GET /v1/secrets/00000000-0000-0000-0000-000000000000", want: 404},
		{id: "BAR-132", do: "GET /v1/secrets/3F2504E0-4F89-41D3-9A0C-0305E82C3301", want: 404},
		{id: "BAR-132", do: "GET /v1/secrets/3f2504e04f8941d39a0c0305e82c3301", want: 404},
		{id: "BAR-132", do: "GET /v1/secrets/%7B3f2504e0-4f89-41d3-9a0c-0305e82c3301%7D", want: 404},
		{id: "BAR-133", do: "GET /v1/secrets/{ST}/foo", want: 404},
		{id: "BAR-133", do: "GET /v1/secrets/{ST}/foo/bar", want: 404},
		{id: "BAR-134", do: "GET /v1/secrets/{ST}/", want: 200, check: hasText},
		{id: "BAR-134", do: "GET /v1/secrets/{ST}?foo=bar", want: 200, check: hasText},
		{id: "D6", do: "GET /v1/secrets/{ST}?transport_key_needed=true", want: 200, check: hasText},
		{id: "BAR-135", do: "GET /v1/secrets/{ST}/payload/x", want: 404},
	})
}

// hasText checks that an answer is metadata of a secret with a text payload.
func hasText(t *testing.T, _ *world, a answer) {
	t.Helper()
	types, _ := a.json()["content_types"].(map[string]any)
	if len(types) != 1 || types["default"] != "text/plain" {
		t.Errorf("content_types %v", types)
	}
}

// is checks a payload and its Content-Type.
func is(body, contentType string) func(*testing.T, *world, answer) {
	return func(t *testing.T, _ *world, a answer) {
		t.Helper()
		if a.body != body || a.header.Get("Content-Type") != contentType || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q as %q, Cache-Control %q", a.body, a.header.Get("Content-Type"), a.header.Get("Cache-Control"))
		}
	}
}

func TestGetPayload(t *testing.T) {
	get := func(id, secret, accept string, want int, check func(*testing.T, *world, answer)) row {
		return row{id: id, do: "GET /v1/secrets/{" + secret + "}/payload", headers: "Accept: " + accept, want: want, check: check}
	}
	run(t, []row{
		{id: "BAR-136", do: "GET /v1/secrets/{ST}/payload", want: 200, check: is("hello", "application/octet-stream")},
		get("§8.5 empty", "ST", "", 200, is("hello", "application/octet-stream")),
		get("BAR-137", "ST", "*/*", 200, is("hello", "text/plain; charset=utf-8")),
		get("BAR-137", "SB", "*/*", 200, is("\x00\xff\x10binary", "application/octet-stream")),
		get("BAR-138", "ST", "text/plain", 200, is("hello", "text/plain; charset=UTF-8")),
		get("BAR-139", "ST", "text/plain;charset=utf-8", 200, is("hello", "text/plain;charset=utf-8")),
		get("BAR-139", "ST", "text/plain; charset=utf-8", 200, is("hello", "text/plain; charset=utf-8")),
		get("BAR-140", "ST", "application/octet-stream", 200, is("hello", "application/octet-stream")),
		get("BAR-141", "ST", "application/pkcs8", 200, is("hello", "application/pkcs8")),
		get("BAR-142", "SB", "text/plain", 406, describes("UTF-8")),
		get("BAR-144", "ST", "application/json", 406, description(nil)),
		get("BAR-145", "ST", "TEXT/PLAIN", 200, is("hello", "text/plain; charset=UTF-8")),
		get("BAR-145", "ST", "text/plain; charset=UTF-8", 200, is("hello", "text/plain; charset=UTF-8")),
		get("§8.5 spelled differently", "ST", "application/octet-stream;charset=utf-8", 200, is("hello", "application/octet-stream")),
		get("BAR-146", "ST", "text/plain;charset=latin-1", 406, nil),
		get("§8.5 lists", "ST", "text/plain, application/octet-stream", 406, nil),
		get("§8.5 wildcards", "ST", "text/*", 406, nil),
		{id: "BAR-147", do: "GET /v1/secrets/{S0}/payload", want: 404, check: describes("no payload")},
		{id: "BAR-147", do: "GET /v1/secrets/{S0}", headers: "Accept: text/plain", want: 404},
		{id: "BAR-148", do: "GET /v1/secrets/{NX}/payload", want: 404},
		{id: "BAR-148", do: "GET /v1/secrets/{BAD}/payload", want: 404},
		{id: "BAR-149", do: "PUT /v1/secrets/{ST}/payload", body: "x", want: 405, check: headerIs("Allow", "GET")},
		{id: "BAR-149", do: "POST /v1/secrets/{ST}/payload", body: "x", want: 405},
		{id: "BAR-149", do: "DELETE /v1/secrets/{ST}/payload", want: 405},
		{id: "BAR-149", do: "HEAD /v1/secrets/{ST}/payload", want: 405, check: bodyIs("")},
		{id: "BAR-150", as: "x", do: "GET /v1/secrets/{ST}/payload?target.secret.read=read", want: 403},
		{id: "BAR-151", do: "GET /v1/secrets/{ST}/payload?trans_wrapped_session_key=a", want: 400},
		{id: "D6", do: "GET /v1/secrets/{ST}/payload?trans_wrapped_session_key=a&transport_key_id=b", want: 400},
		{id: "payload with a slash", do: "GET /v1/secrets/{ST}/payload/", want: 200, check: is("hello", "application/octet-stream")},
		{id: "§19.2", as: "obs", do: "GET /v1/secrets/{ST}/payload", want: 200},
		{id: "§19.2", as: "aud", do: "GET /v1/secrets/{ST}/payload", want: 403},
		{id: "§19.2", as: "aud", do: "GET /v1/secrets/{ST}", want: 200},
		{id: "§19.2", as: "norole", do: "GET /v1/secrets/{ST}", want: 403},
	})
}

func TestPayloadsComeBackByteForByte(t *testing.T) {
	w := newWorld(t)
	t.Run("BAR-143", func(t *testing.T) {
		w.make("A", binaryPayload(`"aGVsbG8="`))
		if a := w.do("u1", "GET /v1/secrets/{A}/payload", "Accept: text/plain", ""); a.code != 200 || a.body != "hello" {
			t.Errorf("%d %q", a.code, a.body)
		}
	})
	const pem = "-----BEGIN PRIVATE KEY-----\nAAEC\n-----END PRIVATE KEY-----\n"
	for _, kind := range []string{"private", "public", "certificate"} {
		t.Run("BAR-152 "+kind, func(t *testing.T) {
			w.make("K", `{"secret_type":"`+kind+`"}`)
			if a := w.do("u1", "PUT /v1/secrets/{K}", "Content-Type: application/octet-stream", pem); a.code != 204 {
				t.Fatalf("%d %s", a.code, a.body)
			}
			if a := w.do("u1", "GET /v1/secrets/{K}", "Accept: application/octet-stream", ""); a.body != pem {
				t.Errorf("%d %q", a.code, a.body)
			}
		})
	}
}

func TestExpiredSecretIsGone(t *testing.T) { // BAR-153, BAR-236
	w := newWorld(t)
	w.make("E", `{"expiration":"2026-05-16T20:00:00"}`)
	if a := w.do("u1", "GET /v1/secrets/{E}", "", ""); a.code != 200 {
		t.Fatalf("before: %d", a.code)
	}
	w.clock.turn(time.Hour)
	for _, do := range []string{
		"GET /v1/secrets/{E}", "GET /v1/secrets/{E}/payload", "PUT /v1/secrets/{E}", "DELETE /v1/secrets/{E}",
		"GET /v1/secrets/{E}/metadata", "PUT /v1/secrets/{E}/metadata", "POST /v1/secrets/{E}/metadata", "GET /v1/secrets/{E}/acl",
	} {
		if a := w.do("u1", do, "", `{}`); a.code != 404 {
			t.Errorf("%s: %d %s", do, a.code, a.body)
		}
	}
	a := w.do("u1", "GET /v1/secrets?expiration=gt:2001-01-01", "", "")
	if a.body != `{"secrets":[],"total":0}` {
		t.Errorf("list: %s", a.body)
	}
}

func TestForeignProjectIsRefused(t *testing.T) { // BAR-154
	w := newWorld(t).furnish()
	for _, who := range []string{"x", "x-adm"} {
		for do, body := range map[string]string{
			"GET /v1/secrets/{ST}": "", "GET /v1/secrets/{ST}/payload": "", "GET /v1/secrets/{ST}/metadata": "",
			"GET /v1/secrets/{ST}/metadata/k": "", "PUT /v1/secrets/{S0}": "x", "DELETE /v1/secrets/{ST}": "",
			"PUT /v1/secrets/{ST}/metadata": `{"metadata":{}}`, "POST /v1/secrets/{ST}/metadata": `{"key":"k","value":"v"}`,
			"PUT /v1/secrets/{ST}/metadata/k": `{"key":"k","value":"v"}`, "DELETE /v1/secrets/{ST}/metadata/k": "",
		} {
			if a := w.do(who, do, "", body); a.code != 403 {
				t.Errorf("%s %s: %d %s", who, do, a.code, a.body)
			}
		}
	}
}

func TestPutPayload(t *testing.T) {
	put := func(id, secret, contentType, body string, want int, check func(*testing.T, *world, answer)) row {
		return row{id: id, do: "PUT /v1/secrets/{" + secret + "}", headers: contentType, body: body, want: want, check: check}
	}
	const (
		text   = "Content-Type: text/plain"
		octets = "Content-Type: application/octet-stream"
	)
	base64Encoding := octets + "\nContent-Encoding: base64"
	run(t, []row{
		put("BAR-160", "S0", text, "hello", 204, all(bodyIs(""), holds("text/plain", "hello"))),
		put("BAR-162", "S0", octets, "\x00\x01\xff", 204, holds("", "\x00\x01\xff")),
		put("BAR-163", "S0", base64Encoding, "aGVsbG8=", 204, holds("", "hello")),
		put("BAR-164", "S0", octets+"\nContent-Encoding: BASE64", "aGVsbG8=", 204, holds("", "hello")),
		put("BAR-164", "S0", base64Encoding, "aGVs\r\nbG8=\n", 204, holds("", "hello")),
		put("BAR-165", "S0", base64Encoding, "!!!!", 400, nil),
		put("BAR-165", "S0", base64Encoding, "aGVsbG8", 400, nil),
		put("BAR-166", "S0", octets+"\nContent-Encoding: gzip", "x", 400, nil),
		put("BAR-166", "S0", octets+"\nContent-Encoding: binary", "x", 400, nil),
		put("BAR-167", "S0", text+"\nContent-Encoding: base64", "aGVsbG8=", 204, holds("text/plain", "aGVsbG8=")),
		put("BAR-168", "S0", text, "\xff\xfe", 204, func(t *testing.T, w *world, _ answer) {
			if a := w.do("u1", "GET /v1/secrets/{S0}/payload", "Accept: text/plain", ""); a.code != 406 {
				t.Errorf("as text: %d", a.code)
			}
			if a := w.do("u1", "GET /v1/secrets/{S0}/payload", "Accept: */*", ""); a.header.Get("Content-Type") != "application/octet-stream" {
				t.Errorf("as anything: %q", a.header.Get("Content-Type"))
			}
			holds("", "\xff\xfe")(t, w, answer{})
		}),
		put("BAR-169", "S0", text, "hello ", 204, holds("text/plain", "hello ")),
		put("BAR-170", "S0", text, "𝄞😀\U0010FFFF", 204, holds("text/plain", "𝄞😀\U0010FFFF")),
		put("BAR-171", "S0", text, "", 400, nil),
		put("BAR-172", "S0", "-Content-Type", "x", 415, nil),
		put("BAR-172", "S0", "Content-Type: application/json", "x", 415, nil),
		put("BAR-172", "S0", "Content-Type: application/pkcs8", "x", 415, nil),
		put("BAR-172", "S0", "Content-Type: text/html", "x", 415, nil),
		put("BAR-173", "S0", "Content-Type: application/octet-stream; charset=utf-8", "x", 204, nil),
		put("BAR-174", "ST", text, "x", 409, nil),
		put("BAR-175", "S0", octets, strings.Repeat("x", 20_000), 204, holds("", strings.Repeat("x", 20_000))),
		put("BAR-175", "S0", octets, strings.Repeat("x", 20_001), 413, nil),
		put("BAR-175", "S0", octets, strings.Repeat("x", 30_000), 413, nil),
		put("BAR-176", "S0", base64Encoding, strings.Trim(base64Of(15_001), `"`), 413, nil),
		put("BAR-177", "ST", text, "", 400, nil),
		put("BAR-177", "ST", text, strings.Repeat("x", 20_001), 413, nil),
		put("BAR-177", "ST", "Content-Type: application/json", "x", 415, nil),
		put("§8.6 has data before encoding", "ST", octets+"\nContent-Encoding: gzip", "x", 409, nil),
		put("BAR-178", "NX", text, "x", 404, nil),
		put("BAR-178", "BAD", text, "x", 404, nil),
		{id: "BAR-179", do: "PUT /v1/secrets/{S0}/", headers: text, body: "x", want: 204},
		{id: "BAR-180", as: "obs", do: "PUT /v1/secrets/{S0}", headers: text, body: "x", want: 403},
		{id: "BAR-181", do: "PATCH /v1/secrets/{ST}", want: 405, check: headerIs("Allow", "DELETE, GET, PUT")},
		{id: "BAR-181", do: "POST /v1/secrets/{ST}", want: 405, check: headerIs("Allow", "DELETE, GET, PUT")},
		{id: "BAR-182", do: "PUT /v1/secrets/{S0}?transport_key_id=abc", headers: text, body: "x", want: 400},
		{id: "BAR-562", do: "PUT /v1/secrets/{S0}", headers: octets, body: "x", want: 204},
	})
}

// holds checks what S0 holds now.
func holds(accept, want string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, _ answer) {
		t.Helper()
		headers := ""
		if accept != "" {
			headers = "Accept: " + accept
		}
		if a := w.do("u1", "GET /v1/secrets/{S0}/payload", headers, ""); a.code != 200 || a.body != want {
			t.Errorf("%d %.80q, want %.80q", a.code, a.body, want)
		}
	}
}

func TestSecondStepChangesNothingElse(t *testing.T) { // BAR-161, BAR-174
	w := newWorld(t)
	w.make("S0", `{"name":"n","algorithm":"aes","mode":"cbc","bit_length":256,"secret_type":"symmetric","expiration":"2040-01-01"}`)
	before := w.do("u1", "GET /v1/secrets/{S0}", "", "").json()
	if a := w.do("u1", "PUT /v1/secrets/{S0}", "Content-Type: text/plain", "hello"); a.code != 204 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	a := w.do("u1", "GET /v1/secrets/{S0}", "", "")
	hasText(t, w, a)
	after := a.json()
	created, _ := after["created"].(string)
	updated, _ := after["updated"].(string)
	if created == "" || updated <= created {
		t.Errorf("updated %q, created %q", updated, created)
	}
	delete(after, "content_types")
	after["updated"] = before["updated"]
	if !maps.Equal(before, after) {
		t.Errorf("before %v\nafter  %v", before, after)
	}
	if a := w.do("u1", "PUT /v1/secrets/{S0}", "Content-Type: text/plain", "hello"); a.code != 409 {
		t.Errorf("second PUT: %d", a.code)
	}
}

func TestDelete(t *testing.T) {
	rows := []row{
		{id: "BAR-190", do: "DELETE /v1/secrets/{ST}", want: 204, check: all(bodyIs(""), func(t *testing.T, w *world, _ answer) { // BAR-191
			for _, do := range []string{"GET /v1/secrets/{ST}", "GET /v1/secrets/{ST}/payload", "PUT /v1/secrets/{ST}", "DELETE /v1/secrets/{ST}", "GET /v1/secrets/{ST}/metadata"} {
				if a := w.do("u1", do, "Content-Type: text/plain", "x"); a.code != 404 {
					t.Errorf("BAR-191 %s: %d", do, a.code)
				}
			}
		})},
		{id: "BAR-192", do: "DELETE /v1/secrets/{NX}", want: 404},
		{id: "BAR-192", do: "DELETE /v1/secrets/{BAD}", want: 404},
		{id: "BAR-193", as: "obs", do: "DELETE /v1/secrets/{ST}", want: 403},
		{id: "BAR-193", as: "aud", do: "DELETE /v1/secrets/{ST}", want: 403},
		{id: "BAR-193", as: "svc", do: "DELETE /v1/secrets/{ST}", want: 403},
		{id: "BAR-194", as: "peer", do: "DELETE /v1/secrets/{ST}", want: 204},
		{id: "§5.2 any Accept", do: "DELETE /v1/secrets/{ST}", headers: "Accept: foo/bar", want: 204},
		{id: "§8.7 force means nothing before 1.2", do: "DELETE /v1/secrets/{ST}?force=zzz", headers: "OpenStack-API-Version: key-manager 1.1", want: 204},
		{id: "BAR-202", do: "DELETE /v1/secrets/{ST}?force=zzz", headers: v12, want: 400},
		{id: "BAR-202", do: "DELETE /v1/secrets/{ST}?force", headers: v12, want: 400},
		{id: "BAR-202", do: "DELETE /v1/secrets/{ST}?force=", headers: v12, want: 400},
		{id: "BAR-202 after 403", as: "obs", do: "DELETE /v1/secrets/{ST}?force=zzz", headers: v12, want: 403},
		{id: "BAR-203", do: "DELETE /v1/secrets/{ST}", headers: v12, want: 204},
		{id: "D5", do: "DELETE /v1/secrets/{ST}?force=1&force=0", headers: v12, want: 400},
	}
	for _, v := range []string{"1", "t", "true", "on", "y", "yes", "TRUE", "0", "f", "false", "off", "n", "No", "+yes+"} {
		rows = append(rows, row{id: "§8.7 force", do: "DELETE /v1/secrets/{ST}?force=" + v, headers: v12, want: 204})
	}
	run(t, rows)
}
