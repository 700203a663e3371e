package barbican_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/api/barbican"
)

// self is the href of the first version's link.
func self(t *testing.T, v any) string {
	t.Helper()
	m, _ := v.(map[string]any)
	links, _ := m["links"].([]any)
	if len(links) != 2 {
		t.Fatalf("version %v", v)
	}
	first, _ := links[0].(map[string]any)
	if first["rel"] != "self" {
		t.Errorf("first link %v", first)
	}
	href, _ := first["href"].(string)
	return href
}

func stable(t *testing.T, v any) {
	t.Helper()
	m, _ := v.(map[string]any)
	if m["id"] != "v1" || m["status"] != "stable" || m["media-types"] == nil || m["min_version"] != nil || m["max_version"] != nil {
		t.Errorf("version %v", v)
	}
	if got := self(t, v); got != base+"/v1/" {
		t.Errorf("self is %q", got)
	}
}

func current(t *testing.T, v any) {
	t.Helper()
	m, _ := v.(map[string]any)
	if m["id"] != "v1" || m["status"] != "CURRENT" || m["media-types"] != nil || m["min_version"] != "1.0" || m["max_version"] != "1.2" {
		t.Errorf("version %v", v)
	}
	if got := self(t, v); got != base+"/v1/" {
		t.Errorf("self is %q", got)
	}
}

func TestDiscovery(t *testing.T) {
	const v11 = "OpenStack-API-Version: key-manager 1.1"
	root := func(check func(*testing.T, any), member func(map[string]any) any) func(*testing.T, *world, answer) {
		return func(t *testing.T, _ *world, a answer) {
			t.Helper()
			check(t, member(a.json()))
		}
	}
	values := func(m map[string]any) any {
		v, _ := m["versions"].(map[string]any)
		list, _ := v["values"].([]any)
		return list[0]
	}
	list := func(m map[string]any) any {
		v, _ := m["versions"].([]any)
		return v[0]
	}
	one := func(m map[string]any) any { return m["version"] }
	run(t, []row{
		{id: "BAR-001 BAR-006", as: "-", do: "GET /", want: 300, check: root(stable, values)},
		{id: "BAR-001 bad token", as: "garbage", do: "GET /", want: 300, check: root(stable, values)},
		{id: "BAR-002", as: "-", do: "GET /", headers: v11, want: 300, check: root(current, list)},
		{id: "BAR-003", as: "-", do: "GET /", headers: "OpenStack-API-Version: key-manager latest", want: 300,
			check: all(root(current, list), headerIs("OpenStack-API-Version", "key-manager 1.2"))},
		{id: "BAR-004", as: "-", do: "GET /", headers: "Accept: application/json-home", want: 302,
			check: headerIs("Location", base+"/v1/")},
		{id: "BAR-004 not against JSON", as: "-", do: "GET /", headers: "Accept: application/json, application/json-home", want: 300},
		{id: "§4.3 neither", as: "-", do: "GET /", headers: "Accept: text/plain", want: 406, check: description(nil)},
		{id: "BAR-005", as: "-", do: "GET /?build", want: 200, check: bodyIs(`{"build":"1.2.3"}`)},
		{id: "BAR-005", as: "-", do: "GET /?build=x", want: 200},
		{id: "BAR-007", as: "-", do: "POST /", want: 405, check: headerIs("Allow", "GET")},
		{id: "BAR-008", do: "GET /v1", want: 200, check: root(stable, one)},
		{id: "BAR-009", do: "GET /v1/", want: 200, check: root(stable, one)},
		{id: "§4.4", do: "GET /v1/", headers: "Accept: application/json-home", want: 200, check: root(stable, one)},
		{id: "§4.4", do: "GET /v1/", headers: "Accept: text/plain", want: 406},
		{id: "BAR-010", do: "GET /v1", headers: v11, want: 200, check: root(current, one)},
		{id: "BAR-011", do: "POST /v1", want: 405, check: headerIs("Allow", "GET")},
		{id: "BAR-012", do: "GET /v1.0", want: 404, check: description("")},
		{id: "BAR-012", do: "GET /v2", want: 404},
		{id: "BAR-012", do: "GET /foo", want: 404},
		{id: "BAR-013", do: "GET /v1/foo", want: 404, check: description("")},
		{id: "BAR-014", do: "GET /v1/cas", want: 404},
		{id: "§4.1 applies to /", as: "-", do: "GET /", headers: "OpenStack-API-Version: key-manager 9.9", want: 406},
		{id: "§4.5", as: "-", do: "GET /healthcheck", want: 200, check: bodyIs("OK\n")},
		{id: "§4.5", as: "-", do: "GET /healthcheck/", want: 200},
		{id: "§4.5", as: "-", do: "POST /healthcheck", want: 405},
	})
}

func TestHealthcheckSaysNo(t *testing.T) {
	w := newWorld(t, func(a *barbican.API) {
		a.Healthy = func(context.Context) error { return errors.New("draining") }
	})
	if a := w.do("", "GET /healthcheck", "", ""); a.code != 503 || a.body != "unavailable\n" {
		t.Errorf("%d %q", a.code, a.body)
	}
}

func TestRouting(t *testing.T) {
	run(t, []row{
		{id: "BAR-015", do: "GET /v1/secrets/", want: 200},
		{id: "BAR-016", do: "POST /v1/secrets/", body: "{}", want: 201},
		{id: "BAR-017", do: "HEAD /v1/secrets", want: 405, check: bodyIs("")},
		{id: "BAR-017", do: "HEAD /v1/secrets/{ST}", want: 405, check: bodyIs("")},
		{id: "BAR-018", do: "OPTIONS /v1/secrets", want: 405, check: headerIs("Allow", "GET, POST")},
		{id: "BAR-019", do: "PUT /v1/secrets", want: 405, check: all(headerIs("Allow", "GET, POST"), description(""))},
		{id: "BAR-019", do: "DELETE /v1/secrets", want: 405, check: headerIs("Allow", "GET, POST")},
		{id: "BAR-019", do: "PATCH /v1/secrets", want: 405, check: headerIs("Allow", "GET, POST")},
		{id: "§2.3", do: "BREW /v1/secrets/{ST}", want: 405, check: headerIs("Allow", "DELETE, GET, PUT")},
		{id: "§2.2 empty segments", do: "GET /v1//secrets", want: 404},
		{id: "§2.2 empty segments", do: "GET /v1/secrets//", want: 404},
		{id: "§2.2 dots", do: "GET /v1/secrets/../secrets", want: 404},
		{id: "§2.2 no extensions", do: "GET /v1/secrets.json", want: 404},
		{id: "§20.3 known segments are no project", do: "GET /v1/containers/secrets", want: 404},
		{id: "§20.3 known segments are no project", do: "GET /v1/secrets/secrets", want: 404},
		{id: "BAR-020", do: "GET /v1/secrets", want: 200, check: all(
			headerIs("OpenStack-API-Version", "key-manager 1.0"), headerIs("Vary", "OpenStack-API-Version"), requestID)},
		{id: "BAR-020 on errors", do: "GET /v1/secrets/{NX}", want: 404, check: all(
			headerIs("OpenStack-API-Version", "key-manager 1.0"), headerIs("Vary", "OpenStack-API-Version"), requestID)},
		{id: "BAR-020 without access", as: "-", do: "GET /v1/secrets", want: 401, check: requestID},
		{id: "BAR-020 unknown path", as: "-", do: "GET /foo", want: 404, check: requestID},
	})
}

func requestID(t *testing.T, _ *world, a answer) {
	t.Helper()
	got := a.header.Get("X-OpenStack-Request-Id")
	if !regexp.MustCompile(`^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(got) {
		t.Errorf("request ID %q", got)
	}
}

func TestMicroversionHeader(t *testing.T) {
	echoes := func(v string) func(*testing.T, *world, answer) {
		return headerIs("OpenStack-API-Version", "key-manager "+v)
	}
	var rows []row
	for _, tc := range []struct {
		id, header string
		want       int
		echo       string
	}{
		{"BAR-021", "key-manager 1.1", 200, "1.1"},
		{"BAR-022", "KEY-MANAGER 1.1", 200, "1.1"},
		{"BAR-023", "key-manager 1.2, compute 2.1", 200, "1.2"},
		{"BAR-024", "compute 2.1", 200, "1.0"},
		{"BAR-025", "1.1", 200, "1.0"},
		{"§4.1 the last one counts", "key-manager 9.9, key-manager 1.1", 200, "1.1"},
		{"§4.1 leading zeros", "key-manager 1.01", 200, "1.1"},
		{"§4.1 latest", "key-manager latest", 200, "1.2"},
		{"BAR-026", "key-manager 9.9", 406, ""},
		{"BAR-026", "key-manager 0.9", 406, ""},
		{"BAR-026", "key-manager 1.3", 406, ""},
		{"BAR-026", "key-manager 1.99999999999999999999", 406, ""},
		{"BAR-027", "key-manager abc", 400, ""},
		{"BAR-027", "key-manager 1", 400, ""},
		{"BAR-027", "key-manager 1.1.1", 400, ""},
		{"BAR-027", "key-manager -1.1", 400, ""},
		{"BAR-027", "key-manager 1.1 beta", 400, ""},
	} {
		rows = append(rows, row{id: tc.id, do: "GET /v1/secrets", headers: "OpenStack-API-Version: " + tc.header, want: tc.want})
		if tc.want == 200 {
			rows[len(rows)-1].check = echoes(tc.echo)
		}
	}
	rows = append(rows,
		row{id: "§4.1 repeated headers", do: "GET /v1/secrets", want: 200, check: echoes("1.2"),
			headers: "OpenStack-API-Version: key-manager 1.1\nOpenStack-API-Version: key-manager 1.2"},
		row{id: "§4.1 after 401", as: "-", do: "GET /v1/secrets", headers: "OpenStack-API-Version: key-manager 9.9", want: 401},
		row{id: "§6.2 before 404", do: "GET /v1/foo", headers: "OpenStack-API-Version: key-manager 9.9", want: 406},
	)
	run(t, rows)
}

func TestWhoAsks(t *testing.T) {
	refused := func(t *testing.T, _ *world, a answer) {
		t.Helper()
		if got, want := a.header.Get("WWW-Authenticate"), `Keystone uri="https://identity.test/v3"`; got != want {
			t.Errorf("WWW-Authenticate: %q, want %q", got, want)
		}
		inner, _ := a.json()["error"].(map[string]any)
		if inner["code"] != 401.0 || inner["title"] != "Unauthorized" || inner["message"] == "" {
			t.Errorf("body %s", a.body)
		}
	}
	rows := []row{
		{id: "BAR-028", as: "-", do: "GET /v1/nothing/here", want: 401, check: refused},
		{id: "BAR-028", as: "-", do: "GET /v1/", want: 401, check: refused},
		{id: "BAR-029", as: "garbage", do: "GET /v1/secrets", want: 401, check: refused},
		{id: "BAR-029", as: strings.Repeat("x", 100_000), do: "GET /v1/secrets", want: 401, check: refused},
		{id: "BAR-031", as: "unscoped", do: "GET /v1/secrets", want: 401, check: refused},
		{id: "§3.1 service token", do: "GET /v1/secrets", headers: "X-Service-Token: svc", want: 200},
		{id: "§3.1 bad service token", do: "GET /v1/secrets", headers: "X-Service-Token: garbage", want: 401, check: refused},
		{id: "§3.1 long service token", do: "GET /v1/secrets", headers: "X-Service-Token: " + strings.Repeat("x", 17<<10), want: 401, check: refused},
		{id: "BAR-032", do: "POST /v1/secrets", headers: "X-Project-Id: other\nX-Roles: admin\nX-User-Id: somebody", body: "{}", want: 201,
			check: shows("creator_id", "u1")},
		{id: "BAR-032", as: "obs", do: "POST /v1/secrets", headers: "X-Project-Id: other\nX-Roles: admin", body: "{}", want: 403},
	}
	for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH"} {
		for _, path := range []string{"/v1/secrets", "/v1/secrets/{ST}", "/v1/secrets/{ST}/acl", "/v1/secrets/{ST}/consumers", "/v1/containers", "/v1/orders"} {
			for _, project := range []string{"dummy", projectP} {
				rows = append(rows, row{id: "BAR-030", as: "-", do: method + " " + path, headers: "X-Project-Id: " + project, want: 401})
			}
		}
	}
	run(t, rows)
}

func TestIdentityAwayIs503(t *testing.T) {
	w := newWorld(t)
	w.identity.away = true
	a := w.do("u1", "GET /v1/secrets", "", "")
	if a.code != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", a.code, a.header.Get("Retry-After"))
	}
	a.isError(t)
}

func TestNoAuthMode(t *testing.T) {
	noAuth := func(a *barbican.API) { a.NoAuth, a.Identity = true, nil }
	run(t, []row{
		{id: "BAR-033", as: "-", do: "GET /v1/secrets", want: 400},
		{id: "BAR-033", as: "-", do: "GET /v1/nothing", want: 400},
		{id: "BAR-033", as: "-", do: "GET /v1/secrets", headers: "X-Project-Id:", want: 400},
		{id: "§3.2 the installation is no project", as: "-", do: "GET /v1/secrets", headers: "X-Project-Id: installation keys", want: 400},
		{id: "BAR-034", as: "-", do: "POST /v1/secrets", headers: "X-Project-Id: p", body: "{}", want: 201},
		{id: "BAR-034 empty", as: "-", do: "POST /v1/secrets", headers: "X-Project-Id: p\nX-Roles:", body: "{}", want: 201},
		{id: "BAR-035", as: "-", do: "POST /v1/secrets", headers: "X-Project-Id: p\nX-Roles: CREATOR", body: "{}", want: 201},
		{id: "BAR-035", as: "-", do: "POST /v1/secrets", headers: "X-Project-Id: p\nX-Roles: x,  Creator ", body: "{}", want: 201},
		{id: "§3.2 policies apply", as: "-", do: "POST /v1/secrets", headers: "X-Project-Id: p\nX-Roles: observer", body: "{}", want: 403},
		{id: "§3.2 blanks and commas are no admin", as: "-", do: "POST /v1/secrets", headers: "X-Project-Id: p\nX-Roles: ,", body: "{}", want: 403},
		{id: "§3.4 any string is a project", as: "-", do: "GET /v1/secrets", headers: "X-Project-Id: größer/als ?#", want: 200},
		{id: "§3.4 at most 255 characters", as: "-", do: "GET /v1/secrets", headers: "X-Project-Id: " + strings.Repeat("p", 256), want: 400},
		{id: "§3.4 in UTF-8", as: "-", do: "GET /v1/secrets", headers: "X-Project-Id: \xff\xfe", want: 400},
		{id: "BAR-559", as: "-", do: "POST /v1/12345/secrets", body: "{}", want: 201, check: func(t *testing.T, w *world, a answer) {
			if ref, _ := a.json()["secret_ref"].(string); !strings.HasPrefix(ref, base+"/v1/12345/secrets/") {
				t.Errorf("secret_ref %q", ref)
			}
			got := w.do("", "GET /v1/secrets", "X-Project-Id: 12345", "")
			if got.json()["total"] != 1.0 {
				t.Errorf("project 12345 holds %s", got.body)
			}
		}},
		{id: "BAR-559 both", as: "-", do: "GET /v1/12345/secrets", headers: "X-Project-Id: 12345", want: 200},
		{id: "§20.3 both, not equal", as: "-", do: "GET /v1/12345/secrets", headers: "X-Project-Id: 6", want: 403},
		{id: "§20.3 control characters", as: "-", do: "GET /v1/%00/secrets", want: 400},
		{id: "§20.3 not UTF-8", as: "-", do: "GET /v1/%ff/secrets", want: 400},
		{id: "BAR-113", as: "-", do: "POST /v1/secrets", headers: "X-Project-Id: p", body: "{}", want: 201, check: creatorInNoAuth(nil)},
		{id: "§3.2 X-User-Id", as: "-", do: "POST /v1/secrets", headers: "X-Project-Id: p\nX-User-Id: me", body: "{}", want: 201, check: creatorInNoAuth("me")},
	}, noAuth)
}

func creatorInNoAuth(want any) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		ref, _ := a.json()["secret_ref"].(string)
		got := w.do("", "GET "+strings.TrimPrefix(ref, base), "X-Project-Id: p", "").json()
		if got["creator_id"] != want {
			t.Errorf("creator_id %v, want %v", got["creator_id"], want)
		}
	}
}

func TestOrderOfChecks(t *testing.T) {
	run(t, []row{
		{id: "BAR-036", as: "norole", do: "GET /v1/secrets", want: 403},
		{id: "BAR-037", as: "norole", do: "GET /v1/secrets/{NX}", want: 404},
		{id: "BAR-038", as: "norole", do: "PATCH /v1/secrets/{ST}", want: 405},
		{id: "BAR-039", as: "norole", do: "GET /v1/secrets/{ST}", headers: "Accept: foo/bar", want: 406},
		{id: "BAR-040", do: "PATCH /v1/secrets/{NX}", want: 404},
		{id: "BAR-040", do: "PATCH /v1/secrets/{BAD}", want: 404},
		{id: "BAR-041", as: "obs", do: "POST /v1/secrets", headers: "Content-Type: text/plain", body: "garbage", want: 403},
		{id: "BAR-042", do: "GET /v1/secrets", headers: "Accept: text/plain", want: 406, check: description(nil)},
		{id: "BAR-043", do: "GET /v1/secrets", headers: "Accept: application/json; charset=utf-8", want: 200},
		{id: "BAR-044", do: "GET /v1/secrets", headers: "Accept: text/html,application/xhtml+xml,*/*;q=0.8", want: 200, check: headerIs("Content-Type", "application/json")},
		{id: "BAR-045", do: "GET /v1/secrets", headers: "Accept: application/json, text/plain, */*", want: 200},
		{id: "§5.1 empty", do: "GET /v1/secrets", headers: "Accept:", want: 200},
		{id: "§5.1 application/*", do: "GET /v1/secrets", headers: "Accept: application/*", want: 200},
		{id: "§5.1 not wanted", do: "GET /v1/secrets", headers: "Accept: text/html, application/json;q=0", want: 406},
		{id: "BAR-046", do: "POST /v1/secrets", headers: "Accept: text/plain", body: "{}", want: 406, check: func(t *testing.T, w *world, _ answer) {
			if got := w.do("u1", "GET /v1/secrets", "", "").json()["total"]; got != 3.0 {
				t.Errorf("%v secrets, want the 3 of the fixture", got)
			}
		}},
		{id: "BAR-047", do: "GET /v1/secrets/{BAD}", headers: "Accept: text/plain", want: 404},
		{id: "BAR-048", do: "POST /v1/secrets", headers: "Host: evil.example", body: "{}", want: 201, check: func(t *testing.T, _ *world, a answer) {
			if loc := a.header.Get("Location"); !strings.HasPrefix(loc, base+"/v1/secrets/") || strings.Contains(a.body, "evil") {
				t.Errorf("Location %q, body %s", loc, a.body)
			}
		}},
	})
	run(t, []row{
		{id: "BAR-049", do: "POST /v1/secrets", headers: "Host: kms.example:9311\nX-Forwarded-Proto: https", body: "{}", want: 201, check: refStarts("https://kms.example:9311/v1/")},
		{id: "§7.4 no proxy", do: "POST /v1/secrets", headers: "Host: kms.example", body: "{}", want: 201, check: refStarts("http://kms.example/v1/")},
		{id: "§7.4 a proxy that lies", do: "POST /v1/secrets", headers: "Host: kms.example\nX-Forwarded-Proto: javascript", body: "{}", want: 201, check: refStarts("http://kms.example/v1/")},
	}, func(a *barbican.API) { a.Host = "" })
	run(t, []row{
		{id: "§7.4 a prefix, a slash", do: "POST /v1/secrets", body: "{}", want: 201, check: refStarts("https://cloud/key-manager/v1/secrets/")},
	}, func(a *barbican.API) { a.Host = "https://cloud/key-manager/" })
}

func refStarts(with string) func(*testing.T, *world, answer) {
	return func(t *testing.T, _ *world, a answer) {
		t.Helper()
		ref, _ := a.json()["secret_ref"].(string)
		if !strings.HasPrefix(ref, with) || a.header.Get("Location") != ref {
			t.Errorf("secret_ref %q, Location %q", ref, a.header.Get("Location"))
		}
	}
}
