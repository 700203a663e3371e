package realm_test

import (
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/password"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/persistence/memory"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// world is a realm with its own clock, records and a database that may be away.
type world struct {
	*realm.Service
	t     testing.TB
	store *store
	token *hsmtest.Memory
	deps  realm.Deps

	records *records
	ahead   atomic.Int64 // nanoseconds that the clock is ahead

	admin, alice auth.User
	red, blue    auth.Project
}

// store counts what reaches the database, and fails while it is away.
type store struct {
	*memory.Realm
	away  atomic.Bool
	trips atomic.Int64
}

var errAway = fault.New(fault.Unavailable, "the database is unavailable")

func (s *store) trip() error {
	s.trips.Add(1)
	if s.away.Load() {
		return errAway
	}
	return nil
}

func (s *store) FindToken(ctx context.Context, d realm.Digest, now time.Time) (realm.Grant, error) {
	if err := s.trip(); err != nil {
		return realm.Grant{}, err
	}
	return s.Realm.FindToken(ctx, d, now)
}

func (s *store) FindAccessKey(ctx context.Context, id string) (realm.SealedKey, error) {
	if err := s.trip(); err != nil {
		return realm.SealedKey{}, err
	}
	return s.Realm.FindAccessKey(ctx, id)
}

func (s *store) Member(ctx context.Context, u auth.UserID, p auth.ProjectID) (realm.Member, error) {
	if err := s.trip(); err != nil {
		return realm.Member{}, err
	}
	return s.Realm.Member(ctx, u, p)
}

func (s *store) FindLogin(ctx context.Context, id auth.UserID, name string) (realm.Account, error) {
	if err := s.trip(); err != nil {
		return realm.Account{}, err
	}
	return s.Realm.FindLogin(ctx, id, name)
}

// records keeps what was recorded.
type records struct {
	mu  sync.Mutex
	all []audit.Event
}

func (r *records) Record(_ context.Context, ev audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, ev)
	return nil
}

func (r *records) last() audit.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == 0 {
		return audit.Event{}
	}
	return r.all[len(r.all)-1]
}

// judge is the shipped rule: admins, and whoever runs a command.
type judge struct{}

func (judge) Decide(who auth.Principal, _ policy.Action, _ policy.Target) policy.Decision {
	if who.Has("admin") || who.Method == auth.ByOperator {
		return policy.Decision{Allowed: true, Rules: []string{"admin"}}
	}
	return policy.Decision{}
}

func newID() string {
	u := uuid.New()
	return hex.EncodeToString(u[:])
}

var hasher = sync.OnceValue(func() *password.Hasher {
	h, err := password.New(2)
	if err != nil {
		panic(err)
	}
	return h
})

// build opens a realm with an administrator, and alice, a member of red.
func build(t testing.TB) *world {
	t.Helper()
	keys := new(memory.Store)
	w := &world{t: t, store: &store{Realm: memory.NewRealm()}, token: new(hsmtest.Memory), records: new(records)}
	now := func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }
	w.deps = realm.Deps{
		Store:  w.store,
		Sealer: kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(w.token), Store: keys, NewID: uuid.NewString, Now: time.Now}),
		Judge:  judge{}, Recorder: w.records, Passwords: hasher(),
		NewID: newID, NewEventID: func() string { return uuid.Must(uuid.NewV7()).String() }, Now: now,
		Config: realm.Config{Regions: []string{"cn-north-4"}},
	}
	w.Service = realm.NewService(w.deps)
	w.must(w.Load(t.Context(), realm.Accounts{
		Roles:    []string{"creator"},
		Projects: []string{"red", "blue"},
		Users: []realm.Persona{
			{Name: "admin", Password: "admin's", Project: "red", Roles: []string{"admin"}},
			{Name: "alice", Password: "alice's", Project: "red", Roles: []string{"member", "Creator"},
				AccessKey: "AKALICE1", SecretKey: "alice's secret key"},
		},
	}))
	w.admin, w.alice = w.user("admin"), w.user("alice")
	w.red, w.blue = w.project("red"), w.project("blue")
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pass(d time.Duration) { w.ahead.Add(int64(d)) }

func (w *world) user(name string) auth.User {
	w.t.Helper()
	a, err := w.store.FindLogin(w.t.Context(), "", name)
	w.must(err)
	return a.User
}

func (w *world) project(name string) auth.Project {
	w.t.Helper()
	found, err := w.store.ListProjects(w.t.Context(), realm.ProjectQuery{Name: name})
	w.must(err)
	if len(found) != 1 {
		w.t.Fatalf("%d projects are called %s", len(found), name)
	}
	return found[0]
}

func text(s string) sensitive.Bytes { return sensitive.Take([]byte(s)) }

// caller is where the requests of these tests come from.
var caller = auth.Principal{Family: policy.Identity, Request: "req-1", From: "192.0.2.1:4711"}

func byPassword(name, password string, s realm.Scope) realm.Login {
	return realm.Login{
		Method: realm.Password, Password: text(password), Scope: s,
		User: realm.UserRef{Name: name, Domain: realm.DomainRef{ID: "default"}},
	}
}

func inProject(p auth.Project) realm.Scope { return realm.Scope{Kind: realm.ToProject, Project: p.ID} }

// login returns an access token.
func (w *world) login(l realm.Login) string {
	w.t.Helper()
	issued, err := w.Authenticate(w.t.Context(), caller, l)
	w.must(err)
	return string(issued.Token.Reveal())
}

// as logs a user in, in a project.
func (w *world) as(name string, p auth.Project) (string, auth.Principal) {
	w.t.Helper()
	token := w.login(byPassword(name, name+"'s", inProject(p)))
	who, err := w.ByToken(w.t.Context(), token)
	w.must(err)
	who.Family = policy.Identity
	return token, who
}

func (w *world) want(what string, err error, k fault.Kind) {
	w.t.Helper()
	if err == nil || fault.KindOf(err) != k {
		w.t.Errorf("%s: error %v, want %v", what, err, k)
	}
}

func roles(who auth.Principal) string { return strings.Join(who.Roles, " ") }

var _ realm.Sealer = (*kek.Sealer)(nil)
