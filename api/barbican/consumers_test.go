package barbican_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	v11 = "OpenStack-API-Version: key-manager 1.1"
	v12 = "OpenStack-API-Version: key-manager 1.2"
	g   = `{"service":"image","resource_type":"image","resource_id":"123e4567-e89b-12d3-a456-426614174001"}`
)

// consumer is a request about the consumers of ST.
func consumer(id, method, body string, want int, check func(*testing.T, *world, answer)) row {
	return row{id: id, do: method + " /v1/secrets/{ST}/consumers", body: body, want: want, check: check}
}

// answersSecret checks that the answer is the secret ST with just these
// consumers.
func answersSecret(want ...string) func(*testing.T, *world, answer) {
	return all(hasMembers(allMembers, "content_types", "consumers"), func(t *testing.T, w *world, a answer) {
		t.Helper()
		if list := `"consumers":[` + strings.Join(want, ",") + `]`; !strings.Contains(a.body, list) {
			t.Errorf("body %s, want %s", a.body, list)
		}
		if ref := a.json()["secret_ref"]; ref != base+"/v1/secrets/"+w.names["ST"] {
			t.Errorf("secret_ref %v", ref)
		}
	})
}

// use is a body of its own for each n.
func use(n int) string {
	return fmt.Sprintf(`{"service":"s","resource_type":"t","resource_id":"%d"}`, n)
}

func TestConsumers(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	location := headerIs("Location", base+"/v1/secrets/{ST}/consumers")
	w.steps(t,
		consumer("BAR-290", "GET", "", 200, bodyIs(`{"consumers":[],"total":0}`)),
		row{id: "BAR-291", do: "POST /v1/secrets/{ST}/consumers", headers: v11, body: g, want: 200, check: all(answersSecret(g), location)},
		row{id: "BAR-292", do: "POST /v1/secrets/{ST}/consumers", headers: v11, body: g, want: 200, check: all(answersSecret(g), location)},
		consumer("BAR-293", "POST", use(1), 200, answersSecret(g, use(1))),
		row{id: "BAR-294", do: "POST /v1/secrets/{ST}/consumers/", body: use(2), want: 200, check: answersSecret(g, use(1), use(2))},
		consumer("BAR-295", "GET", "", 200, func(t *testing.T, _ *world, a answer) {
			m := a.json()
			list, _ := m["consumers"].([]any)
			if m["total"] != 3.0 || len(list) != 3 || len(m) != 2 {
				t.Fatalf("body %s", a.body)
			}
			first, _ := list[0].(map[string]any)
			if first["service"] != "image" || first["resource_type"] != "image" || first["status"] != "ACTIVE" || len(first) != 6 ||
				first["resource_id"] != "123e4567-e89b-12d3-a456-426614174001" || first["created"] == nil || first["updated"] != first["created"] {
				t.Errorf("the first is %v", first)
			}
		}),
		row{id: "BAR-296", do: "GET /v1/secrets/{ST}/consumers?limit=1&offset=1", want: 200, check: func(t *testing.T, w *world, a answer) {
			m, at := a.json(), base+"/v1/secrets/"+w.names["ST"]+"/consumers?limit=1&offset="
			if m["previous"] != at+"0" || m["next"] != at+"2" || m["total"] != 3.0 || !strings.Contains(a.body, `"resource_id":"1"`) {
				t.Errorf("body %s", a.body)
			}
		}},
		row{id: "§20.3 older form", do: "GET " + older + "/{ST}/consumers?limit=2", want: 200, check: func(t *testing.T, w *world, a answer) {
			if next := a.json()["next"]; next != base+older+"/"+w.names["ST"]+"/consumers?limit=2&offset=2" {
				t.Errorf("next %v", next)
			}
		}},
		row{id: "§7.5 past the end", do: "GET /v1/secrets/{ST}/consumers?offset=9", want: 200, check: bodyIs(`{"consumers":[],"total":3}`)},
		row{id: "D5", do: "GET /v1/secrets/{ST}/consumers?limit=1&limit=2", want: 400},
		row{id: "BAR-122", do: "GET /v1/secrets/{ST}", headers: v11, want: 200, check: answersSecret(g, use(1), use(2))},
		row{id: "BAR-121", do: "GET /v1/secrets/{ST}", want: 200, check: hasMembers(allMembers, "content_types")},
		row{id: "BAR-235", do: "GET /v1/secrets", headers: v11, want: 200, check: func(t *testing.T, _ *world, a answer) {
			if strings.Count(a.body, `"consumers":[]`) != 2 || !strings.Contains(a.body, `"consumers":[`+g+","+use(1)+","+use(2)+"]") {
				t.Errorf("body %s", a.body)
			}
		}},
		consumer("BAR-300", "DELETE", g, 200, answersSecret(use(1), use(2))),
		consumer("BAR-301", "DELETE", g, 404, nil),
		consumer("BAR-301", "DELETE", use(7), 404, nil),
		consumer("BAR-304", "POST", g, 200, answersSecret(use(1), use(2), g)),
		row{id: "§20.3 older form", do: "DELETE " + older + "/{ST}/consumers/", body: g, want: 200},
		row{id: "§20.3 older form", do: "POST " + older + "/{ST}/consumers", body: g, want: 200,
			check: headerIs("Location", base+older+"/{ST}/consumers")},
	)
}

func TestConsumersAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	consumer("", "POST", g, 200, nil).in(t, w)
	for _, body := range []string{
		`{}`, `{"service":"a","resource_type":"b"}`, `{"service":"a","resource_id":"b"}`, `{"resource_type":"a","resource_id":"b"}`,
		`{"service":"","resource_type":"b","resource_id":"c"}`, `{"service":"  ","resource_type":"b","resource_id":"c"}`,
		`{"service":"a","resource_type":"","resource_id":"c"}`, `{"service":"a","resource_type":"b","resource_id":""}`,
		`{"service":null,"resource_type":"b","resource_id":"c"}`, `{"service":5,"resource_type":"b","resource_id":"c"}`,
		`{"service":"a","resource_type":[],"resource_id":"c"}`, `{"service":"a","resource_type":"b","resource_id":{}}`,
		`{"service":` + quoted("x", 256) + `,"resource_type":"b","resource_id":"c"}`,
		`{"service":"a","resource_type":` + quoted("x", 256) + `,"resource_id":"c"}`,
		`{"service":"a","resource_type":"b","resource_id":` + quoted("x", 256) + `}`, // D15
		`{"service":"a\u0000","resource_type":"b","resource_id":"c"}`,
	} {
		consumer("BAR-297", "POST", body, 400, nil).in(t, w)
		consumer("BAR-303", "DELETE", body, 400, nil).in(t, w)
	}
	consumer("BAR-296", "GET", "", 200, func(t *testing.T, _ *world, a answer) {
		if a.json()["total"] != 1.0 {
			t.Errorf("body %s", a.body)
		}
	}).in(t, w)
	long := quoted("ä", 255)
	w.steps(t,
		consumer("BAR-298", "POST", `{"service":"a","resource_type":"b","resource_id":"c","more":[1]}`, 200, nil),
		consumer("D15", "POST", `{"service":`+long+`,"resource_type":`+long+`,"resource_id":`+long+`}`, 200, nil),
		consumer("BAR-299", "POST", `{"service":`, 400, nil),
		row{id: "BAR-299", do: "POST /v1/secrets/{ST}/consumers", headers: "Content-Type: text/plain", body: g, want: 415},
		consumer("BAR-302", "DELETE", "", 415, nil),
		row{id: "§6.2", as: "norole", do: "POST /v1/secrets/{ST}/consumers", headers: "Content-Type: text/plain", body: "x", want: 403},
		row{id: "§6.2", as: "norole", do: "POST /v1/secrets/{ST}/consumers", headers: "Accept: text/plain", body: "x", want: 406},
		consumer("BAR-310", "PUT", g, 405, headerIs("Allow", "DELETE, GET, POST")),
		consumer("BAR-310", "HEAD", "", 405, nil),
		row{id: "BAR-309", do: "GET /v1/secrets/{ST}/consumers/{BAD}", want: 404},
		row{id: "BAR-309", do: "GET /v1/secrets/{ST}/consumers/{NX}", want: 404},
		row{id: "§10 one consumer", do: "DELETE /v1/secrets/{ST}/consumers/{NX}", body: g, want: 405, check: headerIs("Allow", "GET")},
	)
	for _, method := range []string{"GET", "POST", "DELETE", "PUT"} {
		for _, id := range []string{"{NX}", "{BAD}"} {
			row{id: "§6.2 404 first", do: method + " /v1/secrets/" + id + "/consumers", body: g, want: 404}.in(t, w)
		}
	}
}

// Its ID is in no answer; the store's own word is the only one for it.
func TestOneConsumer(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	consumer("", "POST", g, 200, nil).in(t, w)
	w.names["C"] = fmt.Sprintf("00000000-0000-4000-8000-%012d", 4) // the fourth UUID that this world gave out
	w.steps(t,
		row{id: "§10", do: "GET /v1/secrets/{ST}/consumers/{C}", want: 200, check: all(
			hasMembers("created updated status service resource_type resource_id"), func(t *testing.T, _ *world, a answer) {
				if a.json()["resource_id"] != "123e4567-e89b-12d3-a456-426614174001" {
					t.Errorf("body %s", a.body)
				}
			})},
		row{id: "§10 of another secret", do: "GET /v1/secrets/{SB}/consumers/{C}", want: 404},
		row{id: "D22", as: "x", do: "GET /v1/secrets/{ST}/consumers/{C}", want: 403},
	)
}

func TestConsumerOwnership(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	w.steps(t,
		consumer("", "POST", g, 200, nil),
		row{id: "BAR-305", as: "x", do: "DELETE /v1/secrets/{ST}/consumers", body: g, want: 403},
		row{id: "§19.2", as: "x", do: "GET /v1/secrets/{ST}/consumers", want: 403},
		acl("", "PUT", `{"read":{"users":["x","guest"],"project-access":false}}`, 200, nil),
		row{id: "BAR-306", as: "x", do: "POST /v1/secrets/{ST}/consumers", body: use(1), want: 200, check: answersSecret(g, use(1))},
		consumer("BAR-306", "DELETE", use(1), 200, answersSecret(g)),
		row{id: "BAR-307", as: "x", do: "DELETE /v1/secrets/{ST}/consumers", body: g, want: 403, check: describes("Only the project")},
		row{id: "BAR-307 unknown", as: "x", do: "DELETE /v1/secrets/{ST}/consumers", body: use(9), want: 404},
		row{id: "BAR-307", as: "guest", do: "POST /v1/secrets/{ST}/consumers", body: use(2), want: 200},
		row{id: "BAR-307 of the same project", as: "x", do: "DELETE /v1/secrets/{ST}/consumers", body: use(2), want: 200, check: answersSecret(g)},
	)
}

func TestConsumerRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	for i, who := range []string{"obs", "aud", "svc", "peer", "adm"} {
		w.steps(t,
			row{id: "BAR-308", as: who, do: "POST /v1/secrets/{ST}/consumers", body: use(i), want: 200},
			row{id: "§19.2", as: who, do: "GET /v1/secrets/{ST}/consumers", want: 200},
			row{id: "§19.2", as: who, do: "DELETE /v1/secrets/{ST}/consumers", body: use(i), want: 200},
		)
	}
	row{id: "§19.2", as: "norole", do: "GET /v1/secrets/{ST}/consumers", want: 403}.in(t, w)
	acl("", "PUT", `{"read":{"project-access":false}}`, 200, nil).in(t, w)
	for _, who := range []string{"obs", "aud", "svc", "peer"} {
		row{id: "§19.2 private", as: who, do: "POST /v1/secrets/{ST}/consumers", body: g, want: 403}.in(t, w)
	}
	row{id: "§19.2 private", as: "adm", do: "POST /v1/secrets/{ST}/consumers", body: g, want: 200}.in(t, w)
}

// Deletion with consumers, by microversion and force.
func TestDeleteWithConsumers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	used := func() {
		t.Helper()
		w.make("ST", `{"payload":"hello","payload_content_type":"text/plain"}`)
		for n := range 12 { // D25: more than a page
			consumer("", "POST", use(n), 200, nil).in(t, w)
		}
	}
	for _, headers := range []string{"", v11} {
		for _, q := range []string{"", "?force=zzz", "?force=false"} {
			used()
			row{id: "BAR-198", do: "DELETE /v1/secrets/{ST}" + q, headers: headers, want: 204}.in(t, w)
		}
	}
	used()
	w.steps(t,
		row{id: "BAR-199", do: "DELETE /v1/secrets/{ST}", headers: v12, want: 400, check: describes("consumers")},
		row{id: "BAR-199 after 403", as: "obs", do: "DELETE /v1/secrets/{ST}", headers: v12, want: 403},
		row{id: "BAR-199 intact", do: "GET /v1/secrets/{ST}/payload", want: 200, check: bodyIs("hello")},
	)
	for _, v := range []string{"false", "0", "f", "off", "n", "no", "%20No%20"} {
		row{id: "BAR-201", do: "DELETE /v1/secrets/{ST}?force=" + v, headers: v12, want: 400}.in(t, w)
	}
	for _, v := range []string{"true", "1", "t", "on", "y", "yes", "TRUE"} {
		row{id: "BAR-200", do: "DELETE /v1/secrets/{ST}?force=" + v, headers: v12, want: 204}.in(t, w)
		row{id: "BAR-200", do: "GET /v1/secrets/{ST}", want: 404}.in(t, w)
		used()
	}
}

func TestConsumersAndUpdated(t *testing.T) { // §8.2
	t.Parallel()
	w := newWorld(t).furnish()
	updated := func() any { return w.do("u1", "GET /v1/secrets/{ST}", "", "").json()["updated"] }
	before := updated()
	for _, step := range []struct {
		method string
		moves  bool
	}{{"POST", true}, {"POST", false}, {"DELETE", false}, {"POST", true}} {
		a := w.do("u1", step.method+" /v1/secrets/{ST}/consumers", "", g)
		after := updated()
		if a.code != 200 || (after != before) != step.moves || a.json()["updated"] != after {
			t.Errorf("%s: %d, updated %v, before %v, answered %v", step.method, a.code, after, before, a.json()["updated"])
		}
		before = after
	}
}

// Past its expiration nothing of a secret is there (§8.1).
func TestExpiredSecretHasNoParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.make("ST", `{"expiration":"2026-05-16T20:00:00"}`)
	consumer("", "POST", g, 200, nil).in(t, w)
	w.clock.turn(time.Hour)
	for _, do := range []string{"GET /v1/secrets/{ST}/acl", "PUT /v1/secrets/{ST}/acl", "PATCH /v1/secrets/{ST}/acl", "DELETE /v1/secrets/{ST}/acl",
		"GET /v1/secrets/{ST}/consumers", "POST /v1/secrets/{ST}/consumers", "DELETE /v1/secrets/{ST}/consumers"} {
		row{id: "§8.1", do: do, body: g, want: 404}.in(t, w)
	}
}

// A read is one round trip, a change two (DESIGN §5).
func TestRoundTripsOfParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	n := 100
	for _, tc := range []struct {
		do, headers, body string
		trips             uint64
	}{
		{"GET /v1/secrets/{ST}", v11, "", 1},
		{"GET /v1/secrets/{ST}/acl", "", "", 1},
		{"PUT /v1/secrets/{ST}/acl", "", `{"read":{"users":["a"]}}`, 2},
		{"PATCH /v1/secrets/{ST}/acl", "", `{"read":{"users":["b"]}}`, 2},
		{"PATCH /v1/secrets/{ST}/acl", "", `{}`, 1},
		{"GET /v1/secrets/{ST}/consumers", "", "", 2},
		{"GET /v1/secrets/{ST}/consumers?offset=1000", "", "", 2},
		{"GET /v1/secrets/{ST}/consumers/" + NX, "", "", 1},
		{"POST /v1/secrets/{ST}/consumers", "", "use", 2},
		{"GET /v1/secrets", v11, "", 2},
		{"GET /v1/secrets?acl_only=true", v11, "", 1},
		{"DELETE /v1/secrets/{ST}", v12, "", 2}, // refused: it has consumers
	} {
		var trips uint64
		for range 4 { // each connection prepares its own
			n++
			body := tc.body
			if body == "use" {
				body = use(n)
			}
			before := w.db.RoundTrips()
			if a := w.do("u1", tc.do, tc.headers, body); a.code >= 500 {
				t.Errorf("%s: %d", tc.do, a.code)
			}
			trips = w.db.RoundTrips() - before
		}
		if trips != tc.trips {
			t.Errorf("%s: %d round trips, want %d", tc.do, trips, tc.trips)
		}
	}
}
