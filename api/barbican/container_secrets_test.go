package barbican_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestContainerSecrets(t *testing.T) {
	const cg, cr = "/v1/containers/{CG}/secrets", "/v1/containers/{CR}/secrets"
	add := func(id, body string, want int, check func(*testing.T, *world, answer)) row {
		return row{id: id, do: "POST " + cg, body: body, want: want, check: check}
	}
	with := func(want ...string) func(*testing.T, *world, answer) {
		return func(t *testing.T, w *world, _ answer) {
			t.Helper()
			if got := entriesOf(w, w.do("u1", "GET /v1/containers/{CG}", "", "").json()); !slices.Equal(got, want) {
				t.Errorf("holds %q, want %q", got, want)
			}
		}
	}
	runContainers(t, []row{
		add("BAR-392", ref("n1", "a"), 201, all(bodyIs(`{"container_ref":"`+base+`/v1/containers/{CG}"}`),
			headerIs("Location", base+"/v1/containers/{CG}"), with("n1=a"))),
		add("BAR-392 any host", `{"secret_ref":"x/{a}"}`, 201, with("null=a")),
		add("BAR-396", `{"name":null,"secret_ref":"`+base+`/v1/secrets/{a}"}`, 400, with()),
		add("BAR-396", `{"name":5,"secret_ref":"`+base+`/v1/secrets/{a}"}`, 400, nil),
		add("BAR-396", `{"name":`+quoted("n", 256)+`,"secret_ref":"`+base+`/v1/secrets/{a}"}`, 400, nil),
		add("BAR-396", `{"name":"n"}`, 400, nil),
		add("BAR-396", `{"name":"n","secret_ref":""}`, 400, nil),
		add("BAR-396", `{"name":"n","secret_ref":null}`, 400, nil),
		add("BAR-397", ref("n", "NX"), 404, with()),
		add("BAR-397", strings.Replace(ref("n", "a"), "{a}", "{a}/", 1), 404, nil),
		add("BAR-397", ref("n", "FOREIGN"), 404, nil),
		add("BAR-398", `{"name":"n","secret_ref":"{a}"}`, 400, nil),
		{id: "BAR-399", do: "POST " + cr, body: `broken`, want: 400, check: describes("generic")},
		{id: "§12.5 415 comes first", do: "POST " + cr, headers: "Content-Type: text/plain", body: `broken`, want: 415},
		add("BAR-400", `{"name"`, 400, nil),
		{id: "BAR-400", do: "POST " + cg, headers: "Content-Type: text/plain", body: ref("n", "a"), want: 415},
		{id: "BAR-401", do: "GET " + cg, want: 405, check: headerIs("Allow", "DELETE, POST")},
		{id: "BAR-401", do: "PUT " + cg, want: 405, check: headerIs("Allow", "DELETE, POST")},
		{id: "BAR-404", do: "DELETE " + cg, want: 400},
		{id: "BAR-404", do: "DELETE " + cg, body: `{}`, want: 400},
		{id: "BAR-404 and D13", do: "DELETE " + cg, body: `{"secret_ref":"{a}"}`, want: 400},
		{id: "BAR-406", do: "DELETE " + cr, body: ref("public_key", "b"), want: 204, check: bodyIs("")},
		{id: "BAR-405", do: "DELETE " + cr, headers: "Content-Type: text/plain\nAccept: text/plain", body: ref("public_key", "b"), want: 204},
		{id: "BAR-403", do: "DELETE " + cr, body: ref("", "b"), want: 404},
		{id: "BAR-403", do: "DELETE " + cr, body: ref("public_key", "a"), want: 404},
		{id: "§12.6", do: "DELETE " + cr, body: ref("public_key", "NX"), want: 404},
		{id: "§6.2", as: "obs", do: "POST " + cg, body: `{`, want: 403, check: describes("container_secret:post")},
		{id: "§6.2", as: "obs", do: "DELETE " + cg, body: `{`, want: 403, check: describes("container_secret:delete")},
		{id: "§6.2", as: "x", do: "POST " + cg, body: ref("n", "FOREIGN"), want: 403},
		{id: "§6.2", do: "POST /v1/containers/{NX}/secrets", body: `{`, want: 404},
		{id: "§19.2", as: "peer", do: "POST " + cg, body: ref("n", "a"), want: 201},
		{id: "§5.1", do: "POST " + cg, headers: "Accept: text/plain", body: ref("n", "a"), want: 406, check: with()},
	})
}

func TestContainerSecretsOneAfterAnother(t *testing.T) {
	w := newWorld(t).furnishContainers()
	const cg = "/v1/containers/{CG}/secrets"
	for _, r := range []row{
		{id: "BAR-392", do: "POST " + cg, body: ref("n1", "a"), want: 201},
		{id: "BAR-393", do: "POST " + cg, body: ref("n1", "a"), want: 409},
		{id: "BAR-394", do: "POST " + cg, body: ref("n2", "a"), want: 201},
		{id: "BAR-394", do: "POST " + cg, body: ref("n1", "b"), want: 201},
		{id: "BAR-395", do: "POST " + cg, body: ref("", "a"), want: 201},
		{id: "BAR-395", do: "POST " + cg, body: ref("", "a"), want: 409},
		{id: "BAR-402", do: "DELETE " + cg, body: ref("n1", "a"), want: 204, check: bodyIs("")},
		{id: "BAR-403", do: "DELETE " + cg, body: ref("n1", "a"), want: 404},
		{id: "BAR-403", do: "DELETE " + cg, body: ref("wrong", "a"), want: 404},
		{id: "BAR-407", do: "POST " + cg, body: ref("n1", "a"), want: 201},
		{id: "BAR-402", do: "DELETE " + cg, body: ref("", "a"), want: 204},
	} {
		r.body = w.fill(r.body)
		r.in(t, w)
	}
	m := w.do("u1", "GET /v1/containers/{CG}", "", "").json()
	if got := entriesOf(w, m); !slices.Equal(got, []string{"n2=a", "n1=b", "n1=a"}) {
		t.Errorf("holds %q", got)
	}
	if m["created"] != m["updated"] {
		t.Errorf("§12.1: updated moved: %v", m)
	}
}

func TestSecretsInContainersGo(t *testing.T) { // BAR-196
	w := newWorld(t).furnishContainers()
	if a := w.do("u1", "DELETE /v1/secrets/{a}", "", ""); a.code != 204 {
		t.Fatal(a.code)
	}
	if got := entriesOf(w, w.do("u1", "GET /v1/containers/{CR}", "", "").json()); !slices.Equal(got, []string{"public_key=b"}) {
		t.Errorf("holds %q", got)
	}
}

// A secret that is past its expiration stays in the containers that have it,
// but cannot be put into one.
func TestExpiredSecretsStayInContainers(t *testing.T) {
	w := newWorld(t)
	w.make("a", `{"expiration":"2026-06-01"}`)
	w.contain("C", of("generic", ref("n", "a")))
	w.clock.turn(24 * 30 * time.Hour)
	if got := entriesOf(w, w.do("u1", "GET /v1/containers/{C}", "", "").json()); !slices.Equal(got, []string{"n=a"}) {
		t.Errorf("holds %q", got)
	}
	for do, body := range map[string]string{
		"POST /v1/containers": of("generic", ref("n", "a")), "POST /v1/containers/{C}/secrets": ref("m", "a"),
	} {
		if a := w.do("u1", do, "", w.fill(body)); a.code != 404 {
			t.Errorf("%s: %d %s", do, a.code, a.body)
		}
	}
}
