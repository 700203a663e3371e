package barbican_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// steps answers rows one after another in one world.
func (w *world) steps(t *testing.T, rows ...row) {
	t.Helper()
	for _, r := range rows {
		r.in(t, w)
	}
}

// shownACL checks the ACL of ST: whether the project reads, and who else.
func shownACL(project bool, users ...string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, _ answer) {
		t.Helper()
		read, _ := w.do("adm", "GET /v1/secrets/{ST}/acl", "", "").json()["read"].(map[string]any)
		listed, there := read["users"].([]any)
		got := []string{}
		for _, u := range listed {
			got = append(got, fmt.Sprint(u))
		}
		slices.Sort(got)
		if read["project-access"] != project || !slices.Equal(got, users) || !there || len(read) != 4 {
			t.Errorf("the ACL is %v, want project-access %v and %v", read, project, users)
		}
		for _, at := range []string{"created", "updated"} {
			text, _ := read[at].(string)
			if _, err := time.Parse("2006-01-02T15:04:05", text); err != nil {
				t.Errorf("%s is %q", at, text)
			}
		}
	}
}

const noACL = `{"read":{"project-access":true}}`

// withoutACL checks that ST has none.
func withoutACL(t *testing.T, w *world, _ answer) {
	t.Helper()
	if a := w.do("adm", "GET /v1/secrets/{ST}/acl", "", ""); a.body != noACL {
		t.Errorf("the ACL is %s", a.body)
	}
}

func acl(id, method, body string, want int, check func(*testing.T, *world, answer)) row {
	return row{id: id, do: method + " /v1/secrets/{ST}/acl", body: body, want: want, check: check}
}

func TestACL(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	ref := bodyIs(`{"acl_ref":"` + base + `/v1/secrets/{ST}/acl"}`)
	w.steps(t,
		acl("BAR-320", "GET", "", 200, bodyIs(noACL)),
		acl("BAR-329 none", "DELETE", "", 200, all(bodyIs("null"), headerIs("Content-Type", "application/json"))),
		acl("BAR-321", "PUT", `{"read":{"users":["u2","u1","u2"]}}`, 200, all(ref, shownACL(true, "u1", "u2"))),
		acl("BAR-322", "PUT", `{"read":{"project-access":false}}`, 200, all(ref, shownACL(false))),
		acl("BAR-323", "PATCH", `{"read":{"users":["a","b"]}}`, 200, all(ref, shownACL(false, "a", "b"))),
		acl("BAR-324", "PATCH", `{"read":{"project-access":true}}`, 200, all(ref, shownACL(true, "a", "b"))),
		acl("BAR-325", "PATCH", `{"read":{"users":[]}}`, 200, all(ref, shownACL(true))),
		acl("BAR-328", "PATCH", `{}`, 200, all(ref, shownACL(true))),
		acl("BAR-328", "PATCH", `{"read":{}}`, 200, all(ref, shownACL(true))),
		acl("BAR-327", "PUT", `{}`, 200, all(ref, withoutACL)),
		acl("BAR-327", "PUT", `{"read":{"project-access":true}}`, 200, shownACL(true)),
		acl("BAR-327", "PUT", `{"read":{}}`, 200, withoutACL),
		acl("BAR-328 none", "PATCH", `{}`, 200, withoutACL),
		acl("BAR-326", "PATCH", `{"read":{"users":["a"]}}`, 200, shownACL(true, "a")),
		acl("BAR-329", "DELETE", "", 200, all(bodyIs("null"), withoutACL)),
		acl("BAR-326", "PATCH", `{"read":{"project-access":false}}`, 200, shownACL(false)),
		acl("§7.1 blanks", "PUT", `{"read":{"users":["  a  ","a"]}}`, 200, shownACL(true, "a")),
		acl("§11.5 the empty user", "PUT", `{"read":{"users":[""]}}`, 200, shownACL(true, "")),
		acl("§11.5 length", "PUT", `{"read":{"users":[`+quoted("ä", 255)+`]}}`, 200, nil),
		row{id: "§2.2 trailing slash", do: "GET /v1/secrets/{ST}/acl/", want: 200},
		row{id: "§20.3 older form", do: "PUT " + older + "/{ST}/acl", body: `{"read":{"users":["b"]}}`, want: 200,
			check: all(bodyIs(`{"acl_ref":"`+base+older+`/{ST}/acl"}`), shownACL(true, "b"))},
		row{id: "§20.3 older form", do: "DELETE " + older + "/{ST}/acl/", want: 200, check: withoutACL},
	)
}

// A body that is refused changes nothing.
func TestACLIsChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	acl("", "PUT", `{"read":{"users":["keep"],"project-access":false}}`, 200, nil).in(t, w)
	for _, method := range []string{"PUT", "PATCH"} {
		for id, bodies := range map[string][]string{
			"BAR-330": {`{"write":{}}`, `{"list":{}}`, `{"foo":1}`, `[]`, `{"read":{},"write":{}}`, `"read"`, `null`},
			"BAR-331": {
				`{"read":null}`, `{"read":[]}`, `{"read":{"users":"a"}}`, `{"read":{"users":null}}`, `{"read":{"users":[1]}}`,
				`{"read":{"users":[` + quoted("x", 256) + `]}}`, `{"read":{"users":["\u0000"]}}`, `{"read":{"users":[null]}}`, `{"read":{"users":{}}}`,
			},
			"BAR-332": {`{"read":{"users":["a",1]}}`, `{"read":{"users":["a",` + quoted("x", 256) + `]}}`},
			"BAR-333": {
				`{"read":{"project-access":null}}`, `{"read":{"project-access":"true"}}`, `{"read":{"project-access":1}}`,
				`{"read":{"project_access":true}}`, `{"read":{"creator-only":true}}`, `{"read":{"users":[],"x":1}}`,
			},
			"BAR-334": {`{"read":`, `{} {}`, "\xef\xbb\xbf{}"},
		} {
			for _, body := range bodies {
				acl(id, method, body, 400, nil).in(t, w)
			}
		}
		w.steps(t,
			row{id: "BAR-334", do: method + " /v1/secrets/{ST}/acl", headers: "Content-Type: text/plain", body: `{"read":{}}`, want: 415},
			row{id: "BAR-334", do: method + " /v1/secrets/{ST}/acl", want: 415},
			row{id: "§6.2", as: "obs", do: method + " /v1/secrets/{ST}/acl", headers: "Content-Type: text/plain", body: `[]`, want: 403},
			row{id: "§6.2", as: "obs", do: method + " /v1/secrets/{ST}/acl", headers: "Accept: text/plain", body: `[]`, want: 406},
		)
	}
	shownACL(false, "keep")(t, w, answer{})
	methods := all(headerIs("Allow", "DELETE, GET, PATCH, PUT"))
	w.steps(t,
		row{id: "BAR-335", do: "POST /v1/secrets/{ST}/acl", body: `{}`, want: 405, check: methods},
		row{id: "BAR-335", do: "HEAD /v1/secrets/{ST}/acl", want: 405, check: methods},
		row{id: "BAR-337", do: "GET /v1/secrets/{ST}/acl", headers: "Accept: text/plain", want: 406, check: description(nil)},
	)
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "POST"} {
		w.steps(t,
			row{id: "BAR-336", do: method + " /v1/secrets/{NX}/acl", body: `{}`, want: 404},
			row{id: "BAR-336", do: method + " /v1/secrets/{BAD}/acl", body: `{}`, want: 404},
		)
	}
}

func TestACLRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	for _, private := range []string{"true", "false"} {
		acl("", "PUT", `{"read":{"project-access":`+private+`}}`, 200, nil).in(t, w)
		for who, may := range map[string]struct{ get, write int }{
			"adm": {200, 200}, "u1": {200, 200}, "peer": {200, 200}, "obs": {200, 403}, "aud": {403, 403}, "svc": {403, 403}, "norole": {403, 403},
			"x-adm": {403, 403}, "x-obs": {403, 403}, "x": {403, 403}, // BAR-340
		} {
			w.steps(t,
				row{id: "BAR-338", as: who, do: "GET /v1/secrets/{ST}/acl", want: may.get},
				row{id: "BAR-339", as: who, do: "PATCH /v1/secrets/{ST}/acl", body: `{}`, want: may.write},
				row{id: "BAR-339", as: who, do: "DELETE /v1/secrets/{S0}/acl", want: may.write},
				row{id: "BAR-339", as: who, do: "PUT /v1/secrets/{S0}/acl", body: `{}`, want: may.write},
			)
		}
	}
}

// Who reads a secret, and what of it, before and after it is made private.
func TestACLDecidesWhoReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	reads := func(id, who string, metadata, payload int) {
		t.Helper()
		w.steps(t,
			row{id: id, as: who, do: "GET /v1/secrets/{ST}", want: metadata},
			row{id: id, as: who, do: "GET /v1/secrets/{ST}/payload", want: payload},
		)
	}
	reads("BAR-341", "obs", 200, 200)
	reads("BAR-342", "aud", 200, 403)
	reads("svc", "svc", 200, 403)
	acl("", "PUT", `{"read":{"project-access":false}}`, 200, nil).in(t, w)
	for _, who := range []string{"obs", "aud", "svc", "peer"} {
		reads("BAR-343", who, 403, 403)
	}
	reads("BAR-344", "u1", 200, 200)
	reads("BAR-344", "adm", 200, 200)
	reads("BAR-347", "x-adm", 403, 403)
	w.steps(t,
		row{id: "BAR-195", as: "peer", do: "DELETE /v1/secrets/{ST}", want: 403},
		row{id: "§19.2 writes", as: "peer", do: "PUT /v1/secrets/{ST}/metadata", body: `{"metadata":{}}`, want: 403},
		row{id: "§19.2 reads", as: "obs", do: "GET /v1/secrets/{ST}/metadata", want: 403},
		row{id: "§19.2 reads", as: "obs", do: "GET /v1/secrets/{ST}/consumers", want: 403},
		row{id: "BAR-237", as: "obs", do: "GET /v1/secrets", want: 200, check: func(t *testing.T, w *world, a answer) {
			if !strings.Contains(a.body, w.names["ST"]) {
				t.Errorf("a private secret is not listed: %s", a.body)
			}
		}},
		row{id: "BAR-348", as: "peer", do: "PUT /v1/secrets/{ST}/acl", body: `{"read":{"project-access":false,"users":["peer"]}}`, want: 200},
	)
	reads("BAR-348", "peer", 200, 200)
	reads("BAR-344", "u1", 200, 200)
}

// A listed user needs no role, and gets no more than reading.
func TestListedUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	acl("", "PUT", `{"read":{"users":["guest","x-obs"],"project-access":false}}`, 200, nil).in(t, w)
	for _, who := range []string{"guest", "x-obs"} {
		for _, part := range []string{"", "/payload", "/metadata", "/consumers"} {
			row{id: "BAR-345 BAR-285", as: who, do: "GET /v1/secrets/{ST}" + part, want: 200}.in(t, w)
		}
		w.steps(t,
			row{id: "BAR-346", as: who, do: "GET /v1/secrets/{ST}/acl", want: 403},
			row{id: "BAR-346", as: who, do: "PUT /v1/secrets/{ST}/acl", body: `{}`, want: 403},
			row{id: "BAR-346", as: who, do: "DELETE /v1/secrets/{ST}/acl", want: 403},
			row{id: "BAR-346", as: who, do: "DELETE /v1/secrets/{ST}", want: 403},
			row{id: "BAR-346 BAR-285", as: who, do: "PUT /v1/secrets/{ST}/metadata", body: `{"metadata":{}}`, want: 403},
			row{id: "BAR-346", as: who, do: "PUT /v1/secrets/{S0}", headers: "Content-Type: text/plain", body: "x", want: 403},
			row{id: "§20.3 no cross-project reads", as: who, do: "GET /v1/{Q}/secrets/{ST}", want: 404},
		)
	}
	row{id: "§11 listing is by ID alone", as: "x", do: "GET /v1/secrets/{ST}", want: 403}.in(t, w)
}

func TestSharedList(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	w.make("E", `{"expiration":"2026-05-16T20:40:00"}`)
	for _, name := range []string{"ST", "SB", "E"} {
		row{do: "PUT /v1/secrets/{" + name + "}/acl", body: `{"read":{"users":["x","obs","guest"]}}`, want: 200}.in(t, w)
	}
	lists := func(names ...string) func(*testing.T, *world, answer) {
		return func(t *testing.T, w *world, a answer) {
			t.Helper()
			if total := a.json()["total"]; total != float64(len(names)) {
				t.Errorf("total %v, want %d", total, len(names))
			}
			for _, name := range names {
				if !strings.Contains(a.body, base+"/v1/secrets/"+w.names[name]+`"`) {
					t.Errorf("%s is not in %s", name, a.body)
				}
			}
		}
	}
	w.steps(t,
		row{id: "BAR-238", as: "x", do: "GET /v1/secrets?acl_only=true", want: 200, check: lists("ST", "SB", "E")},
		row{id: "BAR-238", as: "x", do: "GET /v1/secrets?acl_only=True&limit=1&offset=1", want: 200, check: func(t *testing.T, _ *world, a answer) {
			m := a.json()
			if m["total"] != 3.0 || m["next"] != base+"/v1/secrets?limit=1&offset=2&acl_only=True" || m["previous"] != base+"/v1/secrets?limit=1&offset=0&acl_only=True" {
				t.Errorf("body %s", a.body)
			}
		}},
		row{id: "§8.8 of the own project", as: "obs", do: "GET /v1/secrets?acl_only=true", want: 200, check: lists("ST", "SB", "E")},
		row{id: "§8.8 filters", as: "x", do: "GET /v1/secrets?acl_only=true&expiration=gt:2020", want: 200, check: lists("E")},
		row{id: "§8.8 nothing is shared", do: "GET /v1/secrets?acl_only=true", want: 200, check: bodyIs(`{"secrets":[],"total":0}`)},
		row{id: "§8.8 needs secrets:get", as: "guest", do: "GET /v1/secrets?acl_only=true", want: 403},
		row{id: "§8.8", as: "x", do: "GET /v1/secrets?acl_only=true&sort=foo", want: 400},
		row{id: "§8.8 without acl_only", as: "x", do: "GET /v1/secrets?acl_only=1", want: 200, check: lists()},
		row{id: "§20.3 no cross-project reads", as: "x", do: "GET /v1/{Q}/secrets?acl_only=true", want: 200, check: lists()},
		row{id: "§8.8 consumers", as: "x", do: "GET /v1/secrets?acl_only=true", headers: v11, want: 200, check: func(t *testing.T, _ *world, a answer) {
			if strings.Count(a.body, `"consumers":[]`) != 3 {
				t.Errorf("body %s", a.body)
			}
		}},
	)
	w.clock.turn(2 * time.Hour)
	row{id: "§8.1 expired", as: "x", do: "GET /v1/secrets?acl_only=true", want: 200, check: lists("ST", "SB")}.in(t, w)
}

func TestACLAndUpdated(t *testing.T) { // BAR-350
	t.Parallel()
	w := newWorld(t).furnish()
	updated := func() any { return w.do("u1", "GET /v1/secrets/{ST}", "", "").json()["updated"] }
	before := updated()
	for _, step := range []struct {
		method, body string
		moves        bool
	}{
		{"DELETE", "", false}, {"PUT", `{"read":{"users":["a"]}}`, true}, {"PATCH", `{"read":{"users":["b"]}}`, true}, {"DELETE", "", false},
	} {
		acl("BAR-350", step.method, step.body, 200, nil).in(t, w)
		after := updated()
		if (after != before) != step.moves {
			t.Errorf("%s %s: updated %v, before %v", step.method, step.body, after, before)
		}
		before = after
	}
}

// Changes of different parts at once are all kept, and so is every consumer
// that registers meanwhile.
func TestPartsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	for round := range 10 {
		acl("", "PUT", `{"read":{}}`, 200, nil).in(t, w)
		var wg sync.WaitGroup
		for method, body := range map[string]string{
			"PATCH /v1/secrets/{ST}/acl":        `{"read":{"project-access":false}}`,
			"PATCH /v1/secrets/{ST}/acl/":       `{"read":{"users":["x"]}}`,
			"POST /v1/secrets/{ST}/consumers":   use(2 * round),
			"POST " + older + "/{ST}/consumers": use(2*round + 1),
		} {
			wg.Go(func() {
				if a := w.do("u1", method, "", body); a.code != 200 {
					t.Errorf("%s: %d %s", method, a.code, a.body)
				}
			})
		}
		wg.Wait()
		shownACL(false, "x")(t, w, answer{})
		consumer("", "GET", "", 200, func(t *testing.T, _ *world, a answer) {
			if total := a.json()["total"]; total != float64(2*round+2) {
				t.Errorf("%v consumers after round %d", total, round)
			}
		}).in(t, w)
	}
}

// A crowd that changes one ACL takes turns; nobody is told to come back later.
func TestManyChangeOneACL(t *testing.T) {
	w := newWorld(t)
	w.make("S", `{}`)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			body := fmt.Sprintf(`{"read":{"users":["u%d"]}}`, i)
			if a := w.do("u1", "PATCH /v1/secrets/{S}/acl", "", body); a.code != 200 {
				t.Errorf("change %d: %d %s", i, a.code, a.body)
			}
		})
	}
	wg.Wait()
}
