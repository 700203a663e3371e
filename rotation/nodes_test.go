package rotation_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/secret"
)

// Several nodes at once: what is due begins once, who asks meanwhile is told
// so, and each task is one node's.
func TestOnceAmongNodes(t *testing.T) {
	w := newWorld(t, startPostgreSQL(t))
	var names []string
	for range 4 {
		name, _ := w.single(secret.Rotation{Auto: true, Period: "6h"})
		names = append(names, name)
	}
	w.create("plain", "COMMON", "", "x", secret.Rotation{Auto: true, Period: "6h"})
	w.offset.Store(int64(6*time.Hour + time.Minute))
	var nodes sync.WaitGroup
	for range 4 {
		n := w.node()
		nodes.Go(func() {
			for range 10 {
				if _, err := n.BeginDue(t.Context(), 10); err != nil {
					t.Error(err)
				}
				if _, err := n.Work(t.Context(), 2); err != nil {
					t.Error(err)
				}
			}
		})
		nodes.Go(func() {
			for _, name := range names {
				l, err := w.secrets.Locate(t.Context(), alice, policy.SecretRotate, secret.Named(project, name), rotation.Wanted)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := n.Rotate(t.Context(), l); err != nil && !errors.Is(err, secret.ErrRotating) {
					t.Error(err)
				}
			}
		})
	}
	nodes.Wait()
	w.finish(w.node())
	for _, name := range append(names, "plain") {
		page, err := w.node().Tasks(t.Context(), alice, rotation.Query{Name: name, Limit: 100})
		auto := 0
		for _, task := range page.Tasks {
			if task.Auto {
				auto++
			}
			if task.Attempts != 1 || (task.Status == rotation.Succeeded) == (name == "plain") {
				t.Errorf("%+v", task)
			}
		}
		if err != nil || auto > 1 || len(page.Tasks) == 0 || name == "plain" && auto != 1 {
			t.Errorf("%s rotated %d times, %d by itself: %v", name, page.Total, auto, err)
		}
	}
	for _, name := range names {
		at, versions := w.stages(name)
		if err := w.login(w.accountOf(name, secret.Current)); err != nil || at[secret.Pending] != 0 || at[secret.Current] != versions {
			t.Error(name, at, versions, err)
		}
	}
}

// A rotation of a secret that goes meanwhile ends, and says why.
func TestDeletedWhileItRotates(t *testing.T) {
	w := newWorld(t, startPostgreSQL(t))
	name, _ := w.single(secret.Rotation{})
	n := w.node()
	w.rotate(n, name)
	if err := w.locate(name, secret.Want{}).Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.finish(n)
	if got := w.task(name); got.Status != rotation.Failed || got.ErrorText != "The secret was deleted." {
		t.Errorf("%+v", got)
	}
}

// The budget: two statements for who asks, ten from the claim to the end, two
// where there is nothing to do.
func TestRoundTrips(t *testing.T) {
	w := newWorld(t, startPostgreSQL(t))
	n := w.node()
	for range 2 { // statements are prepared on first use
		name, _ := w.single(secret.Rotation{})
		w.rotate(n, name)
		w.finish(n)
		w.task(name)
		if _, err := n.BeginDue(t.Context(), 10); err != nil {
			t.Error(err)
		}
	}
	name, _ := w.single(secret.Rotation{})
	count := func(what string, most uint64, do func()) {
		t.Helper()
		before := w.db.RoundTrips()
		do()
		if got := w.db.RoundTrips() - before; got > most {
			t.Errorf("%s: %d round trips, want %d at most", what, got, most)
		}
	}
	count("rotate", 2, func() { w.rotate(n, name) })
	count("work", 10, func() {
		if worked, err := n.Work(t.Context(), 1); worked != 1 || err != nil {
			t.Error(worked, err)
		}
	})
	count("nothing to do", 2, func() {
		if _, err := n.BeginDue(t.Context(), 10); err != nil {
			t.Error(err)
		}
		if _, err := n.Work(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
	count("list", 2, func() { w.task(name) })
}

func TestForget(t *testing.T) {
	w := newWorld(t, startPostgreSQL(t))
	name, _ := w.single(secret.Rotation{})
	running, _ := w.single(secret.Rotation{})
	n := w.node()
	w.rotate(n, name)
	w.finish(n)
	w.rotate(n, running)
	if forgotten, err := n.Forget(t.Context(), w.now().Add(-time.Hour), 10); forgotten != 0 || err != nil {
		t.Error(forgotten, err)
	}
	if forgotten, err := n.Forget(t.Context(), w.now().Add(time.Hour), 10); forgotten != 1 || err != nil {
		t.Error(forgotten, err)
	}
	w.task(running)
	if page, err := n.Tasks(t.Context(), alice, rotation.Query{ID: uuid.NewString(), Limit: 1}); err != nil || page.Total != 0 {
		t.Error(page, err)
	}
}
