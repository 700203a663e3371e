package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/secret"
)

// now is a container as it is stored.
func (w *workload) now(c container.Container) container.Container {
	w.tb.Helper()
	got, err := w.db.FindContainer(w.tb.Context(), container.Anywhere(c.ID), contents)
	if err != nil {
		w.tb.Fatal(err)
	}
	return got
}

// eventNow has a time as the gate makes it.
func (w *workload) eventNow() audit.Event {
	ev := w.event()
	ev.At = ev.At.UTC().Truncate(time.Microsecond)
	return ev
}

func TestContainerACLs(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	c := w.stored(container.Generic)
	yes, no := true, false
	var created, updated time.Time
	for i, step := range []struct {
		change  secret.ACLChange
		private bool
		readers []auth.UserID
	}{
		{secret.ACLChange{Readers: &[]auth.UserID{"b", `a"{},\`}}, false, []auth.UserID{"b", `a"{},\`}},
		{secret.ACLChange{Private: &yes}, true, []auth.UserID{"b", `a"{},\`}},
		{secret.ACLChange{Readers: &[]auth.UserID{}}, true, []auth.UserID{}},
		{secret.ACLChange{Private: &no, Readers: &[]auth.UserID{""}}, false, []auth.UserID{""}},
	} {
		ev := w.eventNow()
		if err := w.db.PutContainerACL(t.Context(), c, step.change, ev); err != nil {
			t.Fatal(err)
		}
		got := w.now(c)
		if updated = ev.At; i == 0 {
			created = updated
		}
		want := &secret.ACL{Private: step.private, Readers: step.readers, CreatedAt: created, UpdatedAt: updated}
		if diff := cmp.Diff(want, got.ACL); diff != "" || !got.UpdatedAt.Equal(updated) {
			t.Errorf("step %d, updated %v: (-want +got)\n%s", i, got.UpdatedAt, diff)
		}
	}
	if err := w.db.DropContainerACL(t.Context(), c, false, w.event()); err != nil {
		t.Fatal(err)
	}
	if got := w.now(c); got.ACL != nil || !got.UpdatedAt.Equal(updated) {
		t.Errorf("dropped: %+v", got)
	}
	if err := w.db.DropContainerACL(t.Context(), c, true, w.event()); err != nil {
		t.Fatal(err)
	}
	if got := w.now(c); got.UpdatedAt.Equal(updated) {
		t.Errorf("dropped with a touch: %+v", got)
	}
	gone := w.container(container.Generic)
	if err := w.db.PutContainerACL(t.Context(), gone, secret.ACLChange{Private: &yes}, w.event()); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
	if err := w.db.DropContainerACL(t.Context(), gone, true, w.event()); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
}

// consumer is one that a project registers.
func consumer(name string, by auth.ProjectID) container.Consumer {
	return container.Consumer{Party: container.Party{Name: name, URL: "u"}, ID: uuid.NewString(), Registrar: by}
}

func TestContainerConsumersInTheStore(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	s := w.fill(1)[0]
	c := w.stored(container.Generic, entry("a", s))
	w.stored(container.Generic) // a neighbour
	ids := map[string]string{}
	for _, name := range []string{"m", "a", "Z"} {
		n := consumer(name, "guests")
		ids[name] = n.ID
		ev := w.eventNow()
		got, err := w.db.AddContainerConsumer(t.Context(), c, n, ev)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w.now(c), got); diff != "" || !got.UpdatedAt.Equal(ev.At) {
			t.Errorf("%s, answer and what is stored:\n%s", name, diff)
		}
	}
	events, before := w.rows("audit_events"), w.now(c)
	if got, err := w.db.AddContainerConsumer(t.Context(), c, consumer("m", "others"), w.event()); err != nil || !cmp.Equal(got, before) {
		t.Errorf("again: %+v, %v", got, err)
	}
	if n := w.rows("audit_events"); n != events {
		t.Errorf("%d events of what changed nothing", n-events)
	}
	if diff := cmp.Diff(before, w.now(c)); diff != "" {
		t.Errorf("again, before and after:\n%s", diff)
	}
	page, total, err := w.db.ListContainerConsumers(t.Context(), c, 2, 1)
	if err != nil || total != 3 || len(page) != 2 || page[0].Name != "a" || page[1].Name != "m" || page[1].Registrar != "guests" {
		t.Errorf("%+v, %d, %v", page, total, err)
	}
	if page, total, err := w.db.ListContainerConsumers(t.Context(), c, 2, 9); err != nil || total != 3 || len(page) != 0 {
		t.Errorf("past the end: %+v, %d, %v", page, total, err)
	}
	if one, err := w.db.FindContainerConsumer(t.Context(), c, ids["a"]); err != nil || one != page[0] {
		t.Errorf("%+v, %v", one, err)
	}
	for _, id := range []string{uuid.NewString(), "x", ""} {
		if _, err := w.db.FindContainerConsumer(t.Context(), c, id); !errors.Is(err, container.ErrNoConsumer) {
			t.Errorf("%q: %v", id, err)
		}
	}
	for i, step := range []struct {
		name string
		by   auth.ProjectID
		want error
	}{
		{"a", "strangers", container.ErrNotRegistrar},
		{"x", "strangers", container.ErrNoConsumer},
		{"a", "guests", nil},
		{"a", "guests", container.ErrNoConsumer},
		{"m", w.project, nil},
	} {
		got, err := w.db.RemoveContainerConsumer(t.Context(), c, container.Party{Name: step.name, URL: "u"}, step.by, w.event())
		if !errors.Is(err, step.want) || (err == nil && !cmp.Equal(got, w.now(c))) {
			t.Errorf("step %d: %+v, %v", i, got, err)
		}
	}
	gone := w.container(container.Generic)
	if _, err := w.db.AddContainerConsumer(t.Context(), gone, consumer("a", w.project), w.event()); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
	if _, err := w.db.RemoveContainerConsumer(t.Context(), gone, container.Party{Name: "a", URL: "u"}, w.project, w.event()); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("of nothing: %v", err)
	}
}

// Every method is one round trip once its statement is prepared, and a page
// past the end a second one.
func TestContainerRoundTrips(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ctx := t.Context()
	ss := w.fill(2)
	c := w.stored(container.Generic, entry("a", ss[0]))
	yes := true
	for _, tc := range []struct {
		name  string
		trips uint64
		do    func() error
	}{
		{"create", 1, func() error {
			return w.db.CreateContainer(ctx, w.container(container.RSA, entry("a", ss[0]), entry("b", ss[1])), w.event())
		}},
		{"find", 1, func() error {
			_, err := w.db.FindContainer(ctx, container.Anywhere(c.ID), contents)
			return err
		}},
		{"list", 1, func() error {
			page, _, err := w.db.ListContainers(ctx, w.project, container.Query{Limit: 10})
			if len(page) < 2 {
				t.Errorf("%d on the page", len(page))
			}
			return err
		}},
		{"list past the end", 2, func() error {
			_, _, err := w.db.ListContainers(ctx, w.project, container.Query{Limit: 1, Offset: 100})
			return err
		}},
		{"add a secret", 1, func() error { return w.db.AddEntry(ctx, c, entry(uuid.NewString(), ss[1]), w.event()) }},
		{"remove a secret", 1, func() error {
			err := w.db.RemoveEntry(ctx, c, entry("a", ss[0]), w.event())
			if errors.Is(err, container.ErrLacksSecret) {
				err = nil
			}
			return err
		}},
		{"put an ACL", 1, func() error { return w.db.PutContainerACL(ctx, c, secret.ACLChange{Private: &yes}, w.event()) }},
		{"drop an ACL", 1, func() error { return w.db.DropContainerACL(ctx, c, true, w.event()) }},
		{"register", 1, func() error {
			_, err := w.db.AddContainerConsumer(ctx, c, consumer("n", w.project), w.event())
			return err
		}},
		{"unregister", 1, func() error {
			_, err := w.db.RemoveContainerConsumer(ctx, c, container.Party{Name: "n", URL: "u"}, w.project, w.event())
			if errors.Is(err, container.ErrNoConsumer) {
				err = nil
			}
			return err
		}},
		{"list consumers", 1, func() error {
			_, _, err := w.db.ListContainerConsumers(ctx, c, 10, 0)
			return err
		}},
	} {
		for _, warm := range []bool{false, true} {
			before := w.db.RoundTrips()
			if err := tc.do(); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			if trips := w.db.RoundTrips() - before; warm && trips != tc.trips {
				t.Errorf("%s: %d round trips, want %d", tc.name, trips, tc.trips)
			}
		}
	}
}
