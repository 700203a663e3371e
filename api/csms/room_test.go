package csms_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/strongroom-kms/strongroom/api"
	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/api/csms"
	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/policy/cedar"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

const (
	ours   = "0123456789abcdef0123456789abcdef"
	theirs = "fedcba9876543210fedcba9876543210"
	base   = "/v1/" + ours + "/secrets"
)

// room is the whole dialect over a store and a token made of memory.
type room struct {
	testing.TB
	handler http.Handler
	api     *csms.API
	deps    secret.Deps
	store   *store
	token   *hsmtest.Memory
	sealer  *sealer
	people  people
	record  *record
	logs    *observer.ObservedLogs
	clock   *clock
	tasks   *taskStore
	backEnd *backEnd
	ids     int
	caller  string // whose access token a request has; "ak:…" signs instead
}

// options of a room; the zero value is the product's default.
type options struct {
	csms.Config
	strictKeys bool
	rules      string       // of the operator, after the shipped ones
	db         *postgres.DB // in place of the store that is made of memory
}

func open(tb testing.TB) *room { return openWith(tb, options{}) }

func openWith(tb testing.TB, o options) *room {
	tb.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	rm := &room{
		TB: tb, store: newStore(), token: &hsmtest.Memory{}, people: newPeople(),
		record: &record{}, logs: logs, caller: "alice", clock: &clock{at: time.Date(2024, 8, 6, 12, 0, 0, 0, time.UTC)},
	}
	var mu sync.Mutex
	newID := func() string {
		mu.Lock()
		defer mu.Unlock()
		rm.ids++
		return fmt.Sprintf("00000000-0000-4000-8000-%012d", rm.ids)
	}
	rm.sealer = &sealer{Sealer: kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(rm.token), Store: rm.store, NewID: newID, Now: rm.clock.now})}
	rm.deps = secret.Deps{
		Store: rm.store, Sealer: rm.sealer, Keys: rm.sealer, Judge: rm.judge(o.rules), Recorder: rm.record,
		NewID:      func() secret.ID { return secret.ID(newID()) },
		NewEventID: func() string { return uuid.Must(uuid.NewV7()).String() },
		Now:        rm.clock.now, StrictKeys: o.strictKeys,
	}
	events := event.Deps{
		Store: noEvents{}, NewID: newID, Most: 30,
		Gate: gate.Gate{Judge: rm.deps.Judge, Recorder: rm.record, NewEventID: rm.deps.NewEventID, Now: rm.clock.now},
	}
	if o.db != nil {
		rm.deps.Store, events.Store = o.db, o.db
		rm.deps.Sealer = kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(rm.token), Store: o.db, NewID: uuid.NewString, Now: rm.clock.now})
	}
	rm.api = &csms.API{
		Events:  event.NewService(events),
		Secrets: secret.NewService(rm.deps), Rotations: rm.rotationService(newID), Identity: rm.people,
		Signatures: &aksk.Verifier{Keys: rm.people, Now: rm.clock.now},
		Log:        zap.New(core), Config: o.Config,
	}
	rm.handler = api.Handler(func() string { return "req-" + ours }, func(string, string, int, time.Duration) {}, rm.api)
	return rm
}

func (rm *room) judge(rules string) gate.Judge {
	rm.Helper()
	c := cedar.Config{Mode: cedar.Legacy}
	if rules != "" {
		file := filepath.Join(rm.TempDir(), "operator.cedar")
		if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
			rm.Fatal(err)
		}
		c.Files = []string{file}
	}
	j, err := cedar.Load(c)
	if err != nil {
		rm.Fatal(err)
	}
	return j
}

// as returns the room as another caller sees it.
func (rm *room) as(caller string) *room {
	other := *rm
	other.caller = caller
	return &other
}

// in returns the room for another test of the same state.
func (rm *room) in(tb testing.TB) *room {
	other := *rm
	other.TB = tb
	return &other
}

// answer is what a client sees.
type answer struct {
	*room
	what   string
	status int
	header http.Header
	raw    string
	body   map[string]any
	nested bool // a fault inside error; body is the inside
}

// do sends one request. Every answer is checked for what all of them have.
func (rm *room) do(method, target, body string, headers ...string) answer {
	rm.Helper()
	r := httptest.NewRequestWithContext(rm.Context(), method, "http://csms.test"+target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rm.authenticate(r)
	w := httptest.NewRecorder()
	rm.handler.ServeHTTP(w, r)
	return rm.answered(method+" "+target, w)
}

func (rm *room) authenticate(r *http.Request) {
	rm.Helper()
	id, signs := strings.CutPrefix(rm.caller, "ak:")
	switch {
	case rm.caller == "":
	case signs:
		if err := aksk.Sign(r, id, rm.people.keys[id].Secret, rm.clock.now()); err != nil {
			rm.Fatal(err)
		}
	default:
		r.Header.Set("X-Auth-Token", rm.caller)
	}
}

func (rm *room) answered(what string, w *httptest.ResponseRecorder) answer {
	rm.Helper()
	a := answer{room: rm, what: what, status: w.Code, header: w.Result().Header, raw: w.Body.String()}
	if got := a.header.Get("X-Request-Id"); got != "req-"+ours {
		rm.Errorf("%s: X-Request-Id %q", what, got)
	}
	if a.status >= 300 && a.status < 400 {
		rm.Errorf("%s: a redirect to %s", what, a.header.Get("Location")) // SIG-006
	}
	if a.raw == "" {
		return a
	}
	if got := a.header.Get("Content-Type"); got != "application/json;charset=utf-8" {
		rm.Errorf("%s: Content-Type %q", what, got)
	}
	if err := json.Unmarshal([]byte(a.raw), &a.body); err != nil {
		rm.Errorf("%s: answer %q: %v", what, a.raw, err)
	}
	if a.status >= 400 {
		if inner, ok := a.body["error"].(map[string]any); ok {
			a.nested = true
			if len(a.body) != 1 {
				rm.Errorf("%s: fault %s", what, a.raw)
			}
			a.body = inner
		}
		code, _ := a.body["error_code"].(string)
		msg, _ := a.body["error_msg"].(string)
		members := 2
		if strings.HasPrefix(code, "APIGW.") {
			members = 3
			a.wants(`"req-`+ours+`"`, "request_id")
		}
		if len(code) < 8 || len(msg) < 2 || len(msg) > 512 || len(a.body) != members {
			rm.Errorf("%s: fault %s", what, a.raw)
		}
	}
	return a
}

// ok asserts a 200, and returns the answer.
func (a answer) ok() answer {
	a.Helper()
	if a.status != http.StatusOK {
		a.Fatalf("%s: %d %s", a.what, a.status, a.raw)
	}
	return a
}

// fault asserts a status and a code.
func (a answer) fault(status int, code string) answer {
	a.Helper()
	if a.status != status || a.body["error_code"] != code {
		a.Errorf("%s: %d %s, want %d %s", a.what, a.status, a.raw, status, code)
	}
	return a
}

// at returns what is at a path of members and list positions.
func (a answer) at(path ...any) any {
	a.Helper()
	var v any = a.body
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[s]
		case int:
			l, _ := v.([]any)
			if s >= len(l) {
				a.Fatalf("%s: nothing at %v in %s", a.what, path, a.raw)
			}
			v = l[s]
		}
	}
	return v
}

// wants asserts what is at a path, in JSON.
func (a answer) wants(want string, path ...any) answer {
	a.Helper()
	got, err := json.Marshal(a.at(path...))
	if err != nil || string(got) != want {
		a.Errorf("%s: %v is %s, want %s", a.what, path, got, want)
	}
	return a
}

func (rm *room) create(body string) answer {
	rm.Helper()
	return rm.do("POST", base, body)
}

// secret makes one of that name and text.
func (rm *room) secret(name, text string) answer {
	rm.Helper()
	return rm.create(jsonText(map[string]any{"name": name, "secret_string": text})).ok()
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// change alters a stored secret behind the dialect's back, as operations do
// that a later issue brings.
func (rm *room) change(name string, f func(*secret.Secret)) {
	rm.Helper()
	found, err := rm.store.Find(rm.Context(), secret.Named(ours, name), secret.Want{}, rm.clock.now())
	if err != nil {
		rm.Fatal(err)
	}
	f(&found.Secret)
	if err := rm.store.Apply(rm.Context(), secret.Change{Secret: found.Secret}, audit.Event{ID: uuid.NewString(), Project: ours}); err != nil {
		rm.Fatal(err)
	}
}

// event makes one that secrets may subscribe to, which a later issue's
// operations will.
func (rm *room) event(name string) {
	rm.Helper()
	if err := rm.store.AddEvent(ours, name); err != nil {
		rm.Fatal(err)
	}
}

// keyState puts a master key into a state, which a later issue's API will.
func (rm *room) keyState(id any, state string) {
	rm.Helper()
	if err := rm.store.SetMasterKey(ours, envelope.MasterKey(id.(string)), state); err != nil {
		rm.Fatal(err)
	}
}

func (rm *room) pend(name string) {
	rm.Helper()
	rm.change(name, func(s *secret.Secret) {
		at := rm.clock.now().Add(7 * 24 * time.Hour)
		s.State, s.DeleteAt = secret.PendingDelete, &at
	})
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// people knows callers by an access token that is their name, and by their
// access key, which is their name in capitals.
type people struct {
	tokens map[string]auth.Principal
	keys   map[string]auth.AccessKey
}

func newPeople() people {
	p := people{tokens: map[string]auth.Principal{}, keys: map[string]auth.AccessKey{}}
	for _, who := range []struct {
		name    string
		project auth.ProjectID
		role    string
	}{
		{"alice", ours, "admin"}, {"rita", ours, "reader"}, {"nora", ours, "none"}, {"oscar", ours, "operator-made"},
		{"bob", theirs, "admin"}, {"dora", "", "admin"}, // a domain's access token has no project
	} {
		p.tokens[who.name] = auth.Principal{User: auth.UserID(who.name), UserName: who.name, Project: who.project, Roles: []string{who.role}, Method: auth.ByToken}
		id := strings.ToUpper(who.name)
		p.keys[id] = auth.AccessKey{ID: id, Secret: sensitive.Take([]byte("secret key of " + who.name)), User: auth.UserID(who.name), Enabled: true}
	}
	return p
}

func (p people) ByToken(_ context.Context, token string) (auth.Principal, error) {
	if who, ok := p.tokens[token]; ok {
		return who, nil
	}
	if token == "away" {
		return auth.Principal{}, fault.New(fault.Unavailable, "the database is away")
	}
	return auth.Principal{}, fault.New(fault.Unauthenticated, "no such access token")
}

func (p people) AccessKey(_ context.Context, id string) (auth.AccessKey, error) {
	if k, ok := p.keys[id]; ok {
		return k, nil
	}
	return auth.AccessKey{}, fault.New(fault.Unauthenticated, "no such access key")
}

func (p people) InProject(_ context.Context, k auth.AccessKey, in auth.ProjectID) (auth.Principal, error) {
	who := p.tokens[string(k.User)]
	if who.Project != in || in == "" {
		return auth.Principal{}, fault.New(fault.Denied, "no role in that project")
	}
	who.Method, who.Credential = auth.BySignature, k.ID
	return who, nil
}

// record keeps what was recorded of reads and refusals.
type record struct {
	mu     sync.Mutex
	events []audit.Event
	broken bool
}

func (r *record) Record(_ context.Context, ev audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		return fault.New(fault.Unavailable, "the record cannot be written")
	}
	r.events = append(r.events, ev)
	return nil
}

// sealer lets a test say what a token or a key would.
type sealer struct {
	*kek.Sealer
	sealErr, openErr error
}

func (s *sealer) Seal(ctx context.Context, p sensitive.Bytes, under envelope.MasterKey, at envelope.Binding) (envelope.Sealed, error) {
	if s.sealErr != nil {
		return envelope.Sealed{}, s.sealErr
	}
	return s.Sealer.Seal(ctx, p, under, at)
}

func (s *sealer) Open(ctx context.Context, v envelope.Sealed, at envelope.Binding) (sensitive.Bytes, error) {
	if s.openErr != nil {
		return sensitive.Bytes{}, s.openErr
	}
	return s.Sealer.Open(ctx, v, at)
}

// barbican makes a secret as a Key Manager client does; an empty content type
// is its first step alone.
func (rm *room) barbican(name, contentType, payload string) secret.ID {
	rm.Helper()
	in := secret.New{Type: "opaque", ContentType: contentType, Payload: sensitive.Take([]byte(payload))}
	if name != "" {
		in.Name = &name
	}
	who := rm.people.tokens["alice"]
	who.Family = policy.KeyManager
	s, err := secret.NewService(rm.deps).Create(rm.Context(), who, in)
	if err != nil {
		rm.Fatal(err)
	}
	return s.ID
}
