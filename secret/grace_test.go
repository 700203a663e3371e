package secret_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// A version that is purged is named by the event of the change that took it,
// and with a grace none goes that is younger: the change is refused, on record,
// and alters nothing.
func TestPurgeSparesYoungVersions(t *testing.T) {
	t.Parallel()
	r := newRoom(t, func(_ *room, d *secret.Deps) { d.VersionGrace = time.Hour })
	sec := r.create(t, huawei, named("a"))
	for range secret.MaxVersions - 1 {
		if _, err := r.locate(t, huawei, sec.ID).AddVersion(t.Context(), version("x")); err != nil {
			t.Fatal(err)
		}
	}
	add := func() error {
		_, err := r.locate(t, huawei, sec.ID).AddVersion(t.Context(), version("y"))
		return err
	}
	r.record.forget()
	events := len(r.store.Events())
	if err := add(); !errors.Is(err, secret.ErrManyVersions) {
		t.Errorf("a version more than fits: %v, want %v", err, secret.ErrManyVersions)
	}
	r.record.only(t, policy.VersionAdd, audit.Refused)
	if f := r.found(t, sec.ID); f.Secret.Latest != secret.MaxVersions || len(f.Versions) != secret.MaxVersions || len(r.store.Events()) != events {
		t.Errorf("refused, and version %d is the latest of %d", f.Secret.Latest, len(f.Versions))
	}

	r.ticks.Add(time.Hour.Milliseconds())
	if err := add(); err != nil {
		t.Fatal(err)
	}
	f, log := r.found(t, sec.ID), r.store.Events()
	if len(f.Versions) != secret.MaxVersions || f.Versions[0].Number != 2 {
		t.Errorf("%d versions from v%d on, want %d from v2 on", len(f.Versions), f.Versions[0].Number, secret.MaxVersions)
	}
	if ev := log[len(log)-1]; !slices.Equal(ev.Removed, []string{"v1"}) {
		t.Errorf("the event names %v, want v1", ev.Removed)
	}
}
