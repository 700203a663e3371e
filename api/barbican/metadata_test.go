package barbican_test

import (
	"fmt"
	"strings"
	"testing"
)

const pair = `{"key":"access-limit","value":"11"}`

// withPair is the world of rows about one pair that is there.
func withPair(t *testing.T) *world {
	t.Helper()
	w := newWorld(t).furnish()
	if a := w.do("u1", "POST /v1/secrets/{S0}/metadata/", "", pair); a.code != 201 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	return w
}

// has checks all metadata of S0.
func has(want string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, _ answer) {
		t.Helper()
		if a := w.do("u1", "GET /v1/secrets/{S0}/metadata", "", ""); a.code != 200 || a.body != `{"metadata":`+want+`}` {
			t.Errorf("%d %s, want %s", a.code, a.body, want)
		}
	}
}

func TestMetadata(t *testing.T) {
	put := func(id, body string, want int, check func(*testing.T, *world, answer)) row {
		return row{id: id, do: "PUT /v1/secrets/{S0}/metadata", body: body, want: want, check: check}
	}
	post := func(id, body string, want int, check func(*testing.T, *world, answer)) row {
		return row{id: id, do: "POST /v1/secrets/{S0}/metadata", body: body, want: want, check: check}
	}
	seed := `{"metadata": {"Description": "contains the AES key", "geolocation": "12.3456, -98.7654"}}`
	run(t, []row{
		{id: "BAR-250", do: "GET /v1/secrets/{S0}/metadata", want: 200, check: bodyIs(`{"metadata":{}}`)},
		{id: "BAR-250", do: "GET /v1/secrets/{S0}/metadata/", want: 200, check: bodyIs(`{"metadata":{}}`)},
		put("BAR-251 BAR-252", seed, 201, all(bodyIs(`{"metadata_ref":"`+base+`/v1/secrets/{S0}/metadata"}`), headerIs("Location", ""),
			has(`{"description":"contains the AES key","geolocation":"12.3456, -98.7654"}`))),
		put("BAR-253", seed, 201, func(t *testing.T, w *world, a answer) {
			w.do("u1", "PUT /v1/secrets/{S0}/metadata", "", `{"metadata":{"a":"b"}}`)
			has(`{"a":"b"}`)(t, w, a)
			w.do("u1", "PUT /v1/secrets/{S0}/metadata", "", `{"metadata":{}}`) // BAR-254
			has(`{}`)(t, w, a)
		}),
		put("BAR-255", `{}`, 400, nil),
		put("BAR-255", `{"metadata":null}`, 400, nil),
		put("BAR-255", `{"metadata":[]}`, 400, nil),
		put("BAR-255", `{"metadata":"x"}`, 400, nil),
		put("BAR-256", `{"metadata":{"a":1}}`, 400, nil),
		put("BAR-256", `{"metadata":{"a":null}}`, 400, nil),
		put("BAR-256", `{"metadata":{"a":{}}}`, 400, nil),
		put("BAR-257", `{"metadata":{"a b":"x"}}`, 400, nil),
		put("BAR-257", `{"metadata":{"a.b":"x"}}`, 400, nil),
		put("BAR-257", `{"metadata":{"ä":"x"}}`, 400, nil),
		put("§9 the empty key", `{"metadata":{"":"x"}}`, 400, nil),
		put("§9.2 keys that collide", `{"metadata":{"K":"1","k":"2"}}`, 400, nil),
		put("D15", `{"metadata":{"k":`+quoted("v", 256)+`}}`, 400, nil),
		put("D15", `{"metadata":{`+quoted("k", 256)+`:"v"}}`, 400, nil),
		put("D15", `{"metadata":{"k":`+quoted("ü", 255)+`}}`, 201, nil),
		put("NUL in text is named", `{"metadata":{"k":"a\u0000"}}`, 400, describes("NUL")),
		put("BAR-258", `{"metadata":{"a":"  v  "}}`, 201, has(`{"a":"v"}`)),
		put("BAR-259", `{"metadata":{},"more":1}`, 201, nil),
		put("BAR-260", `{"metadata"`, 400, nil),
		{id: "BAR-260", do: "PUT /v1/secrets/{S0}/metadata", headers: "Content-Type: text/plain", body: "{}", want: 415},
		{id: "BAR-261", do: "POST /v1/secrets/{S0}/metadata/", body: pair, want: 201,
			check: all(bodyIs(pair), headerIs("Location", base+"/v1/secrets/{S0}/metadata/access-limit"))},
		post("BAR-263", `{"key":"NEW","value":"x"}`, 201, all(bodyIs(`{"key":"new","value":"x"}`), headerIs("Location", base+"/v1/secrets/{S0}/metadata/new"))),
		post("BAR-264", `{"value":"x"}`, 400, nil),
		post("BAR-264", `{"key":"x"}`, 400, nil),
		post("BAR-264", `{"key":"x","value":"x","more":"x"}`, 400, nil),
		post("BAR-264", `{"key":null,"value":"x"}`, 400, nil),
		post("BAR-264", `{"key":"x","value":5}`, 400, nil),
		post("BAR-265", `{"key":`+quoted("k", 256)+`,"value":"x"}`, 400, nil),
		post("BAR-265", `{"key":"k","value":`+quoted("v", 256)+`}`, 400, nil),
		post("BAR-265", `{"key":`+quoted("k", 255)+`,"value":`+quoted("v", 255)+`}`, 201, nil),
		post("BAR-266", `{"key":"a b","value":"x"}`, 400, nil),
		post("BAR-267", `{"key":"k","value":""}`, 201, has(`{"k":""}`)),
		post("BAR-268", `{"key":"","value":"x"}`, 400, nil),
		post("NUL in text is named", `{"key":"k","value":"\u0000"}`, 400, describes("NUL")),
		{id: "BAR-269", do: "POST /v1/secrets/{S0}/metadata", headers: "Content-Type: application/json", want: 400},
		{id: "BAR-269", do: "POST /v1/secrets/{S0}/metadata", headers: "Content-Type: text/plain", body: pair, want: 415},
		{id: "BAR-281", do: "DELETE /v1/secrets/{S0}/metadata", want: 405, check: headerIs("Allow", "GET, POST, PUT")},
		{id: "BAR-281", do: "PATCH /v1/secrets/{S0}/metadata", want: 405, check: headerIs("Allow", "GET, POST, PUT")},
		{id: "BAR-281", do: "HEAD /v1/secrets/{S0}/metadata", want: 405, check: bodyIs("")},
		{id: "BAR-284", as: "aud", do: "GET /v1/secrets/{S0}/metadata", want: 200},
		{id: "BAR-284", as: "aud", do: "PUT /v1/secrets/{S0}/metadata", body: `{"metadata":{}}`, want: 403},
		{id: "BAR-289", do: "POST /v1/secrets/{S0}/metadata", headers: "Accept: text/plain", body: pair, want: 406, check: has(`{}`)},
		{id: "§5.1", do: "PUT /v1/secrets/{S0}/metadata", headers: "Accept: text/plain", body: seed, want: 406, check: has(`{}`)},
	})
}

func TestOnePair(t *testing.T) {
	const m = "/v1/secrets/{S0}/metadata"
	for _, r := range []row{
		{id: "BAR-262", do: "POST " + m, body: pair, want: 409},
		{id: "BAR-262", do: "POST " + m, body: `{"key":"Access-Limit","value":"x"}`, want: 409},
		{id: "BAR-270", do: "GET " + m + "/access-limit", want: 200, check: bodyIs(pair)},
		{id: "BAR-270", do: "GET " + m + "/access-limit/", want: 200, check: bodyIs(pair)},
		{id: "BAR-271", do: "GET " + m + "/nope", want: 404},
		{id: "BAR-271 cannot be a key", do: "GET " + m + "/a.b", want: 404},
		{id: "BAR-271 cannot be a key", do: "GET " + m + "/%00", want: 404},
		{id: "BAR-272", do: "GET " + m + "/ACCESS-limit", want: 200, check: bodyIs(pair)},
		{id: "BAR-273", do: "PUT " + m + "/access-limit", body: `{"key":"access-limit","value":"12"}`, want: 200,
			check: all(bodyIs(`{"key":"access-limit","value":"12"}`), has(`{"access-limit":"12"}`))},
		{id: "BAR-274", do: "PUT " + m + "/access-limit", body: `{"key":"Access-Limit","value":"12"}`, want: 200, check: has(`{"access-limit":"12"}`)},
		{id: "BAR-275", do: "PUT " + m + "/access-limit", body: `{"key":"other","value":"12"}`, want: 409, check: has(`{"access-limit":"11"}`)},
		{id: "BAR-276", do: "PUT " + m + "/nope", body: `{"key":"nope","value":"1"}`, want: 404},
		{id: "BAR-276 before the mismatch", do: "PUT " + m + "/nope", body: `{"key":"other","value":"1"}`, want: 404},
		{id: "BAR-277", do: "PUT " + m + "/nope", body: `{"value":"1"}`, want: 400},
		{id: "BAR-277", do: "PUT " + m + "/a.b", body: `{"value":"1"}`, want: 400},
		{id: "BAR-278", do: "PUT " + m + "/access-limit", headers: "Content-Type: text/plain", body: pair, want: 415},
		{id: "BAR-279", do: "DELETE " + m + "/access-limit", want: 204, check: all(bodyIs(""), has(`{}`), func(t *testing.T, w *world, _ answer) {
			if a := w.do("u1", "DELETE "+m+"/access-limit", "", ""); a.code != 404 {
				t.Errorf("BAR-280: again %d", a.code)
			}
		})},
		{id: "BAR-280", do: "DELETE " + m + "/nope", want: 404},
		{id: "BAR-280 cannot be a key", do: "DELETE " + m + "/%ff", want: 404},
		{id: "§9 lower case in paths", do: "DELETE " + m + "/Access-Limit", want: 204},
		{id: "§5.1", do: "DELETE " + m + "/access-limit", headers: "Accept: text/plain", want: 406, check: has(`{"access-limit":"11"}`)},
		{id: "§5.1", do: "GET " + m + "/access-limit", headers: "Accept: text/plain", want: 406},
		{id: "BAR-282", do: "POST " + m + "/access-limit", want: 405, check: headerIs("Allow", "DELETE, GET, PUT")},
		{id: "BAR-282", do: "PATCH " + m + "/access-limit", want: 405},
		{id: "BAR-282", do: "HEAD " + m + "/access-limit", want: 405},
		{id: "§2.2 surplus segments", do: "GET " + m + "/access-limit/x", want: 404},
		{id: "BAR-287", do: "GET " + m, headers: "Accept: text/plain", want: 200, check: bodyIs(`{"metadata":{"access-limit":"11"}}`)},
		{id: "BAR-287", do: "PUT " + m + "/access-limit", headers: "Accept: text/plain", body: pair, want: 200, check: bodyIs(pair)},
		{id: "BAR-288", do: "PUT " + m + "/nope", headers: "Accept: text/plain", body: `{"key":"nope","value":"1"}`, want: 404},
	} {
		t.Run(r.id+" "+r.do, func(t *testing.T) {
			t.Parallel()
			r.in(t, withPair(t))
		})
	}
}

func TestMetadataOfNothing(t *testing.T) { // BAR-283
	w := withPair(t)
	w.make("gone", `{}`)
	w.do("u1", "DELETE /v1/secrets/{gone}", "", "")
	for _, secret := range []string{"NX", "BAD", "gone"} {
		for do, body := range map[string]string{
			"GET %s": "", "PUT %s": `{"metadata":{}}`, "POST %s": pair, "GET %s/access-limit": "",
			"PUT %s/access-limit": pair, "DELETE %s/access-limit": "",
		} {
			do = fmt.Sprintf(do, "/v1/secrets/{"+secret+"}/metadata")
			if a := w.do("u1", do, "", body); a.code != 404 {
				t.Errorf("%s: %d %s", do, a.code, a.body)
			}
		}
	}
}

func TestMetadataLeavesUpdatedAlone(t *testing.T) { // BAR-286
	w := withPair(t)
	before := w.do("u1", "GET /v1/secrets/{S0}", "", "").body
	w.do("u1", "PUT /v1/secrets/{S0}/metadata/access-limit", "", strings.Replace(pair, "11", "12", 1))
	w.do("u1", "PUT /v1/secrets/{S0}/metadata", "", `{"metadata":{"a":"b"}}`)
	w.do("u1", "DELETE /v1/secrets/{S0}/metadata/a", "", "")
	if after := w.do("u1", "GET /v1/secrets/{S0}", "", "").body; after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
}
