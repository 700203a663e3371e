package storetest

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// defaultIn makes the default master key of the group that the project prefers
// now, and checks which group that is.
func (b *bench) defaultIn(group, alias string) kek.Version {
	b.Helper()
	v := b.kek(string(envelope.Default))
	if v.Group != group || v.Alias != alias {
		b.Errorf("the default key is %s in group %s, want %s in %s", v.Alias, v.Group, alias, group)
	}
	l, err := b.s.Lease(b.ctx(), b.p, envelope.Default, 1)
	if b.must(err); l.KEK.ID != v.ID || l.KEK.Group != group || !l.KEK.Default {
		b.Errorf("leased %s in %s (default %v), want %s in %s", l.KEK.ID, l.KEK.Group, l.KEK.Default, v.ID, group)
	}
	return v
}

func defaultKeyFollowsPreference(b *bench) {
	first := b.defaultIn(key.DefaultGroup, "csms/default")
	b.must(b.s.SetPreferred(b.p, "g2"))
	b.unusable("while g2 has none", b.p, envelope.Default, envelope.ErrNoMasterKey)
	pending := b.prepare(newMasterKey(b.p, string(envelope.Default), b.now))
	left, err := b.s.Abandoned(b.ctx(), b.p, string(envelope.Default), pending.Until.Add(time.Second), b.now)
	if b.must(err); len(left) != 1 || left[0].ID != pending.ID || left[0].Group != "g2" {
		b.Errorf("abandoned: %+v, want the one of g2", left)
	}
	b.must(b.s.Discard(b.ctx(), pending))
	b.defaultIn("g2", "g2/default")
	named := b.kek("named")
	if named.Group != "g2" {
		b.Errorf("another new key is made in %s, want g2", named.Group)
	}
	b.must(b.s.SetPreferred(b.p, ""))
	id, err := b.s.Resolve(b.ctx(), b.p, envelope.Default)
	if b.must(err); id != first.MasterKey {
		b.Errorf("without a preference the default is %s, want %s", id, first.MasterKey)
	}
	l, err := b.s.Lease(b.ctx(), b.p, named.MasterKey, 1)
	if b.must(err); l.KEK.Group != "g2" {
		b.Errorf("a key that was made in g2 is in %s", l.KEK.Group)
	}
	if other := b.kekIn(uuid.NewString(), string(envelope.Default)); other.Group != key.DefaultGroup {
		b.Errorf("another project's default key is in %s", other.Group)
	}
}

// What was sealed as the default is stored only where it still is that; what was
// sealed under a key that the caller named is stored in any case.
func writeProvesTheDefault(b *bench) {
	b.must(b.s.SetPreferred(b.p, "g2"))
	k := b.defaultIn("g2", "g2/default")
	sealed := func(asDefault bool) (secret.Secret, secret.Version) {
		s, v := b.sealed(b.secretNamed(policy.KeyManager, ""), 1, k)
		v.Sealed.AsDefault = asDefault
		return s, v
	}
	create := func(asDefault bool) error {
		s, v := sealed(asDefault)
		return b.s.Create(b.ctx(), s, &v, b.event())
	}
	add := func(asDefault bool) error {
		s := b.createEmpty(policy.KeyManager, "")
		s, v := b.sealed(s, 1, k)
		v.Sealed.AsDefault = asDefault
		return b.s.Apply(b.ctx(), secret.Change{Secret: s, Add: &v}, b.event())
	}
	for name, write := range map[string]func(bool) error{"Create": create, "Apply": add} {
		for _, tc := range []struct {
			preferred string
			asDefault bool
			want      error
		}{
			{"g2", true, nil},
			{"g2", false, nil},
			{"", true, envelope.ErrKEKGone},
			{"", false, nil},
			{"g3", true, envelope.ErrKEKGone},
			{"g3", false, nil},
		} {
			b.must(b.s.SetPreferred(b.p, tc.preferred))
			if err := write(tc.asDefault); !errors.Is(err, tc.want) {
				b.Errorf("%s with %q preferred, as default %v: %v, want %v", name, tc.preferred, tc.asDefault, err, tc.want)
			}
		}
	}
}
