package kek_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// pair is two token groups; the first is the installation's default.
type pair struct {
	*room
	second *hsmtest.Memory
	groups kek.Groups
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{room: newRoom(t), second: new(hsmtest.Memory)}
	p.groups = kek.Groups{key.DefaultGroup: p.token, "g2": p.second}
	p.Sealer = p.in(p.groups)
	return p
}

// in is one more server of this store, with these token groups.
func (p *pair) in(groups kek.Groups) *kek.Sealer {
	return kek.NewSealer(kek.Deps{Tokens: groups, Store: p.store, NewID: uuid.NewString, Now: p.now.Now})
}

func (p *pair) prefer(t *testing.T, project, group string) {
	t.Helper()
	if err := p.store.SetPreferred(project, group); err != nil {
		t.Fatal(err)
	}
}

func TestEachProjectsKeyIsInItsGroup(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.prefer(t, "q", "g2")
	at := envelope.Binding{Project: "q", Secret: "s", Version: 1}
	one, two := seal(t, p.Sealer, "one", place(1)), seal(t, p.Sealer, "two", at)
	for _, tc := range []struct {
		name   string
		sealed envelope.Sealed
		group  string
		token  *hsmtest.Memory
	}{{"p", one, key.DefaultGroup, p.token}, {"q", two, "g2", p.second}} {
		if ids := keys(t, tc.token); len(ids) != 1 || ids[0].String() != string(tc.sealed.KEK.ID) || tc.sealed.KEK.Group != tc.group {
			t.Errorf("project %s: KEK %s in group %s, its token holds %v", tc.name, tc.sealed.KEK.ID, tc.sealed.KEK.Group, ids)
		}
		if !tc.sealed.AsDefault {
			t.Errorf("project %s: not sealed as the default", tc.name)
		}
	}
	p.prefer(t, "q", "") // what is sealed stays where it is
	opens(t, p.Sealer, one, place(1), "one")
	opens(t, p.in(p.groups), two, at, "two")
	p.second.SetAway(true)
	opens(t, p.Sealer, one, place(1), "one")
	if _, err := p.Open(t.Context(), two, at); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("with its token away: %v", err)
	}
}

// A group that is not configured is unavailable, and the log can say which one;
// nothing is left behind for whoever has it.
func TestUnknownGroupIsUnavailable(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.prefer(t, "p", "g2")
	poorer := p.in(kek.OneGroup(p.token))
	_, err := poorer.Seal(t.Context(), payload("x"), envelope.Default, place(1))
	unknown := func(err error) {
		t.Helper()
		if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "no token group called g2 is configured") {
			t.Errorf("%v", err)
		}
	}
	unknown(err)
	if left := pendingRows(t, p.room, "p"); len(left) != 0 {
		t.Errorf("%d pending KEKs are left", len(left))
	}
	sealed := seal(t, p.Sealer, "x", place(1))
	_, err = poorer.Open(t.Context(), sealed, place(1))
	unknown(err)
	_, err = poorer.Seal(t.Context(), payload("x"), envelope.Default, place(1))
	unknown(err)
	if n := len(keys(t, p.token)); n != 0 {
		t.Errorf("%d keys in the other group's token", n)
	}
}

// An operator gives a project another group because its token is away: a node
// that still has a lease finds out within the request that fails.
func TestPreferenceIsFoundWhileTheTokenIsAway(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	seal(t, p.Sealer, "before", place(1)) // takes a lease
	p.token.SetAway(true)
	if _, err := p.Seal(t.Context(), payload("x"), envelope.Default, place(2)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("while nothing else is preferred: %v", err)
	}
	p.prefer(t, "p", "g2")
	sealed := seal(t, p.Sealer, "after", place(3))
	if sealed.KEK.Group != "g2" {
		t.Errorf("sealed in %s", sealed.KEK.Group)
	}
	opens(t, p.Sealer, sealed, place(3), "after")
}

// One group's token that is away stops no project of another.
func TestRandomBytesComeFromTheProjectsGroup(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.prefer(t, "q", "g2")
	random := func(project string) error {
		t.Helper()
		b, err := p.Random(t.Context(), project, 32)
		if err == nil && b.Len() != 32 {
			t.Errorf("%d bytes", b.Len())
		}
		return err
	}
	for _, project := range []string{"p", "q"} {
		if err := random(project); err != nil {
			t.Fatal(err)
		}
	}
	p.token.SetAway(true)
	if err := random("p"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("with its token away: %v", err)
	}
	if err := random("q"); err != nil {
		t.Errorf("with another group's token away: %v", err)
	}
	p.prefer(t, "p", "g2")
	if err := random("p"); err != nil {
		t.Errorf("moved to another group: %v", err)
	}
}

// A thousand failures do not use up the KEK, though each asks the store.
func TestFailuresLeaseNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	seal(t, p.Sealer, "x", place(1))
	p.token.SetAway(true)
	for range 1000 {
		if _, err := p.Seal(t.Context(), payload("x"), envelope.Default, place(2)); err == nil {
			t.Fatal("sealed without a token")
		}
	}
	l, err := p.store.Lease(t.Context(), "p", envelope.Default, 1)
	if err != nil || l.Leased > 2*kek.Block {
		t.Errorf("%d wraps are leased: %v", l.Leased, err)
	}
}

// The project's preference may change while its default key is being made.
func TestPreferenceChangesWhileTheKeyIsMade(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	turns := []string{"g2", ""}
	turning := &turning{Store: p.store, turn: func() {
		if len(turns) > 0 {
			p.prefer(t, "p", turns[0])
			turns = turns[1:]
		}
	}}
	s := kek.NewSealer(kek.Deps{Tokens: p.groups, Store: turning, NewID: uuid.NewString, Now: time.Now})
	sealed, err := s.Seal(t.Context(), payload("x"), envelope.Default, place(1))
	if err != nil || sealed.KEK.Group != key.DefaultGroup {
		t.Errorf("sealed in %q: %v", sealed.KEK.Group, err)
	}
}

// turning does something after each key that becomes active.
type turning struct {
	kek.Store
	turn func()
}

func (s *turning) Activate(ctx context.Context, v kek.Version, made key.Made) error {
	err := s.Store.Activate(ctx, v, made)
	s.turn()
	return err
}
