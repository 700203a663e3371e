package secret_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// ending has secrets of two projects whose time is over, and notes who purges.
type ending struct {
	secret.Store
	events map[auth.ProjectID][]audit.Event
	fails  auth.ProjectID
}

func (e *ending) Ended(context.Context, time.Time, int) ([]secret.Ended, error) {
	return []secret.Ended{{Project: "p", ID: "1", Name: "one"}, {Project: "q", ID: "2", Name: "two"}, {Project: "p", ID: "3", Name: "three"}}, nil
}

func (e *ending) Purge(_ context.Context, p auth.ProjectID, gone []secret.Purged, _ time.Time) (int, error) {
	if p == e.fails {
		return 0, errors.New("the database is away")
	}
	for _, g := range gone {
		e.events[p] = append(e.events[p], g.Event)
	}
	return len(gone), nil
}

// What is purged is on record as the program's own doing, in the project that
// it was in; a project that fails does not keep the others.
func TestPurgeRecordsEach(t *testing.T) {
	t.Parallel()
	store := &ending{events: map[auth.ProjectID][]audit.Event{}}
	r := newRoom(t, func(_ *room, d *secret.Deps) { store.Store, d.Store = d.Store, store })
	if n, err := r.Purge(t.Context(), time.Now(), 10); n != 3 || err != nil {
		t.Fatalf("%d purged, %v", n, err)
	}
	for project, ids := range map[auth.ProjectID][]string{"p": {"1", "3"}, "q": {"2"}} {
		events := store.events[project]
		if len(events) != len(ids) {
			t.Fatalf("%d events of %s, want %d", len(events), project, len(ids))
		}
		for i, ev := range events {
			if ev.Target.ID != ids[i] || ev.Project != string(project) || ev.Action != string(policy.SecretPurge) ||
				ev.Outcome != audit.Success || ev.Initiator.Name != "strongroom" || ev.Initiator.User != "" || ev.ID == "" {
				t.Errorf("%s: %+v", project, ev)
			}
		}
	}
	store.fails = "p"
	if n, err := r.Purge(t.Context(), time.Now(), 10); n != 1 || err == nil {
		t.Errorf("with a project that fails, %d purged, %v", n, err)
	}
}
