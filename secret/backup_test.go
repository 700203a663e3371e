package secret_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
)

func (r *room) backup(t *testing.T, id secret.ID) string {
	t.Helper()
	blob, err := r.locate(t, huawei, id).Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return blob
}

func (r *room) delete(t *testing.T, id secret.ID) {
	t.Helper()
	if err := r.locate(t, huawei, id).Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What comes back is what was, but for its UUID, its state and the time of the
// last change.
func TestRestoreBringsAllBack(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	sec := r.furnish(t)
	before := r.found(t, sec.ID)
	blob := r.backup(t, sec.ID)
	if strings.Contains(blob, "v1 of a") {
		t.Error("the blob holds a value")
	}
	r.delete(t, sec.ID)
	r.record.forget()
	got, err := r.Restore(t.Context(), huawei, blob)
	if err != nil {
		t.Fatal(err)
	}
	events := r.store.Events()
	if ev := events[len(events)-1]; ev.Action != "secret.restore" || ev.Target.ID != string(got.ID) || len(r.record.events) != 0 {
		t.Errorf("recorded %+v", ev)
	}
	after := r.found(t, got.ID)
	if got.ID == sec.ID || !got.UpdatedAt.After(before.Secret.UpdatedAt) || len(after.Secret.Consumers) != 0 {
		t.Errorf("restored %+v", got)
	}
	for i, f := range []*secret.Found{&before, &after} {
		f.Secret.ID, f.Secret.UpdatedAt, f.Secret.Revision, f.Secret.Consumers = "", time.Time{}, 0, nil
		for j := range f.Versions {
			f.Versions[j].Sealed = envelope.Sealed{}
		}
		f.Version.Sealed = envelope.Sealed{}
		if len(f.Versions) != 2 {
			t.Errorf("%d: %d versions, want 2", i, len(f.Versions))
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
	r.reads(t, got.ID, "v2")
	if v, err := r.locate(t, huawei, got.ID).AddVersion(t.Context(), version("v3")); err != nil || v.Number != 3 {
		t.Errorf("the next version is %d: %v", v.Number, err)
	}
}

// One call of the token per version, and one for the blob.
func TestTokenCallsOfABackup(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	sec := r.furnish(t)
	blob := r.backup(t, sec.ID) // makes the key
	calls := r.token.Calls()
	r.backup(t, sec.ID)
	if n := r.token.Calls() - calls; n != 3 {
		t.Errorf("backup: %d token calls, want 3", n)
	}
	r.delete(t, sec.ID)
	calls = r.token.Calls()
	if _, err := r.Restore(t.Context(), huawei, blob); err != nil {
		t.Fatal(err)
	}
	if n := r.token.Calls() - calls; n != 3 {
		t.Errorf("restore: %d token calls, want 3", n)
	}
}

// A backup is a reveal of every version: the same states, on record before
// anything is opened.
func TestBackupIsAReveal(t *testing.T) {
	t.Parallel()
	for state, want := range map[secret.State]error{
		secret.Enabled: nil, secret.Disabled: secret.ErrNotEnabled, secret.Frozen: secret.ErrNotEnabled, secret.PendingDelete: secret.ErrPendingDelete,
	} {
		r := newRoom(t, nil)
		sec := r.create(t, huawei, named("a"))
		r.put(t, sec.ID, state)
		l := r.locate(t, huawei, sec.ID)
		calls := r.token.Calls()
		blob, err := l.Backup(t.Context())
		outcome := audit.Success
		if want != nil {
			outcome = audit.Refused
			if r.token.Calls() != calls || blob != "" {
				t.Errorf("%s: the token was asked", state)
			}
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", state, err, want)
		}
		r.record.only(t, policy.SecretBackup, outcome)
	}
	r := newRoom(t, nil)
	sec := r.create(t, huawei, named("a"))
	l := r.locate(t, huawei, sec.ID)
	calls := r.token.Calls()
	r.record.err = errRecord
	if blob, err := l.Backup(t.Context()); !errors.Is(err, errRecord) || blob != "" || r.token.Calls() != calls {
		t.Errorf("without a record: %v", err)
	}
}

func TestBackupAsksForEachNamedKey(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	sec := r.create(t, huawei, under("a", envelope.MasterKey(uuid.NewString())))
	blob := r.backup(t, sec.ID)
	r.judge.denied = []policy.Action{policy.DataKeyOpen}
	if _, err := r.locate(t, huawei, sec.ID).Backup(t.Context()); !errors.Is(err, secret.ErrDenied) {
		t.Errorf("backup: %v, want ErrDenied", err)
	}
	r.delete(t, sec.ID)
	for _, act := range []policy.Action{policy.DataKeyOpen, policy.DataKeyCreate} {
		r.judge.denied = []policy.Action{act}
		if _, err := r.Restore(t.Context(), huawei, blob); !errors.Is(err, secret.ErrDenied) {
			t.Errorf("restore without %s: %v, want ErrDenied", act, err)
		}
	}
}

func TestRestoreIsRefused(t *testing.T) {
	t.Parallel()
	elsewhere := huawei
	elsewhere.ProjectDomain = "another"
	for _, tc := range []struct {
		name    string
		who     auth.Principal
		prepare func(t *testing.T, r *room, sec secret.Secret, blob *string)
		want    error
		outcome audit.Outcome // empty: not recorded here
	}{
		{"another domain", elsewhere, nil, envelope.ErrBlob, audit.Refused},
		{"not a blob", huawei, func(_ *testing.T, _ *room, _ secret.Secret, blob *string) { *blob = "x" }, envelope.ErrBlob, audit.Refused},
		{"the name is there", huawei, func(t *testing.T, r *room, _ secret.Secret, _ *string) { r.create(t, huawei, named("a")) }, secret.ErrNameTaken, ""},
		{"no room", huawei, func(t *testing.T, r *room, _ secret.Secret, _ *string) {
			r.create(t, huawei, named("b"))
			r.store.Quotas = quota.Limits{quota.Secrets: 1}
		}, quota.ErrReached, audit.Refused},
		{"its key is disabled", huawei, func(t *testing.T, r *room, sec secret.Secret, _ *string) {
			if err := r.store.SetMasterKey("p1", sec.Key, "disabled"); err != nil {
				t.Fatal(err)
			}
			r.sealer.Forget("p1", sec.Key, "") // another node, which remembers nothing
		}, envelope.ErrKeyUnusable, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, nil)
			sec := r.create(t, huawei, named("a"))
			blob := r.backup(t, sec.ID)
			r.delete(t, sec.ID)
			if tc.prepare != nil {
				tc.prepare(t, r, sec, &blob)
			}
			r.record.forget()
			rows := r.rows(t)
			if got, err := r.Restore(t.Context(), tc.who, blob); !errors.Is(err, tc.want) || got.ID != "" && err == nil {
				t.Errorf("%v, want %v", err, tc.want)
			}
			if diff := cmp.Diff(rows, r.rows(t)); diff != "" {
				t.Errorf("the store changed (-before +after):\n%s", diff)
			}
			if tc.outcome != "" {
				r.record.only(t, "secret.restore", tc.outcome)
			}
		})
	}
}

// Another project of the domain takes it under its own default key, but never
// under a key that was named: that one is not its own.
func TestRestoreInAnotherProject(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	other := huawei
	other.Project = "p2"
	got, err := r.Restore(t.Context(), other, r.backup(t, r.create(t, huawei, named("a")).ID))
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.locate(t, other, got.ID).Reveal(t.Context())
	if err != nil || string(out.Payload.Reveal()) != "v1 of a" {
		t.Errorf("%v", err)
	}
	blob := r.backup(t, r.create(t, huawei, under("b", envelope.MasterKey(uuid.NewString()))).ID)
	if _, err := r.Restore(t.Context(), other, blob); !errors.Is(err, envelope.ErrKeyUnusable) {
		t.Errorf("under another project's key: %v, want ErrKeyUnusable", err)
	}
}

// Barbican's secrets leave and come back by their CSMS name, with what only
// Barbican's clients see. One without a payload has nothing to take away.
func TestBackupAcrossFamilies(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	soon := r.now().Add(time.Hour)
	in := secret.New{Type: "symmetric", Algorithm: ptr("aes"), BitLength: ptr(256), Expiration: &soon, Payload: value("\x00\xff"), ContentType: secret.Binary}
	sec := r.create(t, barbican, in)
	got, err := r.Restore(t.Context(), huawei, r.backup(t, sec.ID))
	if err != nil {
		t.Fatal(err)
	}
	if got.Name == nil || *got.Name != string(sec.ID) || *got.Algorithm != "aes" || *got.BitLength != 256 || !got.Expiration.Equal(soon) || got.ContentType != secret.Binary {
		t.Errorf("restored %+v", got)
	}
	r.reads(t, got.ID, "\x00\xff")

	empty := r.create(t, barbican, secret.New{Type: "opaque"})
	if _, err := r.locate(t, huawei, empty.ID).Backup(t.Context()); !errors.Is(err, secret.ErrNoPayload) {
		t.Errorf("without a payload: %v, want ErrNoPayload", err)
	}
}

// A rotation that was due while the secret was away is not made up for at once.
func TestRestoreSchedulesTheRotation(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	in := named("a")
	in.Rotation = secret.Rotation{Auto: true, Period: "6h"}
	sec := r.create(t, huawei, in)
	running := r.found(t, sec.ID).Secret
	running.Rotation.Version = 2
	if err := r.store.Apply(t.Context(), secret.Change{Secret: running}, audit.Event{ID: uuid.NewString(), At: r.now(), Project: "p1"}); err != nil {
		t.Fatal(err)
	}
	blob := r.backup(t, sec.ID)
	r.delete(t, sec.ID)
	r.ticks.Add(int64(10 * time.Hour / time.Millisecond))
	got, err := r.Restore(t.Context(), huawei, blob)
	if err != nil || got.Rotation.Next == nil || got.Rotation.Version != 0 || got.Rotation.Next.Sub(got.UpdatedAt) != 6*time.Hour || !got.CreatedAt.Equal(sec.CreatedAt) {
		t.Errorf("restored %+v, %v", got, err)
	}
}

// The key is rotated between sealing and storing: once more, under the new one.
func TestRestoreAfterTheKeyChanged(t *testing.T) {
	t.Parallel()
	var s *sealer
	r := newRoom(t, func(r *room, d *secret.Deps) {
		s = &sealer{BackupSealer: r.sealer}
		d.Sealer = s
	})
	sec := r.furnish(t)
	blob := r.backup(t, sec.ID)
	r.delete(t, sec.ID)
	s.sealed = func(sealed envelope.Sealed) {
		s.sealed = nil
		if err := r.store.SetKEK("p1", sealed.KEK.ID, "decrypt-only", false); err != nil {
			t.Error(err)
		}
	}
	_, err := r.Restore(t.Context(), huawei, blob)
	if len(s.forgot) != 1 || fault.KindOf(err) != fault.WrongState { // nothing took over here
		t.Errorf("forgot %v, %v", s.forgot, err)
	}
}

// Whatever a backup says, reading it neither panics nor reaches past it.
func FuzzReadContent(f *testing.F) {
	f.Add([]byte(`{"format":1,"name":"a","latest":1,"stages":{"SYSCURRENT":{"Version":1}},"versions":[{"number":1,"size":1}]}` + "\nx"))
	f.Add([]byte(`{"format":1,"name":"a","latest":1,"stages":{"SYSCURRENT":{"Version":1}},"versions":[{"number":1,"size":-1}]}` + "\n"))
	f.Add([]byte("\n"))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := secret.ReadContent(text)
		if err != nil && !errors.Is(err, envelope.ErrBlob) || err == nil && n > len(text) {
			t.Errorf("%d bytes of %d, %v", n, len(text), err)
		}
	})
}
