package hsm

import (
	"sync"
	"sync/atomic"
	"time"
)

// The states of a breaker, as status and metrics show them.
const (
	closed   = "closed"
	open     = "open"
	halfOpen = "half-open"
)

const (
	breakerEvents = 5                // workers lost
	breakerWindow = 10 * time.Second // within
	probeFirst    = time.Second      // then one probe, doubling
	probeLast     = 15 * time.Second
)

// breaker keeps a token that is away from being asked by everybody. Losing
// workers opens it: five in ten seconds, and no answer from the token between
// them. An answer shows that not the token is ill; so killing workers one by
// one does not open it, and damaged rows never reach it.
type breaker struct {
	changed func(state string) // called without the lock

	trouble atomic.Bool // anything but closed without events: answered has something to do

	mu    sync.Mutex
	state string
	lost  []time.Time
	wait  time.Duration
	next  time.Time
}

func newBreaker(changed func(state string)) *breaker {
	return &breaker{state: closed, changed: changed}
}

// failed counts a worker that was lost.
func (b *breaker) failed(now time.Time) {
	b.set(func() {
		b.trouble.Store(true)
		switch b.state {
		case closed:
			b.lost = append(b.lost, now)
			for now.Sub(b.lost[0]) > breakerWindow {
				b.lost = b.lost[1:]
			}
			if len(b.lost) < breakerEvents {
				return
			}
			b.wait = probeFirst
		case halfOpen:
			b.wait = min(2*b.wait, probeLast)
		case open:
			return
		}
		b.state, b.next, b.lost = open, now.Add(b.wait), nil
	})
}

// answered notes that the token did what it was asked for.
func (b *breaker) answered() {
	if !b.trouble.Load() { // the hot path
		return
	}
	b.set(func() {
		if b.state != closed { // an answer from before; the probe decides
			return
		}
		b.lost = nil
		b.trouble.Store(false)
	})
}

// passed notes that a probe went well. It does not forget what was lost before:
// a worker that only comes up has shown less than one that answers.
func (b *breaker) passed() {
	b.set(func() {
		if b.state == halfOpen {
			b.state = closed
		}
	})
}

// admits reports whether a worker may be started or asked. When it is time for
// the probe, one caller gets it and must report failed or passed.
func (b *breaker) admits(now time.Time) (ok bool) {
	b.set(func() {
		switch {
		case b.state == closed:
			ok = true
		case b.state == open && !now.Before(b.next):
			b.state, ok = halfOpen, true
		}
	})
	return ok
}

// mayAdmit is what admits would say, without taking the probe.
func (b *breaker) mayAdmit(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state == closed || b.state == open && !now.Before(b.next)
}

// look returns the state and, while open, when the next probe is due.
func (b *breaker) look() (state string, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.next
}

// set runs f under the lock and tells about a change of state after it.
func (b *breaker) set(f func()) {
	b.mu.Lock()
	before := b.state
	f()
	after := b.state
	b.mu.Unlock()
	if before != after {
		b.changed(after)
	}
}
