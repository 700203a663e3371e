package order_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// A key is the token's bytes and the server's, so that neither alone knows it.
func TestKeyIsOfTokenAndServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node(func(d *order.Deps) {
		d.Random = random(func(_ context.Context, n int) (sensitive.Bytes, error) {
			return sensitive.Take(bytes.Repeat([]byte{0xF0}, n)), nil
		})
		d.Fill = func(b []byte) { copy(b, bytes.Repeat([]byte{0x3C}, len(b))) }
	})
	o := w.order(s, aKey())
	if o.Status != order.Active {
		t.Fatalf("order %+v", o)
	}
	if got := w.payload(o.Secret); !bytes.Equal(got, bytes.Repeat([]byte{0xCC}, 32)) {
		t.Error("the key is not both, XORed")
	}
}

func TestKeysDiffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node()
	a, b := w.payload(w.order(s, aKey()).Secret), w.payload(w.order(s, aKey()).Secret)
	if len(a) != 32 || bytes.Equal(a, b) || bytes.Equal(a, make([]byte, 32)) {
		t.Errorf("keys of %d and %d bytes, alike: %v", len(a), len(b), bytes.Equal(a, b))
	}
}

func TestShortRandomBytesMakeNoKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node(func(d *order.Deps) {
		d.Random = random(func(context.Context, int) (sensitive.Bytes, error) { return sensitive.Take([]byte{1}), nil })
	})
	o := w.order(s, aKey())
	if o.Status != order.Failed || o.Failure.Code != "500" || w.secrets() != 0 {
		t.Errorf("order %+v, %d secrets", o, w.secrets())
	}
}

// What a client reads of an error inside says nothing of it; who runs the
// server hears all.
func TestErrorInsideIsNotTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node(func(d *order.Deps) {
		d.Random = random(func(context.Context, int) (sensitive.Bytes, error) { return sensitive.Bytes{}, errors.New("hunter2") })
	})
	o := w.order(s, aKey())
	if o.Status != order.Failed || o.Failure.Code != "500" || strings.Contains(o.Failure.Reason, "hunter2") {
		t.Errorf("order %+v", o.Failure)
	}
	if len(w.ended) != 1 || w.ended[0] == nil || !strings.Contains(w.ended[0].Error(), "hunter2") {
		t.Errorf("the server heard %v", w.ended)
	}
}

func TestExpiredOrderMakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.token.SetAway(true)
	s := w.node()
	in := aKey()
	soon := w.clock().Add(time.Second)
	in.Meta.Expiration = &soon
	o := w.order(s, in)
	w.is(o.ID, order.Pending)
	w.token.SetAway(false)
	w.turn(time.Minute)
	w.resume(s)
	if o := w.becomes(o.ID, order.Failed); o.Failure.Code != "400" || w.secrets() != 0 {
		t.Errorf("order %+v", o.Failure)
	}
}

// The audit trail has who ordered, and that what was made was made for that.
func TestWhatAnOrderMakesIsOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := &noted{}
	o := w.order(w.node(func(d *order.Deps) { n.Store, d.Store = d.Store, n }), aPair("open sesame"))
	var got []string
	for _, ev := range n.events {
		if ev.Request != "req-1" || ev.Initiator.User != "u1" || ev.Outcome != audit.Success {
			t.Errorf("event %+v", ev)
		}
		if ev.Action != "order.create" && (ev.Initiator.Method != "order" || ev.Initiator.Credential != string(o.ID)) {
			t.Errorf("event of what was made: %+v", ev)
		}
		got = append(got, ev.Action)
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"container.create", "order.create", "secret.create", "secret.create", "secret.create"}) {
		t.Errorf("events %v", got)
	}
}

// noted is a store that remembers the events of what was done. Package postgres
// tests that they are stored with it.
type noted struct {
	order.Store
	events []audit.Event
}

func (n *noted) CreateOrder(ctx context.Context, c order.Claimed, due time.Time, ev audit.Event) error {
	n.events = append(n.events, ev)
	return n.Store.CreateOrder(ctx, c, due, ev)
}

func (n *noted) CompleteOrder(ctx context.Context, c order.Claimed, y order.Yield, now time.Time) error {
	for _, m := range y.Secrets {
		n.events = append(n.events, m.Event)
	}
	n.events = append(n.events, y.Event)
	return n.Store.CompleteOrder(ctx, c, y, now)
}

func TestRefusalsAndMissesAreOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node()
	o := w.order(s, aKey())
	at := func(act policy.Action) error {
		l, err := s.Locate(t.Context(), u1, act, o.ID)
		if err != nil {
			return err
		}
		switch act {
		case policy.OrderShow:
			_, err = l.Show(t.Context())
		case policy.OrderDelete:
			err = l.Delete(t.Context())
		}
		return err
	}
	for act, do := range map[policy.Action]func() error{
		policy.OrderCreate: func() error { _, err := s.Create(t.Context(), u1, aKey()); return err },
		policy.OrderList:   func() error { _, _, err := s.List(t.Context(), u1, order.Query{Limit: 1}); return err },
		policy.OrderUpdate: func() error { return s.May(t.Context(), u1, policy.OrderUpdate) },
		policy.OrderShow:   func() error { return at(policy.OrderShow) },
		policy.OrderDelete: func() error { return at(policy.OrderDelete) },
	} {
		w.refused, w.events = act, nil
		if err := do(); !errors.Is(err, policy.ErrDenied) {
			t.Errorf("%s: %v", act, err)
		}
		if len(w.events) != 1 || w.events[0].Outcome != audit.Denied || w.events[0].Action != string(act) {
			t.Errorf("%s: recorded %v", act, w.events)
		}
	}
	w.refused, w.events = "", nil
	stranger := u1
	stranger.Project = "q"
	if _, err := s.Locate(t.Context(), stranger, policy.OrderShow, o.ID); !errors.Is(err, order.ErrNotFound) {
		t.Errorf("from another project: %v", err)
	}
	if len(w.events) != 1 || w.events[0].Outcome != audit.Missing {
		t.Errorf("recorded %v", w.events)
	}
	w.is(o.ID, order.Active)
}

// A passphrase that cannot be sealed is not kept in any other way.
func TestPassphraseNeedsTheToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node()
	w.token.SetAway(true)
	if _, err := s.Create(t.Context(), u1, aPair("open sesame")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Create: %v", err)
	}
	if _, total, err := w.db.ListOrders(t.Context(), "p", order.Query{Limit: 1}); err != nil || total != 0 {
		t.Errorf("%d orders, %v", total, err)
	}
	// Without one the order waits.
	if o := w.order(s, aPair("")); o.Status != order.Active && o.Status != order.Pending {
		t.Errorf("order %+v", o)
	}
}
