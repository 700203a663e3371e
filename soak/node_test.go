package soak_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// cluster is some nodes over one database and one token. Each has connections,
// a sealer and leases of its own; only the clock is shared.
type cluster struct {
	nodes []*secret.Service
	store secret.Store  // of one of them
	grace time.Duration // secret.Deps.VersionGrace
	clock clock
}

// newCluster is n nodes; spoil, if any, comes between a node and its database.
func newCluster(t *testing.T, n int, grace time.Duration, spoil func(secret.Store) secret.Store) *cluster {
	t.Helper()
	c, token, url := &cluster{grace: grace}, new(hsmtest.Memory), pgtest.URL(t)
	for range n {
		db := pgtest.OpenURL(t, url)
		var store secret.Store = db
		if spoil != nil {
			store = spoil(db)
		}
		c.store = store
		sealer := kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(token), Store: db, NewID: uuid.NewString, Now: c.clock.now})
		c.nodes = append(c.nodes, secret.NewService(secret.Deps{
			Store: store, Sealer: sealer, Keys: sealer, Judge: anybody{}, Recorder: nowhere{},
			NewID:      func() secret.ID { return secret.ID(uuid.NewString()) },
			NewEventID: func() string { return uuid.Must(uuid.NewV7()).String() },
			Now:        c.clock.now, VersionGrace: grace,
		}))
	}
	return c
}

// clock is a little later each time, and later still where a test passes time.
type clock struct{ ticks atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC).Add(time.Duration(c.ticks.Add(1)) * time.Millisecond)
}

func (c *clock) pass(d time.Duration) { c.ticks.Add(d.Milliseconds()) }

// anybody may do anything: who may is tested elsewhere.
type anybody struct{}

func (anybody) Decide(auth.Principal, policy.Action, policy.Target) policy.Decision {
	return policy.Decision{Allowed: true, Rules: []string{"a rule"}}
}

// nowhere is where reads and refusals are recorded here; changes and their
// events are in the database as ever.
type nowhere struct{}

func (nowhere) Record(context.Context, audit.Event) error { return nil }

// caller is somebody in a project that nobody else is in.
func caller() auth.Principal {
	return auth.Principal{
		User: "u1", UserName: "alice", Project: auth.ProjectID(uuid.NewString()), Roles: []string{"admin"},
		Method: auth.BySignature, Family: policy.Huawei, Request: "req-1", From: "192.0.2.1",
	}
}

func text(s string) sensitive.Bytes { return sensitive.Take([]byte(s)) }

func named(name, value string) secret.New {
	return secret.New{Name: &name, Type: "opaque", Kind: "COMMON", Payload: text(value), ContentType: secret.Text}
}

// all is what one read needs for a whole picture.
func all(version int) secret.Want { return secret.Want{Versions: true, Sealed: true, Number: version} }
