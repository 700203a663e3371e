package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy"
)

// A Create that has found its KEK active and is held up before it stores the
// version keeps the KEK from being retired meanwhile. The contract suite races
// the two; here the order is fixed, so that the lock is missed each time.
func TestRetireWaitsForACreateUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 4)
	w.family = policy.Huawei
	if _, err := w.create(0); err != nil {
		t.Fatal(err)
	}
	// Whoever wants the name waits until this ends, one way or the other.
	tx, err := w.raw.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), `UPDATE secrets SET name = 'secret-1'`); err != nil {
		t.Fatal(err)
	}
	created, retired := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := w.create(1)
		created <- err
	}()
	w.untilWaiting(t, 1)
	for _, text := range []string{`DELETE FROM secret_versions`, `UPDATE keks SET state = 'decrypt-only'`} {
		if _, err := w.raw.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	go func() { retired <- w.db.Retire(t.Context(), w.kek) }()
	w.untilWaiting(t, 2)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-created; err != nil && !errors.Is(err, envelope.ErrKEKGone) {
		t.Errorf("Create: %v", err)
	} else if gone := <-retired; err == nil && !errors.Is(gone, postgres.ErrKEKInUse) {
		t.Errorf("a version was stored under a KEK that is going; Retire: %v", gone)
	}
}

// untilWaiting returns once n statements of the store wait for a lock.
func (w *workload) untilWaiting(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var waiting int
		if err := w.raw.QueryRowContext(t.Context(), `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'strongroom' AND wait_event_type = 'Lock'`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting == n {
			return
		}
	}
	t.Errorf("%d statements should wait for a lock", n)
}
