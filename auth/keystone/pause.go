package keystone

import (
	"sync"
	"time"
)

const (
	pauseAfter = 3 // calls in a row that nobody answered
	pauseFirst = 500 * time.Millisecond
	pauseLast  = 5 * time.Second
)

// pause keeps requests from waiting for a Keystone that is away: after some
// calls without an answer, one at a time tries again, and the others are told
// at once.
type pause struct {
	mu      sync.Mutex
	silent  int // calls in a row
	wait    time.Duration
	next    time.Time // of the next try
	probing bool
}

// admits reports whether a call may be made. Who may must note how it went.
func (p *pause) admits(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent < pauseAfter {
		return true
	}
	if p.probing || now.Before(p.next) {
		return false
	}
	p.probing = true
	return true
}

// note takes in whether a call was answered.
func (p *pause) note(now time.Time, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answered {
		p.silent, p.wait, p.probing = 0, 0, false
		return
	}
	p.silent++
	if p.silent >= pauseAfter {
		p.wait = min(max(2*p.wait, pauseFirst), pauseLast)
		p.next, p.probing = now.Add(p.wait), false
	}
}
