package barbican_test

import (
	"fmt"
	"strings"
	"testing"
)

const party = `{"name":"svc","URL":"http://a/b"}`

// consumersAre checks who is registered with CG, as the container shows it.
func consumersAre(want string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, _ answer) {
		t.Helper()
		a := w.do("u1", "GET /v1/containers/{CG}", "", "")
		if !strings.Contains(a.body, `"consumers":`+want+`,"container_ref"`) {
			t.Errorf("%s, want consumers %s", a.body, want)
		}
	}
}

func TestContainerConsumers(t *testing.T) {
	const cs = "/v1/containers/{CG}/consumers"
	post := func(id, body string, want int, check func(*testing.T, *world, answer)) row {
		if want >= 400 {
			check = consumersAre(`[]`)
		}
		return row{id: id, do: "POST " + cs, body: body, want: want, check: check}
	}
	runContainers(t, []row{
		post("BAR-420", party, 200, func(t *testing.T, w *world, a answer) {
			if shown := w.do("u1", "GET /v1/containers/{CG}", "", ""); a.body != shown.body || a.header.Get("Location") != w.fill(base+cs) { // D9
				t.Errorf("%s, Location %q\nshown %s", a.body, a.header.Get("Location"), shown.body)
			}
			if m := a.json(); m["created"] == m["updated"] {
				t.Errorf("§12.1: updated did not move: %s", a.body)
			}
			consumersAre(`[`+party+`]`)(t, w, a)
			again := w.do("u1", "POST "+cs, "", party) // BAR-421
			if again.code != 200 || again.body != a.body {
				t.Errorf("again: %d %s", again.code, again.body)
			}
		}),
		post("BAR-422", `{"name":"svc","url":"x"}`, 400, nil),
		post("BAR-423", `{"URL":"x"}`, 400, nil),
		post("BAR-423", `{"name":"svc"}`, 400, nil),
		post("BAR-423", `{"name":"","URL":"x"}`, 400, nil),
		post("BAR-423", `{"name":"svc","URL":" "}`, 400, nil),
		post("BAR-423", `{"name":null,"URL":"x"}`, 400, nil),
		post("BAR-423", `{"name":"svc","URL":null}`, 400, nil),
		post("BAR-423", `{"name":`+quoted("n", 37)+`,"URL":"x"}`, 400, nil),
		post("BAR-423", `{"name":"svc","URL":`+quoted("u", 256)+`}`, 400, nil),
		post("NUL in text is named", `{"name":"\u0000","URL":"x"}`, 400, nil),
		post("BAR-424", `{"name":`+quoted("ü", 36)+`,"URL":`+quoted("ü", 255)+`}`, 200, nil),
		post("BAR-425", `{"name":"svc","URL":"x","more":1}`, 200, consumersAre(`[{"name":"svc","URL":"x"}]`)),
		post("§13", `{"name"`, 400, nil),
		{id: "§13", do: "POST " + cs, headers: "Content-Type: text/plain", body: party, want: 415, check: consumersAre(`[]`)},
		{id: "§6.2", as: "norole", do: "POST " + cs, headers: "Content-Type: text/plain", body: `{`, want: 403, check: describes("container_consumers:post")},
		{id: "§19.2", as: "aud", do: "POST " + cs, body: party, want: 200},
		{id: "BAR-429", do: "DELETE " + cs, body: party, want: 404},
		{id: "BAR-430", do: "DELETE " + cs, want: 415},
		{id: "BAR-430", do: "DELETE " + cs, body: `{}`, want: 400},
		{id: "BAR-431", do: "GET " + cs + "/{BAD}", want: 404},
		{id: "BAR-431", do: "GET " + cs + "/{NX}", want: 404},
		{id: "§13", do: "PUT " + cs, want: 405, check: headerIs("Allow", "DELETE, GET, POST")},
		{id: "§13", do: "GET /v1/containers/{NX}/consumers", want: 404},
		{id: "§13", as: "x", do: "GET " + cs, want: 403},
		{id: "D22", as: "x", do: "GET " + cs + "/{NX}", want: 403},
		{id: "§5.1", do: "GET " + cs, headers: "Accept: text/plain", want: 406},
		{id: "§20.3", do: "POST /v1/{P}/containers/{CG}/consumers", body: party, want: 200, check: headerIs("Location", base+"/v1/{P}/containers/{CG}/consumers")},
	})
}

func TestContainerConsumersOneAfterAnother(t *testing.T) {
	w := newWorld(t).furnishContainers()
	const cs = "/v1/containers/{CG}/consumers"
	for _, r := range []row{
		{id: "BAR-426", do: "POST " + cs, body: `{"name":"z","URL":"u"}`, want: 200},
		{id: "BAR-426", do: "POST " + cs, body: `{"name":"a","URL":"u"}`, want: 200},
		{id: "BAR-426", do: "POST " + cs, body: `{"name":"B","URL":"u"}`, want: 200, check: consumersAre(
			`[{"name":"B","URL":"u"},{"name":"a","URL":"u"},{"name":"z","URL":"u"}]`)},
		{id: "BAR-426", do: "GET " + cs + "?limit=2&offset=2", want: 200, check: bodyIs(
			`{"consumers":[{"created":"2026-05-16T19:40:50.123456","updated":"2026-05-16T19:40:50.123456","status":"ACTIVE","name":"z","URL":"u"}],` +
				`"previous":"` + base + cs + `?limit=2&offset=0","total":3}`)},
		{id: "BAR-427", do: "GET " + cs + "?limit=1&offset=1", want: 200, check: func(t *testing.T, w *world, a answer) {
			m := a.json()
			if m["previous"] != w.fill(base+cs+"?limit=1&offset=0") || m["next"] != w.fill(base+cs+"?limit=1&offset=2") {
				t.Error(a.body)
			}
		}},
		{id: "§7.5", do: "GET " + cs + "?offset=9", want: 200, check: bodyIs(`{"consumers":[],"total":3}`)},
		{id: "BAR-428", do: "DELETE " + cs, body: `{"name":"a","URL":"u"}`, want: 200, check: func(t *testing.T, w *world, a answer) {
			if shown := w.do("u1", "GET /v1/containers/{CG}", "", ""); a.body != shown.body {
				t.Errorf("%s\nshown %s", a.body, shown.body)
			}
			consumersAre(`[{"name":"B","URL":"u"},{"name":"z","URL":"u"}]`)(t, w, a)
		}},
		{id: "BAR-429", do: "DELETE " + cs, body: `{"name":"a","URL":"u"}`, want: 404},
		{id: "§13 revives", do: "POST " + cs, body: `{"name":"a","URL":"u"}`, want: 200},
	} {
		r.in(t, w)
	}
}

func TestContainerConsumersOfOtherProjects(t *testing.T) {
	w := newWorld(t).furnishContainers()
	const cs = "/v1/containers/{CG}/consumers"
	listed := `{"read":{"project-access":false,"users":["guest","x-obs","obs","aud","svc","norole"]}}`
	if a := w.do("u1", "PUT /v1/containers/{CG}/acl", "", listed); a.code != 200 {
		t.Fatal(a.body)
	}
	for i, who := range []string{"guest", "x-obs", "obs", "aud", "svc", "norole"} { // BAR-433
		if a := w.do(who, "GET "+cs, "", ""); a.code != 200 {
			t.Errorf("%s lists: %d", who, a.code)
		}
		if a := w.do(who, "POST "+cs, "", fmt.Sprintf(`{"name":"%d","URL":"u"}`, i)); a.code != 200 {
			t.Errorf("%s registers: %d", who, a.code)
		}
	}
	for _, r := range []row{
		{id: "BAR-432", as: "guest", do: "DELETE " + cs, body: `{"name":"2","URL":"u"}`, want: 403},
		{id: "§13 an unknown one first", as: "guest", do: "DELETE " + cs, body: `{"name":"unknown","URL":"u"}`, want: 404},
		{id: "§13 its own", as: "guest", do: "DELETE " + cs, body: `{"name":"1","URL":"u"}`, want: 200},
		{id: "§13 the owner's project", as: "norole", do: "DELETE " + cs, body: `{"name":"0","URL":"u"}`, want: 200},
		{id: "§13 not listed", as: "peer", do: "DELETE " + cs, body: `{"name":"2","URL":"u"}`, want: 403, check: describes("container_consumers:delete")},
	} {
		r.in(t, w)
	}
}

func TestContainerConsumerQuota(t *testing.T) { // BAR-435
	w := newWorld(t).furnishContainers()
	const cs = "/v1/containers/{CG}/consumers"
	for _, r := range []row{
		{id: "BAR-435", as: "svc", do: "PUT /v1/project-quotas/{P}", body: `{"project_quotas":{"consumers":1}}`, want: 204},
		{id: "BAR-435", do: "POST " + cs, body: party, want: 200},
		{id: "BAR-435", do: "POST " + cs, body: `{"name":"b","URL":"u"}`, want: 403},
		{id: "BAR-435", do: "POST " + cs, body: party, want: 403},
		{id: "BAR-435", do: "POST " + cs, body: `{}`, want: 400},
		{id: "BAR-435", do: "DELETE " + cs, body: party, want: 200},
		{id: "BAR-435", do: "POST " + cs, body: party, want: 200, check: consumersAre(`[` + party + `]`)},
	} {
		r.in(t, w)
	}
}
