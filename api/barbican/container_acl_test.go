package barbican_test

import (
	"fmt"
	"strings"
	"testing"
)

const containerACL = "/v1/containers/{CG}/acl"

// aclIs checks the ACL of CG but its times, which are there or not as a whole.
func aclIs(want string, listed bool) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, _ answer) {
		t.Helper()
		a := w.do("u1", "GET "+containerACL, "", "")
		a.t = t
		read, _ := a.json()["read"].(map[string]any)
		created, _ := read["created"].(string)
		updated, _ := read["updated"].(string)
		if (created != "") != listed || (updated != "") != listed {
			t.Errorf("times of %s", a.body)
		}
		delete(read, "created")
		delete(read, "updated")
		if got := fmt.Sprint(read); got != want {
			t.Errorf("ACL %s, want %s", got, want)
		}
	}
}

const noContainerACL = "map[project-access:true]"

func TestContainerACL(t *testing.T) {
	isRef := bodyIs(`{"acl_ref":"` + base + containerACL + `"}`)
	put := func(id, body string, want int, check func(*testing.T, *world, answer)) row {
		if want >= 400 {
			check = aclIs(noContainerACL, false)
		}
		return row{id: id, do: "PUT " + containerACL, body: body, want: want, check: check}
	}
	runContainers(t, []row{
		{id: "BAR-320", do: "GET " + containerACL, want: 200, check: bodyIs(`{"read":{"project-access":true}}`)},
		put("BAR-321", `{"read":{"users":["u2","u1","u2"]}}`, 200, all(isRef, aclIs("map[project-access:true users:[u1 u2]]", true))),
		put("BAR-322", `{"read":{"project-access":false}}`, 200, aclIs("map[project-access:false users:[]]", true)),
		{id: "BAR-326", do: "PATCH " + containerACL, body: `{"read":{"users":["u1"]}}`, want: 200, check: all(isRef, aclIs("map[project-access:true users:[u1]]", true))},
		{id: "BAR-326", do: "PATCH " + containerACL, body: `{"read":{"project-access":false}}`, want: 200, check: aclIs("map[project-access:false users:[]]", true)},
		{id: "BAR-328", do: "PATCH " + containerACL, body: `{}`, want: 200, check: all(isRef, aclIs(noContainerACL, false))},
		put("BAR-327", `{}`, 200, all(isRef, aclIs(noContainerACL, false))),
		{id: "BAR-329", do: "DELETE " + containerACL, want: 200, check: bodyIs("null")},
		put("BAR-330", `{"write":{}}`, 400, nil),
		put("BAR-330", `{"read":{},"list":{}}`, 400, nil),
		put("BAR-330", `{"foo":1}`, 400, nil),
		put("BAR-330", `[]`, 400, nil),
		put("BAR-331", `{"read":null}`, 400, nil),
		put("BAR-331", `{"read":[]}`, 400, nil),
		put("BAR-331", `{"read":{"users":"a"}}`, 400, nil),
		put("BAR-331", `{"read":{"users":null}}`, 400, nil),
		put("BAR-331", `{"read":{"users":[1]}}`, 400, nil),
		put("BAR-331", `{"read":{"users":[`+quoted("u", 256)+`]}}`, 400, nil),
		put("BAR-332 and D17", `{"read":{"users":["a",1]}}`, 400, nil),
		put("BAR-332 and D17", `{"read":{"users":["a",`+quoted("u", 256)+`]}}`, 400, nil),
		put("§11.5", `{"read":{"users":[""]}}`, 200, aclIs("map[project-access:true users:[]]", true)),
		put("BAR-333", `{"read":{"project-access":null}}`, 400, nil),
		put("BAR-333", `{"read":{"project-access":"true"}}`, 400, nil),
		put("BAR-333", `{"read":{"project_access":false}}`, 400, nil),
		put("BAR-333", `{"read":{"creator-only":true}}`, 400, nil),
		put("BAR-334", `{"read"`, 400, nil),
		put("NUL in text is named", `{"read":{"users":["\u0000"]}}`, 400, nil),
		{id: "BAR-334", do: "PUT " + containerACL, headers: "Content-Type: text/plain", body: `{}`, want: 415},
		{id: "BAR-334", do: "PATCH " + containerACL, headers: "Content-Type: text/plain", body: `{}`, want: 415},
		{id: "BAR-335", do: "POST " + containerACL, want: 405, check: headerIs("Allow", "DELETE, GET, PATCH, PUT")},
		{id: "BAR-335", do: "HEAD " + containerACL, want: 405, check: headerIs("Allow", "DELETE, GET, PATCH, PUT")},
		{id: "BAR-336", do: "GET /v1/containers/{NX}/acl", want: 404},
		{id: "BAR-336", do: "PUT /v1/containers/{BAD}/acl", body: `{`, want: 404},
		{id: "BAR-336", do: "DELETE /v1/containers/{NX}/acl", want: 404},
		{id: "BAR-337", do: "GET " + containerACL, headers: "Accept: text/plain", want: 406},
		{id: "§20.3", do: "PUT /v1/{P}/containers/{CG}/acl", body: `{}`, want: 200, check: bodyIs(`{"acl_ref":"` + base + `/v1/{P}/containers/{CG}/acl"}`)},
	})
}

func TestContainerACLOneAfterAnother(t *testing.T) {
	w := newWorld(t).furnishContainers()
	updated := func() any { return w.do("u1", "GET /v1/containers/{CG}", "", "").json()["updated"] }
	for _, r := range []struct {
		row
		moves bool // §11.5, BAR-350
	}{
		{row{id: "BAR-321", do: "PUT " + containerACL, body: `{"read":{"users":["u1","u2"],"project-access":false}}`, want: 200}, true},
		{row{id: "BAR-323", do: "PATCH " + containerACL, body: `{"read":{"users":["u3"]}}`, want: 200,
			check: aclIs("map[project-access:false users:[u3]]", true)}, true},
		{row{id: "BAR-324", do: "PATCH " + containerACL, body: `{"read":{"project-access":true}}`, want: 200,
			check: aclIs("map[project-access:true users:[u3]]", true)}, true},
		{row{id: "BAR-328", do: "PATCH " + containerACL, body: `{"read":{}}`, want: 200,
			check: aclIs("map[project-access:true users:[u3]]", true)}, false},
		{row{id: "BAR-325", do: "PATCH " + containerACL, body: `{"read":{"users":[]}}`, want: 200,
			check: aclIs("map[project-access:true users:[]]", true)}, true},
		{row{id: "BAR-327", do: "PUT " + containerACL, body: `{"read":{}}`, want: 200, check: aclIs(noContainerACL, false)}, true},
		{row{id: "BAR-322", do: "PUT " + containerACL, body: `{"read":{"project-access":false}}`, want: 200}, true},
		{row{id: "BAR-329", do: "DELETE " + containerACL, want: 200, check: all(bodyIs("null"), aclIs(noContainerACL, false))}, false},
	} {
		before := updated()
		r.in(t, w)
		if after := updated(); (after != before) != r.moves {
			t.Errorf("%s %s %s: updated was %v and is %v", r.id, r.do, r.body, before, after)
		}
	}
}

func TestWhoMayChangeContainerACLs(t *testing.T) {
	var rows []row
	for who, want := range map[string]int{"adm": 200, "u1": 200, "peer": 200, "obs": 200, "aud": 403, "svc": 403, "x-adm": 403, "x-obs": 403} {
		id := map[bool]string{false: "BAR-338", true: "BAR-340"}[strings.HasPrefix(who, "x-")]
		rows = append(rows, row{id: id, as: who, do: "GET " + containerACL, want: want})
		if who == "obs" {
			want = 403
		}
		if id == "BAR-338" {
			id = "BAR-339"
		}
		rows = append(rows,
			row{id: id, as: who, do: "PUT " + containerACL, body: `{}`, want: want},
			row{id: id, as: who, do: "PATCH " + containerACL, body: `{}`, want: want},
			row{id: id, as: who, do: "DELETE " + containerACL, want: want})
	}
	rows = append(rows, row{id: "§6.2", as: "obs", do: "PUT " + containerACL, headers: "Content-Type: text/plain", body: `{`, want: 403, check: describes("container_acls:put_patch")})
	runContainers(t, rows)
}

func TestWhoReadsContainers(t *testing.T) {
	private := newWorld(t).furnishContainers()
	if a := private.do("u1", "PUT "+containerACL, "", `{"read":{"project-access":false,"users":["guest"]}}`); a.code != 200 {
		t.Fatal(a.body)
	}
	public := newWorld(t).furnishContainers()
	for _, tc := range []struct {
		id, who         string
		public, private int
	}{
		{"BAR-341", "obs", 200, 403},
		{"BAR-342 BAR-349", "aud", 200, 403},
		{"BAR-343", "svc", 200, 403},
		{"BAR-343", "peer", 200, 403},
		{"BAR-344", "u1", 200, 200},
		{"BAR-344", "adm", 200, 200},
		{"BAR-345", "guest", 403, 200},
		{"BAR-347", "x-adm", 403, 403},
		{"§19.2", "norole", 403, 403},
	} {
		for _, path := range []string{"/v1/containers/{CG}", "/v1/containers/{CG}/consumers"} {
			if a := public.do(tc.who, "GET "+path, "", ""); a.code != tc.public {
				t.Errorf("%s: %s GET %s: %d, want %d", tc.id, tc.who, path, a.code, tc.public)
			}
			if a := private.do(tc.who, "GET "+path, "", ""); a.code != tc.private {
				t.Errorf("%s: %s GET %s of a private one: %d, want %d", tc.id, tc.who, path, a.code, tc.private)
			}
		}
	}
	for do, body := range map[string]string{ // BAR-346
		"GET " + containerACL: "", "PUT " + containerACL: "{}", "DELETE " + containerACL: "", "DELETE /v1/containers/{CG}": "",
		"POST /v1/containers/{CG}/secrets": "{}", "DELETE /v1/containers/{CG}/secrets": "{}",
	} {
		if a := private.do("guest", do, "", body); a.code != 403 {
			t.Errorf("BAR-346: %s: %d", do, a.code)
		}
	}
	// Private containers are listed (§12.3), and the older form knows no ACLs
	// of other projects (§20.3).
	if total := private.do("peer", "GET /v1/containers", "", "").json()["total"]; total != 2.0 {
		t.Errorf("%v containers listed", total)
	}
	if a := private.do("guest", "GET /v1/{Q}/containers/{CG}", "", ""); a.code != 404 {
		t.Errorf("older form: %d", a.code)
	}
	// BAR-348: a creator may let itself in.
	if a := private.do("peer", "PUT "+containerACL, "", `{"read":{"project-access":false,"users":["peer"]}}`); a.code != 200 {
		t.Errorf("BAR-348: %d", a.code)
	}
	if a := private.do("peer", "GET /v1/containers/{CG}", "", ""); a.code != 200 {
		t.Errorf("BAR-348: %d", a.code)
	}
}
