package barbican_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/strongroom-kms/strongroom/api/barbican"
	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy/cedar"
	"github.com/strongroom-kms/strongroom/secret"
)

// The cast of the checklist (§25): users of project P, each with one role, and
// of another project.
const (
	base     = "https://kms.test"
	projectP = "11111111111111111111111111111111"
	projectQ = "22222222222222222222222222222222"
	NX       = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
)

type person struct{ project, role string }

var people = map[string]person{
	"u1":       {projectP, "creator"},
	"peer":     {projectP, "creator"},
	"adm":      {projectP, "admin"},
	"obs":      {projectP, "observer"},
	"aud":      {projectP, "audit"},
	"svc":      {projectP, "key-manager:service-admin"},
	"norole":   {projectP, "none"},
	"x":        {projectQ, "creator"},
	"x-adm":    {projectQ, "admin"},
	"unscoped": {"", "creator"},
}

// identity knows people by an access token that is their name.
type identity struct{ away bool }

func (i *identity) ByToken(_ context.Context, token string) (auth.Principal, error) {
	if i.away {
		return auth.Principal{}, fault.New(fault.Unavailable, "identity is away")
	}
	p, ok := people[token]
	if !ok {
		return auth.Principal{}, fault.New(fault.Unauthenticated, "no such access token")
	}
	return auth.Principal{
		User: auth.UserID(token), UserName: token, Project: auth.ProjectID(p.project),
		Roles: []string{p.role}, Method: auth.ByToken,
	}, nil
}

// journal keeps what was recorded.
type journal struct {
	mu     sync.Mutex
	events []audit.Event
}

func (j *journal) Record(_ context.Context, ev audit.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, ev)
	return nil
}

// clock stands still until somebody turns it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is one server with the checklist's fixtures, over real HTTP.
type world struct {
	t        testing.TB
	url      string
	api      *barbican.API
	secrets  *secret.Service
	identity *identity
	journal  *journal
	clock    *clock
	logs     *observer.ObservedLogs
	names    map[string]string // {ST} and so on
}

var judge = sync.OnceValue(func() *cedar.Judge {
	j, err := cedar.Load(cedar.Config{Mode: cedar.Legacy})
	if err != nil {
		panic(err)
	}
	return j
})

// newWorld starts a server; change adjusts the API before it is mounted.
func newWorld(t testing.TB, change ...func(*barbican.API)) *world {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	w := &world{
		t: t, identity: &identity{}, journal: &journal{}, logs: logs, names: map[string]string{},
		clock: &clock{at: time.Date(2026, 5, 16, 19, 40, 44, 123456000, time.UTC)},
	}
	var ids, events int
	var mu sync.Mutex
	count := func(n *int, format string) string {
		mu.Lock()
		defer mu.Unlock()
		*n++
		return fmt.Sprintf(format, *n)
	}
	sealer, store := newSealerAndStore(t, w.clock.now)
	w.secrets = secret.NewService(secret.Deps{
		Store: store, Sealer: sealer, Keys: sealer, Judge: judge(), Recorder: w.journal, Now: w.clock.now,
		NewID:      func() secret.ID { return secret.ID(count(&ids, "00000000-0000-4000-8000-%012d")) },
		NewEventID: func() string { return count(&events, "00000000-0000-7000-8000-%012d") },
	})
	w.api = &barbican.API{
		Secrets: w.secrets, Identity: w.identity, Host: base, AuthURL: "https://identity.test/v3",
		Version: "1.2.3", Now: w.clock.now, Log: zap.New(core),
	}
	for _, c := range change {
		c(w.api)
	}
	r := mux.NewRouter().SkipClean(true)
	w.api.Mount(r)
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

// furnish makes S0, ST and SB, all of u1 in project P.
func (w *world) furnish() *world {
	w.t.Helper()
	w.make("S0", `{}`)
	w.make("ST", `{"payload":"hello","payload_content_type":"text/plain"}`)
	w.make("SB", `{"payload":"AP8QYmluYXJ5","payload_content_type":"application/octet-stream","payload_content_encoding":"base64"}`)
	return w
}

// make creates a secret of u1 that rows can name.
func (w *world) make(name, body string) {
	w.t.Helper()
	a := w.do("u1", "POST /v1/secrets", "", body)
	if a.code != 201 {
		w.t.Fatalf("make %s: %d %s", name, a.code, a.body)
	}
	ref, _ := a.json()["secret_ref"].(string)
	w.names[name] = ref[strings.LastIndex(ref, "/")+1:]
}

// answer is a response, read to its end.
type answer struct {
	t      testing.TB
	code   int
	header http.Header
	body   string
}

// json is the body as an object.
func (a answer) json() map[string]any {
	a.t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		a.t.Fatalf("body %q: %v", a.body, err)
	}
	return m
}

var placeholder = regexp.MustCompile(`\{(\w+)\}`)

// fill puts real identifiers in the place of {ST}, {NX} and so on.
func (w *world) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(name string) string {
		switch name := strings.Trim(name, "{}"); name {
		case "NX":
			return NX
		case "BAD":
			return "not-a-uuid"
		case "P":
			return projectP
		case "Q":
			return projectQ
		default:
			if id, ok := w.names[name]; ok {
				return id
			}
		}
		return name
	})
}

// client does not follow redirects and adds no header of its own that matters.
var client = &http.Client{
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 2},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// do sends one request: "METHOD /path", headers one a line, a body. JSON is
// the Content-Type of a body unless a header says otherwise; "-Content-Type"
// sends none.
func (w *world) do(as, request, headers, body string) answer {
	w.t.Helper()
	method, path, _ := strings.Cut(w.fill(request), " ")
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if as != "" {
		req.Header.Set("X-Auth-Token", as)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for line := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if gone, ok := strings.CutPrefix(name, "-"); ok {
			req.Header.Del(gone)
			continue
		}
		if name == "Host" {
			req.Host = strings.TrimSpace(value)
			continue
		}
		req.Header[http.CanonicalHeaderKey(name)] = append(slices.Clone(added(req, name)), strings.TrimSpace(value))
	}
	w.clock.turn(time.Second)
	return w.send(req)
}

// added is what a line of headers adds to: all but a default is kept.
func added(req *http.Request, name string) []string {
	if strings.EqualFold(name, "Content-Type") {
		return nil
	}
	return req.Header[http.CanonicalHeaderKey(name)]
}

func (w *world) send(req *http.Request) answer {
	w.t.Helper()
	res, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{w.t, res.StatusCode, res.Header, string(body)}
}

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
