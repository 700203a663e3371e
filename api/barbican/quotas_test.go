package barbican_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/policy"
)

const (
	unlimited = `{"quotas":{"secrets":-1,"orders":-1,"containers":-1,"consumers":-1,"cas":-1}}`
	own       = "/v1/project-quotas/{P}"
)

// set is an answer to GET of what was set for one project.
func set(secrets, orders string) string {
	return fmt.Sprintf(`{"project_quotas":{"secrets":%s,"orders":%s,"containers":null,"consumers":null,"cas":null}}`, secrets, orders)
}

// jsonIs compares two texts as JSON.
func jsonIs(t *testing.T, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%q: %v", got, err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(g) != fmt.Sprint(w) {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestQuotaRows(t *testing.T) {
	rows := []row{
		{id: "BAR-490", do: "GET /v1/quotas", want: 200, check: bodyIs(unlimited)},
		{id: "BAR-490", do: "GET /v1/quotas/", want: 200, check: bodyIs(unlimited)},
		{id: "BAR-490", do: "GET /v1/quotas", headers: "Accept: text/plain", want: 406, check: description(nil)},
		{id: "BAR-491", as: "aud", do: "GET /v1/quotas", want: 200, check: bodyIs(unlimited)},
		{id: "BAR-491", as: "svc", do: "GET /v1/quotas", want: 200, check: bodyIs(unlimited)},
		{id: "BAR-491", as: "norole", do: "GET /v1/quotas", want: 403, check: describes("quotas:get")},
		{id: "BAR-491", as: "-", do: "GET /v1/quotas", want: 401},
		{id: "BAR-491", do: "POST /v1/quotas", body: "{}", want: 405, check: headerIs("Allow", "GET")},
		{id: "BAR-492", do: "GET /v1/project-quotas", want: 403, check: describes("project_quotas:get")},
		{id: "BAR-492", as: "adm", do: "GET /v1/project-quotas", want: 403},
		{id: "BAR-492", as: "adm", do: "GET /v1/project-quotas?limit=1&limit=2", want: 403},
		{id: "BAR-492", as: "svc", do: "GET /v1/project-quotas", want: 200, check: bodyIs(`{"project_quotas":[],"total":0}`)},
		{id: "BAR-492", as: "svc", do: "GET /v1/project-quotas?limit=1&limit=2", want: 400},
		{id: "BAR-493", as: "svc", do: "GET /v1/project-quotas/p1", want: 404},
		{id: "BAR-493", as: "adm", do: "GET /v1/project-quotas/p1", want: 403},
		{id: "BAR-493", as: "svc", do: "GET /v1/project-quotas/%00", want: 404},
		{id: "BAR-493", as: "svc", do: "GET /v1/project-quotas/%ff", want: 404},
		{id: "BAR-493", as: "svc", do: "GET /v1/project-quotas/" + strings.Repeat("p", 300), want: 404},
		{id: "BAR-494", as: "svc", do: "PUT " + own, body: `{"project_quotas":{"secrets":50}}`, want: 204, check: all(bodyIs(""), quotaIs(set("50", "null")))},
		{id: "BAR-494", as: "svc", do: "PUT " + own, body: `{"project_quotas":{"secrets":50.0,"orders":-9223372036854775808}}`, want: 204, check: quotaIs(set("50", "-9223372036854775808"))},
		{id: "BAR-494", do: "PUT " + own, body: `broken`, headers: "Content-Type: text/plain", want: 403, check: describes("project_quotas:put")},
		{id: "BAR-499", as: "svc", do: "PUT " + own, body: `{"project_quotas":{}}`, want: 204, check: all(bodyIs(""), quotaIs(set("null", "null")))},
		{id: "BAR-500", as: "svc", do: "PUT " + own, headers: "Content-Type: text/plain", body: `{"project_quotas":{}}`, want: 415},
		{id: "BAR-500", as: "svc", do: "PUT " + own, headers: "-Content-Type", body: `{"project_quotas":{}}`, want: 415},
		{id: "BAR-501", as: "svc", do: "DELETE " + own, want: 404},
		{id: "BAR-501", as: "svc", do: "DELETE /v1/project-quotas/%00", want: 404},
		{id: "BAR-501", as: "adm", do: "DELETE " + own, want: 403, check: describes("project_quotas:delete")},
		{id: "BAR-502", as: "svc", do: "POST " + own, body: "{}", want: 405, check: headerIs("Allow", "DELETE, GET, PUT")},
		{id: "BAR-502", as: "svc", do: "PATCH " + own, body: "{}", want: 405, check: headerIs("Allow", "DELETE, GET, PUT")},
		{id: "BAR-502", as: "svc", do: "POST /v1/project-quotas", body: "{}", want: 405, check: headerIs("Allow", "GET")},
		{id: "BAR-502", as: "svc", do: "GET /v1/project-quotas/p/more", want: 404},
		{id: "BAR-502", as: "svc", do: "GET /v1/quotas/more", want: 404},
	}
	for _, body := range []string{
		`{}`, `{"project_quotas":null}`, `{"project_quotas":{"secrets":null}}`, `{"project_quotas":{"secrets":"5"}}`,
		`{"project_quotas":{"secrets":1.5}}`, `{"project_quotas":{"secrets":true}}`, `{"project_quotas":{"color":5}}`,
		`{"project_quotas":{"secrets":5},"color":5}`, ``, `[]`, `{"project_quotas":[]}`, `{"project_quotas":{"secrets":1e30}}`,
		`{"project_quotas":{"secrets":9223372036854775808}}`, `{"project_quotas":{"secrets":-1e999999}}`, `{"project_quotas":`,
	} {
		rows = append(rows, row{id: "BAR-498", as: "svc", do: "PUT " + own, headers: "Content-Type: application/json", body: body, want: 400,
			check: func(t *testing.T, w *world, _ answer) {
				if a := w.do("svc", "GET "+own, "", ""); a.code != 404 {
					t.Errorf("something was set: %s", a.body)
				}
			}})
	}
	for _, path := range []string{"%00", "%ff", strings.Repeat("p", 256)} {
		rows = append(rows, row{id: "§15.2 names", as: "svc", do: "PUT /v1/project-quotas/" + path, body: `{"project_quotas":{}}`, want: 400})
	}
	run(t, rows)
}

// quotaIs looks at what is set for project P.
func quotaIs(want string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, _ answer) {
		t.Helper()
		a := w.do("svc", "GET "+own, "", "")
		if a.code != 200 || a.body != want {
			t.Errorf("%d %s, want %s", a.code, a.body, want)
		}
	}
}

func TestProjectQuotasOneAfterAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	put := func(project, members string) {
		t.Helper()
		if a := w.do("svc", "PUT /v1/project-quotas/"+project, "", `{"project_quotas":{`+members+`}}`); a.code != 204 || a.body != "" {
			t.Fatalf("PUT %s: %d %s", project, a.code, a.body)
		}
	}
	get := func(path string) string {
		t.Helper()
		a := w.do("svc", "GET "+path, "", "")
		if a.code != 200 {
			t.Fatalf("GET %s: %d %s", path, a.code, a.body)
		}
		return a.body
	}
	put("{P}", `"secrets":50`)
	put("{P}", `"orders":5`) // BAR-495
	put("p2", `"orders":-5`)
	put("p3", ``)
	jsonIs(t, get(own), set("50", "5"))
	jsonIs(t, get("/v1/quotas"), `{"quotas":{"secrets":50,"orders":5,"containers":-1,"consumers":-1,"cas":-1}}`) // BAR-497

	// BAR-496, BAR-503
	entry := func(id, secrets, orders string) string {
		return `{"project_id":"` + id + `",` + strings.TrimPrefix(set(secrets, orders), "{")
	}
	jsonIs(t, get("/v1/project-quotas"), `{"project_quotas":[`+
		entry(projectP, "50", "5")+","+entry("p2", "null", "-5")+","+entry("p3", "null", "null")+`],"total":3}`)
	jsonIs(t, get("/v1/project-quotas?limit=1&offset=1"), `{"project_quotas":[`+entry("p2", "null", "-5")+`],
		"previous":"`+base+`/v1/project-quotas?limit=1&offset=0","next":"`+base+`/v1/project-quotas?limit=1&offset=2","total":3}`)
	jsonIs(t, get("/v1/project-quotas?limit=2&offset=9"), `{"project_quotas":[],
		"previous":"`+base+`/v1/project-quotas?limit=2&offset=7","total":3}`)

	for _, want := range []int{204, 404} { // BAR-501
		if a := w.do("svc", "DELETE "+own, "Accept: foo/bar", ""); a.code != want || (want == 204 && a.body != "") {
			t.Errorf("DELETE: %d %s, want %d", a.code, a.body, want)
		}
	}
	jsonIs(t, get("/v1/quotas"), unlimited)
}

// BAR-504, BAR-505, BAR-112
func TestSecretQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	allow := func(n int) {
		t.Helper()
		if a := w.do("svc", "PUT "+own, "", fmt.Sprintf(`{"project_quotas":{"secrets":%d}}`, n)); a.code != 204 {
			t.Fatal(a.code, a.body)
		}
	}
	const body = `{"name":"one","payload":"x","payload_content_type":"text/plain"}`
	post := func(body string, want int) answer {
		t.Helper()
		a := w.do("u1", "POST /v1/secrets", "", body)
		a.t = t
		if a.code != want {
			t.Fatalf("POST %s: %d %s, want %d", body, a.code, a.body, want)
		}
		return a
	}
	allow(1)
	first := post(body, 201)
	for _, b := range []string{body, `{}`} {
		a := post(b, 403)
		a.isError(t)
		describes("quota of secrets")(t, w, a)
	}
	last := w.journal.events[len(w.journal.events)-1]
	if last.Outcome != audit.Refused || last.Action != string(policy.SecretCreate) {
		t.Errorf("recorded %+v", last)
	}
	post(`{"payload":"x"}`, 400)
	post(`broken`, 400)
	if a := w.do("u1", "POST /v1/{P}/secrets", "", body); a.code != 403 {
		t.Errorf("the older form: %d", a.code)
	}
	if a := w.do("x", "POST /v1/secrets", "", body); a.code != 201 {
		t.Errorf("another project: %d %s", a.code, a.body)
	}
	ref, _ := first.json()["secret_ref"].(string)
	// Neither a payload, nor metadata, nor an ACL is one more secret.
	if a := w.do("u1", "PUT "+strings.TrimPrefix(ref, base)+"/metadata", "", `{"metadata":{"a":"b"}}`); a.code != 201 {
		t.Errorf("metadata: %d %s", a.code, a.body)
	}
	if a := w.do("u1", "DELETE "+strings.TrimPrefix(ref, base), "", ""); a.code != 204 {
		t.Fatal(a.code, a.body)
	}
	post(body, 201)
	allow(0)
	post(body, 403)
	allow(-5)
	post(body, 201)
	post(`{}`, 201)
}

// BAR-311. It is the quota of the project that registers, and a repeat is
// refused, too.
func TestConsumerQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t).furnish()
	if a := w.do("svc", "PUT "+own, "", `{"project_quotas":{"consumers":1}}`); a.code != 204 {
		t.Fatal(a.code, a.body)
	}
	if a := w.do("u1", "PUT /v1/secrets/{ST}/acl", "", `{"read":{"users":["x"]}}`); a.code != 200 {
		t.Fatal(a.code, a.body)
	}
	for _, step := range []struct {
		as, do, resource string
		want             int
	}{
		{"u1", "POST /v1/secrets/{ST}/consumers", "one", 200},
		{"u1", "POST /v1/secrets/{ST}/consumers", "one", 403},
		{"u1", "POST /v1/secrets/{SB}/consumers", "one", 403},
		{"x", "POST /v1/secrets/{ST}/consumers", "two", 200},
		{"u1", "DELETE /v1/secrets/{ST}/consumers", "one", 200},
		{"u1", "POST /v1/secrets/{SB}/consumers", "one", 200},
	} {
		body := `{"service":"s","resource_type":"t","resource_id":"` + step.resource + `"}`
		a := w.do(step.as, step.do, "OpenStack-API-Version: key-manager 1.1", body)
		a.t = t
		if a.code != step.want {
			t.Fatalf("%+v: %d %s", step, a.code, a.body)
		}
		if a.code == 403 {
			describes("quota of consumers")(t, w, a)
			recorded(audit.Refused)(t, w, a)
		}
	}
}
