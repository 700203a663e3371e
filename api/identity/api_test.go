package identity_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/api/identity"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/sensitive"
)

const demo = "00000000000000000000000000000004"

func login(user, password, scope string) string {
	return fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"domain":{"name":"Default"},"password":%q}}}%s}}`,
		user, password, scope)
}

// Whatever a client sends is its own mistake: a 4xx that names the member, in
// Keystone's form, and nothing of it in the log.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	auth := func(identity, scope string) string { return `{"auth":{"identity":` + identity + scope + `}}` }
	user := func(user string) string { return auth(`{"methods":["password"],"password":{"user":`+user+`}}`, "") }
	for _, tc := range []struct {
		name, body string
		names      string // what the message must name
	}{
		{"nothing", ``, ""}, {"no JSON", `{`, ""}, {"a list", `[]`, ""}, {"null", `null`, ""}, {"bad UTF-8", "{\"auth\":\"\xff\"}", ""},
		{"trailing data", `{} {}`, ""}, {"nested too deeply", strings.Repeat(`{"auth":`, 100) + "1" + strings.Repeat("}", 100), ""},
		{"no auth", `{}`, "auth"}, {"auth is a string", `{"auth":"x"}`, "auth"}, {"another case", `{"Auth":{}}`, "auth"},
		{"no identity", `{"auth":{}}`, "auth.identity"}, {"identity is a list", auth(`[]`, ""), "auth.identity"},
		{"no methods", auth(`{}`, ""), "auth.identity.methods"}, {"methods is a string", auth(`{"methods":"password"}`, ""), "auth.identity.methods"},
		{"a method is a number", auth(`{"methods":[1]}`, ""), "auth.identity.methods"}, {"no method", auth(`{"methods":[]}`, ""), "auth.identity.methods"},
		{"an unknown method", auth(`{"methods":["totp"]}`, ""), "auth.identity.methods"},
		{"two methods", auth(`{"methods":["password","totp"]}`, ""), "auth.identity.methods"},
		{"no password object", auth(`{"methods":["password"]}`, ""), "auth.identity.password"},
		{"no user", auth(`{"methods":["password"],"password":{}}`, ""), "auth.identity.password.user"},
		{"a user without name", user(`{"password":"canary-1"}`), "auth.identity.password.user"},
		{"a user without domain", user(`{"name":"alice","password":"canary-1"}`), "auth.identity.password.user"},
		{"an empty domain", user(`{"name":"alice","domain":{},"password":"canary-1"}`), "auth.identity.password.user.domain"},
		{"a name that is a number", user(`{"name":1,"domain":{"id":"default"},"password":"canary-1"}`), "auth.identity.password.user.name"},
		{"a name with NUL", user(`{"name":"\u0000","domain":{"id":"default"},"password":"canary-1"}`), "auth.identity.password.user.name"},
		{"no password", user(`{"name":"alice","domain":{"id":"default"}}`), "auth.identity.password.user.password"},
		{"a password that is a number", user(`{"name":"alice","domain":{"id":"default"},"password":1}`), "auth.identity.password.user.password"},
		{"a token without id", auth(`{"methods":["token"],"token":{}}`, ""), "auth.identity.token.id"},
		{"a credential without secret", auth(`{"methods":["application_credential"],"application_credential":{"id":"x"}}`, ""), "application_credential.secret"},
		{"a credential without id", auth(`{"methods":["application_credential"],"application_credential":{"secret":"x"}}`, ""), "application_credential"},
		{"scope is a number", login("alice", "canary-1", `,"scope":1`), "auth.scope"},
		{"scope is a word", login("alice", "canary-1", `,"scope":"x"`), "auth.scope"},
		{"scope is empty", login("alice", "canary-1", `,"scope":{}`), "auth.scope"},
		{"two scopes", login("alice", "canary-1", `,"scope":{"project":{"id":"x"},"domain":{"id":"default"}}`), "auth.scope"},
		{"an unknown scope", login("alice", "canary-1", `,"scope":{"OS-TRUST:trust":{"id":"x"}}`), "auth.scope"},
		{"project is a string", login("alice", "canary-1", `,"scope":{"project":"x"}`), "auth.scope.project"},
		{"an empty project", login("alice", "canary-1", `,"scope":{"project":{}}`), "auth.scope.project"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := w.ask("", "POST", "/v3/auth/tokens", tc.body)
			checkFault(t, a, http.StatusBadRequest)
			if !strings.Contains(a.body, tc.names) {
				t.Errorf("the message does not name %s: %s", tc.names, a.body)
			}
		})
	}
	w.quiet("canary-1")
}

func checkFault(t *testing.T, a answer, code int) {
	t.Helper()
	var body struct {
		Error struct {
			Code           int
			Message, Title string
		}
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.code != code || body.Error.Code != code ||
		body.Error.Title != http.StatusText(code) || body.Error.Message == "" {
		t.Errorf("%d %s, want %d in Keystone's form", a.code, a.body, code)
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("X-Openstack-Request-Id") != "req-1" ||
		!strings.HasPrefix(a.header.Get("Vary"), "X-Auth-Token") {
		t.Errorf("headers %v", a.header)
	}
	if (code == http.StatusUnauthorized) != (a.header.Get("WWW-Authenticate") != "") {
		t.Errorf("WWW-Authenticate %q with %d", a.header.Get("WWW-Authenticate"), code)
	}
}

func TestBadResources(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("x", 65)
	for _, tc := range []struct {
		method, target, body string
		code                 int
		names                string
	}{
		{"POST", "/v3/projects", `{}`, 400, "project"},
		{"POST", "/v3/projects", `{"project":{}}`, 400, "name"},
		{"POST", "/v3/projects", `{"project":{"name":1}}`, 400, "project.name"},
		{"POST", "/v3/projects", `{"project":{"name":" "}}`, 400, "name"},
		{"POST", "/v3/projects", `{"project":{"name":"` + long + `"}}`, 400, "name"},
		{"POST", "/v3/projects", `{"project":{"name":"x","enabled":"yes"}}`, 400, "project.enabled"},
		{"POST", "/v3/projects", `{"project":{"name":"x","domain_id":"other"}}`, 400, "project.domain_id"},
		{"POST", "/v3/projects", `{"project":{"name":"x","parent_id":"` + demo + `"}}`, 400, "project.parent_id"},
		{"POST", "/v3/projects", `{"project":{"name":"x","is_domain":true}}`, 400, "project.is_domain"},
		{"POST", "/v3/projects", `{"project":{"name":"demo"}}`, 409, ""},
		{"PATCH", "/v3/projects/" + demo, `{"project":{"name":"other"}}`, 409, ""},
		{"PATCH", "/v3/projects/default", `{"project":{"name":"x"}}`, 404, ""},
		{"GET", "/v3/projects/nothing", ``, 404, ""},
		{"GET", "/v3/projects/\x00", ``, 404, ""},
		{"GET", "/v3/projects/\xff", ``, 404, ""},
		{"GET", "/v3/projects/" + strings.Repeat("a", 5000), ``, 404, ""},
		{"GET", "/v3/projects?name=%00", ``, 400, ""},
		{"GET", "/v3/projects?name=%ff", ``, 400, ""},
		{"GET", "/v3/projects?name=%zz", ``, 400, ""},
		{"DELETE", "/v3/projects/nothing", ``, 404, ""},
		{"POST", "/v3/users", `{"user":{"name":"x","password":1}}`, 400, "user.password"},
		{"POST", "/v3/users", `{"user":{"name":"x","password":""}}`, 400, "password"},
		{"POST", "/v3/users", `{"user":{"name":"x","default_project_id":"nothing"}}`, 404, ""},
		{"POST", "/v3/users", `{"user":{"name":"x","email":[]}}`, 400, "user.email"},
		{"POST", "/v3/users", `{"user":{"name":"alice"}}`, 409, ""},
		{"PATCH", "/v3/users/nothing", `{"user":{"name":"y"}}`, 404, ""},
		{"DELETE", "/v3/users/nothing", ``, 404, ""},
		{"POST", "/v3/users/nothing/password", `{"user":{"password":"a","original_password":"b"}}`, 401, ""},
		{"POST", "/v3/users/nothing/password", `{"user":{"password":"a"}}`, 400, "user.original_password"},
		{"POST", "/v3/roles", `{"role":{"name":"Admin"}}`, 409, ""},
		{"POST", "/v3/roles", `{"role":{"name":"x","domain_id":"default"}}`, 400, "role.domain_id"},
		{"GET", "/v3/roles/nothing", ``, 404, ""},
		{"PUT", "/v3/projects/nothing/users/nobody/roles/none", ``, 404, ""},
		{"PUT", "/v3/projects/default/users/nobody/roles/none", ``, 404, ""},
		{"PUT", "/v3/domains/other/users/nobody/roles/none", ``, 404, ""},
		{"DELETE", "/v3/projects/" + demo + "/users/nobody/roles/none", ``, 404, ""},
		{"GET", "/v3/domains/other", ``, 404, ""},
		{"GET", "/v3/services/other", ``, 404, ""},
		{"GET", "/v3/endpoints/other", ``, 404, ""},
		{"GET", "/v3/regions/other", ``, 404, ""},
		{"GET", "/v3/auth/tokens", ``, 400, "X-Subject-Token"},
		{"POST", "/v3/credentials", `{"credential":{"type":"totp","blob":"x"}}`, 400, "credential.type"},
		{"POST", "/v3/credentials", `{"credential":{"type":"ec2","blob":"x"}}`, 400, "credential.blob"},
		{"POST", "/v3/credentials", `{"credential":{"type":"ec2","blob":"{\"access\":\"!\"}"}}`, 400, "access"},
		{"POST", "/v3/credentials", `{"credential":{"type":"ec2","blob":"{\"access\":\"00ALICE1\"}"}}`, 409, ""},
		{"GET", "/v3/credentials/nothing", ``, 404, ""},
		{"PUT", "/v3.0/OS-CREDENTIAL/credentials/00ALICE1", `{"credential":{"status":"asleep"}}`, 400, "credential.status"},
		{"GET", "/v3/nothing", ``, 404, ""},
		{"GET", "/", ``, 300, ""},
		{"PATCH", "/v3/auth/tokens", ``, 405, ""},
		{"POST", "/v3/projects", `{"project":{"name":"x","description":"` + strings.Repeat("x", 70_000) + `"}}`, 413, ""},
	} {
		a := w.ask("admin", tc.method, tc.target, tc.body)
		if a.code != tc.code {
			t.Errorf("%s %.60q %.60s: %d %s, want %d", tc.method, tc.target, tc.body, a.code, a.body, tc.code)
			continue
		}
		if tc.code >= 400 {
			checkFault(t, a, tc.code)
		}
		if !strings.Contains(a.body, tc.names) {
			t.Errorf("%s %.60q: the message does not name %s: %s", tc.method, tc.target, tc.names, a.body)
		}
	}
}

// Without a token nobody is told even whether a path exists; a token of no
// form is no error of ours.
func TestNobodyIsToldAnything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, target := range []string{"/v3/projects", "/v3/users", "/v3/users/x", "/v3/auth/tokens", "/v3/auth/catalog", "/v3/credentials", "/v3.0/OS-CREDENTIAL/credentials"} {
		checkFault(t, w.ask("", "GET", target, ""), http.StatusUnauthorized)
		checkFault(t, w.ask("", "GET", target+"/", "", "X-Auth-Token", "\xff"), http.StatusUnauthorized)
		checkFault(t, w.ask("", "GET", target, "", "X-Auth-Token", strings.Repeat("a", 1<<20)), http.StatusUnauthorized)
		checkFault(t, w.ask("", "GET", target, "", "Authorization", "SDK-HMAC-SHA256 nonsense"), http.StatusUnauthorized)
	}
}

// signed sends a request that is signed with the date only, as Huawei's clients
// do.
func (w *world) signed(target, access, secret string) answer {
	w.t.Helper()
	r := httptest.NewRequest("GET", "https://id.test"+target, nil)
	if err := aksk.Sign(r, access, sensitive.Take([]byte(secret)), *w.now.Load()); err != nil {
		w.t.Fatal(err)
	}
	return w.send(r)
}

// The rows of aksk-signing.md §12 that are the identity's.
func TestHuaweiChecklist(t *testing.T) {
	t.Parallel()
	projects := func(t *testing.T, a answer) []string {
		t.Helper()
		var body struct{ Projects []struct{ ID, Name string } }
		if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.code != 200 || !strings.Contains(a.body, `"projects":[`) {
			t.Fatalf("%d %s", a.code, a.body)
		}
		var found []string
		for _, p := range body.Projects {
			found = append(found, p.ID+" "+p.Name)
		}
		return found
	}
	for name, test := range map[string]func(*testing.T, *world){
		"SIG-008 the region is exactly one project": func(t *testing.T, w *world) {
			found := projects(t, w.signed("/v3/projects?name=cn-north-4", "00ALICE1", "alice's secret"))
			if len(found) != 1 || found[0] != demo+" cn-north-4" {
				t.Errorf("projects %v", found)
			}
		},
		"SIG-009 an unknown name is no project": func(t *testing.T, w *world) {
			for _, name := range []string{"cn-north-1", "other"} { // the second is somebody else's
				if found := projects(t, w.signed("/v3/projects?name="+name, "00ALICE1", "alice's secret")); len(found) != 0 {
					t.Errorf("projects %v", found)
				}
			}
		},
		"SIG-010, SIG-012 another tenant's project": func(t *testing.T, w *world) {
			other := w.ask("admin", "GET", "/v3/projects?name=other", "")
			id := strings.Fields(projects(t, other)[0])[0]
			checkFault(t, w.ask("alice", "GET", "/v3/projects/"+id, ""), http.StatusForbidden)
			checkFault(t, w.signed("/v3/projects/"+id, "00ALICE1", "alice's secret"), http.StatusForbidden)
		},
		"SIG-011 a login, and a wrong password": func(t *testing.T, w *world) {
			a := w.ask("", "POST", "/v3/auth/tokens", login("alice", "alice's", `,"scope":{"project":{"name":"cn-north-4"}}`))
			if a.code != 201 || a.header.Get("X-Subject-Token") == "" || !strings.Contains(a.body, demo) {
				t.Errorf("%d %s", a.code, a.body)
			}
			a = w.ask("", "POST", "/v3/auth/tokens", login("alice", "canary-2", ""))
			checkFault(t, a, http.StatusUnauthorized)
			b := w.ask("", "POST", "/v3/auth/tokens", login("nobody", "canary-2", ""))
			if a.body != b.body || a.header.Get("X-Subject-Token") != "" {
				t.Errorf("a wrong password is %s, an unknown user %s", a.body, b.body)
			}
			w.quiet("canary-2", "alice's")
		},
		"SIG-013 an expired token": func(t *testing.T, w *world) {
			w.pass(24*time.Hour - time.Microsecond)
			if a := w.ask("alice", "GET", "/v3/auth/projects", ""); a.code != 200 {
				t.Errorf("just before: %d", a.code)
			}
			w.pass(time.Microsecond)
			checkFault(t, w.ask("alice", "GET", "/v3/auth/projects", ""), http.StatusUnauthorized)
		},
		"SIG-014 there are no temporary keys": func(t *testing.T, w *world) {
			checkFault(t, w.signed("/v3/projects", "TEMPORARY1", "secret"), http.StatusUnauthorized)
		},
		"SIG-015 a disabled key": func(t *testing.T, w *world) {
			a := w.ask("alice", "PUT", "/v3.0/OS-CREDENTIAL/credentials/00ALICE1", `{"credential":{"status":"inactive"}}`)
			if a.code != 200 {
				t.Fatalf("%d %s", a.code, a.body)
			}
			checkFault(t, w.signed("/v3/projects", "00ALICE1", "alice's secret"), http.StatusUnauthorized)
		},
		"a wrong signature": func(t *testing.T, w *world) {
			checkFault(t, w.signed("/v3/projects", "00ALICE1", "canary-3"), http.StatusUnauthorized)
			w.quiet("canary-3", "alice's secret")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t))
		})
	}
}

func TestTrailingSlashIsTheSameRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, target := range []string{"/v3", "/v3/projects", "/v3/auth/projects", "/v3/roles"} {
		a, b := w.ask("admin", "GET", target, ""), w.ask("admin", "GET", target+"/", "")
		if a.code != 200 || b.code != 200 {
			t.Errorf("%s: %d and %d", target, a.code, b.code)
		}
	}
	checkFault(t, w.ask("admin", "GET", "/v3//projects", ""), http.StatusNotFound)
}

func TestEveryKindHasAStatus(t *testing.T) {
	t.Parallel()
	for _, k := range fault.Kinds {
		if code := identity.StatusOf(k); code < 400 {
			t.Errorf("%v is %d", k, code)
		}
	}
}
