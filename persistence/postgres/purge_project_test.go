package postgres_test

import (
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/quota"
)

// A purge takes all that one project has, step by step, and nothing of another;
// the record of what happened stays.
func TestPurgeTakesOneProject(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ss := w.fill(5)
	w.stored(container.Generic, entry("a", ss[0]), entry("b", ss[1]))
	w.allow(quota.Limits{quota.Secrets: 100})
	doomed, other := w.project, auth.ProjectID("another-project")
	before := w.rows("audit_events")

	ev := w.event()
	ev.Project = string(other)
	if n, err := w.db.PurgeProject(t.Context(), other, 2, ev); n != 0 || err != nil {
		t.Errorf("a project without anything: %d, %v", n, err)
	}
	for step, want := range []int{3, 2, 1, 0, 0} { // a container and two secrets first
		ev := w.event()
		ev.At = time.Now()
		if n, err := w.db.PurgeProject(t.Context(), doomed, 2, ev); n != want || err != nil {
			t.Errorf("step %d removes %d, want %d: %v", step, n, want, err)
		}
	}
	for _, table := range []string{
		"secrets", "secret_directory", "secret_versions", "secret_stages", "secret_metadata",
		"containers", "container_directory", "container_secrets", "project_quotas",
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
