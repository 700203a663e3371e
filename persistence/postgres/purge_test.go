package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/secret"
)

// A secret that is purged leaves the containers that it is in; these stay, with
// what else they hold. And only what has ended goes, of all projects, in
// batches.
func TestPurgeEmptiesContainers(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ss := w.fill(5)
	c := w.stored(container.Generic, entry("a", ss[0]), entry("b", ss[1]), entry("c", ss[2]))
	if _, err := w.raw.Exec(`UPDATE secrets SET expiration = $1 WHERE id IN ($2, $3)`,
		time.Now().Add(-time.Minute), string(ss[0].ID), string(ss[2].ID)); err != nil {
		t.Fatal(err)
	}
	ended, err := w.db.Ended(t.Context(), time.Now(), 10)
	if err != nil || len(ended) != 2 {
		t.Fatalf("%v have ended, %v", ended, err)
	}
	var gone []secret.Purged
	for _, e := range ended {
		gone = append(gone, secret.Purged{ID: e.ID, Event: w.event()})
	}
	if n, err := w.db.Purge(t.Context(), w.project, gone, time.Now()); n != 2 || err != nil {
		t.Fatalf("%d purged, %v", n, err)
	}
	found, err := w.db.FindContainer(t.Context(), container.Handle{ID: c.ID}, contents)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Entries) != 1 || found.Entries[0].Secret != ss[1].ID {
		t.Errorf("the container has %v, want what lives", found.Entries)
	}
	for table, want := range map[string]int{"secrets": 3, "secret_versions": 3, "secret_directory": 3, "container_secrets": 1} {
		if n := w.rows(table); n != want {
			t.Errorf("%d rows of %s, want %d", n, table, want)
		}
	}
}

// Many more than one statement removes go in as many as it takes, each one
// round trip however many secrets it removes.
func TestPurgeIsOneRoundTripABatch(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	w.fill(30)
	if _, err := w.raw.Exec(`UPDATE secrets SET expiration = created_at`); err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint64{4, 2, 2} { // the first prepares both statements
		before := w.db.RoundTrips()
		ended, err := w.db.Ended(t.Context(), time.Now(), 10)
		if err != nil {
			t.Fatal(err)
		}
		var gone []secret.Purged
		for _, e := range ended {
			gone = append(gone, secret.Purged{ID: e.ID, Event: w.event()})
		}
		if n, err := w.db.Purge(t.Context(), w.project, gone, time.Now()); n != 10 || err != nil {
			t.Errorf("%d purged, %v", n, err)
		}
		if trips := w.db.RoundTrips() - before; trips != want {
			t.Errorf("batch %d took %d round trips, want %d", i, trips, want)
		}
	}
	if n := w.rows("secrets"); n != 0 {
		t.Error(fmt.Sprint(n, " are left"))
	}
}

// What somebody changes just now is left for another time, and nobody waits.
func TestPurgeDoesNotWait(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ss := w.fill(2)
	if _, err := w.raw.Exec(`UPDATE secrets SET expiration = created_at`); err != nil {
		t.Fatal(err)
	}
	tx, err := w.raw.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it only locks
	if _, err := tx.Exec(`UPDATE secrets SET expiration = NULL WHERE id = $1`, string(ss[0].ID)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	gone := []secret.Purged{{ID: ss[0].ID, Event: w.event()}, {ID: ss[1].ID, Event: w.event()}}
	if n, err := w.db.Purge(ctx, w.project, gone, time.Now()); n != 1 || err != nil {
		t.Errorf("%d purged, %v", n, err)
	}
}
