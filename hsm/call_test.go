package hsm_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Who waits for an answer may be reading for others as well. When he leaves,
// one of them goes on.
func TestWhoReadsForOthersMayLeave(t *testing.T) {
	t.Parallel()
	s := folder(t)
	s.put(t, "slow-unwrap", "300ms")
	tok := openFake(t, fakeConfig(t, s))
	eventually(t, 5*time.Second, "ready", func() bool { return tok.Ready() == nil })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := unwrap(ctx, tok); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("who left: %v", err)
		}
	})
	time.Sleep(20 * time.Millisecond)
	for range 3 {
		wg.Go(func() {
			if err := unwrap(within(t, 2*time.Second), tok); err != nil {
				t.Errorf("who stayed: %v", err)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	cancel()
	wg.Wait()
	if n := status(t, tok).Respawns; n != 0 {
		t.Errorf("%d respawns", n)
	}
}

// Callers come, wait for different times and leave: each gets its own answer
// or none.
func TestAnswersFindTheirCallers(t *testing.T) {
	t.Parallel()
	tok := openFake(t, fakeConfig(t, folder(t)))
	eventually(t, 5*time.Second, "ready", func() bool { return tok.Ready() == nil })
	const callers, each = 16, 60
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range each {
				in := bytes.Repeat(binary.BigEndian.AppendUint32(nil, uint32(i*each+j)), 8)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if j%3 == 0 {
					time.AfterFunc(rand.N(2*time.Millisecond), cancel)
				}
				out, err := tok.Wrap(ctx, kek, sensitive.Take(in), aad)
				gone := ctx.Err() != nil
				cancel()
				if err != nil && !gone {
					t.Errorf("Wrap = %v", err)
				}
				if err == nil && !bytes.Equal(out, turn(kek, in, aad)) {
					t.Errorf("caller %d got %x", i, out)
				}
			}
		})
	}
	wg.Wait()
	if n := status(t, tok).Respawns; n != 0 {
		t.Errorf("%d respawns", n)
	}
}

// Who left takes nobody's word for it that the worker is stuck: the answer
// comes later, and is read although nobody waits any more.
func TestAnswerThatNobodyWaitsForIsRead(t *testing.T) {
	t.Parallel()
	s := folder(t)
	s.put(t, "slow-unwrap", "150ms")
	cfg := fakeConfig(t, s)
	cfg.OpTimeout, cfg.HardDeadline = 400*time.Millisecond, 800*time.Millisecond
	tok := openFake(t, cfg)
	eventually(t, 5*time.Second, "ready", func() bool { return tok.Ready() == nil })
	before := tok.PIDs()
	if err := unwrap(within(t, 30*time.Millisecond), tok); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("who left: %v", err)
	}
	time.Sleep(1500 * time.Millisecond) // nobody asks anything, beyond the hard deadline
	if now := tok.PIDs(); !slices.Equal(now, before) {
		t.Errorf("workers %v were replaced by %v", before, now)
	}
}
