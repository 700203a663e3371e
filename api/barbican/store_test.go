package barbican_test

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/memory"
	"github.com/strongroom-kms/strongroom/secret"
)

// counted counts what would be round trips to a database. Lists are two.
type counted struct {
	secret.Store
	trips atomic.Int64
}

func (s *counted) Create(ctx context.Context, x secret.Secret, v *secret.Version, ev audit.Event) error {
	s.trips.Add(1)
	return s.Store.Create(ctx, x, v, ev)
}

func (s *counted) Find(ctx context.Context, h secret.Handle, want secret.Want, now time.Time) (secret.Found, error) {
	s.trips.Add(1)
	return s.Store.Find(ctx, h, want, now)
}

func (s *counted) Apply(ctx context.Context, c secret.Change, ev audit.Event) error {
	s.trips.Add(1)
	return s.Store.Apply(ctx, c, ev)
}

func (s *counted) Delete(ctx context.Context, x secret.Secret, ev audit.Event) error {
	s.trips.Add(1)
	return s.Store.Delete(ctx, x, ev)
}

func (s *counted) List(ctx context.Context, p auth.ProjectID, q secret.Query, now time.Time) ([]secret.Secret, int, error) {
	s.trips.Add(2)
	return s.Store.List(ctx, p, q, now)
}

func (s *counted) ReplaceMetadata(ctx context.Context, x secret.Secret, pairs map[string]string, ev audit.Event) error {
	s.trips.Add(1)
	return s.Store.ReplaceMetadata(ctx, x, pairs, ev)
}

func (s *counted) AddMetadatum(ctx context.Context, x secret.Secret, m secret.Metadatum, ev audit.Event) error {
	s.trips.Add(1)
	return s.Store.AddMetadatum(ctx, x, m, ev)
}

// countedKeks counts the leases: what sealing asks the database.
type countedKeks struct {
	kek.Store
	trips *atomic.Int64
}

func (s countedKeks) Lease(ctx context.Context, project string, under envelope.MasterKey, n int64) (kek.Lease, error) {
	s.trips.Add(1)
	return s.Store.Lease(ctx, project, under, n)
}

// newStore is a store and a key hierarchy with real cryptography, all in
// memory.
func newStore(now func() time.Time) (*counted, *kek.Sealer, *hsmtest.Memory) {
	rows, token := new(memory.Store), new(hsmtest.Memory)
	store := &counted{Store: rows}
	sealer := kek.NewSealer(kek.Deps{
		Token: token, Store: countedKeks{rows, &store.trips}, NewID: uuid.NewString, Now: now,
	})
	return store, sealer, token
}
