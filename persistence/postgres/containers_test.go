package postgres_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/secret"
)

// container is one of the workload's project, not stored yet.
func (w *workload) container(kind container.Type, entries ...container.Entry) container.Container {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return container.Container{
		ID: container.ID(uuid.NewString()), Project: w.project, Type: kind, Creator: "f3a9c1",
		CreatedAt: now, UpdatedAt: now, Entries: append([]container.Entry{}, entries...), Consumers: []container.Party{},
	}
}

// stored is a container that is there.
func (w *workload) stored(kind container.Type, entries ...container.Entry) container.Container {
	w.tb.Helper()
	c := w.container(kind, entries...)
	if err := w.db.CreateContainer(w.tb.Context(), c, w.event()); err != nil {
		w.tb.Fatal(err)
	}
	return c
}

func entry(name string, s secret.Secret) container.Entry {
	return container.Entry{Name: &name, Secret: s.ID}
}

var contents = container.Want{Contents: true}

// rows counts the rows of a table.
func (w *workload) rows(table string) int {
	w.tb.Helper()
	var n int
	if err := w.raw.QueryRowContext(w.tb.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		w.tb.Fatal(err)
	}
	return n
}

func TestContainerIsFoundAsItWasStored(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ss := w.fill(3)
	// Neither the order of names nor that of UUIDs.
	c := w.stored(container.RSA, entry("z", ss[2]), container.Entry{Secret: ss[0].ID}, entry("m", ss[1]))
	for _, h := range []container.Handle{container.Anywhere(c.ID), container.Within(w.project, c.ID)} {
		got, err := w.db.FindContainer(t.Context(), h, contents)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%+v (-stored +found):\n%s", h, diff)
		}
	}
	for _, h := range []container.Handle{
		container.Within("other", c.ID), container.Anywhere(container.ID(uuid.NewString())), container.Anywhere("x"), {},
	} {
		if _, err := w.db.FindContainer(t.Context(), h, contents); !errors.Is(err, container.ErrNotFound) {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

// A container is made with all its secrets or not at all, and only with those
// of its own project.
func TestContainerNeedsAllItsSecrets(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ss := w.fill(2)
	past := time.Now().Add(-time.Second)
	if _, err := w.raw.ExecContext(t.Context(), `UPDATE secrets SET expiration = $2 WHERE id = $1`, string(ss[1].ID), past); err != nil {
		t.Fatal(err)
	}
	foreign := w.container(container.Generic, entry("a", ss[0]))
	foreign.Project = "other"
	events := w.rows("audit_events")
	for name, c := range map[string]container.Container{
		"expired": w.container(container.Generic, entry("a", ss[0]), entry("b", ss[1])),
		"unknown": w.container(container.Generic, entry("a", ss[0]), entry("b", secret.Secret{ID: secret.ID(uuid.NewString())})),
		"no UUID": w.container(container.Generic, entry("a", ss[0]), entry("b", secret.Secret{ID: "x"})),
		"foreign": foreign,
	} {
		if err := w.db.CreateContainer(t.Context(), c, w.event()); !errors.Is(err, container.ErrNoSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, table := range []string{"containers", "container_secrets", "container_directory"} {
		if n := w.rows(table); n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
	if n := w.rows("audit_events"); n != events {
		t.Errorf("%d events of what was not done", n-events)
	}
}

func TestDeletedSecretLeavesContainers(t *testing.T) { // BAR-196
	t.Parallel()
	w := newWorkload(t)
	ss := w.fill(2)
	c := w.stored(container.Generic, entry("a", ss[0]), entry("b", ss[1]))
	other := w.stored(container.Generic, entry("a", ss[0]))
	if err := w.db.Delete(t.Context(), ss[0], w.event()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[container.ID][]container.Entry{c.ID: {entry("b", ss[1])}, other.ID: {}} {
		got, err := w.db.FindContainer(t.Context(), container.Anywhere(id), contents)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Entries); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestDeletedContainerLeavesItsSecrets(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ss := w.fill(1)
	c := w.stored(container.Generic, entry("a", ss[0]))
	if err := w.db.DeleteContainer(t.Context(), c, w.event()); err != nil {
		t.Fatal(err)
	}
	if err := w.db.DeleteContainer(t.Context(), c, w.event()); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("again: %v", err)
	}
	for _, table := range []string{"containers", "container_secrets", "container_directory", "container_consumers"} {
		if n := w.rows(table); n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
	if _, err := w.db.Find(t.Context(), secret.Anywhere(ss[0].ID), secret.Want{}, time.Now()); err != nil {
		t.Errorf("the secret: %v", err)
	}
}

func TestEntries(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ss := w.fill(2)
	c := w.stored(container.Generic, entry("n", ss[0]))
	unnamed := container.Entry{Secret: ss[0].ID}
	gone := w.container(container.Generic)
	elsewhere := c
	elsewhere.Project = "other"
	for i, step := range []struct {
		c    container.Container
		e    container.Entry
		away bool
		want error
	}{
		{c: c, e: entry("n", ss[0]), want: container.ErrHasSecret},
		{c: c, e: entry("other", ss[0])},
		{c: c, e: entry("n", ss[1])},
		{c: c, e: unnamed},
		{c: c, e: unnamed, want: container.ErrHasSecret},
		{c: c, e: entry("", ss[0])},
		{c: c, e: unnamed, away: true},
		{c: c, e: unnamed, away: true, want: container.ErrLacksSecret},
		{c: c, e: unnamed},
		{c: c, e: entry("wrong", ss[0]), away: true, want: container.ErrLacksSecret},
		{c: c, e: entry("n", secret.Secret{ID: "x"}), want: container.ErrNoSecret},
		{c: c, e: entry("n", secret.Secret{ID: "x"}), away: true, want: container.ErrNoSecret},
		{c: gone, e: unnamed, want: container.ErrNotFound},
		{c: gone, e: unnamed, away: true, want: container.ErrNotFound},
		{c: elsewhere, e: unnamed, want: container.ErrNotFound},
	} {
		change := w.db.AddEntry
		if step.away {
			change = w.db.RemoveEntry
		}
		if err := change(t.Context(), step.c, step.e, w.event()); !errors.Is(err, step.want) {
			t.Errorf("step %d: %v, want %v", i, err, step.want)
		}
	}
	got, err := w.db.FindContainer(t.Context(), container.Anywhere(c.ID), contents)
	if err != nil {
		t.Fatal(err)
	}
	want := []container.Entry{entry("n", ss[0]), entry("other", ss[0]), entry("n", ss[1]), entry("", ss[0]), unnamed}
	if diff := cmp.Diff(want, got.Entries); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got.UpdatedAt.Equal(c.UpdatedAt) {
		t.Errorf("updated moved from %v to %v", c.UpdatedAt, got.UpdatedAt)
	}
}

func TestContainerLists(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ss := w.fill(1)
	var ids []container.ID
	for i := range 5 {
		c := w.container([]container.Type{container.Generic, container.RSA}[i%2], entry("a", ss[0]))
		name := fmt.Sprint("c", i)
		c.Name, c.CreatedAt = &name, c.CreatedAt.Add(time.Duration(i)*time.Second)
		if err := w.db.CreateContainer(t.Context(), c, w.event()); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c.ID)
	}
	for _, tc := range []struct {
		q     container.Query
		want  []container.ID
		total int
	}{
		{container.Query{Limit: 2}, ids[:2], 5},
		{container.Query{Limit: 2, Offset: 4}, ids[4:], 5},
		{container.Query{Limit: 2, Offset: 9}, nil, 5},
		{container.Query{Limit: 9, Name: "c3"}, ids[3:4], 1},
		{container.Query{Limit: 9, Name: "c%"}, ids, 5},
		{container.Query{Limit: 9, Name: `c\`}, nil, 0},
		{container.Query{Limit: 9, Type: "rsa"}, []container.ID{ids[1], ids[3]}, 2},
		{container.Query{Limit: 1, Type: "rsa"}, ids[1:2], 2},
		{container.Query{Limit: 9, Type: "foo"}, nil, 0},
	} {
		found, total, err := w.db.ListContainers(t.Context(), w.project, tc.q)
		if err != nil {
			t.Fatal(err)
		}
		var got []container.ID
		for _, c := range found {
			got = append(got, c.ID)
			if len(c.Entries) != 1 {
				t.Errorf("%+v: entries %+v", tc.q, c.Entries)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" || total != tc.total {
			t.Errorf("%+v: total %d, want %d\n%s", tc.q, total, tc.total, diff)
		}
	}
	if found, total, err := w.db.ListContainers(t.Context(), "other", container.Query{Limit: 9}); err != nil || total != 0 || len(found) != 0 {
		t.Errorf("another project: %d %v", total, err)
	}
}

// A total is exact before containers are in a tally, after, and when some of
// them are gone.
func TestContainerTotalsAreTallied(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	if _, err := w.raw.ExecContext(t.Context(), `
		INSERT INTO containers (project, id, type, creator, created_at, updated_at)
		SELECT $1, gen_random_uuid(), 'generic', 'u', now() + i * interval '1 ms', now() FROM generate_series(1, 1500) i`,
		string(w.project)); err != nil {
		t.Fatal(err)
	}
	total := func() int {
		t.Helper()
		page, n, err := w.db.ListContainers(t.Context(), w.project, container.Query{Limit: 1})
		if err != nil || len(page) != 1 {
			t.Fatalf("%d on the page, %v", len(page), err)
		}
		return n
	}
	if n := total(); n != 1500 {
		t.Errorf("%d before", n)
	}
	if _, err := w.db.Settle(t.Context(), 10_000); err != nil {
		t.Fatal(err)
	}
	if n := w.rows("containers WHERE NOT tallied"); n > 1000 {
		t.Errorf("%d are in no tally", n)
	}
	if n := total(); n != 1500 {
		t.Errorf("%d after", n)
	}
	page, _, err := w.db.ListContainers(t.Context(), w.project, container.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range page {
		if err := w.db.DeleteContainer(t.Context(), c, w.event()); err != nil {
			t.Fatal(err)
		}
	}
	w.stored(container.Generic)
	if n := total(); n != 1401 {
		t.Errorf("%d in the end, want 1401", n)
	}
	if _, n, err := w.db.ListContainers(t.Context(), w.project, container.Query{Limit: 1, Offset: 5000}); err != nil || n != 1401 {
		t.Errorf("past the end: %d, %v", n, err)
	}
}
