package secret_test

import (
	"errors"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

const day = 24 * time.Hour

// csms.md §4.6 and §4.7: due when it was said, gone from then on, and as if
// nothing had been where it is cancelled before.
func TestScheduledDeletion(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	sec := r.create(t, huawei, named("a"))
	before := r.now()
	got, err := r.locate(t, huawei, sec.ID).Schedule(t.Context(), 7*day)
	if err != nil {
		t.Fatal(err)
	}
	if got.State != secret.PendingDelete || got.DeleteAt == nil || got.DeleteAt.Before(before.Add(7*day)) || got.DeleteAt.After(r.now().Add(7*day)) || !got.UpdatedAt.After(sec.UpdatedAt) {
		t.Errorf("scheduled: %+v", got)
	}
	if stored := r.found(t, sec.ID).Secret; stored.State != got.State || !stored.DeleteAt.Equal(*got.DeleteAt) {
		t.Errorf("stored: %+v", stored)
	}
	back, err := r.locate(t, huawei, sec.ID).Unschedule(t.Context())
	if err != nil || back.State != secret.Enabled || back.DeleteAt != nil {
		t.Errorf("cancelled: %+v, %v", back, err)
	}
	r.reads(t, sec.ID, "v1 of a")

	if _, err := r.locate(t, huawei, sec.ID).Schedule(t.Context(), 7*day); err != nil {
		t.Fatal(err)
	}
	l := r.locate(t, huawei, sec.ID)
	r.ticks.Add(int64(8 * day / time.Millisecond))
	if _, err := l.Unschedule(t.Context()); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("cancelling after the time: %v", err)
	}
	if _, err := r.Locate(t.Context(), huawei, policy.SecretShow, secret.Named("p1", "a"), secret.Want{}); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("after the time: %v", err)
	}
	// The job finds it, and says so in the record of changes.
	events := len(r.store.Events())
	if n, err := r.Purge(t.Context(), r.now(), 10); n != 1 || err != nil {
		t.Errorf("Purge = %d, %v", n, err)
	}
	if left := r.store.Events()[events:]; len(left) != 1 || left[0].Target.ID != string(sec.ID) || left[0].Outcome != audit.Success {
		t.Errorf("events of the removal: %+v", left)
	}
	if rows := r.rows(t); rows["secrets"]+rows["secret_versions"]+rows["secret_directory"] != 0 {
		t.Errorf("rows are left: %v", rows)
	}
}

// A rotation waits while the deletion is pending: one that fell due meanwhile
// begins a period of its own, another stays when it was to be.
func TestRotationWaitsForPendingDeletion(t *testing.T) {
	t.Parallel()
	for wait, moved := range map[time.Duration]bool{time.Hour: false, 3 * day: true} {
		r := newRoom(t, nil)
		in := named("a")
		in.Rotation = secret.Rotation{Auto: true, Period: "2d"}
		sec := r.create(t, huawei, in)
		pending, err := r.locate(t, huawei, sec.ID).Schedule(t.Context(), 7*day)
		if err != nil || !pending.Rotation.Next.Equal(*sec.Rotation.Next) || !pending.Rotation.Auto {
			t.Fatalf("scheduled: %+v, %v", pending.Rotation, err)
		}
		r.ticks.Add(int64(wait / time.Millisecond))
		before := r.now()
		back, err := r.locate(t, huawei, sec.ID).Unschedule(t.Context())
		if err != nil || back.Rotation.Next == nil {
			t.Fatalf("cancelled: %+v, %v", back.Rotation, err)
		}
		if got := !back.Rotation.Next.Equal(*sec.Rotation.Next); got != moved || moved && back.Rotation.Next.Before(before.Add(2*day)) {
			t.Errorf("after %v it rotates at %v, was to at %v", wait, back.Rotation.Next, sec.Rotation.Next)
		}
	}
}

// Who takes the name of a secret that is over, and that no job has removed yet,
// removes it, and the record has that like any other removal.
func TestNameOfWhatIsDueIsFree(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	old := r.create(t, huawei, named("a"))
	if _, err := r.locate(t, huawei, old.ID).Schedule(t.Context(), 7*day); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create(t.Context(), huawei, named("a")); !errors.Is(err, secret.ErrNameTaken) {
		t.Errorf("while it is pending: %v", err)
	}
	r.ticks.Add(int64(8 * day / time.Millisecond))
	events := len(r.store.Events())
	fresh := r.create(t, huawei, named("a"))
	r.reads(t, fresh.ID, "v1 of a")
	left := r.store.Events()[events:]
	if len(left) != 2 || left[0].Action != string(policy.SecretPurge) || left[0].Target.ID != string(old.ID) || left[1].Target.ID != string(fresh.ID) {
		t.Errorf("events %+v", left)
	}
	if rows := r.rows(t); rows["secrets"] != 1 || rows["secret_versions"] != 1 {
		t.Errorf("rows are left: %v", rows)
	}
}
