package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/secret"
)

// atOnce lets n begin together and returns what became of each.
func atOnce(n int, do func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// tally counts outcomes by their sentinel; any other error fails the test.
func tally(t *testing.T, errs []error, known ...error) (done int, refused []int) {
	t.Helper()
	refused = make([]int, len(known))
	for _, err := range errs {
		i := slices.IndexFunc(known, func(k error) bool { return errors.Is(err, k) })
		switch {
		case err == nil:
			done++
		case i >= 0:
			refused[i]++
		default:
			t.Error(err)
		}
	}
	return done, refused
}

// Of many who add the same pair, one does.
func TestRacingEntriesAreAddedOnce(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 8)
	s := w.fill(1)[0]
	named := entry("n", s)
	for name, e := range map[string]container.Entry{"named": named, "unnamed": {Secret: s.ID}} {
		c := w.stored(container.Generic)
		events := w.rows("audit_events")
		done, refused := tally(t, atOnce(16, func(int) error {
			return w.db.AddEntry(t.Context(), c, e, w.event())
		}), container.ErrHasSecret)
		if done != 1 || refused[0] != 15 || len(w.now(c).Entries) != 1 || w.rows("audit_events") != events+1 {
			t.Errorf("%s: %d added and %d refused, the container has %+v", name, done, refused[0], w.now(c).Entries)
		}
		done, refused = tally(t, atOnce(16, func(int) error {
			return w.db.RemoveEntry(t.Context(), c, e, w.event())
		}), container.ErrLacksSecret)
		if done != 1 || refused[0] != 15 || len(w.now(c).Entries) != 0 {
			t.Errorf("%s: %d removed and %d refused", name, done, refused[0])
		}
	}
}

// A container that is made while one of its secrets is deleted either is not
// made, or has lost the secret. Adding is the same.
func TestRacingDeletionOfAContainersSecret(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 8)
	stays := w.fill(1)[0]
	into := w.stored(container.Generic)
	var missed int
	for i := range 40 {
		s, err := w.create(i + 1)
		if err != nil {
			t.Fatal(err)
		}
		c := w.container(container.Generic, entry("stays", stays), entry("goes", s))
		errs := atOnce(3, func(i int) error {
			switch i {
			case 0:
				return w.db.CreateContainer(t.Context(), c, w.event())
			case 1:
				return w.db.AddEntry(t.Context(), into, entry("goes", s), w.event())
			}
			return w.db.Delete(t.Context(), s, w.event())
		})
		if errs[2] != nil {
			t.Fatal(errs[2])
		}
		tally(t, errs, container.ErrNoSecret)
		_, err = w.db.FindContainer(t.Context(), container.Anywhere(c.ID), contents)
		if (err == nil) != (errs[0] == nil) {
			t.Errorf("created: %v, found: %v", errs[0], err)
		}
		if err != nil {
			missed++
			continue
		}
		if got := w.now(c).Entries; len(got) != 1 || got[0].Secret != stays.ID {
			t.Errorf("the container has %+v", got)
		}
	}
	t.Logf("%d of 40 came too late", missed)
	if got := w.now(into).Entries; len(got) != 0 {
		t.Errorf("secrets that are gone are still in the container: %+v", got)
	}
}

// Whoever registers at once is registered, each once, and everybody is told so.
func TestRacingRegistrations(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 8)
	c := w.stored(container.Generic)
	events := w.rows("audit_events")
	tally(t, atOnce(24, func(i int) error {
		n := consumer(fmt.Sprint("n", i%4), w.project)
		got, err := w.db.AddContainerConsumer(t.Context(), c, n, w.event())
		if err == nil && !slices.Contains(got.Consumers, n.Party) {
			err = fmt.Errorf("the answer to %s has %+v", n.Name, got.Consumers)
		}
		return err
	}))
	if got := w.now(c).Consumers; len(got) != 4 || w.rows("container_consumers") != 4 || w.rows("audit_events") != events+4 {
		t.Errorf("registered are %+v", got)
	}
	done, refused := tally(t, atOnce(24, func(i int) error {
		_, err := w.db.RemoveContainerConsumer(t.Context(), c, container.Party{Name: fmt.Sprint("n", i%4), URL: "u"}, w.project, w.event())
		return err
	}), container.ErrNoConsumer)
	if done != 4 || refused[0] != 20 {
		t.Errorf("%d removed, %d refused", done, refused[0])
	}
}

// A registration that meets the container's deletion leaves nothing behind.
func TestRacingDeletionOfAContainer(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 8)
	s := w.fill(1)[0]
	for range 20 {
		c := w.stored(container.Generic)
		errs := atOnce(4, func(i int) error {
			switch i {
			case 0:
				return w.db.DeleteContainer(t.Context(), c, w.event())
			case 1:
				return w.db.AddEntry(t.Context(), c, entry("n", s), w.event())
			case 2:
				yes := true
				return w.db.PutContainerACL(t.Context(), c, secret.ACLChange{Private: &yes}, w.event())
			}
			_, err := w.db.AddContainerConsumer(t.Context(), c, consumer("n", w.project), w.event())
			return err
		})
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		tally(t, errs, container.ErrNotFound)
	}
	for _, table := range []string{"containers", "container_directory", "container_secrets", "container_consumers"} {
		if n := w.rows(table); n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
}

// Two who change different parts of an ACL are both heard.
func TestRacingContainerACLs(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 8)
	for range 10 {
		c := w.stored(container.Generic)
		yes := true
		tally(t, atOnce(2, func(i int) error {
			change := secret.ACLChange{Private: &yes}
			if i == 0 {
				change = secret.ACLChange{Readers: &[]auth.UserID{"u"}}
			}
			return w.db.PutContainerACL(t.Context(), c, change, w.event())
		}))
		if acl := w.now(c).ACL; acl == nil || !acl.Private || !slices.Equal(acl.Readers, []auth.UserID{"u"}) {
			t.Errorf("ACL %+v", acl)
		}
	}
}

// Lists hold no more than a moment: a page that is read while containers come
// and go has each of them whole.
func TestListsWhileContainersComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 8)
	ss := w.fill(2)
	until := time.Now().Add(300 * time.Millisecond)
	tally(t, atOnce(4, func(i int) error {
		for time.Now().Before(until) {
			if i == 0 {
				page, total, err := w.db.ListContainers(t.Context(), w.project, container.Query{Limit: 100})
				if err != nil {
					return err
				}
				if total != len(page) {
					return fmt.Errorf("%d on the page of %d", len(page), total)
				}
				for _, c := range page {
					if len(c.Entries) != 2 {
						return fmt.Errorf("a container with %+v", c.Entries)
					}
				}
				continue
			}
			c := w.container(container.Generic, entry("a", ss[0]), entry("b", ss[1]))
			if err := w.db.CreateContainer(t.Context(), c, w.event()); err != nil {
				return err
			}
			if err := w.db.DeleteContainer(t.Context(), c, w.event()); err != nil {
				return err
			}
		}
		return nil
	}))
}
