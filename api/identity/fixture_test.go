package identity_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/api/identity"
	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/password"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/persistence/memory"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// world is the identity API with a realm of its own: identifiers count from 1,
// and the clock stands until somebody moves it.
type world struct {
	t       *testing.T
	realm   *realm.Service
	router  http.Handler
	logged  *observer.ObservedLogs
	records records
	now     atomic.Pointer[time.Time]

	tokens      map[string]string // by user
	token       string            // the last one that was issued
	key, secret string            // of the last credential that was made
}

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

type judge struct{}

func (judge) Decide(who auth.Principal, _ policy.Action, _ policy.Target) policy.Decision {
	return policy.Decision{Allowed: who.Has("admin") || who.Method == auth.ByOperator}
}

var hasher = sync.OnceValues(func() (*password.Hasher, error) { return password.New(2) })

var start = time.Date(2026, 5, 16, 19, 40, 45, 123456000, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, tokens: map[string]string{}}
	w.now.Store(&start)
	var ids atomic.Int64
	h, err := hasher()
	if err != nil {
		t.Fatal(err)
	}
	core, logged := observer.New(zapcore.DebugLevel)
	w.logged = logged
	clock := func() time.Time { return *w.now.Load() }
	w.realm = realm.NewService(realm.Deps{
		Store: memory.NewRealm(),
		Sealer: kek.NewSealer(kek.Deps{
			Tokens: kek.OneGroup(new(hsmtest.Memory)), Store: new(memory.Store), NewID: uuid.NewString, Now: time.Now,
		}),
		Judge: judge{}, Recorder: &w.records, Passwords: h, Now: clock,
		NewID:      func() string { return fmt.Sprintf("%032x", ids.Add(1)) },
		NewEventID: func() string { return uuid.Must(uuid.NewV7()).String() },
		Config:     realm.Config{Regions: []string{"cn-north-4"}},
	})
	if err := w.realm.Load(t.Context(), realm.Accounts{
		Projects: []string{"demo", "other"},
		Users: []realm.Persona{
			{Name: "admin", Password: "admin's", Project: "demo", Roles: []string{"admin"}},
			// No key that is made sorts before hers.
			{Name: "alice", Password: "alice's", Project: "demo", Roles: []string{"member"}, AccessKey: "00ALICE1", SecretKey: "alice's secret"},
		},
	}); err != nil {
		t.Fatal(err)
	}
	r := mux.NewRouter().SkipClean(true)
	(&identity.API{
		Realm: w.realm, Verifier: &aksk.Verifier{Keys: w.realm, Now: clock}, Alone: true, Log: zap.New(core),
		Catalog: identity.Catalog{
			Region: "cn-north-4", KeyManager: "https://kms.test:9311", CSMS: "https://kms.test:9312", Identity: "https://id.test",
		},
	}).Mount(r)
	w.router = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		r.ServeHTTP(rw, req.WithContext(wire.WithRequestID(req.Context(), "req-1")))
	})
	for _, name := range []string{"admin", "alice"} {
		issued, err := w.realm.Authenticate(t.Context(), auth.Principal{}, realm.Login{
			Method: realm.Password, User: realm.UserRef{Name: name}, Password: sensitive.Take([]byte(name + "'s")),
		})
		if err != nil {
			t.Fatal(err)
		}
		w.tokens[name] = string(issued.Token.Reveal())
	}
	return w
}

func (w *world) pass(d time.Duration) {
	later := w.now.Load().Add(d)
	w.now.Store(&later)
}

type answer struct {
	code   int
	header http.Header
	body   string
}

// ask sends a request. as is a user, or "" for nobody.
func (w *world) ask(as, method, target, body string, headers ...string) answer {
	w.t.Helper()
	r := httptest.NewRequest(method, "https://id.test/", strings.NewReader(body))
	path, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery, r.RequestURI = path, query, target
	if as != "" {
		r.Header.Set("X-Auth-Token", w.tokens[as])
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return w.send(r)
}

func (w *world) send(r *http.Request) answer {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.router.ServeHTTP(rec, r)
	b, err := io.ReadAll(rec.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Method == http.MethodHead { // a server sends none
		b = nil
	}
	return answer{rec.Code, rec.Header(), string(b)}
}

// quiet fails the test where a log line has one of these texts.
func (w *world) quiet(secrets ...string) {
	w.t.Helper()
	for _, e := range w.logged.All() {
		line := fmt.Sprint(e.Message, e.ContextMap())
		for _, s := range secrets {
			if strings.Contains(line, s) {
				w.t.Errorf("the log says %s", line)
			}
		}
	}
}
