package postgres_test

import (
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/quota"
)

// A purge takes all that one project has, step by step, and nothing of another;
// the record of what happened stays.
func TestPurgeTakesOneProject(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ss := w.fill(5)
	w.stored(container.Generic, entry("a", ss[0]), entry("b", ss[1]))
	for range 3 {
		w.ordered(order.Key, nil, 0)
	}
	w.notified()
	w.allow(quota.Limits{quota.Secrets: 100})
	doomed, other := w.project, auth.ProjectID("another-project")
	before := w.rows("audit_events")

	ev := w.event()
	ev.Project = string(other)
	if n, err := w.db.PurgeProject(t.Context(), other, 2, ev); n != 0 || err != nil {
		t.Errorf("a project without anything: %d, %v", n, err)
	}
	for step, want := range []int{5, 3, 1, 0, 0} { // a container, two secrets and two orders first
		ev := w.event()
		ev.At = time.Now()
		if n, err := w.db.PurgeProject(t.Context(), doomed, 2, ev); n != want || err != nil {
			t.Errorf("step %d removes %d, want %d: %v", step, n, want, err)
		}
	}
	for _, table := range []string{
		"secrets", "secret_directory", "secret_versions", "secret_stages", "secret_metadata",
		"containers", "container_directory", "container_secrets", "orders", "project_quotas", "quota_turns", "secret_events",
	} {
		if n := w.count(table); n != 0 {
			t.Errorf("%s: %d rows are left", table, n)
		}
	}
	if after := w.rows("audit_events"); after != before+6 {
		t.Errorf("%d events of six steps", after-before)
	}
	if n := w.count("master_keys"); n == 0 {
		t.Error("the master key is gone")
	}
}

// notified gives all secrets an event.
func (w *workload) notified() {
	w.tb.Helper()
	if _, err := w.raw.ExecContext(w.tb.Context(), `
		WITH e AS (
			INSERT INTO secret_events (project, name, id, types, state, target_type, target_id, target_name, created_at, updated_at)
			VALUES ($1, 'e', gen_random_uuid(), '{SECRET_ROTATED}', 'ENABLED', 'SMN', 'urn', 'topic', now(), now()) RETURNING name
		)
		UPDATE secrets SET event = e.name FROM e WHERE project = $1`, string(w.project)); err != nil {
		w.tb.Fatal(err)
	}
}

// Whoever adds a table says whether the end of a project takes its rows: a
// purge does, they go with what it takes, or they stay for a reason.
func TestPurgeKnowsEachTable(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	stay := []string{
		"audit_events", "row_tallies", // the record; what adds up to nothing
		"keks", "master_keys", "master_key_directory", // the token has the keys
		"access_keys", "access_key_directory", "access_tokens", "application_credentials", "role_assignments", // the identity's part
	}
	rows, err := w.raw.QueryContext(t.Context(), `
		WITH RECURSIVE goes (name) AS (
			SELECT unnest($1::text[])
			UNION
			SELECT c.conrelid::regclass::text FROM pg_constraint c JOIN goes g ON c.confrelid = g.name::regclass
			WHERE c.contype = 'f' AND c.confdeltype = 'c'
		)
		SELECT table_name FROM information_schema.columns
		WHERE table_schema = 'public' AND column_name = 'project'
			AND table_name <> ALL ($2::text[]) AND table_name NOT IN (SELECT name FROM goes)`,
		pq.Array(postgres.Purged()), pq.Array(stay))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		t.Errorf("what becomes of %s at the end of a project?", name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
