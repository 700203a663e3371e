package storetest

import (
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

var restoring = map[string]func(*bench){
	"FindEveryVersion":      findEveryVersion,
	"RestoreKeepsAll":       restoreKeepsAll,
	"RestoreLeavesEventOut": restoreLeavesEventOut,
	"RestoreIsRefused":      restoreIsRefused,
	"KEKIsFound":            kekIsFound,
	"HandedOutStays":        handedOutStays,
}

// whole is a secret that was never stored, with three versions, of which the
// second is gone.
func (b *bench) whole(name string, k kek.Version) secret.Found {
	long := b.now.Add(-1000 * time.Hour)
	s := b.secretNamed(policy.Huawei, name)
	s.CreatedAt, s.Latest, s.LatestAt, s.Key, s.ContentType = long, 4, long.Add(time.Hour), k.MasterKey, secret.Binary
	s.Current, s.Previous = secret.Mark{Version: 3, Since: long}, secret.Mark{Version: 1, Since: long.Add(time.Minute)}
	s.Description, s.Rotation = "äöü", secret.Rotation{Auto: true, Period: "1d", Next: ptr(b.now.Add(time.Hour))}
	s.ACL = &secret.ACL{Private: true, Readers: []auth.UserID{"u1"}, CreatedAt: long, UpdatedAt: long}
	f := secret.Found{
		Secret: s, Metadata: map[string]string{"a": "1", `b"{},\`: ""},
		Tags: []secret.Tag{{Key: "env", Value: "prod"}, {Key: "x"}}, Stages: map[secret.Stage]secret.Mark{"own": {Version: 1, Since: long}, "other": {Version: 3, Since: long}},
	}
	for _, n := range []int{1, 3} {
		_, v := b.sealed(s, n, k)
		v.CreatedAt, v.Sealed.Body = long.Add(time.Duration(n)*time.Microsecond), []byte{0, '"', '\\', byte(n), 0xff, '{', ','}
		f.Versions = append(f.Versions, v)
	}
	f.Versions[1].ContentType, f.Versions[1].ExpiresAt = secret.Binary, ptr(b.now.Add(time.Hour))
	return f
}

// readBack is what Find with Want.Every tells of the KEK of each version.
func (b *bench) readBack(f secret.Found, k kek.Version) secret.Found {
	for i := range f.Versions {
		f.Versions[i].Sealed.KEK = envelope.KEK{
			ID: k.ID, MasterKey: k.MasterKey, Group: k.Group, Format: 1, Canary: []byte("canary of " + k.ID), Usable: true,
		}
	}
	return f
}

func findEveryVersion(b *bench) {
	k, other := b.kek("k"), b.kek("other")
	s := b.create(b.secretNamed(policy.Huawei, "db"), k)
	b.tick()
	next, v := b.sealed(s, 2, other)
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: next, Add: &v}, b.event()))
	b.must(b.s.SetKEK(b.p, other.ID, kek.Active, true))
	for _, h := range []secret.Handle{secret.Named(b.project(), "db"), secret.Within(b.project(), s.ID), secret.Anywhere(s.ID)} {
		got := b.find(h, secret.Want{Every: true}).Versions
		if len(got) != 2 {
			b.Fatalf("%d versions, want 2", len(got))
		}
		for i, want := range []kek.Version{k, other} {
			sealed := got[i].Sealed
			if sealed.KEK.ID != want.ID || sealed.KEK.MasterKey != want.MasterKey || sealed.KEK.Usable != (i == 0) ||
				string(sealed.KEK.Canary) != "canary of "+string(want.ID) || sealed.WrappedDEK[2] != byte(i+1) || len(sealed.Body) == 0 {
				b.Errorf("version %d: %+v", i+1, got[i])
			}
		}
	}
	empty := b.createEmpty(policy.KeyManager, "")
	if f := b.find(secret.Anywhere(empty.ID), secret.Want{Every: true}); len(f.Versions) != 0 {
		b.Errorf("versions of an empty secret: %+v", f.Versions)
	}
}

func restoreKeepsAll(b *bench) {
	b.must(b.s.AddEvent(b.p, "ev"))
	k := b.kek("k")
	f := b.whole("db", k)
	f.Secret.Event = "ev"
	kept, err := b.s.Restore(b.ctx(), f, b.event())
	b.must(err)
	if kept != "ev" {
		b.Errorf("kept event %q, want ev", kept)
	}
	if diff := cmp.Diff(b.readBack(f, k), b.find(secret.Named(b.project(), "db"), secret.Want{Every: true, Metadata: true, Tags: true})); diff != "" {
		b.Errorf("restored (-want +got):\n%s", diff)
	}
	if b.rows("audit_events") != 1 || b.rows("secret_directory") != 1 || b.rows("secret_versions") != 2 {
		b.Error("the event, the directory or a version is missing")
	}
	if got := b.find(secret.Anywhere(f.Secret.ID), secret.Want{}); got.Secret.Revision != 0 {
		b.Errorf("revision %d", got.Secret.Revision)
	}
}

func restoreLeavesEventOut(b *bench) {
	f := b.whole("db", b.kek("k"))
	f.Secret.Event = "gone"
	kept, err := b.s.Restore(b.ctx(), f, b.event())
	b.must(err)
	if got := b.find(secret.Named(b.project(), "db"), secret.Want{}); kept != "" || got.Secret.Event != "" {
		b.Errorf("event %q, read %q, want none", kept, got.Secret.Event)
	}
}

// A refused restore leaves nothing, and a name is free once its secret's time
// is over at the time of the event.
func restoreIsRefused(b *bench) {
	k := b.kek("k")
	first := b.whole("db", k)
	at := b.now.Add(time.Hour)
	first.Secret.State, first.Secret.DeleteAt = secret.PendingDelete, &at
	_, err := b.s.Restore(b.ctx(), first, b.event())
	b.must(err)
	before, err := b.s.Rows(b.p)
	b.must(err)
	refused := func(want error) {
		b.Helper()
		if _, err := b.s.Restore(b.ctx(), b.whole("db", k), b.event()); !errors.Is(err, want) {
			b.Errorf("%v, want %v", err, want)
		}
		after, err := b.s.Rows(b.p)
		b.must(err)
		if diff := cmp.Diff(before, after); diff != "" {
			b.Errorf("a refused restore changed rows (-before +after):\n%s", diff)
		}
	}
	refused(secret.ErrNameTaken)
	b.must(b.s.SetKEK(b.p, k.ID, kek.DecryptOnly, false))
	b.now = at.Add(time.Second)
	if _, err := b.s.Restore(b.ctx(), b.whole("other", k), b.event()); !errors.Is(err, envelope.ErrKEKGone) {
		b.Errorf("under a KEK that is gone: %v", err)
	}
	b.must(b.s.SetKEK(b.p, k.ID, kek.Active, false))
	_, err = b.s.Restore(b.ctx(), b.whole("db", k), b.event())
	if held, ok := errors.AsType[*secret.NameHeldError](err); !ok || held.By.ID != first.Secret.ID {
		b.Fatalf("over one whose time is over: %v", err)
	}
	_, err = b.s.Purge(b.ctx(), b.project(), []secret.Purged{{ID: first.Secret.ID, Event: b.event()}}, b.now)
	b.must(err)
	_, err = b.s.Restore(b.ctx(), b.whole("db", k), b.event())
	b.must(err)
	if n := b.rows("secrets"); n != 1 {
		b.Errorf("%d secrets, want 1", n)
	}
}

func kekIsFound(b *bench) {
	k := b.kek("k")
	got, err := b.s.KEK(b.ctx(), b.p, k.ID)
	b.must(err)
	want := envelope.KEK{ID: k.ID, MasterKey: k.MasterKey, Group: k.Group, Format: 1, Canary: []byte("canary of " + k.ID), Usable: true}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("found (-want +got):\n%s", diff)
	}
	b.must(b.s.SetKEK(b.p, k.ID, kek.DecryptOnly, false))
	if got, err := b.s.KEK(b.ctx(), b.p, k.ID); err != nil || !got.Usable {
		b.Errorf("decrypt-only: %+v, %v", got, err)
	}
	b.must(b.s.SetKEK(b.p, k.ID, kek.DecryptOnly, true))
	if got, err := b.s.KEK(b.ctx(), b.p, k.ID); err != nil || got.Usable {
		b.Errorf("disabled: %+v, %v", got, err)
	}
	pending := b.prepare(newMasterKey(b.p, "pending", b.now))
	for _, id := range []envelope.KEKID{envelope.KEKID(uuid.NewString()), pending.ID, "no UUID"} {
		if _, err := b.s.KEK(b.ctx(), b.p, id); !errors.Is(err, kek.ErrNoKEK) {
			b.Errorf("%s: %v, want ErrNoKEK", id, err)
		}
	}
	if _, err := b.s.KEK(b.ctx(), "another project", k.ID); !errors.Is(err, kek.ErrNoKEK) {
		b.Errorf("another project's: %v, want ErrNoKEK", err)
	}
}

func handedOutStays(b *bench) {
	mk := newMasterKey(b.p, "k", b.now)
	mk.HandedOut = true
	v := b.prepare(mk)
	b.must(b.s.Activate(b.ctx(), v, made(v)))
	b.must(b.s.SetKEK(b.p, v.ID, kek.DecryptOnly, false))
	if err := b.s.Retire(b.ctx(), v); fault.KindOf(err) != fault.WrongState {
		b.Errorf("Retire: %v, want a wrong state", err)
	}
}
