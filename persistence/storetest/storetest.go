// Package storetest says what a store does, as tests that the database and its
// stand-in in memory both pass.
//
// # Where things are
//
//	storetest.go   Run, Store, and the list of cases
//	finding.go     reading one secret; listing.go and naming.go many, in either
//	               dialect's way
//	writing.go     storing one; changing.go changing and deleting it;
//	               describing.go its user metadata, sharing.go its ACL,
//	               using.go its consumers, tagging.go its tags, purging.go what
//	               becomes of it when its time is over
//	restoring.go   storing one that was backed up
//	keying.go      master keys, leases and KEKs; grouping.go in which token group
//	racing.go      what holds when many do the same at once
//	identity*.go   RunIdentity, of a realm's store
//	loginblock.go  RunLoginBlock, of what nodes tell each other about PINs
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// Store is what the suite exercises.
type Store interface {
	secret.Store
	kek.Store
	// Retire retires a KEK that is decrypt-only and that nothing depends on;
	// any other is fault.WrongState.
	Retire(ctx context.Context, v kek.Version) error

	Doors
}

// Doors bring about states that the domain cannot reach yet, and show what it
// does not show.
type Doors interface {
	SetKEK(project string, id envelope.KEKID, state kek.State, disabled bool) error
	SetMasterKey(project string, id envelope.MasterKey, state string) error
	// DestroyMasterKey removes a master key that nothing depends on, and marks
	// it as destroyed in the directory.
	DestroyMasterKey(project string, id envelope.MasterKey) error
	// SetPreferred makes a project prefer a token group; none where it is empty.
	SetPreferred(project, group string) error
	AddEvent(project, name string) error
	// Rows counts a project's rows by table: secrets, secret_directory,
	// secret_versions, secret_stages, secret_metadata, secret_consumers,
	// secret_tags, audit_events. Empty tables may be missing.
	Rows(project string) (map[string]int, error)
}

// Run exercises one implementation. open returns an empty store.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for _, suite := range []map[string]func(*bench){finding, writing, changing, describing, sharing, using, tagging, purging, restoring, listing, naming, keying, racing} {
		for name, test := range suite {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(&bench{T: t, s: open(t), p: uuid.NewString(), now: noon})
			})
		}
	}
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 123456000, time.UTC)

// bench is one test's store, with a project and a time.
type bench struct {
	*testing.T
	s   Store
	p   string
	now time.Time
}

func (b *bench) project() auth.ProjectID { return auth.ProjectID(b.p) }

func (b *bench) ctx() context.Context { return b.Context() }

// must ends the test on an error.
func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// tick moves the time on, so that things made one after another differ.
func (b *bench) tick() time.Time {
	b.now = b.now.Add(1500 * time.Millisecond)
	return b.now
}

// event is the record of a change.
func (b *bench) event() audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()).String(), At: b.now, Project: b.p,
		Action: "secret.create", Outcome: audit.Success,
	}
}

// kek makes a master key with an active KEK.
func (b *bench) kek(alias string) kek.Version {
	b.Helper()
	return b.kekIn(b.p, alias)
}

func (b *bench) kekIn(project, alias string) kek.Version {
	b.Helper()
	v, err := b.s.Prepare(b.ctx(), newMasterKey(project, alias, b.now), envelope.KEKID(uuid.NewString()), b.now.Add(time.Minute))
	b.must(err)
	b.must(b.s.Activate(b.ctx(), v, made(v)))
	return v
}

func newMasterKey(project, alias string, now time.Time) kek.NewMasterKey {
	return kek.NewMasterKey{
		Project: project, ID: envelope.MasterKey(uuid.NewString()), Alias: alias,
		Description: "made by a test", Default: alias == string(envelope.Default), CreatedAt: now,
	}
}

func made(v kek.Version) key.Made {
	id, _ := key.ParseID(string(v.ID)) // the tests' own UUIDs
	return key.Made{
		Ref: key.Ref{
			ID: id, Format: key.A256GCM,
			Canary: key.Canary{Wrapped: []byte("canary of " + v.ID), AAD: envelope.ForCanary(v.ID)},
		},
		TokenLabel: "token", TokenSerial: "0123", CheckValue: []byte{1, 2, 0},
	}
}

// secretNamed is a secret that was not stored yet; an empty name is none.
func (b *bench) secretNamed(family policy.Family, name string) secret.Secret {
	s := secret.Secret{
		ID: secret.ID(uuid.NewString()), Project: b.project(), Family: family,
		Type: "opaque", Creator: "user", State: secret.Enabled, Kind: "COMMON",
		CreatedAt: b.now, UpdatedAt: b.now,
	}
	s.Handle = string(s.ID)
	if name != "" {
		s.Name, s.Handle = &name, name
	}
	return s
}

// sealed is version number of s under a KEK, with s as it then is.
func (b *bench) sealed(s secret.Secret, number int, k kek.Version) (secret.Secret, secret.Version) {
	v := secret.Version{
		Number: number, ContentType: secret.Text, CreatedAt: b.now, Key: k.MasterKey,
		Sealed: envelope.Sealed{
			KEK:        envelope.KEK{ID: k.ID, MasterKey: k.MasterKey},
			WrappedDEK: []byte{1, 0xff, byte(number)},
			Body:       []byte("\x00body of " + string(s.ID)),
		},
	}
	if s.Current.Version != 0 {
		s.Previous = secret.Mark{Version: s.Current.Version, Since: b.now}
	}
	s.Key, s.Latest, s.LatestAt, s.ContentType = k.MasterKey, number, b.now, v.ContentType
	s.Current = secret.Mark{Version: number, Since: b.now}
	return s, v
}

// create stores a secret with a payload.
func (b *bench) create(s secret.Secret, k kek.Version) secret.Secret {
	b.Helper()
	s, v := b.sealed(s, 1, k)
	b.must(b.s.Create(b.ctx(), s, &v, b.event()))
	return s
}

// createEmpty stores a secret without a payload.
func (b *bench) createEmpty(family policy.Family, name string) secret.Secret {
	b.Helper()
	b.tick()
	s := b.secretNamed(family, name)
	b.must(b.s.Create(b.ctx(), s, nil, b.event()))
	return s
}

// find reads a secret that must be there.
func (b *bench) find(h secret.Handle, want secret.Want) secret.Found {
	b.Helper()
	f, err := b.s.Find(b.ctx(), h, want, b.now)
	b.must(err)
	return f
}

// all is everything of a secret but its ciphertext.
var all = secret.Want{Versions: true, Metadata: true}

// rows counts a table's rows of the project.
func (b *bench) rows(table string) int {
	b.Helper()
	n, err := b.s.Rows(b.p)
	b.must(err)
	return n[table]
}

func ptr[T any](v T) *T { return &v }
