package kek_test

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/memory"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/sensitive"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// room is a key hierarchy in memory, with a clock that tests move.
type room struct {
	*kek.Sealer
	token *hsmtest.Memory
	store *memory.Store
	now   *clock
	soft  atomic.Int64 // how often OnSoftLimit was called
}

func newRoom(t *testing.T) *room {
	t.Helper()
	r := &room{token: new(hsmtest.Memory), store: new(memory.Store), now: newClock()}
	r.Sealer = r.node(r.token, r.store)
	return r
}

// node is one more server with this token and this store, as they are or as a
// test has altered them.
func (r *room) node(tok kek.Token, st kek.Store) *kek.Sealer {
	return kek.NewSealer(kek.Deps{
		Tokens: kek.OneGroup(tok), Store: st, NewID: uuid.NewString, Now: r.now.Now,
		OnSoftLimit: func(envelope.KEKID, int64) { r.soft.Add(1) },
	})
}

// clock shows what tests set it to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func payload(text string) sensitive.Bytes { return sensitive.Take([]byte(text)) }

func place(version int) envelope.Binding {
	return envelope.Binding{Project: "p", Secret: "s", Version: version}
}

// seal seals under the default master key and fails the test if that fails.
func seal(t *testing.T, s *kek.Sealer, text string, at envelope.Binding) envelope.Sealed {
	t.Helper()
	sealed, err := s.Seal(t.Context(), payload(text), envelope.Default, at)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// opens fails the test unless the envelope opens to text.
func opens(t *testing.T, s *kek.Sealer, sealed envelope.Sealed, at envelope.Binding, text string) {
	t.Helper()
	got, err := s.Open(t.Context(), sealed, at)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Reveal()) != text {
		t.Errorf("opened to %q, want %q", got.Reveal(), text)
	}
}

// keys are the identifiers of all key objects in a token.
func keys(t *testing.T, tok interface {
	List(context.Context) ([]key.ID, error)
},
) []key.ID {
	t.Helper()
	ids, err := tok.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// pendingRows lists what makers that did not finish have left in the store.
// From now on their time has run out.
func pendingRows(t *testing.T, r *room, project string) []kek.Version {
	t.Helper()
	rows, err := r.store.Abandoned(t.Context(), project, string(envelope.Default), r.now.Now().Add(24*time.Hour), r.now.Now())
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// counting counts the leases that a store gives.
type counting struct {
	kek.Store
	leases atomic.Int64
}

func (c *counting) Lease(ctx context.Context, project string, under envelope.MasterKey, n int64) (kek.Lease, error) {
	c.leases.Add(1)
	return c.Store.Lease(ctx, project, under, n)
}
