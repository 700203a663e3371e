package rotation_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/persistence/cluster"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/rotation/pgtarget"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if shared.stop != nil {
		if err := shared.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

const project auth.ProjectID = "0123456789abcdef0123456789abcdef"

var alice = auth.Principal{User: "alice", UserName: "alice", Project: project, Roles: []string{"admin"}, Method: auth.ByToken, Family: policy.Huawei}

// server is a real database whose accounts are rotated.
type server interface {
	target() rotation.Target
	// account makes one that may log in.
	account(tb testing.TB, name, password string)
	// lockOut lets an account log in no more, and letIn again.
	lockOut(tb testing.TB, name string)
	letIn(tb testing.TB, name string)
	folder() string // everything that the server writes is below it
}

const (
	adminName     = "rotator"
	adminPassword = "the administrator's own password"
)

// pgServer is a PostgreSQL that wants a password of everybody but its owner.
type pgServer struct {
	dir   string
	admin *sql.DB
	at    *pgtarget.Target
}

// shared is one server for all tests of the package: starting one takes longer
// than any of them.
var shared struct {
	sync.Mutex
	server *pgServer
	stop   func() error
}

func startPostgreSQL(tb testing.TB) *pgServer {
	tb.Helper()
	pgtest.Open(tb) // skips or fails where there is no PostgreSQL
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		shared.server = newPostgreSQL(tb)
	}
	return shared.server
}

func newPostgreSQL(tb testing.TB) *pgServer {
	tb.Helper()
	dir, err := os.MkdirTemp("", "rotation-")
	if err != nil {
		tb.Fatal(err)
	}
	shared.stop = func() error { return os.RemoveAll(dir) }
	c, err := cluster.Start(tb.Context(), cluster.Config{Dir: dir, Settings: map[string]string{
		"log_statement": "all", "log_min_error_statement": "error", "log_min_messages": "debug1", "password_encryption": "scram-sha-256",
	}})
	if err != nil {
		tb.Fatal(err)
	}
	s := &pgServer{dir: dir}
	if s.admin, err = sql.Open("postgres", c.URL("postgres")); err != nil {
		tb.Fatal(err)
	}
	shared.stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		return errors.Join(s.admin.Close(), c.Stop(ctx), os.RemoveAll(dir))
	}
	s.wantPasswords(tb)
	s.do(tb, "CREATE ROLE "+adminName+" LOGIN SUPERUSER PASSWORD "+pq.QuoteLiteral(scramOf(adminPassword)))
	cfg, err := pq.NewConfig(c.URL("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	s.at = pgtarget.New(pgtarget.Config{Address: cfg.Host, SSLMode: "disable", Timeout: 10 * time.Second})
	return s
}

// wantPasswords edits pg_hba.conf: whoever is let in without one proves nothing.
func (s *pgServer) wantPasswords(tb testing.TB) {
	tb.Helper()
	found := 0
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "pg_hba.conf" {
			found++
			err = os.WriteFile(path, []byte("local all postgres trust\nlocal all all scram-sha-256\n"), 0o600)
		}
		return err
	})
	if err != nil || found != 1 {
		tb.Fatal(found, err)
	}
	s.do(tb, "SELECT pg_reload_conf()")
	time.Sleep(300 * time.Millisecond) // the signal has no answer
}

func (s *pgServer) do(tb testing.TB, text string) {
	tb.Helper()
	if _, err := s.admin.ExecContext(tb.Context(), text); err != nil {
		tb.Fatal(err)
	}
}

func (s *pgServer) target() rotation.Target { return s.at }
func (s *pgServer) folder() string          { return s.dir }

func (s *pgServer) account(tb testing.TB, name, password string) {
	tb.Helper()
	s.do(tb, "CREATE ROLE "+pq.QuoteIdentifier(name)+" LOGIN PASSWORD "+pq.QuoteLiteral(scramOf(password)))
}

func (s *pgServer) lockOut(tb testing.TB, name string) {
	tb.Helper()
	s.do(tb, "ALTER ROLE "+pq.QuoteIdentifier(name)+" NOLOGIN")
}

func (s *pgServer) letIn(tb testing.TB, name string) {
	tb.Helper()
	s.do(tb, "ALTER ROLE "+pq.QuoteIdentifier(name)+" LOGIN")
}

func scramOf(password string) string {
	v, err := pgtarget.Verifier(sensitive.Take([]byte(password)))
	if err != nil {
		panic(err)
	}
	return v
}

// world is the secret store over a real database, and a server to rotate at.
type world struct {
	testing.TB
	db      *postgres.DB
	url     string
	raw     *sql.DB // what no method of the product does
	secrets *secret.Service
	server  server
	target  rotation.Target // of the server, or something in front of it
	store   rotation.Store  // the database, or something in front of it
	record  *record
	offset  atomic.Int64 // of the clock
	names   atomic.Int64
	pace    rotation.Pace
}

func newWorld(tb testing.TB, s server) *world {
	tb.Helper()
	w := &world{TB: tb, server: s, url: pgtest.URL(tb), target: s.target(), record: &record{}}
	w.db = pgtest.OpenURL(tb, w.url)
	w.store = w.db
	w.names.Store(time.Now().UnixNano())
	var err error
	if w.raw, err = sql.Open("postgres", w.url); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = w.raw.Close() })
	w.pace = rotation.Pace{Lapse: time.Minute, Pause: time.Millisecond, MaxPause: 4 * time.Millisecond, Attempts: 3}
	sealer := kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(new(hsmtest.Memory)), Store: w.db, NewID: uuid.NewString, Now: w.now})
	w.secrets = secret.NewService(secret.Deps{
		Store: w.db, Sealer: sealer, Keys: sealer, Judge: judge{}, Recorder: w.record,
		NewID:      func() secret.ID { return secret.ID(uuid.NewString()) },
		NewEventID: newEventID, Now: w.now,
	})
	w.create("the-admin", "COMMON", "", users(adminName, adminPassword), secret.Rotation{})
	return w
}

func newEventID() string { return uuid.Must(uuid.NewV7()).String() }

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

// node is one process.
func (w *world) node() *rotation.Service {
	return rotation.NewService(rotation.Deps{
		Store: w.store, Secrets: w.secrets,
		Instances: map[string]rotation.Instance{"db-1": {Target: w.target, Admin: secret.Named(project, "the-admin")}},
		Gate:      gate.Gate{Judge: judge{}, Recorder: w.record, NewEventID: newEventID, Now: w.now},
		NewID:     newEventID, Holder: uuid.NewString(), Pace: w.pace,
		NewPassword: func() (sensitive.Bytes, error) {
			return sensitive.Take([]byte("new-" + uuid.NewString())), nil
		},
	})
}

func users(namesAndPasswords ...string) string {
	var list []map[string]string
	for i := 0; i < len(namesAndPasswords); i += 2 {
		list = append(list, map[string]string{"name": namesAndPasswords[i], "password": namesAndPasswords[i+1]})
	}
	b, _ := json.Marshal(map[string]any{"users": list, "note": "kept"})
	return string(b)
}

func (w *world) create(name, kind, subType, text string, r secret.Rotation) {
	w.Helper()
	if subType != "" {
		r.Config = fmt.Sprintf(`{"InstanceId":"db-1","SecretSubType":%q}`, subType)
	}
	_, err := w.secrets.Create(w.Context(), alice, secret.New{
		Type: "opaque", Name: &name, Kind: kind, Rotation: r, ContentType: secret.Text, Payload: sensitive.Take([]byte(text)),
	})
	if err != nil {
		w.Fatal(err)
	}
}

// single makes an account and a secret of it.
func (w *world) single(r secret.Rotation) (name, password string) {
	w.Helper()
	name, password = fmt.Sprintf("app_%d", w.names.Add(1)), "old-"+uuid.NewString()
	w.server.account(w, name, password)
	w.create(name, "RDS-FG", "SingleUser", users(name, password), r)
	return name, password
}

func (w *world) locate(name string, want secret.Want) *secret.Located {
	w.Helper()
	l, err := w.secrets.Locate(w.Context(), alice, policy.SecretRotate, secret.Named(project, name), want)
	if err != nil {
		w.Fatal(err)
	}
	return l
}

func (w *world) rotate(n *rotation.Service, name string) rotation.Task {
	w.Helper()
	t, err := n.Rotate(w.Context(), w.locate(name, rotation.Wanted))
	if err != nil {
		w.Fatal(err)
	}
	return t
}

// value is the text of a stage.
func (w *world) value(name string, stage secret.Stage) string {
	w.Helper()
	out, err := w.locate(name, secret.Want{Sealed: true, Stage: stage}).Reveal(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return string(out.Payload.Reveal())
}

// account is the first of a stage's value.
func (w *world) accountOf(name string, stage secret.Stage) rotation.Account {
	w.Helper()
	var v struct {
		Users []struct{ Name, Password string }
		Note  string
	}
	if err := json.Unmarshal([]byte(w.value(name, stage)), &v); err != nil || v.Note != "kept" {
		w.Fatal(err, v.Note)
	}
	return rotation.Account{Name: v.Users[0].Name, Password: sensitive.Take([]byte(v.Users[0].Password))}
}

func (w *world) login(a rotation.Account) error { return w.server.target().Login(w.Context(), a) }

func (w *world) wantsLogin(name, password string, want bool) {
	w.Helper()
	err := w.login(rotation.Account{Name: name, Password: sensitive.Take([]byte(password))})
	if (err == nil) != want {
		w.Errorf("%s logs in: %v, want %v", name, err, want)
	}
}

// task is the newest one of a secret.
func (w *world) task(name string) rotation.Task {
	w.Helper()
	page, err := w.node().Tasks(w.Context(), alice, rotation.Query{Name: name, Limit: 1})
	if err != nil || len(page.Tasks) != 1 {
		w.Fatal(page, err)
	}
	return page.Tasks[0]
}

// stages are where the stages of a secret are, and how many versions it has.
func (w *world) stages(name string) (map[secret.Stage]int, int) {
	w.Helper()
	versions, err := w.locate(name, secret.Want{Versions: true}).Versions(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	at := map[secret.Stage]int{}
	for _, v := range versions {
		for _, s := range v.Stages {
			at[s] = v.Number
		}
	}
	return at, len(versions)
}

// lapse lets every claim lapse and every pause be over.
func (w *world) lapse() {
	w.Helper()
	if _, err := w.raw.ExecContext(w.Context(), `UPDATE rotation_tasks SET claimed_until = NULL, due_at = now() WHERE status = 'ROTATING'`); err != nil {
		w.Fatal(err)
	}
}

// finish works until nothing is left to do.
func (w *world) finish(n *rotation.Service) {
	w.Helper()
	for range 50 {
		w.lapse()
		worked, err := n.Work(w.Context(), 10)
		if err != nil {
			w.Log(err)
		}
		if worked == 0 {
			return
		}
	}
	w.Fatal("there is no end to it")
}

// hidden asserts that nothing that the server wrote holds any of texts.
func (w *world) hidden(texts ...string) {
	w.Helper()
	seen := 0
	_ = filepath.WalkDir(w.server.folder(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // files come and go while a server runs
		}
		b, err := os.ReadFile(path)
		if err == nil {
			seen++
		}
		for _, text := range texts {
			if strings.Contains(string(b), text) {
				w.Errorf("%s holds a password", path)
			}
		}
		return nil
	})
	if seen < 10 {
		w.Errorf("looked into %d files", seen)
	}
}

type judge struct{}

func (judge) Decide(auth.Principal, policy.Action, policy.Target) policy.Decision {
	return policy.Decision{Allowed: true}
}

type record struct{ n atomic.Int64 }

func (r *record) Record(context.Context, audit.Event) error {
	r.n.Add(1)
	return nil
}
