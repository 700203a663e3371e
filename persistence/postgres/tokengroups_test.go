package postgres_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/secretstore"
)

// Nodes that start at once agree on what the stores are called, and one that
// starts later, with another configuration, finds the same ids.
func TestStoresKeepTheirIDs(t *testing.T) {
	t.Parallel()
	db := pgtest.Open(t)
	var wait sync.WaitGroup
	found := make([][]secretstore.Store, 8)
	for i := range found {
		wait.Go(func() {
			var err error
			if found[i], err = db.InstallTokenGroups(t.Context(), []string{"default", "g2"}, time.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for i := range found {
		if diff := cmp.Diff(found[0], found[i]); diff != "" {
			t.Fatalf("two nodes differ:\n%s", diff)
		}
	}
	if len(found[0]) != 2 || found[0][0].Name != "default" || found[0][0].ID == found[0][1].ID || found[0][0].CreatedAt.IsZero() {
		t.Fatalf("the stores are %+v", found[0])
	}
	later, err := db.InstallTokenGroups(t.Context(), []string{"g3", "g2"}, time.Now().Add(time.Hour))
	if err != nil || len(later) != 2 || later[1] != found[0][1] {
		t.Errorf("later they are %+v (%v)", later, err)
	}
}

func TestMissingGroupsAreFound(t *testing.T) {
	t.Parallel()
	w := newWorkload(t) // has a key in the group default
	if _, err := w.db.InstallTokenGroups(t.Context(), []string{"g2", "g3", "g4"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, p := range []auth.ProjectID{"p", "q"} {
		if err := w.db.PreferGroup(t.Context(), p, "g2", preferring(p)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		configured []string
		want       []postgres.MissingGroup
	}{
		{[]string{"default", "g2"}, nil},
		{[]string{"g2", "g3"}, []postgres.MissingGroup{{Name: "default", HoldsKeys: true}}},
		{[]string{"default", "g4"}, []postgres.MissingGroup{{Name: "g2", Preferred: 2}}},
	} {
		got, err := w.db.MissingGroups(t.Context(), tc.configured)
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("with %v: %v\n%s", tc.configured, err, diff)
		}
	}
}

func preferring(p auth.ProjectID) audit.Event {
	return audit.Event{ID: uuid.Must(uuid.NewV7()).String(), At: time.Now(), Project: string(p), Action: "store.prefer"}
}

// A change of the preference and its record are one; what changes nothing
// leaves none. Each is one round trip.
func TestPreferenceIsOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	if _, err := w.db.InstallTokenGroups(t.Context(), []string{"g2", "g3"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	prefer := func(group string) error { return w.db.PreferGroup(t.Context(), "p", group, preferring("p")) }
	forget := func() error { return w.db.ForgetPreference(t.Context(), "p", preferring("p")) }
	for i, step := range []struct {
		do     func() error
		want   error
		group  string
		events int
	}{
		{forget, secretstore.ErrNonePreferred, "", 0},
		{func() error { return prefer("g2") }, nil, "g2", 1},
		{func() error { return prefer("g2") }, nil, "g2", 2},
		{func() error { return prefer("g3") }, nil, "g3", 3},
		{func() error { return prefer("nobody") }, secretstore.ErrNotFound, "g3", 3},
		{forget, nil, "", 4},
		{forget, secretstore.ErrNonePreferred, "", 4},
	} {
		before := w.db.RoundTrips()
		if err := step.do(); !errors.Is(err, step.want) {
			t.Errorf("step %d: %v, want %v", i, err, step.want)
		}
		if trips := w.db.RoundTrips() - before; i > 1 && trips != 1 {
			t.Errorf("step %d: %d round trips", i, trips)
		}
		group, err := w.db.PreferredGroup(t.Context(), "p")
		if group != step.group || (group == "") != errors.Is(err, secretstore.ErrNonePreferred) {
			t.Errorf("step %d: preferred is %q, %v", i, group, err)
		}
		var events int
		if err := w.raw.QueryRow(`SELECT count(*) FROM audit_events WHERE project = 'p'`).Scan(&events); err != nil || events != step.events {
			t.Errorf("step %d: %d events (%v), want %d", i, events, err, step.events)
		}
	}
}

// The installation's default group may be another after a restart: projects
// without a preference follow for what is new, and each group's key is found
// again.
func TestDefaultGroupMayChange(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	var aliases []string
	at := map[string]envelope.KEKID{}
	for _, group := range []string{"g1", "g2", "g1", key.DefaultGroup, "g2"} {
		db, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxOpen: 2, DefaultGroup: group})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		l, err := db.Lease(t.Context(), "p", envelope.Default, 1)
		if known := at[group]; known == "" != errors.Is(err, envelope.ErrNoMasterKey) || l.KEK.ID != known {
			t.Errorf("%s: leased %q, %v, want %q", group, l.KEK.ID, err, known)
		}
		if err == nil {
			continue
		}
		v, err := db.Prepare(t.Context(), kek.NewMasterKey{
			Project: "p", ID: envelope.MasterKey(uuid.NewString()), Alias: string(envelope.Default), Default: true, CreatedAt: time.Now(),
		}, envelope.KEKID(uuid.NewString()), time.Now().Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Activate(t.Context(), v, key.Made{Ref: key.Ref{Format: 1, Canary: key.Canary{Wrapped: []byte("c")}}}); err != nil {
			t.Fatal(err)
		}
		if v.Group != group {
			t.Errorf("made in %s, want %s", v.Group, group)
		}
		aliases, at[group] = append(aliases, v.Alias), v.ID
	}
	if want := []string{"csms/default", "g2/default", "default/default"}; !slices.Equal(aliases, want) {
		t.Errorf("the keys are called %s, want %s", strings.Join(aliases, ", "), strings.Join(want, ", "))
	}
}
