package kek_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

func TestOneLeasePerBlock(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	st := &counting{Store: r.store}
	s := r.node(r.token, st)
	for range kek.Block {
		seal(t, s, "x", place(1))
	}
	// The first one found no master key, the second one was the lease.
	if n := st.leases.Load(); n != 2 {
		t.Errorf("%d calls of Lease for one block, want 2", n)
	}
	seal(t, s, "x", place(1))
	if n := st.leases.Load(); n != 3 {
		t.Errorf("%d calls of Lease for a block and one wrap more, want 3", n)
	}
	l, err := r.store.Lease(t.Context(), "p", envelope.Default, 0)
	if err != nil || l.Leased != 2*kek.Block+1 { // the canary was the first wrap
		t.Errorf("%d wraps are leased, want %d (%v)", l.Leased, 2*kek.Block+1, err)
	}
}

// leased brings a project's default key to a count of wraps.
func leased(t *testing.T, r *room, count int64) {
	t.Helper()
	if err := r.MakeMasterKey(t.Context(), kek.NewMasterKey{
		Project: "p", ID: "7c7d6cb0-9a66-4aef-a5be-1c4d0b7b1a3c", Alias: string(envelope.Default), Default: true,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Lease(t.Context(), "p", envelope.Default, count-1); err != nil { // the canary is one
		t.Fatal(err)
	}
}

func TestSoftLimitIsHeardOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		before int64
		want   int64
	}{
		{"just below", kek.SoftLimit - kek.Block - 1, 0},
		{"at it", kek.SoftLimit - kek.Block, 1},
		{"above it", kek.SoftLimit + 1, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			leased(t, r, tc.before)
			for range 3 {
				seal(t, r.Sealer, "x", place(1)) // it still works
			}
			if n := r.soft.Load(); n != tc.want {
				t.Errorf("OnSoftLimit was called %d times, want %d", n, tc.want)
			}
		})
	}
}

func TestHardLimitSealsNothing(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	leased(t, r, kek.HardLimit-kek.Block)
	old := seal(t, r.Sealer, "x", place(1)) // of the last block
	fresh := r.node(r.token, r.store)
	calls := r.token.Calls()
	got, err := fresh.Seal(t.Context(), payload("y"), envelope.Default, place(2))
	if !errors.Is(err, kek.ErrExhausted) || fault.KindOf(err) != fault.Unavailable || got.Body != nil || got.WrappedDEK != nil {
		t.Errorf("Seal past the limit: %v", err)
	}
	if r.token.Calls() != calls {
		t.Error("the token was asked past the limit")
	}
	opens(t, fresh, old, place(1), "x")
	seal(t, r.Sealer, "z", place(3)) // whoever has a lease uses it up
}

func TestEveryProjectHasAKEKOfItsOwn(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	seen := map[envelope.KEKID]bool{}
	for range 2 {
		for i := range 50 {
			sealed := seal(t, r.Sealer, "x", envelope.Binding{Project: strconv.Itoa(i), Secret: "s", Version: 1})
			seen[sealed.KEK.ID] = true
		}
	}
	if n := len(keys(t, r.token)); n != 50 || len(seen) != 50 {
		t.Errorf("%d keys, %d KEKs in use for 50 projects", n, len(seen))
	}
}
