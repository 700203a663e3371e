package barbican_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/api/barbican"
)

// The older form of a path: /v1/{project}/secrets (§20, seeds 000 and 002).
const older = "/v1/" + projectP + "/secrets"

func TestOlderForm(t *testing.T) {
	const octets = "Content-Type: application/octet-stream"
	run(t, []row{
		{id: "BAR-550", do: "POST " + older, body: `{"name": "Binary Key File"}`, want: 201, check: all(refStarts(base+older+"/"), requestID)},
		{id: "BAR-550", do: "POST " + older + "/", body: `{}`, want: 201},
		{id: "BAR-553", do: "PUT " + older + "/{ST}", headers: octets, body: "x", want: 409},
		{id: "BAR-554", do: "PUT " + older + "/{S0}", headers: octets, want: 400},
		{id: "BAR-555", do: "PUT " + older + "/{S0}", headers: octets, body: strings.Repeat("x", 10_000), want: 200},
		{id: "BAR-555", do: "PUT " + older + "/{S0}", headers: octets, body: strings.Repeat("x", 10_001), want: 413},
		{id: "§20.2 POST", do: "POST " + older, body: textPayload(quoted("x", 10_000)), want: 201},
		{id: "§20.2 POST", do: "POST " + older, body: textPayload(quoted("x", 10_001)), want: 413},
		{id: "BAR-556", do: "PUT " + older + "/{NX}", headers: octets, body: "x", want: 404},
		{id: "BAR-556", as: "x", do: "PUT /v1/{Q}/secrets/{S0}", headers: octets, body: "x", want: 404},
		{id: "§20.3 no cross-project reads", as: "x", do: "GET /v1/{Q}/secrets/{ST}", want: 404},
		{id: "BAR-557", do: "PUT " + older + "/{S0}", headers: "Content-Type: image/png", body: "x", want: 400},
		{id: "BAR-557", do: "PUT " + older + "/{S0}", headers: "-Content-Type", body: "x", want: 415},
		{id: "BAR-557", do: "PUT " + older + "/{S0}", headers: "Content-Type: application/json", body: "x", want: 415},
		{id: "BAR-558", do: "GET /v1/{Q}/secrets", want: 403},
		{id: "BAR-558", do: "PUT /v1/{Q}/secrets/{S0}", headers: octets, body: "x", want: 403},
		{id: "BAR-558 before 404", do: "GET /v1/{Q}/secrets/{NX}", want: 403},
		{id: "BAR-558 odd projects", do: "GET /v1/%00/secrets", want: 403},
		{id: "BAR-560", do: "GET " + older + "/{ST}/metadata", want: 200},
		{id: "BAR-560", do: "GET " + older + "/{ST}/payload", want: 200, check: bodyIs("hello")},
		{id: "BAR-560", do: "PUT " + older + "/{ST}/metadata", body: `{"metadata":{"a":"b"}}`, want: 201, check: all(
			bodyIs(`{"metadata_ref":"`+base+older+`/{ST}/metadata"}`), func(t *testing.T, w *world, _ answer) {
				if a := w.do("u1", "GET /v1/secrets/{ST}/metadata/a", "", ""); a.body != `{"key":"a","value":"b"}` {
					t.Errorf("modern form: %d %s", a.code, a.body)
				}
			})},
		{id: "BAR-561", do: "GET " + older + "?limit=1", want: 200, check: func(t *testing.T, _ *world, a answer) {
			if got, want := a.json()["next"], base+older+"?limit=1&offset=1"; got != want {
				t.Errorf("next %v, want %v", got, want)
			}
		}},
		{id: "§20.3 DELETE", do: "DELETE " + older + "/{ST}", want: 204},
		{id: "§20.3 methods", do: "PATCH " + older + "/{ST}", want: 405},
		{id: "§20.3 methods", do: "PATCH " + older, want: 405, check: headerIs("Allow", "GET, POST")},
		{id: "§20.3 surplus segments", do: "GET " + older + "/{ST}/foo", want: 404},
		{id: "§20.3 without access", as: "-", do: "GET " + older, want: 401},
	})
}

func TestTwoStepsInBothForms(t *testing.T) { // BAR-551, BAR-552, BAR-562
	file := make([]byte, 5*1024)
	rand.Read(file)
	for collection, want := range map[string]int{older: 200, "/v1/secrets": 204} {
		w := newWorld(t)
		ref, _ := w.do("u1", "POST "+collection, "", `{"name": "Binary Key File"}`).json()["secret_ref"].(string)
		a := w.do("u1", "PUT "+strings.TrimPrefix(ref, base), "Content-Type: application/octet-stream", string(file))
		if a.code != want || a.body != "" || (want == 200 && a.header.Get("Content-Length") != "0") {
			t.Errorf("PUT %s: %d %q %v", collection, a.code, a.body, a.header)
		}
		id := ref[strings.LastIndex(ref, "/"):]
		for _, form := range []string{older, "/v1/secrets"} {
			a := w.do("u1", "GET "+form+id, "Accept: application/octet-stream", "")
			if a.code != 200 || a.body != string(file) {
				t.Errorf("GET %s: %d, %d bytes", form, a.code, len(a.body))
			}
			if a := w.do("u1", "PUT "+form+id, "Content-Type: application/octet-stream", "x"); a.code != 409 {
				t.Errorf("PUT %s again: %d", form, a.code)
			}
		}
	}
}

func TestPayloadLimitsAreTheOperators(t *testing.T) {
	limits := func(a *barbican.API) { a.Limits.MaxPayload, a.Limits.MaxPayloadTenant = 100, 200 }
	run(t, []row{
		{id: "§20.2 modern", do: "PUT /v1/secrets/{S0}", headers: "Content-Type: text/plain", body: strings.Repeat("x", 101), want: 413},
		{id: "§20.2 older", do: "PUT " + older + "/{S0}", headers: "Content-Type: text/plain", body: strings.Repeat("x", 200), want: 200},
		{id: "§20.2 older", do: "PUT " + older + "/{S0}", headers: "Content-Type: text/plain", body: strings.Repeat("x", 201), want: 413},
	}, limits)
}
