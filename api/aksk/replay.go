package aksk

import (
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
)

// Replays remembers the signatures of requests that change something, for as
// long as their date is good, and refuses a second use.
//
// It is off unless an operator asks for it, for two reasons. The date has a
// resolution of one second, so an honest client that sends the same request
// twice within a second sends the same signature twice, and would be refused.
// And it knows this process only: a copy that reaches another node is new
// there. What it adds to TLS is small; what it must remember is not.
type Replays struct {
	limit int // signatures remembered; beyond, everything is refused

	mu       sync.Mutex
	seen     map[[32]byte]time.Time // until when
	nextScan time.Time
}

// NewReplays remembers up to limit signatures, some 100 bytes each. When it is
// full, requests that change something are refused as Unavailable until old
// ones expire: forgetting early would be no protection.
func NewReplays(limit int) *Replays {
	return &Replays{limit: limit, seen: map[[32]byte]time.Time{}}
}

// scanEvery keeps the cost of forgetting small: one walk per minute.
const scanEvery = time.Minute

func (s *Replays) admit(signature []byte, until, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !now.Before(s.nextScan) {
		for sig, end := range s.seen {
			if end.Before(now) {
				delete(s.seen, sig)
			}
		}
		s.nextScan = now.Add(scanEvery)
	}
	sig := [32]byte(signature)
	if _, again := s.seen[sig]; again {
		return refused("the signature was used before")
	}
	if len(s.seen) >= s.limit {
		return fault.New(fault.Unavailable, "too many signed requests are remembered")
	}
	s.seen[sig] = until
	return nil
}
