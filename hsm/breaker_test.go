package hsm

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// withBreaker lets a breaker live through losses and answers, by the bubble's clock.
func withBreaker(t *testing.T, f func(b *breaker, states *[]string)) {
	synctest.Test(t, func(*testing.T) {
		var states []string
		f(newBreaker(func(s string) { states = append(states, s) }), &states)
	})
}

func lose(b *breaker, n int, every time.Duration) {
	for range n {
		b.failed(time.Now())
		time.Sleep(every)
	}
}

func TestBreakerOpensAfterFiveLosses(t *testing.T) {
	withBreaker(t, func(b *breaker, states *[]string) {
		lose(b, 4, time.Second)
		if !b.admits(time.Now()) {
			t.Fatal("open after four")
		}
		lose(b, 1, 0)
		if b.admits(time.Now()) {
			t.Error("closed after five in four seconds")
		}
		if !slices.Equal(*states, []string{open}) {
			t.Errorf("states %v", *states)
		}
	})
}

func TestBreakerForgetsOldLosses(t *testing.T) {
	withBreaker(t, func(b *breaker, _ *[]string) {
		lose(b, 40, 3*time.Second)
		if !b.admits(time.Now()) {
			t.Error("open although never five in ten seconds")
		}
	})
}

func TestAnswersKeepTheBreakerClosed(t *testing.T) {
	withBreaker(t, func(b *breaker, _ *[]string) {
		for range 40 {
			lose(b, 4, 10*time.Millisecond)
			b.answered()
		}
		if !b.admits(time.Now()) {
			t.Error("open although the token answers")
		}
	})
}

func TestProbesBecomeRare(t *testing.T) {
	withBreaker(t, func(b *breaker, states *[]string) {
		lose(b, 5, 0)
		for _, want := range []time.Duration{1, 2, 4, 8, 15, 15} {
			began := time.Now()
			for !b.admits(time.Now()) {
				time.Sleep(10 * time.Millisecond)
			}
			if got := time.Since(began); got != want*time.Second {
				t.Errorf("probe after %v, want %v", got, want*time.Second)
			}
			if b.admits(time.Now()) {
				t.Error("two probes at once")
			}
			b.answered() // a late answer to somebody else: not the probe's
			if s, _ := b.look(); s != halfOpen {
				t.Errorf("%s while the probe is out", s)
			}
			b.failed(time.Now())
		}
		time.Sleep(15 * time.Second)
		if !b.admits(time.Now()) {
			t.Fatal("no probe")
		}
		b.passed()
		if s, _ := b.look(); s != closed || !b.admits(time.Now()) {
			t.Errorf("%s after a good probe", s)
		}
		if n := len(*states); (*states)[n-1] != closed || (*states)[n-2] != halfOpen {
			t.Errorf("states %v", *states)
		}
	})
}

func TestBackoff(t *testing.T) {
	var b backoff
	if b.next != 0 {
		t.Error("the first start waits")
	}
	for _, want := range []time.Duration{20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000} {
		b.grow(0, slowest)
		around(t, b.next, want*time.Millisecond)
	}
	b.grow(time.Second, proven) // it had come up: a hiccup, not an outage
	around(t, b.next, proven)
	b.grow(recovery, proven)
	around(t, b.next, quickest)
}

func around(t *testing.T, got, want time.Duration) {
	t.Helper()
	if got < want*79/100 || got > want*121/100 {
		t.Errorf("pause %v, want %v ±20 %%", got, want)
	}
}
