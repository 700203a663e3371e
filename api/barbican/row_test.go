package barbican_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/api/barbican"
)

// row is one line of the checklist (§25), or a part of one.
type row struct {
	id      string
	as      string // default u1; "-" sends no access token
	do      string // METHOD /path
	headers string // one a line
	body    string
	want    int
	check   func(*testing.T, *world, answer)
}

// run answers each row in a world of its own.
func run(t *testing.T, rows []row, change ...func(*barbican.API)) {
	t.Helper()
	for _, r := range rows {
		name := r.id + " " + r.do
		if r.body != "" {
			name += " " + r.body[:min(len(r.body), 60)]
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, change...)
			if w.api.NoAuth {
				w.names = nil
			} else {
				w.furnish()
			}
			r.in(t, w)
		})
	}
}

// in answers one row in w.
func (r row) in(t *testing.T, w *world) answer {
	t.Helper()
	as := r.as
	switch as {
	case "":
		as = "u1"
	case "-":
		as = ""
	}
	a := w.do(as, r.do, r.headers, r.body)
	a.t = t
	if a.code != r.want {
		t.Fatalf("%s %s %s: %d %s, want %d", r.id, r.do, r.headers, a.code, a.body, r.want)
	}
	if a.code >= 400 && !strings.HasPrefix(r.do, "HEAD") {
		a.isError(t)
	}
	if r.check != nil {
		r.check(t, w, a)
	}
	return a
}

// isError checks the shape of §6.1, which every row of an error implies.
func (a answer) isError(t *testing.T) {
	t.Helper()
	m := a.json()
	if m["code"] != float64(a.code) || m["title"] != http.StatusText(a.code) {
		t.Errorf("error body %s for status %d", a.body, a.code)
	}
	if _, ok := m["description"]; !ok {
		t.Errorf("error body without description: %s", a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type of an error is %q", got)
	}
}

// shown gets the metadata of the secret that the answer to a creation names.
func (w *world) shown(a answer) map[string]any {
	w.t.Helper()
	ref, _ := a.json()["secret_ref"].(string)
	got := w.do("u1", "GET "+strings.TrimPrefix(ref, base), "", "")
	if got.code != 200 {
		w.t.Fatalf("show %s: %d %s", ref, got.code, got.body)
	}
	return got.json()
}

// revealed gets the payload of the secret that the answer to a creation names.
func (w *world) revealed(a answer) string {
	w.t.Helper()
	ref, _ := a.json()["secret_ref"].(string)
	got := w.do("u1", "GET "+strings.TrimPrefix(ref, base)+"/payload", "", "")
	if got.code != 200 {
		w.t.Fatalf("reveal %s: %d %s", ref, got.code, got.body)
	}
	return got.body
}

// checks for rows.

func payload(want string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		if got := w.revealed(a); got != want {
			t.Errorf("payload %q, want %q", got, want)
		}
	}
}

func shows(member string, want any) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		if got := w.shown(a)[member]; got != want {
			t.Errorf("%s is %#v, want %#v", member, got, want)
		}
	}
}

func bodyIs(want string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		if want := w.fill(want); a.body != want {
			t.Errorf("body %q, want %q", a.body, want)
		}
	}
}

func headerIs(name, want string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		if got := a.header.Get(name); got != w.fill(want) {
			t.Errorf("%s: %q, want %q", name, got, w.fill(want))
		}
	}
}

func all(checks ...func(*testing.T, *world, answer)) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		for _, c := range checks {
			c(t, w, a)
		}
	}
}

// describes checks that the description of an error mentions text.
func describes(text string) func(*testing.T, *world, answer) {
	return func(t *testing.T, _ *world, a answer) {
		t.Helper()
		if d, _ := a.json()["description"].(string); !strings.Contains(d, text) {
			t.Errorf("description %q does not say %q", d, text)
		}
	}
}

func description(want any) func(*testing.T, *world, answer) {
	return func(t *testing.T, _ *world, a answer) {
		t.Helper()
		if got := a.json()["description"]; got != want {
			t.Errorf("description %#v, want %#v", got, want)
		}
	}
}

// quoted is a JSON string of n copies of s.
func quoted(s string, n int) string { return `"` + strings.Repeat(s, n) + `"` }
