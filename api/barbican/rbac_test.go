package barbican_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/policy/cedar"
)

// runUnder answers rows under another set of rules than run, each in a world of
// its own, whose secrets S0, ST and SB are those of mem.
func runUnder(t *testing.T, mode cedar.Mode, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.id+" "+r.as+" "+r.do, func(t *testing.T) {
			t.Parallel()
			r.in(t, newWorldUnder(t, mode).furnish())
		})
	}
}

const nobodysACL = `{"read":{"users":[],"project-access":true}}`

// Rows of one secret, by what they ask for.
var onSecret = []row{
	{id: "show", do: "GET /v1/secrets/{ST}"},
	{id: "payload", do: "GET /v1/secrets/{ST}/payload"},
	{id: "payload", do: "GET /v1/secrets/{ST}", headers: "Accept: text/plain"},
	{id: "put", do: "PUT /v1/secrets/{S0}", headers: "Content-Type: text/plain", body: "x"},
	{id: "delete", do: "DELETE /v1/secrets/{ST}"},
	{id: "metadata", do: "GET /v1/secrets/{ST}/metadata"},
	{id: "metadata", do: "PUT /v1/secrets/{ST}/metadata", body: `{"metadata":{"a":"b"}}`},
	{id: "metadata", do: "POST /v1/secrets/{ST}/metadata", body: `{"key":"a","value":"b"}`},
	{id: "acl", do: "GET /v1/secrets/{ST}/acl"},
	{id: "acl", do: "PUT /v1/secrets/{ST}/acl", body: nobodysACL},
	{id: "acl", do: "PATCH /v1/secrets/{ST}/acl", body: nobodysACL},
	{id: "acl", do: "DELETE /v1/secrets/{ST}/acl"},
	{id: "consumers", do: "GET /v1/secrets/{ST}/consumers", headers: "OpenStack-API-Version: key-manager 1.1"},
	{id: "consumers", do: "POST /v1/secrets/{ST}/consumers", headers: "OpenStack-API-Version: key-manager 1.1", body: `{"service":"s","resource_type":"t","resource_id":"i"}`},
}

// done has the status of each that is allowed.
var done = map[string]int{"GET": 200, "PATCH": 200, "DELETE": 204}

// asking is every row about one of those things, for somebody. want is 403, or
// 0 for success.
func asking(id, as string, want int, those ...string) (rows []row) {
	for _, r := range onSecret {
		for _, thing := range those {
			if thing != r.id {
				continue
			}
			method, path, _ := strings.Cut(r.do, " ")
			one := row{id: id, as: as, do: r.do, headers: r.headers, body: r.body, want: want}
			switch {
			case want != 0:
				one.check = namesTheRule
			case strings.HasSuffix(path, "/acl") && method != "GET":
				one.want = 200
			case strings.HasSuffix(path, "/metadata") && method != "GET":
				one.want = 201
			case method == "PUT":
				one.want = 204
			case method == "POST":
				one.want = 200
			default:
				one.want = done[method]
			}
			rows = append(rows, one)
		}
	}
	return rows
}

// namesTheRule checks that a refusal says which rule would have had to allow
// it, and nothing of what it was asked for.
func namesTheRule(t *testing.T, w *world, a answer) {
	t.Helper()
	text, _ := a.json()["description"].(string)
	if !regexp.MustCompile(`rule [a-z_]+:[a-z_]+ does not allow`).MatchString(text) {
		t.Errorf("%q names no rule", text)
	}
	for _, secret := range []string{w.names["ST"], w.names["S0"], projectP, projectQ, "mem", "hello"} {
		if strings.Contains(a.body, secret) {
			t.Errorf("%q tells %s", a.body, secret)
		}
	}
}

func TestNewPolicyRows(t *testing.T) {
	everything := []string{"show", "payload", "put", "delete", "metadata", "acl", "consumers"}
	rows := []row{
		{id: "BAR-530", as: "mem2", do: "POST /v1/secrets", body: `{}`, want: 201},
		{id: "BAR-530", as: "mem2", do: "GET /v1/secrets", want: 200},
		{id: "BAR-531", as: "rdr", do: "POST /v1/secrets", body: `{}`, want: 403, check: describes("secrets:post")},
		{id: "BAR-531", as: "rdr", do: "GET /v1/secrets", want: 403, check: describes("secrets:get")},
		{id: "BAR-532", as: "bare", do: "POST /v1/secrets", body: `{}`, want: 403, check: namesTheRule},
		{id: "BAR-532", as: "bare", do: "GET /v1/secrets", want: 403, check: namesTheRule},
		{id: "BAR-533", as: "u1", do: "POST /v1/secrets", body: `{}`, want: 403, check: namesTheRule},
		{id: "BAR-540", as: "rdr", do: "GET /v1/quotas", want: 200},
		{id: "BAR-540", as: "rdr", do: "GET /v1/transport_keys", want: 200},
		{id: "BAR-540", as: "rdr", do: "GET /v1/secret-stores", want: 404},
		{id: "BAR-540", as: "obs", do: "GET /v1/quotas", want: 403, check: namesTheRule},
		{id: "BAR-541", as: "boss", do: "GET /v1/project-quotas", want: 200},
		{id: "BAR-541", as: "bare", do: "PUT /v1/project-quotas/{Q}", body: `{"project_quotas":{}}`, want: 204},
		{id: "BAR-541", as: "boss", do: "POST /v1/transport_keys", body: `{"plugin_name":"p","transport_key":"k"}`, want: 403, check: describes("No secret store")},
		{id: "BAR-541", as: "svc", do: "GET /v1/project-quotas", want: 403, check: namesTheRule},
		{id: "BAR-541", as: "svc", do: "PUT /v1/project-quotas/{Q}", body: `{"project_quotas":{}}`, want: 403, check: namesTheRule},
		{id: "BAR-541", as: "mem", do: "DELETE /v1/project-quotas/{Q}", want: 403, check: namesTheRule},
	}
	for _, more := range [][]row{
		asking("BAR-531", "rdr", 403, everything...),
		asking("BAR-533", "u1", 403, everything...),
		asking("BAR-534", "mem2", 0, "show", "payload", "put", "delete", "metadata", "consumers"),
		asking("BAR-535", "mem2", 403, "acl"),
		asking("BAR-536", "mem", 0, everything...),
		asking("BAR-536", "boss", 0, everything...),
		asking("BAR-537", "x-boss", 0, "show", "delete"),
		asking("BAR-538", "x-boss", 403, "payload", "put", "acl", "metadata", "consumers"),
		asking("BAR-539", "x-mem", 403, everything...),
		asking("BAR-539", "x-rdr", 403, everything...),
	} {
		rows = append(rows, more...)
	}
	runUnder(t, cedar.New, rows)
}

// BAR-543: who is listed reads, whatever the role and the project; the
// project's own do not where it is private.
func TestListedUserUnderTheNewPolicy(t *testing.T) {
	for _, tc := range []struct {
		as    string
		wants map[string]int
	}{
		{"x-nothing", map[string]int{"show": 0, "payload": 0, "metadata read": 200, "consumers": 0, "put": 403, "delete": 403, "acl": 403}},
		{"mem2", map[string]int{"show": 403, "payload": 403, "put": 403, "delete": 403, "metadata": 403, "acl": 403, "consumers": 403}},
		{"boss", map[string]int{"show": 0, "payload": 0, "put": 0, "delete": 0, "metadata": 0, "acl": 0, "consumers": 0}},
	} {
		var rows []row
		for thing, want := range tc.wants {
			if thing == "metadata read" {
				rows = append(rows, row{id: "BAR-543", as: tc.as, do: "GET /v1/secrets/{ST}/metadata", want: want})
				continue
			}
			rows = append(rows, asking("BAR-543", tc.as, want, thing)...)
		}
		for _, r := range rows {
			t.Run(tc.as+" "+r.do, func(t *testing.T) {
				t.Parallel()
				w := newWorldUnder(t, cedar.New).furnish()
				for _, name := range []string{"ST", "S0"} {
					a := w.do("mem", "PUT /v1/secrets/{"+name+"}/acl", "", `{"read":{"users":["x-nothing"],"project-access":false}}`)
					if a.code != 200 {
						t.Fatal(a.code, a.body)
					}
				}
				r.in(t, w)
			})
		}
	}
}

// Which rules count is the operator's choice: the same requests under each.
func TestPolicySwitch(t *testing.T) {
	t.Parallel()
	wants := map[string]map[cedar.Mode]int{
		"u1 POST /v1/secrets":         {cedar.Legacy: 201, cedar.New: 403, cedar.Union: 201},
		"mem POST /v1/secrets":        {cedar.Legacy: 403, cedar.New: 201, cedar.Union: 201},
		"rdr POST /v1/secrets":        {cedar.Legacy: 403, cedar.New: 403, cedar.Union: 403},
		"bare POST /v1/secrets":       {cedar.Legacy: 201, cedar.New: 403, cedar.Union: 201},
		"loud POST /v1/secrets":       {cedar.Legacy: 201, cedar.New: 403, cedar.Union: 201}, // Creator is creator
		"obs GET /v1/secrets":         {cedar.Legacy: 200, cedar.New: 403, cedar.Union: 200},
		"mem GET /v1/secrets":         {cedar.Legacy: 403, cedar.New: 200, cedar.Union: 200},
		"svc GET /v1/project-quotas":  {cedar.Legacy: 200, cedar.New: 403, cedar.Union: 200},
		"bare GET /v1/project-quotas": {cedar.Legacy: 403, cedar.New: 200, cedar.Union: 200},
		"aud GET /v1/quotas":          {cedar.Legacy: 200, cedar.New: 403, cedar.Union: 200},
		"rdr GET /v1/quotas":          {cedar.Legacy: 403, cedar.New: 200, cedar.Union: 200},
		"x-boss GET /v1/secrets/{ST}": {cedar.Legacy: 403, cedar.New: 200, cedar.Union: 200},
		"x-mem GET /v1/secrets/{ST}":  {cedar.Legacy: 403, cedar.New: 403, cedar.Union: 403},
		"peer GET /v1/secrets/{ST}":   {cedar.Legacy: 200, cedar.New: 403, cedar.Union: 200},
		"mem2 GET /v1/secrets/{ST}":   {cedar.Legacy: 403, cedar.New: 200, cedar.Union: 200},
	}
	for _, mode := range []cedar.Mode{cedar.Legacy, cedar.New, cedar.Union} {
		w := newWorldUnder(t, mode).furnish()
		for request, want := range wants {
			as, do, _ := strings.Cut(request, " ")
			body := ""
			if strings.HasPrefix(do, "POST") {
				body = "{}"
			}
			if a := w.do(as, do, "", body); a.code != want[mode] {
				t.Errorf("%s: %s: %d, want %d", mode, request, a.code, want[mode])
			}
		}
	}
}
