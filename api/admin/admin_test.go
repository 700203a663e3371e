package admin_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/admin"
)

func TestHealth(t *testing.T) {
	ok := admin.Check{Name: "database", Ask: func(context.Context) error { return nil }}
	bad := admin.Check{Name: "token", Ask: func(context.Context) error { return errors.New("the PIN was rejected") }}
	gone := admin.Check{Name: "database", Ask: bad.Ask}
	first := admin.Check{Name: "token group first", Kind: "token", Ask: ok.Ask}
	second := admin.Check{Name: "token group second", Kind: "token", Ask: bad.Ask}
	third := admin.Check{Name: "token group third", Kind: "token", Ask: bad.Ask}
	for _, tc := range []struct {
		name     string
		checks   []admin.Check
		draining bool
		path     string
		status   int
		contains string
	}{
		{"alive though the token is away", []admin.Check{ok, bad}, false, "/livez", 200, `"ok"`},
		{"ready", []admin.Check{ok}, false, "/readyz", 200, `{"status":"ok"}`},
		{"ready, with its parts", []admin.Check{ok}, false, "/readyz?verbose", 200, `"database":"ok"`},
		{"not ready says why", []admin.Check{ok, bad}, false, "/readyz", 503, "the PIN was rejected"},
		{"not ready while stopping", []admin.Check{ok}, true, "/readyz", 503, "draining"},
		{"health lists every part", []admin.Check{ok, bad}, false, "/healthz", 503, `"database":"ok"`},
		{"one of a kind is enough", []admin.Check{ok, first, second}, false, "/readyz", 200, `"status":"degraded"`},
		{"whichever it is", []admin.Check{second, first, ok}, false, "/readyz", 200, `"token group second":"the PIN was rejected"`},
		{"health says the same", []admin.Check{ok, first, second}, false, "/healthz", 200, `"status":"degraded"`},
		{"none of a kind is not", []admin.Check{ok, second, third}, false, "/readyz", 503, `"status":"unavailable"`},
		{"another kind does not help", []admin.Check{gone, first, second}, false, "/readyz", 503, `"status":"unavailable"`},
		{"degraded and stopping", []admin.Check{ok, first, second}, true, "/readyz", 503, "draining"},
		{"no such path", nil, false, "/x", 404, "no such path"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := mux.NewRouter()
			(&admin.API{
				Metrics: http.NotFoundHandler(), LogLevel: http.NotFoundHandler(), Checks: tc.checks,
				Draining: func() bool { return tc.draining }, Version: func() any { return "v" },
			}).Mount(r)
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest("GET", tc.path, nil))
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.contains) {
				t.Errorf("%s = %d %s, want %d with %s", tc.path, w.Code, w.Body, tc.status, tc.contains)
			}
			if w.Code == 503 && tc.path == "/readyz" && w.Header().Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
}
