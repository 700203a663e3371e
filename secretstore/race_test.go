package secretstore_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/secretstore"
	"github.com/strongroom-kms/strongroom/sensitive"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var groups = []string{"default", "second", "third"}

// allowed is a judge who never refuses; nothing records nothing.
type (
	allowed struct{}
	nothing struct{}
)

func (allowed) Decide(auth.Principal, policy.Action, policy.Target) policy.Decision {
	return policy.Decision{Allowed: true}
}

func (nothing) Record(context.Context, audit.Event) error { return nil }

var somebody = auth.Principal{User: "u", Project: "p", Family: policy.KeyManager}

// node is one server of an installation.
type node struct {
	db      *postgres.DB
	secrets *secret.Service
	stores  *secretstore.Service
	all     []secretstore.Store
}

// installation is one database and a token for each group.
type installation struct {
	url    string
	tokens map[string]*hsmtest.Memory
}

func newInstallation(t *testing.T) *installation {
	in := &installation{url: pgtest.URL(t), tokens: map[string]*hsmtest.Memory{}}
	for _, g := range groups {
		in.tokens[g] = new(hsmtest.Memory)
	}
	return in
}

func (in *installation) node(t *testing.T) *node {
	t.Helper()
	tokens := kek.Groups{}
	for name, token := range in.tokens {
		tokens[name] = token
	}
	n := &node{db: pgtest.OpenURL(t, in.url)}
	var err error
	if n.all, err = n.db.InstallTokenGroups(t.Context(), groups, time.Now()); err != nil {
		t.Fatal(err)
	}
	n.all[0].Global = true
	g := gate.Gate{Judge: allowed{}, Recorder: nothing{}, Now: time.Now, NewEventID: func() string { return uuid.Must(uuid.NewV7()).String() }}
	n.stores = secretstore.NewService(secretstore.Deps{Enabled: true, Stores: n.all, Preferences: n.db, Gate: g})
	sealer := kek.NewSealer(kek.Deps{Tokens: tokens, Store: n.db, NewID: uuid.NewString, Now: time.Now})
	n.secrets = secret.NewService(secret.Deps{
		Store: n.db, Sealer: sealer, Keys: sealer, Judge: g.Judge, Recorder: g.Recorder, Now: g.Now, NewEventID: g.NewEventID,
		NewID: func() secret.ID { return secret.ID(uuid.NewString()) },
	})
	return n
}

func (n *node) prefer(ctx context.Context, i int) error {
	store, err := n.stores.Locate(ctx, somebody, policy.StorePrefer, n.all[i].ID)
	if err != nil {
		return err
	}
	return store.Prefer(ctx)
}

// create makes a secret and says which group it went to.
func (n *node) create(ctx context.Context) (string, error) {
	sec, err := n.secrets.Create(ctx, somebody, secret.New{Payload: sensitive.Take([]byte("p")), ContentType: secret.Text})
	if err != nil {
		return "", err
	}
	found, err := n.db.Find(ctx, secret.Within(somebody.Project, sec.ID), secret.Want{Sealed: true}, time.Now())
	return found.Version.Sealed.KEK.Group, err
}

// One node changes what the project prefers, again and again, while others
// create: what is begun after a change was answered is in the new group, and
// no creation fails.
func TestNothingNewInTheOldGroup(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	first := in.node(t)
	const changes, creators = 60, 4
	// Change i is begun, then done; i-1 changes were answered before.
	var begun, done atomic.Int64
	var decided atomic.Int64
	over := make(chan struct{})
	var wait sync.WaitGroup
	errs := make([]error, creators)
	for c := range creators {
		n := in.node(t)
		wait.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				from := done.Load()
				group, err := n.create(t.Context())
				to := begun.Load()
				if err != nil {
					errs[c] = err
					return
				}
				var may []string
				for i := from; i <= to; i++ {
					may = append(may, groups[i%int64(len(groups))])
				}
				if !slices.Contains(may, group) {
					t.Errorf("between changes %d and %d a secret went to %s, not to one of %v", from, to, group, may)
				}
				if len(may) == 1 {
					decided.Add(1)
				}
			}
		})
	}
	for i := int64(1); i <= changes; i++ {
		begun.Store(i)
		if err := first.prefer(t.Context(), int(i)%len(groups)); err != nil {
			t.Fatal(err)
		}
		done.Store(i)
		time.Sleep(time.Duration(i%5) * 4 * time.Millisecond)
	}
	close(over)
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if decided.Load() < changes/2 {
		t.Errorf("only %d creations show anything", decided.Load())
	}
}

// A preference costs a creation nothing once the lease is there, and the change
// of one costs one round trip.
func TestPreferenceCostsNoRoundTrip(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	n := in.node(t)
	create := func() error {
		_, err := n.secrets.Create(t.Context(), somebody, secret.New{Payload: sensitive.Take([]byte("p")), ContentType: secret.Text})
		return err
	}
	for _, tc := range []struct {
		name         string
		do           func() error
		trips, calls int64
	}{
		{"create, first of all", create, -1, -1},
		{"create", create, 1, 1},
		{"prefer, first of all", func() error { return n.prefer(t.Context(), 2) }, -1, 0},
		{"create, first in the group", create, -1, -1},
		{"create in the group", create, 1, 1},
		{"prefer", func() error { return n.prefer(t.Context(), 2) }, 1, 0},
		{"prefer another", func() error { return n.prefer(t.Context(), 0) }, 1, 0},
		// The write that finds out, a lease, and the write again.
		{"create after a change", create, 3, 2},
		{"preferred", func() error { _, err := n.stores.Preferred(t.Context(), somebody); return err }, -1, 0},
		{"preferred again", func() error { _, err := n.stores.Preferred(t.Context(), somebody); return err }, 1, 0},
		{"list", func() error { _, err := n.stores.List(t.Context(), somebody); return err }, 0, 0},
	} {
		trips, calls := n.db.RoundTrips(), in.calls()
		if err := tc.do(); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if got := int64(n.db.RoundTrips() - trips); tc.trips >= 0 && got != tc.trips {
			t.Errorf("%s: %d round trips, want %d", tc.name, got, tc.trips)
		}
		if got := in.calls() - calls; tc.calls >= 0 && got != tc.calls {
			t.Errorf("%s: %d token calls, want %d", tc.name, got, tc.calls)
		}
	}
}

func (in *installation) calls() (n int64) {
	for _, token := range in.tokens {
		n += token.Calls()
	}
	return n
}
