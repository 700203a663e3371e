package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
)

var _ quota.Store = (*postgres.DB)(nil)

// allow sets what the workload's project may have.
func (w *workload) allow(l quota.Limits) {
	w.tb.Helper()
	if err := w.db.ChangeProjectQuota(w.tb.Context(), w.project, l, time.Now(), w.event()); err != nil {
		w.tb.Fatal(err)
	}
}

// count is how many rows of the workload's project a table has.
func (w *workload) count(table string) (n int) {
	w.tb.Helper()
	if err := w.raw.QueryRowContext(w.tb.Context(), `SELECT count(*) FROM `+table+` WHERE project = $1`, w.project).Scan(&n); err != nil {
		w.tb.Fatal(err)
	}
	return n
}

// Many who want the last places at once get exactly those, whatever kind of
// secret they make, and the others leave nothing behind.
func TestRacingCreatesKeepTheQuota(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 1, 7} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			w := newWorkloadOn(t, pgtest.URL(t), 12)
			w.allow(quota.Limits{quota.Secrets: int64(limit)})
			var wg sync.WaitGroup
			var made, refused atomic.Int64
			start := make(chan struct{})
			for i := range 24 {
				wg.Go(func() {
					<-start
					var err error
					if i%2 == 0 {
						_, err = w.create(i)
					} else {
						err = w.createEmpty(nil)
					}
					switch {
					case err == nil:
						made.Add(1)
					case errors.Is(err, quota.ErrReached):
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			close(start)
			wg.Wait()
			if int(made.Load()) != limit || int(made.Load()+refused.Load()) != 24 {
				t.Errorf("%d made and %d refused, want %d made", made.Load(), refused.Load(), limit)
			}
			for table, want := range map[string]int{"secrets": limit, "secret_directory": limit, "audit_events": limit + 1} {
				if n := w.count(table); n != want {
					t.Errorf("%d rows in %s, want %d", n, table, want)
				}
			}
		})
	}
}

// Who asks for the last place while another is about to take it waits, and then
// sees that it is gone. The race above seldom shows it; here the order is fixed.
func TestTheLastPlaceIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 4)
	w.allow(quota.Limits{quota.Secrets: 2})
	if err := w.createEmpty(nil); err != nil { // from now on the turn has its row
		t.Fatal(err)
	}
	tx, err := w.raw.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, text := range []string{
		`SELECT FROM quota_turns FOR UPDATE`,
		`CREATE TEMPORARY TABLE second ON COMMIT DROP AS SELECT * FROM secrets`,
		`UPDATE second SET id = gen_random_uuid()`,
		`ALTER TABLE second DROP COLUMN listed_as`,
	} {
		if _, err := tx.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	var columns string
	err = tx.QueryRowContext(t.Context(), `SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
		WHERE attrelid = 'second'::regclass AND attnum > 0 AND NOT attisdropped`).Scan(&columns)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), `INSERT INTO secrets (`+columns+`) SELECT `+columns+` FROM second`); err != nil {
		t.Fatal(err)
	}
	created := make(chan error, 1)
	go func() { created <- w.createEmpty(nil) }()
	w.untilWaiting(t, 1)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-created; !errors.Is(err, quota.ErrReached) {
		t.Errorf("the third of two: %v", err)
	}
}

// createEmpty makes a secret without a payload.
func (w *workload) createEmpty(expires *time.Time) error {
	now := time.Now()
	return w.db.Create(w.tb.Context(), secret.Secret{
		ID: secret.ID(uuid.NewString()), Project: w.project, Family: policy.KeyManager, Type: "opaque",
		State: secret.Enabled, CreatedAt: now, UpdatedAt: now, Expiration: expires,
	}, nil, w.event())
}

// Only what lives counts, and deleting makes room.
func TestQuotaCountsTheLiving(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	w.allow(quota.Limits{quota.Secrets: 2})
	s := w.fill(1)[0]
	soon := time.Now().Add(50 * time.Millisecond)
	if err := w.createEmpty(&soon); err != nil {
		t.Fatal(err)
	}
	if err := w.createEmpty(nil); !errors.Is(err, quota.ErrReached) {
		t.Fatalf("a third of two: %v", err)
	}
	time.Sleep(time.Until(soon) + time.Millisecond)
	if err := w.createEmpty(nil); err != nil {
		t.Fatalf("after one expired: %v", err)
	}
	if err := w.createEmpty(nil); !errors.Is(err, quota.ErrReached) {
		t.Fatalf("a third of two: %v", err)
	}
	if err := w.db.Delete(t.Context(), s, w.event()); err != nil {
		t.Fatal(err)
	}
	if err := w.createEmpty(nil); err != nil {
		t.Fatalf("after one was deleted: %v", err)
	}
}

// The operator's default counts where a project has nothing of its own for the
// resource, and no longer.
func TestQuotaDefaults(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	db, err := postgres.Open(t.Context(), postgres.Config{URL: w.url, Quotas: quota.Limits{quota.Secrets: 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	w.db = db
	steps := []struct {
		set  quota.Limits
		want error
	}{
		{nil, nil},
		{nil, quota.ErrReached},
		{quota.Limits{quota.Orders: 0}, quota.ErrReached},
		{quota.Limits{quota.Secrets: 2}, nil},
		{nil, quota.ErrReached},
		{quota.Limits{quota.Secrets: -5}, nil},
		{quota.Limits{quota.Secrets: 0}, quota.ErrReached},
	}
	for i, s := range steps {
		if s.set != nil {
			w.allow(s.set)
		}
		if err := w.createEmpty(nil); !errors.Is(err, s.want) {
			t.Errorf("step %d: %v, want %v", i, err, s.want)
		}
	}
	if err := db.DeleteProjectQuota(t.Context(), w.project, w.event()); err != nil {
		t.Fatal(err)
	}
	if err := w.createEmpty(nil); !errors.Is(err, quota.ErrReached) {
		t.Errorf("back at the default: %v", err)
	}
}

// A name that is taken is told before the quota; a create stays one round trip
// with a limit, too.
func TestQuotaOrderAndRoundTrips(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	w.family = policy.Huawei
	w.fill(2)
	w.allow(quota.Limits{quota.Secrets: 3})
	before := w.db.RoundTrips()
	if _, err := w.create(2); err != nil {
		t.Fatal(err)
	}
	if n := w.db.RoundTrips() - before; n != 1 {
		t.Errorf("%d round trips, want 1", n)
	}
	if _, err := w.create(1); !errors.Is(err, secret.ErrNameTaken) {
		t.Errorf("a name that is taken, in a full project: %v", err)
	}
	if _, err := w.create(3); !errors.Is(err, quota.ErrReached) {
		t.Errorf("a new name, in a full project: %v", err)
	}
}

func TestProjectQuotas(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ctx, at := t.Context(), time.Now()
	if _, err := w.db.ProjectQuota(ctx, "p1"); !errors.Is(err, quota.ErrNotFound) {
		t.Errorf("nothing was set: %v", err)
	}
	for i, p := range []auth.ProjectID{"p2", "p1", "p3"} {
		if err := w.db.ChangeProjectQuota(ctx, p, quota.Limits{}, at.Add(time.Duration(i)*time.Second), w.event()); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []quota.Limits{{quota.Secrets: 50, quota.CAs: -3}, {quota.Orders: 5}, {}} {
		if err := w.db.ChangeProjectQuota(ctx, "p1", l, at.Add(time.Hour), w.event()); err != nil {
			t.Fatal(err)
		}
	}
	set, err := w.db.ProjectQuota(ctx, "p1")
	if diff := cmp.Diff(quota.Limits{quota.Secrets: 50, quota.Orders: 5, quota.CAs: -3}, set); err != nil || diff != "" {
		t.Errorf("merged: %v %s", err, diff)
	}
	for _, tc := range []struct {
		limit, offset int
		want          []auth.ProjectID
	}{{10, 0, []auth.ProjectID{"p2", "p1", "p3"}}, {1, 1, []auth.ProjectID{"p1"}}, {2, 7, nil}} {
		page, total, err := w.db.ProjectQuotas(ctx, tc.limit, tc.offset)
		var got []auth.ProjectID
		for _, p := range page {
			got = append(got, p.ID)
		}
		if err != nil || total != 3 || !cmp.Equal(tc.want, got) {
			t.Errorf("%d from %d: %v of %d, %v; want %v", tc.limit, tc.offset, got, total, err, tc.want)
		}
	}
	if err := w.db.DeleteProjectQuota(ctx, "p1", w.event()); err != nil {
		t.Fatal(err)
	}
	if err := w.db.DeleteProjectQuota(ctx, "p1", w.event()); !errors.Is(err, quota.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	// One event for each change that happened.
	var events int
	if err := w.raw.QueryRowContext(ctx, `SELECT count(*) FROM audit_events WHERE project IN ('p1', 'p2', 'p3')`).Scan(&events); err != nil || events != 7 {
		t.Errorf("%d events, %v", events, err)
	}
}

// Containers keep theirs in the same way; that a secret is missing comes after.
func TestContainerQuota(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 8)
	w.allow(quota.Limits{quota.Containers: 2})
	ss := w.fill(1)
	var wg sync.WaitGroup
	var made atomic.Int64
	for range 8 {
		wg.Go(func() {
			err := w.db.CreateContainer(t.Context(), w.container(container.Generic, entry("a", ss[0])), w.event())
			switch {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, quota.ErrReached):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 2 || w.count("containers") != 2 || w.count("container_secrets") != 2 {
		t.Errorf("%d made, %d there", made.Load(), w.count("containers"))
	}
	absent := container.Entry{Secret: secret.ID(uuid.NewString())}
	if err := w.db.CreateContainer(t.Context(), w.container(container.Generic, absent), w.event()); !errors.Is(err, quota.ErrReached) {
		t.Errorf("in a full project, with a secret that is missing: %v", err)
	}
	w.allow(quota.Limits{quota.Containers: -1})
	if err := w.db.CreateContainer(t.Context(), w.container(container.Generic, absent), w.event()); !errors.Is(err, container.ErrNoSecret) {
		t.Errorf("with a secret that is missing: %v", err)
	}
}

// Consumers count for the project that registers them, wherever the secret is.
func TestConsumerQuota(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 8)
	s := w.fill(1)[0]
	w.allow(quota.Limits{quota.Consumers: 2})
	var wg sync.WaitGroup
	var made atomic.Int64
	for i := range 8 {
		wg.Go(func() {
			fresh, err := w.db.Register(t.Context(), s, w.consumer(w.project, i), w.event())
			switch {
			case fresh:
				made.Add(1)
			case !errors.Is(err, quota.ErrReached):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 2 || w.count("secret_consumers") != 2 {
		t.Errorf("%d made, %d there", made.Load(), w.count("secret_consumers"))
	}
	for i := range 3 {
		if _, err := w.db.Register(t.Context(), s, w.consumer("other", 10+i), w.event()); err != nil {
			t.Errorf("of another project: %v", err)
		}
	}
	gone := s
	gone.ID = secret.ID(uuid.NewString())
	if _, err := w.db.Register(t.Context(), gone, w.consumer(w.project, 1), w.event()); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("of a secret that is gone: %v", err)
	}
}

func (w *workload) consumer(by auth.ProjectID, i int) secret.Consumer {
	now := time.Now()
	return secret.Consumer{
		ID: secret.ConsumerID(uuid.NewString()), Registrar: by, CreatedAt: now, UpdatedAt: now,
		Use: secret.Use{Service: "compute", ResourceType: "server", ResourceID: fmt.Sprint(i)},
	}
}
