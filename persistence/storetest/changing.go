package storetest

import (
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

var changing = map[string]func(*bench){
	"ApplyComparesRevisions":      applyComparesRevisions,
	"ApplyChangesWhatMayChange":   applyChangesWhatMayChange,
	"ApplyAddsAVersion":           applyAddsAVersion,
	"ApplyMovesAndDropsStages":    applyMovesAndDropsStages,
	"ApplyPurgesVersions":         applyPurgesVersions,
	"ApplyChangesAnExpiry":        applyChangesAnExpiry,
	"ApplyWantsTheEvent":          applyWantsTheEvent,
	"ApplyWantsAnActiveKEK":       applyWantsAnActiveKEK,
	"ApplyLeavesCiphertextAlone":  applyLeavesCiphertextAlone,
	"ApplyDoesAllInOneGo":         applyDoesAllInOneGo,
	"ApplyToAnotherProjectMisses": applyToAnotherProjectMisses,
}

// addVersion adds a version with its stages, and returns s as it then is.
func (b *bench) addVersion(s secret.Secret, number int, k kek.Version, put map[secret.Stage]secret.Mark) secret.Secret {
	b.Helper()
	next, v := b.sealed(s, number, k)
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: next, Add: &v, Put: put}, b.event()))
	next.Revision++
	return next
}

func applyComparesRevisions(b *bench) {
	s := b.createEmpty(policy.Huawei, "s")
	s.Description = "first"
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: s}, b.event()))
	before, err := b.s.Rows(b.p)
	b.must(err)
	s.Description = "second"
	for _, revision := range []int64{0, 2, -1} {
		s.Revision = revision
		if err := b.s.Apply(b.ctx(), secret.Change{Secret: s}, b.event()); !errors.Is(err, secret.ErrStale) {
			b.Errorf("Apply from revision %d: %v, want ErrStale", revision, err)
		}
	}
	after, err := b.s.Rows(b.p)
	b.must(err)
	if diff := cmp.Diff(before, after); diff != "" {
		b.Errorf("a refused change changed rows (-before +after):\n%s", diff)
	}
	if f := b.find(secret.Anywhere(s.ID), secret.Want{}); f.Secret.Description != "first" || f.Secret.Revision != 1 {
		b.Errorf("the secret is %+v", f.Secret)
	}
}

func applyChangesWhatMayChange(b *bench) {
	k, other := b.kek("k"), b.kek("other")
	b.must(b.s.AddEvent(b.p, "changed"))
	b.must(b.s.AddEvent(b.p, "rotated"))
	s := b.secretNamed(policy.Huawei, "s")
	s.Event = "changed"
	s = b.create(s, k)
	want := s
	want.State, want.DeleteAt = secret.PendingDelete, ptr(b.now.Add(time.Hour))
	want.Description, want.Key, want.Event, want.EnterpriseProject = "new", other.MasterKey, "rotated", "1"
	want.Rotation = secret.Rotation{Auto: true, Period: "1d", Config: "{}", FuncURN: "u", Last: ptr(b.now), Next: ptr(b.now)}
	want.UpdatedAt = b.now.Add(time.Second)
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: want}, b.event()))
	want.Revision = 1
	if diff := cmp.Diff(want, b.find(secret.Anywhere(s.ID), secret.Want{}).Secret); diff != "" {
		b.Errorf("(-want +got):\n%s", diff)
	}
	// And back to nothing. What never changes is not taken from the change.
	back := want
	back.State, back.DeleteAt, back.Event, back.Rotation = secret.Enabled, nil, "", secret.Rotation{}
	want = back
	back.Family, back.Name, back.Type, back.Algorithm = policy.KeyManager, ptr("t"), "private", ptr("rsa")
	back.Mode, back.BitLength, back.Expiration = ptr("m"), ptr(3), ptr(b.now)
	back.Creator, back.Kind, back.CreatedAt = "thief", "RDS", b.now.Add(time.Hour)
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: back}, b.event()))
	want.Revision = 2
	if diff := cmp.Diff(want, b.find(secret.Anywhere(s.ID), secret.Want{}).Secret); diff != "" {
		b.Errorf("back to nothing (-want +got):\n%s", diff)
	}
}

func applyAddsAVersion(b *bench) {
	first, second := b.kek("k"), b.kek("other")
	s := b.createEmpty(policy.KeyManager, "")
	s = b.addVersion(s, 1, first, nil)
	b.tick()
	next, v := b.sealed(s, 2, second)
	v.ExpiresAt = ptr(b.now.Add(time.Hour))
	put := map[secret.Stage]secret.Mark{secret.Pending: {Version: 2, Since: b.now}, "mine": {Version: 2, Since: b.now}}
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: next, Add: &v, Put: put}, b.event()))
	next.Revision = 2
	f := b.find(secret.Anywhere(s.ID), secret.Want{Sealed: true, Versions: true})
	if diff := cmp.Diff(next, f.Secret); diff != "" {
		b.Errorf("secret (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(put, f.Stages); diff != "" {
		b.Errorf("stages (-want +got):\n%s", diff)
	}
	v.Sealed = envelope.Sealed{}
	if len(f.Versions) != 2 || !cmp.Equal(f.Versions[1], v) || f.Versions[0].Key != first.MasterKey {
		b.Errorf("versions %+v", f.Versions)
	}
	if f.Version.Number != 2 || f.Version.Sealed.KEK.ID != second.ID {
		b.Errorf("current version %+v", f.Version)
	}
}

func applyMovesAndDropsStages(b *bench) {
	k := b.kek("k")
	s := b.create(b.secretNamed(policy.Huawei, "s"), k)
	mark := func(n int) secret.Mark { return secret.Mark{Version: n, Since: b.now} }
	s = b.addVersion(s, 2, k, map[secret.Stage]secret.Mark{"a": mark(1), "b": mark(1), "c": mark(1)})
	b.tick()
	b.must(b.s.Apply(b.ctx(), secret.Change{
		Secret: s, Put: map[secret.Stage]secret.Mark{"b": mark(2), "d": mark(1)}, Drop: []secret.Stage{"c", "nobody's"},
	}, b.event()))
	f := b.find(secret.Anywhere(s.ID), all)
	if len(f.Stages) != 3 || f.Stages["a"].Version != 1 || f.Stages["b"] != mark(2) || f.Stages["d"] != mark(1) {
		b.Errorf("stages %v", f.Stages)
	}
}

func applyPurgesVersions(b *bench) {
	k := b.kek("k")
	s := b.create(b.secretNamed(policy.Huawei, "s"), k)
	for n := 2; n <= 4; n++ {
		s = b.addVersion(s, n, k, nil)
	}
	next, v := b.sealed(s, 5, k)
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: next, Add: &v, Purge: []int{1, 3, 77}}, b.event()))
	f := b.find(secret.Anywhere(s.ID), all)
	if len(f.Versions) != 3 || f.Versions[0].Number != 2 || f.Versions[1].Number != 4 || f.Versions[2].Number != 5 {
		b.Errorf("versions %+v", f.Versions)
	}
	if n := b.rows("secret_versions"); n != 3 {
		b.Errorf("%d rows, want 3", n)
	}
}

func applyChangesAnExpiry(b *bench) {
	k := b.kek("k")
	s := b.create(b.secretNamed(policy.Huawei, "s"), k)
	s = b.addVersion(s, 2, k, nil)
	at := b.now.Add(time.Hour)
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: s, Expires: &secret.VersionExpiry{Number: 1, At: &at}}, b.event()))
	s.Revision++
	f := b.find(secret.Anywhere(s.ID), all)
	if e := f.Versions[0].ExpiresAt; e == nil || !e.Equal(at) || f.Versions[1].ExpiresAt != nil {
		b.Errorf("versions %+v", f.Versions)
	}
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: s, Expires: &secret.VersionExpiry{Number: 1}}, b.event()))
	if f = b.find(secret.Anywhere(s.ID), all); f.Versions[0].ExpiresAt != nil {
		b.Errorf("versions %+v", f.Versions)
	}
}

func applyWantsTheEvent(b *bench) {
	s := b.createEmpty(policy.Huawei, "s")
	s.Event = "changed"
	if err := b.s.Apply(b.ctx(), secret.Change{Secret: s}, b.event()); !errors.Is(err, secret.ErrNoEvent) {
		b.Errorf("Apply: %v, want ErrNoEvent", err)
	}
	if f := b.find(secret.Anywhere(s.ID), secret.Want{}); f.Secret.Revision != 0 {
		b.Errorf("revision %d", f.Secret.Revision)
	}
}

func applyWantsAnActiveKEK(b *bench) {
	k := b.kek("k")
	s := b.create(b.secretNamed(policy.Huawei, "s"), k)
	b.must(b.s.SetKEK(b.p, k.ID, kek.DecryptOnly, false))
	next, v := b.sealed(s, 2, k)
	c := secret.Change{Secret: next, Add: &v, Put: map[secret.Stage]secret.Mark{"mine": {Version: 1, Since: b.now}}, Purge: []int{1}}
	if err := b.s.Apply(b.ctx(), c, b.event()); !errors.Is(err, envelope.ErrKEKGone) {
		b.Errorf("Apply: %v, want ErrKEKGone", err)
	}
	if f := b.find(secret.Anywhere(s.ID), all); f.Secret.Revision != 0 || len(f.Versions) != 1 || len(f.Stages) != 0 {
		b.Errorf("a refused change did something: %+v", f)
	}
	c.Secret.Revision = 7 // stale is told before
	if err := b.s.Apply(b.ctx(), c, b.event()); !errors.Is(err, secret.ErrStale) {
		b.Errorf("Apply from another revision: %v, want ErrStale", err)
	}
	// What seals nothing needs no KEK.
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: s}, b.event()))
}

// What a payload is bound to (project, secret, number) and the payload itself
// are written once.
func applyLeavesCiphertextAlone(b *bench) {
	k := b.kek("k")
	s := b.create(b.secretNamed(policy.Huawei, "s"), k)
	want := secret.Want{Sealed: true, Number: 1}
	before := b.find(secret.Anywhere(s.ID), want).Version
	s = b.addVersion(s, 2, k, nil)
	at := b.now.Add(time.Hour)
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: s, Expires: &secret.VersionExpiry{Number: 1, At: &at}}, b.event()))
	after := b.find(secret.Anywhere(s.ID), want).Version
	before.ExpiresAt = &at
	if diff := cmp.Diff(before, after); diff != "" {
		b.Errorf("(-before +after):\n%s", diff)
	}
}

// Everything that one change can hold, at once, a stage leaving the version
// that is purged.
func applyDoesAllInOneGo(b *bench) {
	k := b.kek("k")
	s := b.create(b.secretNamed(policy.Huawei, "s"), k)
	s = b.addVersion(s, 2, k, map[secret.Stage]secret.Mark{"moves": {Version: 1, Since: b.now}, "goes": {Version: 2, Since: b.now}})
	next, v := b.sealed(s, 3, k)
	at := b.now.Add(time.Hour)
	b.must(b.s.Apply(b.ctx(), secret.Change{
		Secret: next, Add: &v,
		Put:     map[secret.Stage]secret.Mark{"moves": {Version: 3, Since: b.now}},
		Drop:    []secret.Stage{"goes"},
		Purge:   []int{1},
		Expires: &secret.VersionExpiry{Number: 2, At: &at},
	}, b.event()))
	f := b.find(secret.Anywhere(s.ID), all)
	if len(f.Versions) != 2 || f.Versions[0].Number != 2 || !f.Versions[0].ExpiresAt.Equal(at) || f.Versions[1].Number != 3 {
		b.Errorf("versions %+v", f.Versions)
	}
	if len(f.Stages) != 1 || f.Stages["moves"].Version != 3 {
		b.Errorf("stages %v", f.Stages)
	}
}

func applyToAnotherProjectMisses(b *bench) {
	s := b.createEmpty(policy.Huawei, "s")
	s.Project = "another project"
	if err := b.s.Apply(b.ctx(), secret.Change{Secret: s}, b.event()); !errors.Is(err, secret.ErrNotFound) {
		b.Errorf("Apply: %v, want ErrNotFound", err)
	}
}
