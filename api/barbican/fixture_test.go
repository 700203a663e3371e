package barbican_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/strongroom-kms/strongroom/api/barbican"
	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/order/keypair"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy/cedar"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/transport"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// The cast of the checklist (§25): users of project P, each with one role, and
// of another project.
const (
	base     = "https://kms.test"
	projectP = "11111111111111111111111111111111"
	projectQ = "22222222222222222222222222222222"
	NX       = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
)

// With each role, in the form of X-Roles.
type person struct{ project, roles string }

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
	"x-obs":    {projectQ, "observer"},
	"guest":    {projectQ, "none"},
	"unscoped": {"", "creator"},

	// Of the new rules, with the roles that theirs imply (§19.3).
	"mem":       {projectP, "member,reader"},
	"mem2":      {projectP, "member,reader"},
	"rdr":       {projectP, "reader"},
	"boss":      {projectP, "admin,member,reader"},
	"bare":      {projectP, "admin"},
	"x-mem":     {projectQ, "member,reader"},
	"x-rdr":     {projectQ, "reader"},
	"x-boss":    {projectQ, "admin,member,reader"},
	"loud":      {projectP, "Creator"},
	"x-nothing": {projectQ, "none"},
}

// identity knows people by an access token that is their name.
type identity struct{ away bool }

func (i *identity) ByTokens(_ context.Context, t auth.Tokens) (auth.Principal, error) {
	if i.away {
		return auth.Principal{}, fault.New(fault.Unavailable, "identity is away")
	}
	if who, ok := swept(t.User); ok {
		return who, nil
	}
	p, ok := people[t.User]
	if !ok || t.Service != "" && t.Service != "svc" {
		return auth.Principal{}, fault.New(fault.Unauthenticated, "no such access token")
	}
	return auth.Principal{
		User: auth.UserID(t.User), UserName: t.User, Project: auth.ProjectID(p.project),
		Roles: strings.Split(p.roles, ","), Method: auth.ByToken,
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
	t          testing.TB
	url        string
	handler    http.Handler // the same server without a network
	api        *barbican.API
	secrets    *secret.Service
	containers *container.Service
	orders     *order.Service
	quotas     *quota.Service
	gate       gate.Gate
	db         *postgres.DB
	token      *hsmtest.Memory
	second     *hsmtest.Memory // of the other token group
	identity   *identity
	journal    *journal
	clock      *clock
	logs       *observer.ObservedLogs
	names      map[string]string // {ST} and so on
	maker      string            // of what furnish makes
}

// judges has one for each set of rules, made once.
var judges = func() map[cedar.Mode]func() *cedar.Judge {
	all := map[cedar.Mode]func() *cedar.Judge{}
	for _, mode := range []cedar.Mode{cedar.Legacy, cedar.New, cedar.Union} {
		all[mode] = sync.OnceValue(func() *cedar.Judge {
			j, err := cedar.Load(cedar.Config{Mode: mode})
			if err != nil {
				panic(err)
			}
			return j
		})
	}
	return all
}()

// newWorld starts a server; change adjusts the API before it is mounted.
func newWorld(t testing.TB, change ...func(*barbican.API)) *world {
	t.Helper()
	return newWorldUnder(t, cedar.Legacy, change...)
}

// newWorldUnder is newWorld under another set of rules.
func newWorldUnder(t testing.TB, mode cedar.Mode, change ...func(*barbican.API)) *world {
	t.Helper()
	judge := judges[mode]
	core, logs := observer.New(zap.DebugLevel)
	w := &world{
		t: t, identity: &identity{}, journal: &journal{}, logs: logs, names: map[string]string{},
		clock: &clock{at: time.Date(2026, 5, 16, 19, 40, 44, 123456000, time.UTC)},
	}
	if w.maker = "u1"; mode == cedar.New {
		w.maker = "mem"
	}
	var ids, events int
	var mu sync.Mutex
	count := func(n *int, format string) string {
		mu.Lock()
		defer mu.Unlock()
		*n++
		return fmt.Sprintf(format, *n)
	}
	w.db, w.token, w.second = pgtest.Open(t), new(hsmtest.Memory), new(hsmtest.Memory)
	sealer := kek.NewSealer(kek.Deps{Tokens: kek.Groups{"default": w.token, "second": w.second}, Store: w.db, NewID: uuid.NewString, Now: w.clock.now})
	w.secrets = secret.NewService(secret.Deps{
		Store: w.db, Sealer: sealer, Keys: sealer, Judge: judge(), Recorder: w.journal, Now: w.clock.now,
		NewID:      func() secret.ID { return secret.ID(count(&ids, "00000000-0000-4000-8000-%012d")) },
		NewEventID: func() string { return count(&events, "00000000-0000-7000-8000-%012d") },
	})
	w.gate = gate.Gate{
		Judge: judge(), Recorder: w.journal, Now: w.clock.now,
		NewEventID: func() string { return count(&events, "00000000-0000-7000-8000-%012d") },
	}
	w.quotas = quota.NewService(quota.Deps{
		Store: w.db, Judge: judge(), Recorder: w.journal, Now: w.clock.now,
		NewEventID: func() string { return count(&events, "00000000-0000-7000-8000-%012d") },
	})
	w.containers = container.NewService(container.Deps{Store: w.db, NewID: uuid.NewString, Gate: w.gate})
	w.orders = order.NewService(order.Deps{
		Store: w.db, Sealer: sealer, Random: sealer, Pairs: keypair.NewMaker(2),
		Judge: judge(), Recorder: w.journal, Now: w.clock.now, Patience: time.Minute,
		NewID:          func() order.ID { return order.ID(count(&ids, "00000000-0000-4000-8000-%012d")) },
		NewSecretID:    func() secret.ID { return secret.ID(count(&ids, "00000000-0000-4000-8000-%012d")) },
		NewContainerID: func() container.ID { return container.ID(count(&ids, "00000000-0000-4000-8000-%012d")) },
		NewEventID:     func() string { return count(&events, "00000000-0000-7000-8000-%012d") },
	})
	t.Cleanup(func() { _ = w.orders.Close() })
	w.api = &barbican.API{
		Secrets: w.secrets, Containers: w.containers, Orders: w.orders, Quotas: w.quotas, TransportKeys: transport.NewService(w.gate),
		SecretStores: w.stores(false, theStore),
		Identity:     w.identity, Host: base, AuthURL: "https://identity.test/v3",
		Version: "1.2.3", Now: w.clock.now, Log: zap.New(core),
	}
	for _, c := range change {
		c(w.api)
	}
	r := mux.NewRouter().SkipClean(true)
	w.api.Mount(r)
	w.handler = r
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	return w
}

// furnish makes S0, ST and SB, all of the maker in project P: u1, and mem under
// the new rules alone.
func (w *world) furnish() *world {
	w.t.Helper()
	w.make("S0", `{}`)
	w.make("ST", `{"payload":"hello","payload_content_type":"text/plain"}`)
	w.make("SB", `{"payload":"AP8QYmluYXJ5","payload_content_type":"application/octet-stream","payload_content_encoding":"base64"}`)
	return w
}

// make creates a secret of the maker that rows can name.
func (w *world) make(name, body string) {
	w.t.Helper()
	a := w.do(w.maker, "POST /v1/secrets", "", body)
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
		if name == "" {
			continue
		}
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
