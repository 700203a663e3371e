package secret_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/secret"
)

// Ten writers add a version each, all having read the same state: all of them
// succeed, no number is given twice, and the stages are where the last two
// left them.
func TestConcurrentVersionsAllArrive(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	sec := r.create(t, huawei, named("a"))
	const writers = 10
	located := make([]*secret.Located, writers)
	for i := range located {
		located[i] = r.locate(t, huawei, sec.ID)
	}
	var wait sync.WaitGroup
	versions := make([]secret.Version, writers)
	errs := make([]error, writers)
	for i := range writers {
		wait.Go(func() { versions[i], errs[i] = located[i].AddVersion(t.Context(), version("of writer "+number(i))) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var numbers []int
	last := 0
	for i, v := range versions {
		numbers = append(numbers, v.Number)
		if !slices.Equal(v.Stages, []secret.Stage{secret.Current}) {
			t.Errorf("version %d was answered with the stages %v", v.Number, v.Stages)
		}
		if v.Number == writers+1 {
			last = i
		}
	}
	slices.Sort(numbers)
	if !slices.Equal(numbers, []int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11}) {
		t.Errorf("versions %v, want 2 to 11", numbers)
	}
	f := r.found(t, sec.ID)
	if f.Secret.Current.Version != 11 || f.Secret.Previous.Version != 10 || len(f.Versions) != 11 {
		t.Errorf("current %d, previous %d of %d versions, want 11, 10 and 11",
			f.Secret.Current.Version, f.Secret.Previous.Version, len(f.Versions))
	}
	r.reads(t, sec.ID, "of writer "+number(last))
}

// interfering is a store where others are quicker.
type interfering struct {
	secret.Store
	tries  atomic.Int64
	before func(try int64) error // of Create and Apply
}

func (i *interfering) Create(ctx context.Context, s secret.Secret, v *secret.Version, ev audit.Event) error {
	if err := i.before(i.tries.Add(1)); err != nil {
		return err
	}
	return i.Store.Create(ctx, s, v, ev)
}

func (i *interfering) Apply(ctx context.Context, c secret.Change, ev audit.Event) error {
	if err := i.before(i.tries.Add(1)); err != nil {
		return err
	}
	return i.Store.Apply(ctx, c, ev)
}

// rotated is a room whose default key is rotated right after the first time
// that something was sealed under it, from then on whenever armed is set.
func rotated(t *testing.T) (r *room, s *sealer, armed *atomic.Bool) {
	t.Helper()
	armed = new(atomic.Bool)
	r = newRoom(t, func(r *room, d *secret.Deps) {
		s = &sealer{BackupSealer: r.sealer}
		s.sealed = func(e envelope.Sealed) {
			if !armed.Swap(false) {
				return
			}
			if err := r.store.SetKEK("p1", e.KEK.ID, kek.DecryptOnly, false); err != nil {
				t.Error(err)
			}
			if err := r.sealer.MakeMasterKey(t.Context(), kek.NewMasterKey{
				Project: "p1", ID: envelope.MasterKey(uuid.NewString()), Alias: string(envelope.Default), Default: true,
			}); err != nil {
				t.Error(err)
			}
		}
		d.Sealer = s
	})
	return r, s, armed
}

// The KEK is rotated after a payload was sealed and before it is stored: it is
// sealed anew, and opens.
func TestRotationBetweenSealAndStore(t *testing.T) {
	t.Parallel()
	r, s, armed := rotated(t)
	armed.Store(true)
	sec := r.create(t, huawei, named("a"))
	r.reads(t, sec.ID, "v1 of a")
	first := r.found(t, sec.ID).Version.Sealed.KEK.ID
	if s.seals.Load() != 2 || len(s.forgot) != 1 || s.forgot[0] == first {
		t.Errorf("sealed %d times, forgot %v, stored under %s", s.seals.Load(), s.forgot, first)
	}
	armed.Store(true)
	v, err := r.locate(t, huawei, sec.ID).AddVersion(t.Context(), version("v2"))
	if err != nil || v.Number != 2 {
		t.Fatalf("AddVersion = %d, %v", v.Number, err)
	}
	r.reads(t, sec.ID, "v2")
	if second := r.found(t, sec.ID).Version.Sealed.KEK.ID; second == first || s.seals.Load() != 4 || len(s.forgot) != 2 || s.forgot[1] != first {
		t.Errorf("sealed %d times, forgot %v, stored under %s", s.seals.Load(), s.forgot, second)
	}
	if n := len(r.store.Events()); n != 2 {
		t.Errorf("%d events for two changes", n)
	}
	// What the first KEK sealed still opens, though it seals nothing any more.
	l, err := r.Locate(t.Context(), huawei, "", secret.Within("p1", sec.ID), secret.Want{Sealed: true, Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Reveal(t.Context()); err != nil || string(got.Payload.Reveal()) != "v1 of a" {
		t.Errorf("version 1: %v", err)
	}
}

// Whoever always comes second gives up, and says that trying again may help.
func TestTriesEnd(t *testing.T) {
	t.Parallel()
	for _, why := range []error{secret.ErrStale, envelope.ErrKEKGone} {
		st := &interfering{before: func(int64) error { return nil }}
		r := newRoom(t, func(r *room, d *secret.Deps) {
			st.Store = r.store
			d.Store = st
		})
		sec := r.furnish(t)
		st.before = func(int64) error { return why }
		changes := map[string]func() error{
			"AddVersion": func() error { _, err := r.locate(t, huawei, sec.ID).AddVersion(t.Context(), version("x")); return err },
			"SetStage":   func() error { _, err := r.locate(t, huawei, sec.ID).SetStage(t.Context(), "blue", 1); return err },
			"DropStage":  func() error { return r.locate(t, huawei, sec.ID).DropStage(t.Context(), "own") },
			"SetExpiry":  func() error { _, err := r.locate(t, huawei, sec.ID).SetExpiry(t.Context(), 1, nil); return err },
			"Update": func() error {
				_, err := r.locate(t, huawei, sec.ID).Update(t.Context(), secret.Update{Description: ptr("x")})
				return err
			},
		}
		if why == envelope.ErrKEKGone {
			changes = map[string]func() error{
				"AddVersion": changes["AddVersion"],
				"Create":     func() error { _, err := r.Create(t.Context(), huawei, named("b")); return err },
			}
		}
		before := r.rows(t)
		for name, change := range changes {
			t.Run(fmt.Sprintf("%s where %v", name, why), func(t *testing.T) {
				st.tries.Store(0)
				if err := change(); fault.KindOf(err) != fault.Unavailable {
					t.Errorf("answered %v, want an Unavailable fault", err)
				}
				if n := st.tries.Load(); n != 32 {
					t.Errorf("tried %d times, want 32", n)
				}
			})
		}
		if after := r.rows(t); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("rows were %v, are %v", before, after)
		}
	}
}

// Another change comes first, and after it this one is not allowed any more:
// it is decided anew, from what is there now.
func TestRetryDecidesAnew(t *testing.T) {
	t.Parallel()
	st := &interfering{before: func(int64) error { return nil }}
	r := newRoom(t, func(r *room, d *secret.Deps) {
		st.Store = r.store
		d.Store = st
	})
	for name, tc := range map[string]struct {
		other  func(t *testing.T, id secret.ID)
		change func(l *secret.Located) error
		want   error
	}{
		"the secret was disabled": {
			func(t *testing.T, id secret.ID) { r.put(t, id, secret.Disabled) },
			func(l *secret.Located) error { _, err := l.AddVersion(t.Context(), version("x")); return err },
			secret.ErrNotEnabled,
		},
		"the secret is gone": {
			func(t *testing.T, id secret.ID) {
				if err := r.locate(t, huawei, id).Delete(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
			func(l *secret.Located) error { _, err := l.AddVersion(t.Context(), version("x")); return err },
			secret.ErrNotFound,
		},
		"the stage is gone": {
			func(t *testing.T, id secret.ID) {
				if err := r.locate(t, huawei, id).DropStage(t.Context(), "own"); err != nil {
					t.Fatal(err)
				}
			},
			func(l *secret.Located) error { return l.DropStage(t.Context(), "own") },
			secret.ErrNoStage,
		},
	} {
		t.Run(name, func(t *testing.T) {
			st.before = func(int64) error { return nil }
			sec := r.create(t, huawei, named(uuid.NewString()))
			if _, err := r.locate(t, huawei, sec.ID).SetStage(t.Context(), "own", 1); err != nil {
				t.Fatal(err)
			}
			l := r.locate(t, huawei, sec.ID)
			st.before = func(int64) error {
				st.before = func(int64) error { return nil }
				tc.other(t, sec.ID)
				return nil
			}
			if err := tc.change(l); !errors.Is(err, tc.want) {
				t.Errorf("answered %v, want %v", err, tc.want)
			}
		})
	}
}

// Whoever names the current version means the one that is current in the end,
// even where the one that was current has been purged meanwhile.
func TestExpiryOfWhatIsCurrent(t *testing.T) {
	t.Parallel()
	st := &interfering{before: func(int64) error { return nil }}
	r := newRoom(t, func(r *room, d *secret.Deps) {
		st.Store = r.store
		d.Store = st
	})
	sec := r.create(t, huawei, named("a"))
	l := r.locate(t, huawei, sec.ID)
	st.before = func(int64) error {
		st.before = func(int64) error { return nil }
		for range secret.MaxVersions + 1 {
			if _, err := r.locate(t, huawei, sec.ID).AddVersion(t.Context(), version("x")); err != nil {
				return err
			}
		}
		return nil
	}
	at := r.now().Add(time.Hour)
	v, err := l.SetExpiry(t.Context(), secret.CurrentVersion, &at)
	if err != nil || v.Number != secret.MaxVersions+2 {
		t.Errorf("SetExpiry = version %d, %v, want %d", v.Number, err, secret.MaxVersions+2)
	}
}

// A payload that has come meanwhile is not overwritten: the second step of a
// Barbican secret happens once, whoever else tries.
func TestPayloadIsStoredOnce(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	sec := r.create(t, barbican, secret.New{Type: "opaque"})
	located := make([]*secret.Located, 10)
	for i := range located {
		located[i] = r.locate(t, barbican, sec.ID)
	}
	var stored, refused atomic.Int64
	var wait sync.WaitGroup
	for i, l := range located {
		wait.Go(func() {
			switch err := l.StorePayload(t.Context(), version("of "+number(i))); {
			case err == nil:
				stored.Add(1)
			case errors.Is(err, secret.ErrHasPayload):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if stored.Load() != 1 || refused.Load() != 9 {
		t.Errorf("%d stored and %d refused, want 1 and 9", stored.Load(), refused.Load())
	}
	if f := r.found(t, sec.ID); len(f.Versions) != 1 || f.Secret.Latest != 1 {
		t.Errorf("%d versions, the latest is %d", len(f.Versions), f.Secret.Latest)
	}
}
