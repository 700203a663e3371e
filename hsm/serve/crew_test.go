package serve_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// warm sends so many requests that the token is known to be brisk: then who
// reads them also does them.
func (s *server) warm() {
	s.t.Helper()
	for range 200 {
		s.send(request(99, time.Minute))
		if r := s.receive(); r.Failed {
			s.t.Fatalf("answer %+v", r)
		}
	}
}

func TestStuckRequestHoldsUpNoOther(t *testing.T) {
	tok := newStub()
	s := greetedWith(t, tok, 3)
	release := make(chan struct{})
	echo := tok.unwrap
	tok.unwrap = func(ctx context.Context, kek key.Ref, wrapped, aad []byte) (sensitive.Bytes, error) {
		if kek.ID == (key.ID{9}) {
			<-release
		}
		return echo(ctx, kek, wrapped, aad)
	}
	for round := range uint64(2) { // the second time with another goroutine reading
		s.warm()
		stuck := request(1000+round, time.Minute)
		stuck.Ref.ID = key.ID{9}
		s.send(stuck)
		for id := range uint64(5) {
			s.send(request(id, time.Minute))
			if r := s.receive(); r.ID != id || r.Failed {
				t.Fatalf("answer %+v, want one to %d", r, id)
			}
		}
	}
	close(release)
	seen := map[uint64]bool{}
	for range 2 {
		r := s.receive()
		seen[r.ID] = !r.Failed && string(r.Output) == "wrapped"
	}
	if !seen[1000] || !seen[1001] {
		t.Errorf("late answers: %v", seen)
	}
}

// Requests come in bunches, and the token is brisk at times and slow at
// others: each is answered once, with its own answer, and never do more run
// than there are sessions.
func TestManyRequestsAtAllPaces(t *testing.T) {
	const sessions, bunches, each = 3, 60, 40
	var running, most atomic.Int32
	var slow atomic.Bool
	tok := newStub()
	tok.unwrap = func(_ context.Context, _ key.Ref, wrapped, _ []byte) (sensitive.Bytes, error) {
		for n := running.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer running.Add(-1)
		if slow.Load() {
			time.Sleep(rand.N(300 * time.Microsecond))
		}
		if rand.N(500) == 0 {
			time.Sleep(12 * time.Millisecond) // long enough for the reading to be taken away
		}
		return sensitive.Take(bytes.Clone(wrapped)), nil
	}
	s := greetedWith(t, tok, sessions)
	go func() {
		for b := range bunches {
			slow.Store(b%8 >= 5)
			var all []byte
			for i := range each {
				id := uint64(b*each + i)
				r := request(id, time.Minute)
				r.Input = binary.BigEndian.AppendUint64(nil, id)
				all, _ = r.AppendTo(all)
			}
			if _, err := s.conn.Write(all); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	seen := map[uint64]bool{}
	for range bunches * each {
		r := s.receive()
		if r.Failed || seen[r.ID] || len(r.Output) != 8 || binary.BigEndian.Uint64(r.Output) != r.ID {
			t.Fatalf("answer %+v (seen %v)", r, seen[r.ID])
		}
		seen[r.ID] = true
	}
	if n := most.Load(); n > sessions {
		t.Errorf("%d requests ran at once in %d sessions", n, sessions)
	}
}

// Lengthy operations do not keep the brisk ones behind them waiting, however
// many there are.
func TestLengthyOperationsAreNobodysBurden(t *testing.T) {
	tok := newStub()
	release := make(chan struct{})
	tok.destroy = func() error { <-release; return nil }
	s := greetedWith(t, tok, 2)
	s.warm()
	const many = 5
	for id := range uint64(many) {
		s.send(&frame.Request{ID: id, Op: frame.Destroy, Left: time.Minute})
	}
	s.send(request(many, time.Minute))
	if r := s.receive(); r.ID != many || r.Failed {
		t.Errorf("answer %+v", r)
	}
	close(release)
	for range many {
		if r := s.receive(); r.ID >= many || r.Failed {
			t.Errorf("answer %+v", r)
		}
	}
}
