package csms_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/api/aksk"
)

// routes is what a client may ask for, written out once more: the table in the
// product is not its own proof.
var routes = map[string]string{
	base:                             "GET, POST",
	base + "/demo":                   "DELETE, GET, PUT",
	base + "/demo/versions":          "GET, POST",
	base + "/demo/versions/v1":       "GET, PUT",
	base + "/demo/stages/SYSCURRENT": "DELETE, GET, PUT",

	base + "/demo/scheduled-deleted-tasks/create": "POST",
	base + "/demo/scheduled-deleted-tasks/cancel": "POST",
	base + "/batch-import":                        "DELETE, GET, POST, PUT", // a secret may be called so
	base + "/batch-get-secret-value":              "DELETE, GET, POST, PUT",
	csmsPath + "/demo/tags":                       "GET, POST",
	csmsPath + "/demo/tags/env":                   "DELETE",
	base + "/demo/rotate":                         "POST",
	tasks:                                         "GET",
	csmsPath + "/demo/tags/action":                "DELETE, POST", // a tag may be called so
	csmsPath + "/tags":                            "GET",
	csmsPath + "/resource_instances/action":       "POST",
	csmsPath + "/generate-password":               "POST",
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"}

func TestMethodsThatAPathLacks(t *testing.T) { // CSMS-179
	rm := open(t)
	rm.secret("demo", "x")
	for path, allow := range routes {
		for _, slash := range []string{"", "/"} {
			for _, method := range methods {
				if slices.Contains(strings.Split(allow, ", "), method) {
					continue
				}
				a := rm.do(method, path+slash, "").fault(405, "APIGW.0101")
				if got := a.header.Get("Allow"); got != allow {
					t.Errorf("%s %s: Allow %q, want %q", method, path, got, allow)
				}
			}
		}
	}
}

func TestPathsThatAreNotThere(t *testing.T) { // CSMS-180
	rm := open(t)
	for _, path := range []string{
		"/", "/v1", "/v1/", "/v1/" + ours, "/v1/" + ours + "/", "/v1/" + ours + "/nothing", "/v1/csms/agencies",
		base + "/demo/nothing", base + "/demo/versions/v1/x", base + "/demo/stages", base + "/restore/now", "/v2/" + ours + "/secrets", "/v1x", "/%00",
	} {
		for _, caller := range []string{"alice", ""} {
			rm.as(caller).do("GET", path, "").fault(404, "APIGW.0101")
			rm.as(caller).do("POST", path, "{}").fault(404, "APIGW.0101")
		}
	}
}

// CSMS-107, CSMS-181, SIG-001's TV7: a path that others would clean.
func TestPathsThatNobodyCleans(t *testing.T) {
	rm := open(t)
	for _, path := range []string{
		base + "//versions", "/v1/" + ours + "//secrets", "/v1//secrets", "//v1/" + ours + "/secrets", base + "//", base + "/demo//", base + "/demo//versions/v1",
		base + "/.", base + "/..", base + "/../secrets", base + "/demo/versions/.", base + "/./demo", "/v1/../v1/" + ours + "/secrets", base + "/%2e%2e/x", base + "/demo%2F%2Fx", "/v1/.",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			rm.do(method, path, `{"secret_string":"x"}`).fault(400, "CSMS.0003")
			rm.as("ak:ALICE").do(method, path, `{"secret_string":"x"}`).fault(400, "CSMS.0003")
			rm.as("ak:NORA").do(method, path, `{}`).fault(400, "CSMS.0003")
			rm.as("").do(method, path, `{}`).fault(401, "APIGW.0301")
			rm.as("nobody").do(method, path, `{}`).fault(401, "APIGW.0301")
		}
	}
}

func TestWhoAsks(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "x")
	for _, caller := range []string{"", "nobody"} { // CSMS-049, SIG-013
		for path, allow := range routes {
			for method := range strings.SplitSeq(allow, ", ") {
				rm.as(caller).do(method, path, "not JSON").fault(401, "APIGW.0301")
			}
		}
	}
	for caller, words := range map[string]string{"": "x-auth-token not found", "nobody": "decrypt token fail"} { // SIG-005
		a := rm.as(caller).do("GET", base, "").fault(401, "APIGW.0301")
		if msg := a.at("error_msg").(string); !strings.HasPrefix(msg, "Incorrect IAM authentication information: ") || !strings.Contains(msg, words) {
			t.Errorf("%q, want %q in it", msg, words)
		}
	}
	a := rm.as("away").do("GET", base, "").fault(503, "CSMS.0914")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After while identity is away")
	}

	// A signature counts before an access token, and a bad one is not made good
	// by it; another kind of authorization does not matter beside a token.
	rm.as("alice").do("GET", base, "", "Authorization", "SDK-HMAC-SHA256 Access=x").fault(401, "APIGW.0301")
	rm.as("alice").do("GET", base, "", "Authorization", "Basic eDp5").ok()
	rm.as("").do("GET", base, "", "Authorization", "Basic eDp5").fault(401, "APIGW.0301")
}

func TestWhoseProject(t *testing.T) { // CSMS-059, SIG-010, SIG-012
	rm := open(t)
	rm.secret("demo", "x")
	for _, caller := range []string{"bob", "ak:BOB", "dora", "ak:DORA"} {
		for path, allow := range routes {
			for method := range strings.SplitSeq(allow, ", ") {
				rm.as(caller).do(method, path, "not JSON").fault(403, "APIGW.0302")
			}
		}
	}
	for _, project := range []string{"x", "%00", "%ff", strings.Repeat("p", 300), strings.ToUpper(ours), "%20", "é"} {
		for _, caller := range []string{"alice", "ak:ALICE"} {
			rm.as(caller).do("GET", "/v1/"+project+"/secrets", "").fault(403, "APIGW.0302")
		}
	}
}

// NV6 and aksk-signing.md §5 step 7: a project header counts where it is
// signed, and then it must be the path's.
func TestProjectHeader(t *testing.T) {
	rm := open(t)
	send := func(project string, headers ...string) answer {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), "GET", "http://csms.test"+base, nil)
		r.Header.Set("X-Project-Id", project)
		if err := aksk.Sign(r, "ALICE", rm.people.keys["ALICE"].Secret, rm.clock.now(), headers...); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		rm.handler.ServeHTTP(w, r)
		return rm.answered("GET", w)
	}
	send(theirs).ok()
	send(ours, "x-project-id").ok()
	send(theirs, "x-project-id").fault(403, "APIGW.0302")
}

// SIG-006 and "never a 5xx": every route and method with everything that can
// be wrong with a request.
func TestSweep(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "x")
	bodies := []string{
		"", "{}", "[]", "null", "{", "\xff", `"x"`, "5", strings.Repeat("[", 10000), "\x00",
		`{"name":{},"secret_string":[],"version_id":{},"expire_time":{},"kms_key_id":1,"event_subscriptions":{}}`,
		`{"name":"n","secret_string":"` + strings.Repeat("x", 100000) + `"}`,
		`{"name":"\u0000","secret_string":"\u0000","description":"\u0000","version_id":"\u0000","rotation_period":"\u0000","kms_key_id":"\u0000","enterprise_project_id":"\u0000","secret_type":"\u0000","event_subscriptions":["\u0000"],"version_stages":["\u0000"],"rotation_func_urn":"\u0000"}`,
		`{"name":"n","secret_string":"x","expire_time":-9223372036854775809,"version_id":"v99999999999999999999"}`,
		`{"action":{},"tags":[{}],"tag":[],"secrets":[[]],"secret_name_list":[1],"length":{},"recovery_window_in_days":{},"matches":[1]}`,
		`{"action":"filter","tags":[{"key":"\u0000","values":["\u0000"]}],"tag":{"key":"\u0000"},"secrets":[{"name":"\u0000"}],"secret_name_list":["\u0000"],"length":1e400,"recovery_window_in_days":"\u0000","exclude_characters":"\u0000"}`,
		`{"action":"filter","limit":99999999999999999999,"offset":"-0","matches":[{"key":"resource_name","value":"\u0000"}],"tags":[{"key":"a","values":["b"]}]}`,
		`{"action":"create","tags":[{"key":"k","value":"v"}],"tag":{"key":"k","value":"v"},"secrets":[{},{"name":"n"}],"secret_name_list":["demo","none"],"recovery_window_in_days":7}`,
		`{"secret_string":"x","secret_binary":"x","description":"` + strings.Repeat("é", 5000) + `"}`,
	}
	paths := []string{
		base, base + "/demo", base + "/demo/", base + "/none", base + "/%ff%fe", base + "/a%00b", base + "/" + strings.Repeat("n", 5000),
		base + "/demo/versions", base + "/demo/versions/v1", base + "/demo/versions/latest", base + "/demo/versions/v0", base + "/demo/versions/v2147483648", base + "/demo/versions/%ff",
		base + "/demo/stages/SYSCURRENT", base + "/demo/stages/%ff", base + "/demo/stages/none", base + "/none/versions/v1", base + "/none/stages/s",
		base + "/demo/scheduled-deleted-tasks/create", base + "/demo/scheduled-deleted-tasks/cancel", base + "/batch-import", base + "/batch-get-secret-value",
		csmsPath + "/demo/tags", csmsPath + "/demo/tags/env", csmsPath + "/demo/tags/%ff", csmsPath + "/%ff/tags/a%00", csmsPath + "/demo/tags/action",
		csmsPath + "/tags", csmsPath + "/resource_instances/action", csmsPath + "/generate-password",
		"/v1/" + theirs + "/secrets", "/v1/%ff/secrets/demo", "/v1/" + strings.Repeat("p", 1000) + "/secrets/demo/versions", "//", "/..", "/v1/" + ours + "/secrets//versions", "/v1/./.",
	}
	queries := []string{"", "?limit=x&marker=%00", "?limit=%zz", "?marker=%ff&event_name=%00"}
	for _, path := range paths {
		for _, method := range methods {
			for i, body := range bodies {
				q := queries[i%len(queries)]
				for _, caller := range []string{"alice", "nora"} {
					a := rm.as(caller).do(method, path+q, body)
					if a.status >= 500 {
						t.Errorf("%s %.80s with body %d as %s: %d %s", method, path+q, i, caller, a.status, a.raw)
					}
				}
			}
		}
	}
	for _, e := range rm.logs.All() {
		t.Errorf("logged: %s %v", e.Message, e.ContextMap())
	}
}

// The same over a connection: net/http cleans nothing, and what it refuses
// itself is not ours.
func TestSweepOverAConnection(t *testing.T) {
	rm := open(t)
	srv := httptest.NewServer(rm.handler)
	defer srv.Close()
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, path := range []string{base, base + "/", base + "//", base + "/../x", base + "/%2e%2e/x", base + "/x/.", "//v1"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Auth-Token", "alice")
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode >= 300 && res.StatusCode < 400 || res.StatusCode >= 500 {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}
