package order_test

import (
	"context"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// watched is a store that says when a claim was kept.
type watched struct {
	order.Store
	kept chan struct{}
}

func (s watched) KeepOrder(ctx context.Context, c order.Claimed, until time.Time) error {
	err := s.Store.KeepOrder(ctx, c, until)
	select {
	case s.kept <- struct{}{}:
	default:
	}
	return err
}

// busy is a node that says each 10 ms that it is alive, works on an order and
// does not come to an end of it by itself.
func (w *world) busy() (o order.Order, kept, stopped, answer chan struct{}) {
	w.Helper()
	kept, stopped, answer = make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := w.node(func(d *order.Deps) {
		d.Patience, d.Claim = time.Millisecond, 50*time.Millisecond
		d.Store = watched{d.Store, kept}
		d.Random = random(func(ctx context.Context, n int) (sensitive.Bytes, error) {
			select {
			case <-answer:
				return sensitive.Take(make([]byte, n)), nil
			case <-ctx.Done():
				close(stopped)
				return sensitive.Bytes{}, ctx.Err()
			}
		})
	})
	return w.order(s, aKey()), kept, stopped, answer
}

// Who is slow but alive keeps its order, however long it takes.
func TestWorkerThatIsAliveKeepsItsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o, kept, _, answer := w.busy()
	heir := w.node()
	for range 3 {
		w.turn(40 * time.Millisecond)
		<-kept // this one may have looked at the clock before
		<-kept
		w.resume(heir)
	}
	close(answer)
	w.becomes(o.ID, order.Active)
	w.heard(1)
	if err := w.ended[0]; err != nil || w.secrets() != 1 {
		t.Errorf("the work ended with %v; %d secrets", err, w.secrets())
	}
}

// Who lost an order does not go on with it.
func TestWorkerStopsWhenItsOrderIsGone(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		lose func(w *world, o order.Order) error
	}{
		{"deleted", func(w *world, o order.Order) error {
			l, err := w.node().Locate(w.Context(), u1, policy.OrderDelete, o.ID)
			if err != nil {
				return err
			}
			return l.Delete(w.Context())
		}},
		{"claimed by another", func(w *world, _ order.Order) error {
			later := w.clock().Add(time.Hour)
			_, _, err := w.db.ClaimOrder(w.Context(), []order.Kind{order.Key}, later, later.Add(time.Hour))
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			o, _, stopped, _ := w.busy()
			if err := tc.lose(w, o); err != nil {
				t.Fatal(err)
			}
			<-stopped
			w.heard(1)
			if err := w.ended[0]; err != order.ErrLost {
				t.Errorf("the work ended with %v", err)
			}
		})
	}
}
