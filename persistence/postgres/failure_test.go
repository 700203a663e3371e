package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/persistence/cluster"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/secret"
)

// While the server is down every request is told so at once; when it is back,
// the pool finds out by itself. What was acknowledged is there, and what was
// not is either there or not, and never half.
func TestServerThatRestartsIsFoundAgain(t *testing.T) {
	t.Parallel()
	pgtest.URL(t) // skips without PostgreSQL
	dir := t.TempDir()
	c, err := cluster.Start(t.Context(), cluster.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { stop() })
	if _, err := postgres.Migrate(t.Context(), postgres.Config{URL: c.URL("postgres")}); err != nil {
		t.Fatal(err)
	}
	w := newWorkloadOn(t, c.URL("postgres"), 4)

	var mu sync.Mutex
	var acknowledged []secret.ID
	var down, failed atomic.Bool
	ctx, end := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				start := time.Now()
				s, err := w.create(i)
				took := time.Since(start)
				switch {
				case err == nil:
					mu.Lock()
					acknowledged = append(acknowledged, s.ID)
					mu.Unlock()
				case ctx.Err() == nil && fault.KindOf(err) != fault.Unavailable:
					t.Errorf("create: %v", err)
				default:
					failed.Store(true)
					time.Sleep(5 * time.Millisecond)
				}
				if down.Load() && took > 2*time.Second {
					t.Errorf("took %v while the server was down", took)
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	stop()
	down.Store(true)
	time.Sleep(100 * time.Millisecond)
	if err := w.db.Ready(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Ready while the server is down: %v", err)
	}
	if c, err = cluster.Start(t.Context(), cluster.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	down.Store(false)
	mu.Lock()
	before := len(acknowledged)
	mu.Unlock()
	deadline := time.Now().Add(10 * time.Second)
	for after := before; after < before+20 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		mu.Lock()
		after = len(acknowledged)
		mu.Unlock()
	}
	end()
	wg.Wait()
	if len(acknowledged) < before+20 || !failed.Load() {
		t.Errorf("%d before the restart, %d after; failed between: %v", before, len(acknowledged), failed.Load())
	}
	for _, id := range acknowledged {
		f, err := w.db.Find(t.Context(), secret.Anywhere(id), secret.Want{Sealed: true}, time.Now())
		if err != nil || f.Version.Number != 1 || len(f.Version.Sealed.Body) != len(w.body) {
			t.Fatalf("an acknowledged secret: %v, %d bytes", err, len(f.Version.Sealed.Body))
		}
	}
}

// A session that the server ends while it is idle costs no request.
func TestEndedSessionsCostNoRequest(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	for range 3 {
		if _, err := w.raw.ExecContext(t.Context(), `
			SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'strongroom'`); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if _, err := w.create(1); err != nil {
			t.Errorf("after the session was ended: %v", err)
		}
	}
}

// A migration may change what a prepared statement returns, and a balancer may
// put another server's session behind a connection: the statement is prepared
// anew.
func TestStatementsArePreparedAnew(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	s, err := w.create(1)
	if err != nil {
		t.Fatal(err)
	}
	find := func(what string) {
		t.Helper()
		if _, err := w.db.Find(t.Context(), secret.Anywhere(s.ID), secret.Want{}, time.Now()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	find("at first")
	if _, err := w.raw.ExecContext(t.Context(), `ALTER TABLE secrets ALTER COLUMN creator TYPE varchar(255)`); err != nil {
		t.Fatal(err)
	}
	find("after a migration")
	if _, err := w.raw.ExecContext(t.Context(), `
		ALTER TABLE secrets ADD COLUMN later int; UPDATE secrets SET later = 1`); err != nil {
		t.Fatal(err)
	}
	find("after another")
}

func TestStatementTimeoutIsUnavailable(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	w := newWorkloadOn(t, url, 1)
	s, err := w.create(1)
	if err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url, StatementTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := w.raw.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `SELECT 1 FROM secrets FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err = db.Delete(t.Context(), s, w.event())
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "57014") {
		t.Errorf("behind a lock: %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

// canary stands for whatever must not be told.
const canary = "hunter2-canary"

// No error tells a value, whichever way the database refuses it.
func TestErrorsTellNoValue(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	var observed []error
	db, err := postgres.Open(t.Context(), postgres.Config{
		URL: w.url, Observe: func(_ string, _ time.Duration, err error) { observed = append(observed, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	good, err := w.create(1)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*secret.Secret){
		"a zero byte":         func(s *secret.Secret) { s.Description = canary + "\x00" },
		"text that is no UTF": func(s *secret.Secret) { s.Description = canary + "\xff" },
		"a bad UUID":          func(s *secret.Secret) { s.Key = canary },
		"an unknown state":    func(s *secret.Secret) { s.State = canary },
		"a row that is there": func(s *secret.Secret) { *s = good; s.Description = canary },
		"a number too large":  func(s *secret.Secret) { s.Description = canary; s.Latest = 1 << 40 },
	} {
		s := good
		s.ID = secret.ID(uuid.NewString())
		spoil(&s)
		v := w.version(1)
		err := db.Create(t.Context(), s, &v, w.event())
		if err == nil {
			t.Errorf("%s is taken", name)
			continue
		}
		if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		want := fault.Internal
		if strings.Contains(name, "byte") || strings.Contains(name, "UTF") {
			want = fault.Invalid // a client can send those
		}
		if fault.KindOf(err) != want {
			t.Errorf("%s is %v: %v", name, fault.KindOf(err), err)
		}
	}
	for _, err := range observed {
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the observer hears %v", err)
		}
	}
	if len(observed) == 0 || errors.Join(observed...) == nil {
		t.Error("the observer hears nothing")
	}
}

// A KEK that an access key depends on stays, too.
func TestRetireWaitsForAccessKeys(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	for _, text := range []string{
		`UPDATE keks SET state = 'decrypt-only'`,
		`SET session_replication_role = replica`, // the user and the project do not matter here
		`INSERT INTO access_keys (project, id, user_id, confined, enabled, kek, wrapped_dek, body, created_at)
		 SELECT project, 'AK', 'u', false, true, id, '', '', now() FROM keks`,
	} {
		w.raw.SetMaxOpenConns(1)
		if _, err := w.raw.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.db.Retire(t.Context(), w.kek); !errors.Is(err, postgres.ErrKEKInUse) {
		t.Errorf("Retire: %v", err)
	}
	if _, err := w.raw.ExecContext(t.Context(), `DELETE FROM access_keys`); err != nil {
		t.Fatal(err)
	}
	if err := w.db.Retire(t.Context(), w.kek); err != nil {
		t.Errorf("Retire of an unused one: %v", err)
	}
}
