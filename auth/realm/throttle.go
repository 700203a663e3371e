package realm

import (
	"math"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
)

// Whoever fails maxGuesses times without a success waits: lockFor from the
// last failure on. That leaves a guesser one try in lockFor, and costs a
// locked-out user that long at most. It is kept per node and in memory only.
const (
	maxGuesses  = 10
	lockFor     = 30 * time.Second
	forgetAfter = 15 * time.Minute
	maxGuessers = 8192
)

var errLocked = fault.New(fault.Denied, "Too many failed attempts; try again later.")

// throttle counts failed logins by what the caller said it is. Names that
// nobody has count as well: a lock tells nothing about who exists.
type throttle struct {
	now func() time.Time
	mu  sync.Mutex
	by  map[string]guesses
}

type guesses struct {
	failed int
	last   time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, by: make(map[string]guesses)}
}

func (t *throttle) locked(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.by[name]
	return g.failed >= maxGuesses && t.now().Before(g.last.Add(lockFor))
}

func (t *throttle) fail(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	g, known := t.by[name]
	if !known && len(t.by) >= maxGuessers {
		t.makeRoom(now)
	}
	if now.Sub(g.last) >= forgetAfter {
		g.failed = 0
	}
	t.by[name] = guesses{g.failed + 1, now}
}

func (t *throttle) succeed(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.by, name)
}

// makeRoom forgets old counts, then half of those that lock nobody yet, so
// that a flood of names does not unlock any; locks go last. mu is held.
func (t *throttle) makeRoom(now time.Time) {
	for name, g := range t.by {
		if !now.Before(g.last.Add(lockFor)) {
			delete(t.by, name)
		}
	}
	for _, spare := range []int{maxGuesses, math.MaxInt} {
		for name, g := range t.by {
			if len(t.by) <= maxGuessers/2 {
				return
			}
			if g.failed < spare {
				delete(t.by, name)
			}
		}
	}
}
