package kek

import (
	"context"
	"testing"

	"github.com/strongroom-kms/strongroom/kek/envelope"
)

func TestLeasesAreBounded(t *testing.T) {
	l := newLeases(3)
	name := func(p string) keyName { return keyName{p, envelope.Default} }
	for _, p := range []string{"a", "b", "c"} {
		l.put(name(p), envelope.KEK{ID: envelope.KEKID("kek of " + p)}, 10)
	}
	if _, ok := l.take(name("a")); !ok {
		t.Fatal("a is gone already")
	}
	l.put(name("d"), envelope.KEK{}, 10) // b is the one that nobody used for longest
	for p, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if _, ok := l.take(name(p)); ok != want {
			t.Errorf("lease of %s: %v, want %v", p, ok, want)
		}
	}
	if len(l.byKey) != 3 || l.order.Len() != 3 {
		t.Errorf("%d and %d leases, want 3", len(l.byKey), l.order.Len())
	}
	l.put(name("a"), envelope.KEK{}, 1) // in the place of the one before
	if len(l.byKey) != 3 || l.order.Len() != 3 {
		t.Errorf("%d and %d leases after a second one, want 3", len(l.byKey), l.order.Len())
	}
}

func TestLeaseEnds(t *testing.T) {
	l := newLeases(3)
	name := keyName{"p", envelope.Default}
	l.put(name, envelope.KEK{ID: "k"}, 2)
	for i, want := range []bool{true, true, false, false} {
		if _, ok := l.take(name); ok != want {
			t.Errorf("wrap %d: %v, want %v", i+1, ok, want)
		}
	}
	if l.order.Len() != 0 {
		t.Error("a lease that is used up is kept")
	}
}

func TestForgetDropsTheKEKThatIsGone(t *testing.T) {
	s := &Sealer{deps: Deps{leases: newLeases(3)}}
	name := keyName{"p", envelope.Default}
	s.deps.leases.put(name, envelope.KEK{ID: "new"}, 2)
	s.Forget("p", envelope.Default, "old") // somebody was slow: the new one is known already
	if _, ok := s.deps.leases.take(name); !ok {
		t.Error("the new KEK was forgotten")
	}
	s.Forget("p", envelope.Default, "new")
	if _, ok := s.deps.leases.take(name); ok {
		t.Error("the KEK that is gone was kept")
	}
}

func TestWaitingForAnothersFlightEndsWithTheCaller(t *testing.T) {
	f := newFlights()
	busy, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_, _ = f.do(context.Background(), keyName{}, func() (envelope.KEK, error) {
			close(busy)
			<-t.Context().Done() // ends with the test
			return envelope.KEK{}, nil
		})
	}()
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.do(ctx, keyName{}, func() (envelope.KEK, error) {
		t.Error("two are in flight")
		return envelope.KEK{}, nil
	}); err == nil {
		t.Error("no error for a caller that left")
	}
	t.Cleanup(func() { <-done })
}
