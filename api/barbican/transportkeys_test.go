package barbican_test

import (
	"testing"

	"github.com/strongroom-kms/strongroom/audit"
)

// None of these reaches a store that could unwrap: BAR-521's 201 is the one
// deviation (docs/dialects.md).
func TestTransportKeyRows(t *testing.T) {
	const good = `{"plugin_name":"p","transport_key":"k","more":1}`
	rows := []row{
		{id: "BAR-520", do: "GET /v1/transport_keys", want: 200, check: bodyIs(`{"transport_keys":[],"total":0}`)},
		{id: "BAR-520", as: "aud", do: "GET /v1/transport_keys/?plugin_name=x&limit=1&offset=9", want: 200, check: bodyIs(`{"transport_keys":[],"total":0}`)},
		{id: "BAR-520", as: "norole", do: "GET /v1/transport_keys", want: 403, check: describes("transport_keys:get")},
		{id: "BAR-520", do: "GET /v1/transport_keys", headers: "Accept: text/plain", want: 406},
		{id: "BAR-520", do: "GET /v1/transport-keys", want: 404},
		{id: "BAR-521", do: "POST /v1/transport_keys", body: good, want: 403, check: describes("transport_keys:post")},
		{id: "BAR-521", as: "adm", do: "POST /v1/transport_keys", body: "broken", headers: "Content-Type: text/plain", want: 403, check: describes("transport_keys:post")},
		{id: "BAR-521", as: "svc", do: "POST /v1/transport_keys", body: good, want: 403, check: all(describes("No secret store can unwrap"), recorded(audit.Refused))},
		{id: "BAR-521", as: "svc", do: "POST /v1/transport_keys", body: good, headers: "Content-Type: text/plain", want: 415},
		{id: "BAR-523", do: "GET /v1/transport_keys/{BAD}", want: 404},
		{id: "BAR-523", do: "GET /v1/transport_keys/{NX}", want: 404, check: recorded(audit.Missing)},
		{id: "BAR-523", as: "norole", do: "GET /v1/transport_keys/{NX}", want: 403},
		{id: "BAR-523", do: "GET /v1/transport_keys/{ST}", want: 404},
		{id: "D23", as: "svc", do: "DELETE /v1/transport_keys/{NX}", want: 404},
		{id: "D23", do: "DELETE /v1/transport_keys/{NX}", want: 403, check: describes("transport_key:delete")},
		{id: "D23", as: "svc", do: "PUT /v1/transport_keys", body: good, want: 405, check: headerIs("Allow", "GET, POST")},
		{id: "D23", as: "svc", do: "PUT /v1/transport_keys/{NX}", body: good, want: 405, check: headerIs("Allow", "DELETE, GET")},
		{id: "D4", as: "svc", do: "GET /v1/transport_keys/{NX}/more", want: 404},
		{id: "D6", do: "POST /v1/secrets", body: `{"transport_key_needed":"true"}`, want: 400},
		{id: "D6", do: "GET /v1/secrets/{ST}?transport_key_needed=true", want: 200},
		{id: "D6", do: "GET /v1/secrets/{ST}/payload?trans_wrapped_session_key=x&transport_key_id={NX}", want: 400},
	}
	for _, body := range []string{
		`{}`, `{"plugin_name":"p"}`, `{"transport_key":"k"}`, `{"plugin_name":"","transport_key":"k"}`, `{"plugin_name":"p","transport_key":"  "}`,
		`{"plugin_name":1,"transport_key":"k"}`, `{"plugin_name":"p","transport_key":null}`, `[]`, ``, `{`,
	} {
		rows = append(rows, row{id: "BAR-522", as: "svc", do: "POST /v1/transport_keys", headers: "Content-Type: application/json", body: body, want: 400})
	}
	run(t, rows)
}

// recorded looks at how the last event ended.
func recorded(want audit.Outcome) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, _ answer) {
		t.Helper()
		if n := len(w.journal.events); n == 0 || w.journal.events[n-1].Outcome != want {
			t.Errorf("recorded %+v, want the last one %s", w.journal.events, want)
		}
	}
}

// §18: what upstream removed is gone, whoever asks.
func TestRemovedResources(t *testing.T) {
	var rows []row
	for _, path := range []string{"/v1/cas", "/v1/cas/", "/v1/cas/{NX}", "/v1/cas/{NX}/cacert", "/v1/cas/all", "/v1/cas/preferred", "/v1/cas/{NX}/projects"} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			rows = append(rows, row{id: "§18", as: "svc", do: method + " " + path, want: 404})
		}
	}
	rows = append(rows, row{id: "§18", as: "-", do: "GET /v1/cas", want: 401}, row{id: "§18", as: "norole", do: "GET /v1/cas", want: 404})
	w := newWorld(t)
	for _, r := range rows {
		t.Run(r.do, func(t *testing.T) { r.in(t, w) })
	}
}
