package order_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Wherever a worker dies, another one finishes, and there is one set of
// secrets.
func TestOrderOutlivesItsWorker(t *testing.T) {
	for _, in := range []struct {
		name    string
		order   order.New
		secrets int
		boxes   int
	}{{"key", aKey(), 1, 0}, {"pair", aPair(""), 2, 1}, {"pair with a passphrase", aPair("open sesame"), 3, 1}} {
		for _, tc := range []struct {
			name string
			kill func(d *order.Deps, m *mortal)
		}{
			{"after the claim", func(d *order.Deps, m *mortal) {
				d.Random = random(func(context.Context, int) (sensitive.Bytes, error) { return sensitive.Bytes{}, m.die() })
				d.Pairs = pairs(func(context.Context) (order.Pair, error) { return order.Pair{}, m.die() })
			}},
			{"before it completes", func(_ *order.Deps, m *mortal) { m.before = "complete" }},
			{"before it hears that it completed", func(_ *order.Deps, m *mortal) { m.after = "complete" }},
		} {
			t.Run(in.name+" "+tc.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				m := &mortal{Store: w.db}
				victim := w.node(func(d *order.Deps) {
					d.Store = m
					tc.kill(d, m)
				})
				o := w.order(victim, in.order)
				if o.Status != order.Pending {
					t.Fatalf("order %+v of a dead process", o)
				}
				heir := w.node()
				w.resume(heir) // the claim still holds
				if m.after == "" {
					w.is(o.ID, order.Pending)
				}
				w.turn(2 * time.Minute)
				w.resume(heir)
				done := w.becomes(o.ID, order.Active)
				if (done.Secret == "") == (done.Container == "") {
					t.Errorf("order %+v", done)
				}
				w.turn(2 * time.Minute)
				w.resume(heir)
				if n, boxes := w.secrets(), w.containers(); n != in.secrets || boxes != in.boxes {
					t.Errorf("%d secrets and %d containers, want %d and %d", n, boxes, in.secrets, in.boxes)
				}
			})
		}
	}
}

// Who is only slow finds that the order is not his any more.
func TestSlowWorkerStoresNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	slow := w.node(func(d *order.Deps) {
		d.Patience = time.Millisecond
		d.Random = random(func(_ context.Context, n int) (sensitive.Bytes, error) {
			close(asked)
			<-answer
			return sensitive.Take(make([]byte, n)), nil
		})
	})
	o := w.order(slow, aKey())
	<-asked
	w.turn(2 * time.Minute)
	quick := w.node()
	w.resume(quick)
	done := w.becomes(o.ID, order.Active)
	close(answer)
	w.heard(2)
	if again := w.is(o.ID, order.Active); again.Secret != done.Secret || w.secrets() != 1 {
		t.Errorf("%d secrets; the order had %s and has %s", w.secrets(), done.Secret, again.Secret)
	}
}

// Many orders, several nodes, and claims that lapse under the workers: each
// order is ACTIVE once, with a secret of its own.
func TestNodesShareTheWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.token.SetAway(true)
	first := w.node()
	const many = 40
	var ids []order.ID
	for range many {
		ids = append(ids, w.order(first, aKey()).ID)
	}
	w.token.SetAway(false)
	nodes := []*order.Service{first, w.node(), w.node(), w.node()}
	var wait sync.WaitGroup
	for i := range 20 {
		if i < 5 { // as often as an order may lose its worker
			w.turn(2 * time.Minute) // whoever is at work loses its claim
		}
		for _, n := range nodes {
			wait.Go(func() {
				if err := n.Resume(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(5 * time.Millisecond)
	}
	wait.Wait()
	made := map[secret.ID]bool{}
	for _, id := range ids {
		made[w.becomes(id, order.Active).Secret] = true
	}
	for _, n := range nodes {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(made) != many || w.secrets() != many {
		t.Errorf("%d orders have %d secrets, and there are %d", many, len(made), w.secrets())
	}
}

func TestOrderWaitsForTheToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node()
	w.order(s, aKey()) // makes the default master key
	w.token.SetAway(true)
	o := w.order(s, aKey())
	if o.Status != order.Pending {
		t.Fatalf("order %+v without a token", o)
	}
	for range 50 { // longer than any number of tries
		w.turn(time.Minute)
		w.resume(s)
		w.settled()
	}
	w.is(o.ID, order.Pending)
	w.token.SetAway(false)
	w.resume(s)
	w.is(o.ID, order.Pending) // it rests
	w.turn(31 * time.Second)
	w.resume(s)
	w.becomes(o.ID, order.Active)
}

// heard waits until so many pieces of work have ended.
func (w *world) heard(n int) {
	w.Helper()
	for range 1000 {
		w.mu.Lock()
		now := len(w.ended)
		w.mu.Unlock()
		if now == n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.Fatalf("the work has not ended %d times", n)
}

// settled waits until nobody works: each claim has been given back.
func (w *world) settled() {
	w.Helper()
	n := -1
	for range 200 {
		w.mu.Lock()
		now := len(w.ended)
		w.mu.Unlock()
		if now == n {
			return
		}
		n = now
		time.Sleep(10 * time.Millisecond)
	}
}

// An order that is deleted while somebody works on it makes nothing.
func TestDeletedOrderMakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	s := w.node(func(d *order.Deps) {
		d.Patience = time.Millisecond
		d.Random = random(func(_ context.Context, n int) (sensitive.Bytes, error) {
			close(asked)
			<-answer
			return sensitive.Take(make([]byte, n)), nil
		})
	})
	o := w.order(s, aKey())
	<-asked
	l, err := s.Locate(t.Context(), u1, policy.OrderDelete, o.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Delete(t.Context()); !errors.Is(err, order.ErrNotFound) {
		t.Errorf("the second time: %v", err)
	}
	close(answer)
	w.heard(1)
	if n := w.secrets(); n != 0 {
		t.Errorf("%d secrets of an order that is gone", n)
	}
	if len(w.ended) != 1 || !errors.Is(w.ended[0], order.ErrLost) {
		t.Errorf("the work ended with %v", w.ended)
	}
}

// An order that kills whoever works on it is given up.
func TestPoisonIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var o order.Order
	for i := range 6 {
		m := &mortal{Store: w.db}
		victim := w.node(func(d *order.Deps) {
			d.Store = m
			d.Random = random(func(context.Context, int) (sensitive.Bytes, error) { return sensitive.Bytes{}, m.die() })
		})
		if i == 0 {
			o = w.order(victim, aKey())
		} else {
			w.turn(2 * time.Minute)
			w.resume(victim)
		}
		w.heard(i + 1)
	}
	if o := w.is(o.ID, order.Failed); o.Failure.Code != "500" {
		t.Errorf("failure %+v", o.Failure)
	}
}

// A server that ends leaves its orders to the next one at once.
func TestCloseGivesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := make(chan struct{})
	s := w.node(func(d *order.Deps) {
		d.Patience = time.Millisecond
		d.Random = random(func(ctx context.Context, _ int) (sensitive.Bytes, error) {
			close(asked)
			<-ctx.Done()
			return sensitive.Bytes{}, ctx.Err()
		})
	})
	o := w.order(s, aKey())
	<-asked
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w.is(o.ID, order.Pending)
	w.resume(w.node()) // the clock has not moved
	w.becomes(o.ID, order.Active)
	// What ends takes no more work, and loses none.
	if p := w.order(s, aKey()); p.Status != order.Pending {
		t.Errorf("order %+v of a server that ended", p)
	}
}

// Where all places are taken the order waits in the database.
func TestBusyServerAnswersPending(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked, answer := make(chan struct{}, 2), make(chan struct{})
	s := w.node(func(d *order.Deps) {
		d.Patience = 50 * time.Millisecond
		d.Places = map[order.Kind]int{order.Key: 1}
		d.Random = random(func(_ context.Context, n int) (sensitive.Bytes, error) {
			asked <- struct{}{}
			<-answer
			return sensitive.Take(make([]byte, n)), nil
		})
	})
	a := w.order(s, aKey())
	<-asked
	b := w.order(s, aKey())
	w.is(a.ID, order.Pending)
	w.is(b.ID, order.Pending)
	w.resume(s) // no place yet
	close(answer)
	w.becomes(a.ID, order.Active)
	w.settled()
	w.resume(s)
	w.becomes(b.ID, order.Active)
}

// rotated is a store that says once that the KEK is gone.
type rotated struct {
	order.Store
	create, complete int // how often yet
}

func (r *rotated) CreateOrder(ctx context.Context, c order.Claimed, due time.Time, ev audit.Event) error {
	if r.create--; r.create >= 0 {
		return envelope.ErrKEKGone
	}
	return r.Store.CreateOrder(ctx, c, due, ev)
}

func (r *rotated) CompleteOrder(ctx context.Context, c order.Claimed, y order.Yield, now time.Time) error {
	if r.complete--; r.complete >= 0 {
		return envelope.ErrKEKGone
	}
	return r.Store.CompleteOrder(ctx, c, y, now)
}

// forgetful counts what the sealer was told to forget.
type forgetful struct {
	order.Sealer
	forgot int
}

func (f *forgetful) Forget(project string, under envelope.MasterKey, gone envelope.KEKID) {
	f.forgot++
	f.Sealer.Forget(project, under, gone)
}

func TestOrderSealsAgainAfterARotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var sealer *forgetful
	s := w.node(func(d *order.Deps) {
		sealer = &forgetful{Sealer: d.Sealer}
		d.Store, d.Sealer = &rotated{d.Store, 2, 2}, sealer
	})
	o := w.order(s, aPair("open sesame"))
	w.is(o.ID, order.Active)
	if sealer.forgot != 2+2*3 || w.secrets() != 3 {
		t.Errorf("forgot %d KEKs, %d secrets", sealer.forgot, w.secrets())
	}
}
