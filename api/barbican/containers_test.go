package barbican_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/api/barbican"
)

// furnishContainers makes CG and CR of u1, and what rows put into others: the
// secrets a and b of u1, and one of another project, FOREIGN.
func (w *world) furnishContainers() *world {
	w.t.Helper()
	w.make("a", `{"name":"a"}`)
	w.make("b", `{"name":"b"}`)
	w.makeAs("x", "FOREIGN", "secret", `{}`)
	w.contain("CG", `{"type":"generic"}`)
	w.contain("CR", `{"type":"rsa","secret_refs":[`+ref("private_key", "a")+`,`+ref("public_key", "b")+`]}`)
	return w
}

// contain makes a container of u1 that rows can name.
func (w *world) contain(name, body string) {
	w.t.Helper()
	w.makeAs("u1", name, "container", w.fill(body))
}

// makeAs makes a secret or a container of somebody.
func (w *world) makeAs(who, name, kind, body string) {
	w.t.Helper()
	a := w.do(who, "POST /v1/"+kind+"s", "", body)
	if a.code != 201 {
		w.t.Fatalf("make %s: %d %s", name, a.code, a.body)
	}
	ref, _ := a.json()[kind+"_ref"].(string)
	w.names[name] = ref[strings.LastIndex(ref, "/")+1:]
}

// ref is an element of secret_refs, unnamed where name is empty.
func ref(name, secret string) string {
	if name == "" {
		return `{"secret_ref":"` + base + `/v1/secrets/{` + secret + `}"}`
	}
	return `{"name":"` + name + `","secret_ref":"` + base + `/v1/secrets/{` + secret + `}"}`
}

// of is the body of a creation.
func of(kind string, refs ...string) string {
	return `{"type":"` + kind + `","secret_refs":[` + strings.Join(refs, ",") + `]}`
}

// runContainers answers each row in a world of its own with containers.
func runContainers(t *testing.T, rows []row, change ...func(*barbican.API)) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.id+" "+r.do+" "+r.body[:min(len(r.body), 60)], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, change...).furnishContainers()
			r.body = w.fill(r.body)
			r.in(t, w)
		})
	}
}

// contained gets the container that the answer to a creation names.
func (w *world) contained(a answer) map[string]any {
	w.t.Helper()
	ref, _ := a.json()["container_ref"].(string)
	got := w.do("u1", "GET "+strings.TrimPrefix(ref, base), "", "")
	if got.code != 200 || ref == "" {
		w.t.Fatalf("show %s: %d %s", ref, got.code, got.body)
	}
	return got.json()
}

// holdsRefs checks the entries of the container that was made: name=secret,
// null where there is no name.
func holdsRefs(want ...string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		if got := entriesOf(w, w.contained(a)); !slices.Equal(got, want) {
			t.Errorf("holds %q, want %q", got, want)
		}
	}
}

func entriesOf(w *world, c map[string]any) []string {
	byID := map[string]string{}
	for name, id := range w.names {
		byID[id] = name
	}
	out := []string{}
	refs, _ := c["secret_refs"].([]any)
	for _, r := range refs {
		m, _ := r.(map[string]any)
		ref, _ := m["secret_ref"].(string)
		name := "null"
		if m["name"] != nil {
			name = fmt.Sprint(m["name"])
		}
		out = append(out, name+"="+byID[ref[strings.LastIndex(ref, "/")+1:]])
	}
	return out
}

// noContainers checks that nothing was made.
func noContainers(t *testing.T, w *world, _ answer) {
	t.Helper()
	if n := w.do("u1", "GET /v1/containers", "", "").json()["total"]; n != 2.0 {
		t.Errorf("%v containers, want the two that were there", n)
	}
}

func TestCreateContainer(t *testing.T) {
	post := func(id, body string, want int, check func(*testing.T, *world, answer)) row {
		if want >= 400 {
			check = all(noContainers)
		}
		return row{id: id, do: "POST /v1/containers", body: body, want: want, check: check}
	}
	isRef := func(t *testing.T, w *world, a answer) {
		t.Helper()
		ref, _ := a.json()["container_ref"].(string)
		if !strings.HasPrefix(ref, base+"/v1/containers/") || a.header.Get("Location") != ref || a.body != `{"container_ref":"`+ref+`"}` {
			t.Errorf("%s, Location %q", a.body, a.header.Get("Location"))
		}
	}
	runContainers(t, []row{
		post("BAR-360", `{"type":"generic"}`, 201, all(isRef, holdsRefs())),
		post("BAR-362", `{}`, 400, nil),
		post("BAR-363", `{"type":"foo"}`, 400, nil),
		post("BAR-363", `{"type":null}`, 400, nil),
		post("BAR-363", `{"type":"GENERIC"}`, 400, nil),
		post("BAR-363", `{"type":"dsa"}`, 400, nil),
		post("BAR-364", `{"type":"generic","name":null}`, 201, nil),
		post("BAR-364", `{"type":"generic","name":5}`, 400, nil),
		post("BAR-364", `{"type":"generic","name":`+quoted("n", 256)+`}`, 400, nil),
		post("BAR-364", `{"type":"generic","name":`+quoted("ü", 255)+`}`, 201, nil),
		post("BAR-365", `{"type":"generic","secret_refs":null}`, 400, nil),
		post("BAR-365", `{"type":"generic","secret_refs":{}}`, 400, nil),
		post("BAR-365", `{"type":"generic","secret_refs":[{}]}`, 400, nil),
		post("BAR-365", `{"type":"generic","secret_refs":["x"]}`, 400, nil),
		post("BAR-365", `{"type":"generic","secret_refs":[{"secret_ref":""}]}`, 400, nil),
		post("BAR-365", `{"type":"generic","secret_refs":[{"secret_ref":null}]}`, 400, nil),
		post("BAR-365", `{"type":"generic","secret_refs":[{"secret_ref":"`+base+`/v1/secrets/{a}","name":5}]}`, 400, nil),
		post("BAR-366", of("generic"), 201, holdsRefs()),
		post("BAR-367", of("generic", ref("", "a")), 201, holdsRefs("null=a")),
		post("BAR-368", of("generic", ref("", "a"), ref("", "b")), 400, nil),
		post("§12.2 a missing name is not null", of("generic", ref("", "a"), `{"name":null,"secret_ref":"`+base+`/v1/secrets/{b}"}`), 201, holdsRefs("null=a", "null=b")),
		post("§12.2 a missing name is empty", of("generic", ref("", "a"), `{"name":" ","secret_ref":"`+base+`/v1/secrets/{b}"}`), 400, nil),
		post("BAR-369", of("generic", ref("n", "a"), ref("n", "b")), 400, nil),
		post("BAR-370", of("generic", ref("n", "a"), ref("m", "a")), 400, nil),
		post("BAR-370 also with a slash", of("generic", ref("n", "a"), strings.Replace(ref("m", "a"), `{a}`, `{a}/`, 1)), 400, nil),
		post("BAR-371", of("generic", strings.Replace(ref("n", "a"), `{a}`, `{a}/`, 1)), 201, holdsRefs("n=a")),
		post("BAR-372", of("generic", `{"name":"n","secret_ref":"{a}"}`), 400, nil),
		post("BAR-372", of("generic", `{"name":"n","secret_ref":"https://other/v1/secrets/{a}"}`), 400, nil),
		post("BAR-372 a longer host", of("generic", `{"name":"n","secret_ref":"`+base+`.evil/v1/secrets/{a}"}`), 400, nil),
		post("BAR-373", of("generic", ref("n", "NX"), ref("m", "a")), 404, nil),
		post("BAR-373", of("generic", ref("n", "BAD")), 404, nil),
		post("BAR-373", of("generic", ref("n", "FOREIGN")), 404, nil),
		post("§20.3 both forms of references", of("generic", `{"name":"n","secret_ref":"`+base+`/v1/{P}/secrets/{a}"}`), 201, holdsRefs("n=a")),
		post("BAR-374", of("generic", ref("z", "b"), ref("a", "a")), 201, holdsRefs("z=b", "a=a")),
		post("BAR-375", of("rsa", ref("private_key", "a"), ref("public_key", "b")), 201, holdsRefs("private_key=a", "public_key=b")),
		post("BAR-376", of("rsa", ref("private_key", "a")), 400, nil),
		post("BAR-376", of("rsa", ref("public_key", "a"), ref("private_key_passphrase", "b")), 400, nil),
		post("BAR-376", of("rsa", ref("public_key", "a"), ref("certificate", "b")), 400, nil),
		post("BAR-376", of("rsa", ref("public_key", "a"), ref("", "b")), 400, nil),
		post("BAR-377", of("rsa"), 201, nil),
		post("BAR-377", `{"type":"certificate"}`, 201, nil),
		post("BAR-378", of("certificate", ref("certificate", "a")), 201, holdsRefs("certificate=a")),
		post("BAR-379", of("certificate", ref("private_key", "a")), 400, nil),
		post("BAR-379", of("certificate", ref("certificate", "a"), ref("public_key", "b")), 400, nil),
		post("BAR-379", of("certificate", ref("certificate", "a"), ref("foo", "b")), 400, nil),
		post("§12.2 the type before the secrets", of("rsa", ref("private_key", "NX")), 400, nil),
		post("BAR-380", `{"type":`, 400, nil),
		{id: "BAR-380", do: "POST /v1/containers", headers: "Content-Type: application/json", want: 400},
		{id: "BAR-380", do: "POST /v1/containers", headers: "Content-Type: text/plain", body: `{"type":"generic"}`, want: 415},
		post("BAR-381", `{"type":"generic","more":{"a":1}}`, 201, nil),
		post("NUL in text is named", `{"type":"generic","name":"\u0000"}`, 400, nil),
		{id: "§6.2", as: "obs", do: "POST /v1/containers", headers: "Content-Type: text/plain", body: `{`, want: 403},
		{id: "§6.2", do: "POST /v1/containers", headers: "Accept: text/plain", body: `{"type":"generic"}`, want: 406, check: noContainers},
		{id: "§6.2", as: "-", do: "POST /v1/containers", body: `{"type":"generic"}`, want: 401},
	})
}

func TestContainersOfManySecrets(t *testing.T) { // BAR-374, BAR-375, BAR-378
	w := newWorld(t).furnishContainers()
	w.make("c", `{}`)
	w.make("d", `{}`)
	for kind, refs := range map[string][]string{
		"generic":     {"z=c", "a=a", "m=b"},
		"rsa":         {"private_key_passphrase=c", "public_key=b", "private_key=a"},
		"certificate": {"intermediates=d", "private_key_passphrase=c", "certificate=b", "private_key=a"},
	} {
		var sent []string
		for _, r := range refs {
			name, secret, _ := strings.Cut(r, "=")
			sent = append(sent, ref(name, secret))
		}
		a := w.do("u1", "POST /v1/containers", "", w.fill(of(kind, sent...)))
		a.t = t
		if a.code != 201 {
			t.Fatalf("%s: %d %s", kind, a.code, a.body)
		}
		holdsRefs(refs...)(t, w, a)
	}
}

func TestContainerIsShown(t *testing.T) { // BAR-361
	w := newWorld(t).furnishContainers()
	w.contain("C", `{"type":"generic","name":"  mine ","secret_refs":[`+ref("n", "a")+`]}`)
	got := w.do("u1", "GET /v1/containers/{C}", "", "")
	want := w.fill(`{"created":"2026-05-16T19:40:50.123456","updated":"2026-05-16T19:40:50.123456","status":"ACTIVE",` +
		`"name":"mine","type":"generic","creator_id":"u1","secret_refs":[{"name":"n","secret_ref":"` + base + `/v1/secrets/{a}"}],` +
		`"consumers":[],"container_ref":"` + base + `/v1/containers/{C}"}`)
	if got.code != 200 || got.body != want {
		t.Errorf("%d %s\nwant %s", got.code, got.body, want)
	}
	list := w.do("u1", "GET /v1/containers?name=mine", "", "")
	if list.body != `{"containers":[`+want+`],"total":1}` {
		t.Errorf("list %s", list.body)
	}
}

func TestListContainers(t *testing.T) {
	runContainers(t, []row{
		{id: "BAR-382", do: "GET /v1/containers?limit=1", want: 200, check: func(t *testing.T, w *world, a answer) {
			m := a.json()
			if list, _ := m["containers"].([]any); len(list) != 1 || m["total"] != 2.0 || m["previous"] != nil ||
				m["next"] != base+"/v1/containers?limit=1&offset=1" {
				t.Error(a.body)
			}
		}},
		{id: "D11", do: "GET /v1/containers?limit=1&offset=1&type=generic&name=%25", want: 200, check: bodyIs(`{"containers":[],"total":0}`)},
		{id: "BAR-383", do: "GET /v1/containers?type=rsa", want: 200, check: func(t *testing.T, w *world, a answer) {
			list, _ := a.json()["containers"].([]any)
			if len(list) != 1 {
				t.Fatal(a.body)
			}
			if m, _ := list[0].(map[string]any); !slices.Equal(entriesOf(w, m), []string{"private_key=a", "public_key=b"}) {
				t.Error(a.body)
			}
		}},
		{id: "BAR-384", do: "GET /v1/containers?type=foo", want: 200, check: bodyIs(`{"containers":[],"total":0}`)},
		{id: "BAR-384", do: "GET /v1/containers?type=%00", want: 400},
		{id: "BAR-385", as: "x", do: "GET /v1/containers", want: 200, check: bodyIs(`{"containers":[],"total":0}`)},
		{id: "§7.5", do: "GET /v1/containers?limit=0&offset=9", want: 200, check: bodyIs(`{"containers":[],"total":2}`)},
		{id: "D5", do: "GET /v1/containers?limit=1&limit=2", want: 400},
		{id: "§5.1", do: "GET /v1/containers", headers: "Accept: text/plain", want: 406},
		{id: "§19.2", as: "aud", do: "GET /v1/containers", want: 403, check: describes("containers:get")},
		{id: "§19.2", as: "obs", do: "GET /v1/containers/", want: 200},
	})
	w := newWorld(t) // BAR-383, D11
	for _, name := range []string{"c1", "c2", "d1"} {
		w.contain(name, `{"type":"generic","name":"`+name+`"}`)
	}
	for query, want := range map[string]int{"name=c1": 1, "name=c%25": 2, "name=_1": 2, "name=C1": 0, "name=c": 0} {
		if got := w.do("u1", "GET /v1/containers?"+query, "", "").json()["total"]; got != float64(want) {
			t.Errorf("%s: %v, want %d", query, got, want)
		}
	}
	m := w.do("u1", "GET /v1/containers?limit=1&name=c%25&type=generic", "", "").json()
	if want := base + "/v1/containers?limit=1&offset=1&name=c%25&type=generic"; m["next"] != want {
		t.Errorf("next %v, want %v", m["next"], want)
	}
}

func TestOneContainer(t *testing.T) {
	gone := func(t *testing.T, w *world, _ answer) {
		t.Helper()
		for do, want := range map[string]int{
			"GET /v1/containers/{CR}": 404, "DELETE /v1/containers/{CR}": 404, "GET /v1/containers/{CR}/acl": 404,
			"GET /v1/containers/{CR}/consumers": 404, "GET /v1/secrets/{a}": 200, // BAR-434
		} {
			if a := w.do("u1", do, "", ""); a.code != want {
				t.Errorf("%s: %d", do, a.code)
			}
		}
	}
	runContainers(t, []row{
		{id: "BAR-386", do: "GET /v1/containers/{NX}", want: 404},
		{id: "BAR-386", do: "GET /v1/containers/{BAD}", want: 404},
		{id: "BAR-387", do: "GET /v1/containers/{CG}/foo", want: 404},
		{id: "BAR-387", do: "POST /v1/containers/{CG}/secrets/x", body: "{}", want: 404},
		{id: "BAR-388", do: "PUT /v1/containers/{CG}", want: 405, check: headerIs("Allow", "DELETE, GET")},
		{id: "BAR-388", do: "POST /v1/containers/{CG}", want: 405, check: headerIs("Allow", "DELETE, GET")},
		{id: "BAR-388", do: "PATCH /v1/containers/{CG}", want: 405, check: headerIs("Allow", "DELETE, GET")},
		{id: "§2.3 the container before the method", do: "PATCH /v1/containers/{NX}", want: 404},
		{id: "§2.3 a secret is no container", do: "PATCH /v1/containers/{a}", want: 404},
		{id: "§2.3", do: "DELETE /v1/containers", want: 405, check: headerIs("Allow", "GET, POST")},
		{id: "§2.3", do: "PUT /v1/containers/{CG}/consumers/{NX}", want: 405, check: headerIs("Allow", "GET")},
		{id: "BAR-389", do: "DELETE /v1/containers/{CR}", want: 204, check: all(bodyIs(""), gone)},
		{id: "BAR-389", do: "DELETE /v1/containers/{CG}", headers: "Accept: text/plain", want: 204},
		{id: "BAR-390", as: "peer", do: "DELETE /v1/containers/{CG}", want: 403},
		{id: "BAR-391", as: "x", do: "DELETE /v1/containers/{CG}", want: 403, check: describes("container:delete")},
		{id: "BAR-391", as: "x-adm", do: "DELETE /v1/containers/{CG}", want: 403},
		{id: "BAR-391", as: "x", do: "GET /v1/containers/{CG}", want: 403, check: describes("container:get")},
		{id: "BAR-391", as: "x-adm", do: "GET /v1/containers/{CG}", want: 403},
		{id: "§19.2", as: "adm", do: "DELETE /v1/containers/{CG}", want: 204},
		{id: "§5.1", do: "GET /v1/containers/{CG}", headers: "Accept: text/plain", want: 406},
		{id: "§20.3", do: "GET /v1/{P}/containers/{CR}", want: 200, check: func(t *testing.T, w *world, a answer) {
			m := a.json()
			if m["container_ref"] != w.fill(base+"/v1/{P}/containers/{CR}") || !strings.Contains(a.body, w.fill(base+"/v1/{P}/secrets/{a}")) {
				t.Error(a.body)
			}
		}},
		{id: "§20.3", as: "x", do: "GET /v1/{Q}/containers/{CR}", want: 404},
		{id: "§20.3", as: "x", do: "GET /v1/{P}/containers/{CR}", want: 403},
		{id: "§20.3", as: "x", do: "PATCH /v1/{Q}/containers/{CR}", want: 404},
		{id: "§20.3", do: "POST /v1/{P}/containers", body: of("generic", ref("n", "a")), want: 201, check: func(t *testing.T, w *world, a answer) {
			if ref, _ := a.json()["container_ref"].(string); !strings.HasPrefix(ref, base+"/v1/"+projectP+"/containers/") {
				t.Error(a.body)
			}
		}},
	})
}

func TestContainerQuota(t *testing.T) {
	runContainers(t, []row{{id: "BAR-408", as: "svc", do: "PUT /v1/project-quotas/{P}", body: `{"project_quotas":{"containers":3}}`, want: 204,
		check: func(t *testing.T, w *world, _ answer) {
			for body, want := range map[string]int{
				`{"type":"foo"}`: 400, of("generic", ref("n", "NX")): 404,
			} {
				if a := w.do("u1", "POST /v1/containers", "", w.fill(body)); a.code != want {
					t.Errorf("%s: %d, want %d", body, a.code, want)
				}
			}
			w.contain("third", `{"type":"generic"}`)
			for body, want := range map[string]int{ // the body before the quota, the secrets after it
				`{"type":"generic"}`: 403, `{"type":"foo"}`: 400, of("generic", ref("n", "NX")): 403,
			} {
				if a := w.do("u1", "POST /v1/containers", "", w.fill(body)); a.code != want {
					t.Errorf("%s: %d, want %d", body, a.code, want)
				}
			}
			w.do("u1", "DELETE /v1/containers/{third}", "", "")
			w.contain("again", `{"type":"generic"}`)
		}}})
}
