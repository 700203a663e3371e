package storetest

import (
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
)

var keying = map[string]func(*bench){
	"MasterKeyFromNothing":         masterKeyFromNothing,
	"LeaseByAliasAndUUID":          leaseByAliasAndUUID,
	"LeaseStopsAtTheLimit":         leaseStopsAtTheLimit,
	"DefaultKeyFollowsPreference":  defaultKeyFollowsPreference,
	"WriteProvesTheDefault":        writeProvesTheDefault,
	"LeaseWantsAUsableKey":         leaseWantsAUsableKey,
	"KeyInTheMakingIsNoKey":        keyInTheMakingIsNoKey,
	"PrepareRefusesForeignUUIDs":   prepareRefusesForeignUUIDs,
	"PrepareNumbersKEKs":           prepareNumbersKEKs,
	"ActivateOnce":                 activateOnce,
	"DiscardTakesPendingOnesOnly":  discardTakesPendingOnesOnly,
	"AbandonedTakesOverTheOverdue": abandonedTakesOverTheOverdue,
	"TakenOverIsLost":              takenOverIsLost,
	"RetireWaitsForDEKs":           retireWaitsForDEKs,
}

// prepare stores a pending KEK of a master key.
func (b *bench) prepare(mk kek.NewMasterKey) kek.Version {
	b.Helper()
	v, err := b.s.Prepare(b.ctx(), mk, envelope.KEKID(uuid.NewString()), b.now.Add(time.Minute))
	b.must(err)
	return v
}

// unusable checks how a master key is refused, by both who ask for it.
func (b *bench) unusable(what, project string, name envelope.MasterKey, want error) {
	b.Helper()
	if _, err := b.s.Lease(b.ctx(), project, name, 1); !errors.Is(err, want) {
		b.Errorf("%s: Lease: %v, want %v", what, err, want)
	}
	if _, err := b.s.Resolve(b.ctx(), project, name); !errors.Is(err, want) {
		b.Errorf("%s: Resolve: %v, want %v", what, err, want)
	}
}

func masterKeyFromNothing(b *bench) {
	b.unusable("before", b.p, envelope.Default, envelope.ErrNoMasterKey)
	mk := newMasterKey(b.p, string(envelope.Default), b.now)
	id := envelope.KEKID(uuid.NewString())
	v, err := b.s.Prepare(b.ctx(), mk, id, b.now.Add(time.Minute))
	b.must(err)
	want := kek.Version{Project: b.p, ID: id, MasterKey: mk.ID, Group: key.DefaultGroup, Alias: mk.Alias, Number: 1, State: kek.Pending, Until: b.now.Add(time.Minute)}
	if diff := cmp.Diff(want, v); diff != "" {
		b.Errorf("Prepare (-want +got):\n%s", diff)
	}
	b.must(b.s.Activate(b.ctx(), v, made(v)))
	l, err := b.s.Lease(b.ctx(), b.p, envelope.Default, 100)
	b.must(err)
	if diff := cmp.Diff(kek.Lease{
		KEK:   envelope.KEK{ID: id, MasterKey: mk.ID, Group: key.DefaultGroup, Format: 1, Default: true, Canary: made(v).Ref.Canary.Wrapped, Usable: true},
		Wraps: 100, Leased: 101, // the canary was the first
	}, l); diff != "" {
		b.Errorf("Lease (-want +got):\n%s", diff)
	}
}

func leaseByAliasAndUUID(b *bench) {
	v := b.kek("my key")
	for i, name := range []envelope.MasterKey{"my key", v.MasterKey} {
		l, err := b.s.Lease(b.ctx(), b.p, name, 10)
		if b.must(err); l.KEK.ID != v.ID || l.KEK.Default || l.Leased != int64(10*(i+1)+1) {
			b.Errorf("Lease(%q) = %+v", name, l)
		}
		if id, err := b.s.Resolve(b.ctx(), b.p, name); err != nil || id != v.MasterKey {
			b.Errorf("Resolve(%q) = %q, %v", name, id, err)
		}
	}
	b.unusable("a name that nobody has", b.p, "another", envelope.ErrNoMasterKey)
	b.unusable("no name", b.p, "", envelope.ErrNoMasterKey)
	b.unusable("a UUID that nobody has", b.p, envelope.MasterKey(uuid.NewString()), envelope.ErrNoMasterKey)
	b.unusable("another project's alias", "another project", "my key", envelope.ErrNoMasterKey)
	b.unusable("another project's UUID", "another project", v.MasterKey, envelope.ErrKeyUnusable)
}

func leaseStopsAtTheLimit(b *bench) {
	b.kek("k")
	_, err := b.s.Lease(b.ctx(), b.p, "k", kek.HardLimit-11)
	b.must(err)
	for range 2 {
		if _, err := b.s.Lease(b.ctx(), b.p, "k", 11); !errors.Is(err, kek.ErrExhausted) {
			b.Errorf("a lease past the limit: %v", err)
		}
	}
	l, err := b.s.Lease(b.ctx(), b.p, "k", 10)
	if b.must(err); l.Leased != kek.HardLimit {
		b.Errorf("leased %d, want %d: a refused lease counted", l.Leased, kek.HardLimit)
	}
	if _, err := b.s.Lease(b.ctx(), b.p, "k", 1); !errors.Is(err, kek.ErrExhausted) {
		b.Errorf("a lease at the limit: %v", err)
	}
	if _, err := b.s.Resolve(b.ctx(), b.p, "k"); err != nil {
		b.Errorf("Resolve at the limit: %v", err)
	}
}

func leaseWantsAUsableKey(b *bench) {
	v := b.kek("k")
	for _, tc := range []struct {
		state     kek.State
		disabled  bool
		masterKey string
	}{
		{kek.Active, true, "enabled"}, {kek.Active, false, "disabled"}, {kek.Active, false, "pending_deletion"},
		{kek.DecryptOnly, false, "enabled"}, {kek.Retired, false, "enabled"}, {kek.Destroyed, false, "enabled"},
	} {
		b.must(b.s.SetKEK(b.p, v.ID, tc.state, tc.disabled))
		b.must(b.s.SetMasterKey(b.p, v.MasterKey, tc.masterKey))
		b.unusable(string(tc.state)+" "+tc.masterKey, b.p, "k", envelope.ErrKeyUnusable)
		b.unusable(string(tc.state)+" "+tc.masterKey, b.p, v.MasterKey, envelope.ErrKeyUnusable)
	}
	b.must(b.s.DestroyMasterKey(b.p, v.MasterKey))
	b.unusable("destroyed", b.p, v.MasterKey, envelope.ErrKeyUnusable)
	b.unusable("destroyed, for others", "another project", v.MasterKey, envelope.ErrKeyUnusable)
	b.unusable("a destroyed key's alias", b.p, "k", envelope.ErrNoMasterKey)
}

// Whoever wants to use a master key that somebody is still making, or has
// stopped making, makes it itself.
func keyInTheMakingIsNoKey(b *bench) {
	mk := newMasterKey(b.p, string(envelope.Default), b.now)
	v := b.prepare(mk)
	b.unusable("pending", b.p, envelope.Default, envelope.ErrNoMasterKey)
	b.unusable("pending", b.p, mk.ID, envelope.ErrNoMasterKey)
	b.must(b.s.Discard(b.ctx(), v))
	b.unusable("discarded", b.p, envelope.Default, envelope.ErrNoMasterKey)
	again := b.prepare(newMasterKey(b.p, string(envelope.Default), b.now))
	if again.MasterKey != mk.ID {
		b.Errorf("a second master key of one alias: %s and %s", again.MasterKey, mk.ID)
	}
	b.must(b.s.Activate(b.ctx(), again, made(again)))
	_, err := b.s.Lease(b.ctx(), b.p, envelope.Default, 1)
	b.must(err)
}

func prepareRefusesForeignUUIDs(b *bench) {
	mine := newMasterKey(b.p, "k", b.now)
	v := b.prepare(mine)
	b.must(b.s.Activate(b.ctx(), v, made(v)))
	other := newMasterKey("another project", "k", b.now)
	other.ID = mine.ID
	if _, err := b.s.Prepare(b.ctx(), other, envelope.KEKID(uuid.NewString()), b.now); !errors.Is(err, envelope.ErrKeyUnusable) {
		b.Errorf("another project's UUID: %v", err)
	}
	b.must(b.s.DestroyMasterKey(b.p, mine.ID))
	for _, mk := range []kek.NewMasterKey{mine, other} {
		if _, err := b.s.Prepare(b.ctx(), mk, envelope.KEKID(uuid.NewString()), b.now); !errors.Is(err, envelope.ErrKeyUnusable) {
			b.Errorf("a destroyed key's UUID in %s: %v", mk.Project, err)
		}
	}
	mine.ID = "csms/default"
	if _, err := b.s.Prepare(b.ctx(), mine, envelope.KEKID(uuid.NewString()), b.now); fault.KindOf(err) != fault.Invalid {
		b.Errorf("no UUID: %v", err)
	}
	mine.ID = envelope.MasterKey(uuid.NewString())
	again := b.prepare(mine) // the alias is free
	if again.MasterKey != mine.ID || again.Number != 1 {
		b.Errorf("Prepare = %+v", again)
	}
}

func prepareNumbersKEKs(b *bench) {
	mk := newMasterKey(b.p, "k", b.now)
	first, second := b.prepare(mk), b.prepare(mk)
	if first.Number != 1 || second.Number != 1 || first.MasterKey != second.MasterKey {
		b.Errorf("two that race: %+v and %+v", first, second)
	}
	b.must(b.s.Activate(b.ctx(), first, made(first)))
	if _, err := b.s.Prepare(b.ctx(), mk, envelope.KEKID(uuid.NewString()), b.now); !errors.Is(err, kek.ErrLostRace) {
		b.Errorf("beside an active one: %v", err)
	}
	// The same UUID under another alias is the same key.
	sameID := mk
	sameID.Alias = "csms-auto-" + string(mk.ID)
	if _, err := b.s.Prepare(b.ctx(), sameID, envelope.KEKID(uuid.NewString()), b.now); !errors.Is(err, kek.ErrLostRace) {
		b.Errorf("the same UUID under another alias: %v", err)
	}
	b.must(b.s.SetKEK(b.p, first.ID, kek.DecryptOnly, false))
	third := b.prepare(mk)
	if third.Number != 2 {
		b.Errorf("the next one has number %d, want 2", third.Number)
	}
	b.must(b.s.Activate(b.ctx(), third, made(third)))
	// Another project's aliases and numbers are its own.
	if v := b.kekIn("another project", "k"); v.Number != 1 || v.MasterKey == mk.ID {
		b.Errorf("another project: %+v", v)
	}
}

func activateOnce(b *bench) {
	mk := newMasterKey(b.p, "k", b.now)
	first, second := b.prepare(mk), b.prepare(mk)
	b.must(b.s.Activate(b.ctx(), second, made(second)))
	for _, v := range []kek.Version{first, second, {Project: b.p, ID: envelope.KEKID(uuid.NewString())}} {
		if err := b.s.Activate(b.ctx(), v, made(v)); !errors.Is(err, kek.ErrLostRace) {
			b.Errorf("Activate of %s: %v, want ErrLostRace", v.ID, err)
		}
	}
	l, err := b.s.Lease(b.ctx(), b.p, "k", 1)
	if b.must(err); l.KEK.ID != second.ID {
		b.Errorf("active is %s, want %s", l.KEK.ID, second.ID)
	}
}

func discardTakesPendingOnesOnly(b *bench) {
	v := b.kek("k")
	b.must(b.s.Discard(b.ctx(), v))
	if _, err := b.s.Lease(b.ctx(), b.p, "k", 1); err != nil {
		b.Errorf("after Discard of an active one: %v", err)
	}
	p := b.prepare(newMasterKey(b.p, "l", b.now))
	b.must(b.s.Discard(b.ctx(), p))
	b.must(b.s.Discard(b.ctx(), p))
	if err := b.s.Activate(b.ctx(), p, made(p)); !errors.Is(err, kek.ErrLostRace) {
		b.Errorf("Activate of a discarded one: %v", err)
	}
}

func abandonedTakesOverTheOverdue(b *bench) {
	mk := newMasterKey(b.p, "k", b.now)
	early := b.prepare(mk)
	mk.CreatedAt = b.tick()
	late := b.prepare(mk)
	b.prepare(newMasterKey(b.p, "other alias", b.now))
	until := noon.Add(2 * time.Hour)
	for _, tc := range []struct {
		now  time.Time
		want []*kek.Version
	}{
		{b.now, nil},
		{noon.Add(time.Minute), nil}, // its last moment
		{noon.Add(time.Minute + time.Microsecond), []*kek.Version{&early}},
		{noon.Add(time.Hour), []*kek.Version{&late}},
		{noon.Add(time.Hour), nil}, // both have a new owner
		{until.Add(time.Microsecond), []*kek.Version{&early, &late}},
	} {
		got, err := b.s.Abandoned(b.ctx(), b.p, "k", tc.now, until)
		b.must(err)
		var want []kek.Version
		for _, v := range tc.want {
			v.Until = until
			want = append(want, *v)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("at %v (-want +got):\n%s", tc.now, diff)
		}
	}
	b.must(b.s.Activate(b.ctx(), late, made(late)))
	got, err := b.s.Abandoned(b.ctx(), b.p, "k", until.Add(time.Hour), until)
	b.must(err)
	if diff := cmp.Diff([]kek.Version{early}, got); diff != "" {
		b.Errorf("beside an active one (-want +got):\n%s", diff)
	}
	if got, err := b.s.Abandoned(b.ctx(), "another project", "k", until.Add(time.Hour), until); err != nil || len(got) != 0 {
		b.Errorf("another project: %v, %v", got, err)
	}
}

// Who was taken for dead and goes on must not activate a key that its new
// owner is about to destroy.
func takenOverIsLost(b *bench) {
	slow := b.prepare(newMasterKey(b.p, "k", b.now))
	left, err := b.s.Abandoned(b.ctx(), b.p, "k", b.now.Add(time.Hour), b.now.Add(2*time.Hour))
	if b.must(err); len(left) != 1 || left[0].ID != slow.ID {
		b.Fatalf("took over %+v", left)
	}
	if err := b.s.Activate(b.ctx(), slow, made(slow)); !errors.Is(err, kek.ErrLostRace) {
		b.Errorf("Activate by the former owner: %v, want ErrLostRace", err)
	}
	b.must(b.s.Activate(b.ctx(), left[0], made(left[0])))
}

func retireWaitsForDEKs(b *bench) {
	v := b.kek("k")
	s := b.create(b.secretNamed(policy.Huawei, "s"), v)
	refused := func(what string) {
		b.Helper()
		if err := b.s.Retire(b.ctx(), v); fault.KindOf(err) != fault.WrongState {
			b.Errorf("Retire of %s: %v", what, err)
		}
	}
	refused("an active one")
	b.must(b.s.SetKEK(b.p, v.ID, kek.DecryptOnly, false))
	refused("one in use")
	foreign := v
	foreign.Project = "another project"
	if err := b.s.Retire(b.ctx(), foreign); fault.KindOf(err) != fault.WrongState {
		b.Errorf("Retire from another project: %v", err)
	}
	b.must(b.s.Delete(b.ctx(), s, b.event()))
	b.must(b.s.Retire(b.ctx(), v))
	refused("a retired one")
}
