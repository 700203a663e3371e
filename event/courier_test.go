package event_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/event"
)

// fire makes as many notifications.
func (r *room) fire(n int) {
	r.Helper()
	r.event("e")
	for i := range n {
		r.secret(fmt.Sprintf("s%d", i), "e")
	}
}

// A receiver that is down for an hour, and longer, loses nothing.
func TestReceiverDownForAnHourLosesNothing(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.fire(10)
	to := &receiver{down: true}
	c := r.courier(r.db, to)
	for range 90 { // an hour and a half
		r.must(c.Deliver(t.Context()))
		for _, n := range r.told() {
			if n.Status != event.Failed {
				t.Fatalf("status %s while the receiver is down", n.Status)
			}
		}
		r.clock.pass(time.Minute)
	}
	r.must(r.locate("s0").Delete(t.Context()))
	to.set(false)
	for range 11 { // at most five minutes between two attempts, and half a minute's rest
		r.must(c.Deliver(t.Context()))
		r.clock.pass(time.Minute)
	}
	if len(to.got) != 11 {
		t.Errorf("received %d of 11", len(to.got))
	}
	for _, n := range r.told() {
		if n.Status != event.Delivered || to.got[n.ID] != 1 {
			t.Errorf("%s: %s, received %d times", n.ID, n.Status, to.got[n.ID])
		}
	}
}

// After RetryFor nobody tries any more, and the record says so.
func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.fire(1)
	to := &receiver{down: true}
	c := r.courier(r.db, to)
	r.must(c.Deliver(t.Context()))
	r.clock.pass(25 * time.Hour)
	r.must(c.Deliver(t.Context()))
	to.set(false)
	r.clock.pass(time.Hour)
	r.must(c.Deliver(t.Context()))
	if n := r.told()[0]; n.Status != event.Failed || n.Attempts != 2 || len(to.got) != 0 {
		t.Errorf("%+v, received %v", n, to.got)
	}
}

// Two nodes share the work. While nobody dies, nothing is sent twice.
func TestNodesShareDeliveries(t *testing.T) {
	t.Parallel()
	r := open(t)
	const all = 100
	r.fire(all)
	to := &receiver{}
	var wait sync.WaitGroup
	for _, c := range []*event.Courier{r.courier(r.db, to), r.courier(r.other, to), r.courier(r.db, to), r.courier(r.other, to)} {
		wait.Go(func() {
			for range 5 {
				if err := c.Deliver(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if len(to.got) != all {
		t.Errorf("received %d of %d", len(to.got), all)
	}
	for id, times := range to.got {
		if times != 1 {
			t.Errorf("%s was received %d times", id, times)
		}
	}
}

// dying is a database that a node does not get to any more once its receiver
// has heard: the node was killed before it could say so.
type dying struct{ event.Outbox }

var errKilled = errors.New("killed")

func (dying) Conclude(context.Context, event.Notification, event.Status, *time.Time) error {
	return errKilled
}

// A node that is killed between delivery and mark: another one delivers again,
// under the same identifier, once the claim has lapsed and no sooner.
func TestKilledNodeIsMadeUpFor(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.fire(1)
	to := &receiver{}
	if err := r.courier(dying{r.db}, to).Deliver(t.Context()); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	next := r.courier(r.other, to)
	r.must(next.Deliver(t.Context()))
	id := r.told()[0].ID
	if to.got[id] != 1 {
		t.Errorf("received %v before the claim lapsed", to.got)
	}
	r.clock.pass(3 * time.Minute)
	r.must(next.Deliver(t.Context()))
	if n := r.told()[0]; to.got[id] != 2 || len(to.got) != 1 || n.Status != event.Delivered {
		t.Errorf("received %v, then %s", to.got, n.Status)
	}
}

// Whoever comes back after its claim lapsed does not undo what another node
// did meanwhile.
func TestLateNodeChangesNothing(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.fire(1)
	now := r.clock.now()
	first, err := r.db.Claim(t.Context(), now, now.Add(time.Minute), nil, 10)
	r.must(err)
	second, err := r.other.Claim(t.Context(), now.Add(2*time.Minute), now.Add(3*time.Minute), nil, 10)
	r.must(err)
	if len(first) != 1 || len(second) != 1 {
		t.Fatalf("claimed %d and %d", len(first), len(second))
	}
	r.must(r.db.Conclude(t.Context(), first[0], event.Failed, nil))
	if n := r.told()[0]; n.Status != event.Pending {
		t.Errorf("the late one made it %s", n.Status)
	}
	r.must(r.db.Conclude(t.Context(), first[0], event.Delivered, nil))
	r.must(r.other.Conclude(t.Context(), second[0], event.Failed, &now))
	if n := r.told()[0]; n.Status != event.Delivered {
		t.Errorf("what was delivered is %s", n.Status)
	}
}

// A target that the operator does not have is INVALID, until they do.
func TestUnknownTargetIsInvalid(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.fire(1)
	none := event.NewCourier(event.CourierDeps{
		Outbox: r.db, NewID: newEventID, Now: r.clock.now, RetryFor: time.Hour,
		Observe: func(event.Notification, event.Status, time.Duration, error) {},
	})
	r.must(none.Deliver(t.Context()))
	if n := r.told()[0]; n.Status != event.Unusable {
		t.Errorf("status %s", n.Status)
	}
	r.clock.pass(time.Minute)
	r.must(r.courier(r.db, &receiver{}).Deliver(t.Context()))
	if n := r.told()[0]; n.Status != event.Delivered {
		t.Errorf("status %s once there is a target", n.Status)
	}
}

// A receiver that fails is left alone for a while, and others are not.
func TestFailingTargetHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.fire(40) // more than one node takes at once
	tries := 0
	down := &receiver{down: true, hold: func(event.Notification) { tries++ }}
	other := &receiver{}
	_, err := r.events.Create(t.Context(), huawei, event.New{
		Name: "f", Types: event.Types, State: event.Enabled, Target: event.Target{Type: "SMN", ID: "urn:other", Name: "o"},
	})
	r.must(err)
	r.secret("late", "f")
	c := event.NewCourier(event.CourierDeps{
		Outbox: r.db, Senders: map[string]event.Sender{topic: down, "urn:other": other}, NewID: newEventID, Now: r.clock.now,
		RetryFor: time.Hour, Observe: func(event.Notification, event.Status, time.Duration, error) {},
	})
	r.must(c.Deliver(t.Context()))
	if len(other.got) != 1 || tries != 32 {
		t.Errorf("the other one received %d; %d tries at the one that is down", len(other.got), tries)
	}
}

// What is older than three months is neither shown nor kept (CSMS-162).
func TestRecordsAreKeptThreeMonths(t *testing.T) {
	t.Parallel()
	r := open(t)
	r.fire(3)
	c := r.courier(r.db, &receiver{})
	r.must(c.Deliver(t.Context()))
	r.clock.pass(89 * 24 * time.Hour)
	n, err := c.Purge(t.Context())
	if err != nil || n != 0 || len(r.told()) != 3 {
		t.Errorf("after 89 days: %d purged, %d shown, %v", n, len(r.told()), err)
	}
	r.secret("young", "e")
	r.clock.pass(4 * 24 * time.Hour)
	if got := len(r.told()); got != 1 {
		t.Errorf("after 93 days: %d shown", got)
	}
	if n, err = c.Purge(t.Context()); err != nil || n != 3 {
		t.Errorf("after 93 days: %d purged, %v", n, err)
	}
}
