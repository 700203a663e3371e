package event

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
)

// ErrUnusable says that the operator does not let notifications go to a
// target: it is none of theirs, or leads where they do not want it to.
var ErrUnusable = fault.New(fault.Invalid, "notifications may not go to the target")

const (
	// claimed is how many notifications are under way at once on one node.
	claimed = 32
	// lapse is how long a claim lasts. Whoever has not concluded it by then counts
	// as dead.
	lapse = 2 * sendTimeout
	// sendTimeout is the most that one attempt takes, whatever its sender says.
	sendTimeout = time.Minute

	firstPause  = time.Second
	maxPause    = 5 * time.Minute // between two attempts at one notification
	maxRest     = 30 * time.Second
	purgedBatch = 1000
)

// Courier delivers what is due. Its steps do a bounded piece, may stop
// anywhere, and may run on any number of nodes at once.
type Courier struct {
	deps CourierDeps

	mu      sync.Mutex
	targets map[string]health
}

// health is what a node knows of a target.
type health struct {
	failed int       // attempts since one went well
	rests  time.Time // nothing is sent there before
}

// CourierDeps is what a Courier needs. All fields are required.
type CourierDeps struct {
	Outbox  Outbox
	Senders map[string]Sender // by target ID
	NewID   func() string     // UUIDs of version 7
	Now     func() time.Time
	// RetryFor is how long after the change a notification is tried.
	RetryFor time.Duration
	// Observe hears of each attempt.
	Observe func(n Notification, s Status, took time.Duration, why error)
}

// NewCourier panics on a missing dependency.
func NewCourier(d CourierDeps) *Courier {
	if d.Outbox == nil || d.NewID == nil || d.Now == nil || d.RetryFor <= 0 || d.Observe == nil {
		panic("event.NewCourier: incomplete CourierDeps")
	}
	return &Courier{deps: d, targets: map[string]health{}}
}

func (c *Courier) now() time.Time { return c.deps.Now().UTC().Truncate(time.Microsecond) }

// Deliver delivers until nothing is due that may be tried now. A receiver that
// fails is left alone for a while, so that it holds up no other one.
func (c *Courier) Deliver(ctx context.Context) error {
	for ctx.Err() == nil {
		n, err := c.deliverSome(ctx)
		if err != nil || n < claimed {
			return err
		}
	}
	return ctx.Err()
}

func (c *Courier) deliverSome(ctx context.Context) (int, error) {
	now := c.now()
	due, err := c.deps.Outbox.Claim(ctx, now, now.Add(lapse), c.resting(now), claimed)
	if err != nil {
		return 0, fmt.Errorf("claim notifications: %w", err)
	}
	errs := make([]error, len(due))
	var wait sync.WaitGroup
	for i, n := range due {
		wait.Go(func() { errs[i] = c.deliver(ctx, n) })
	}
	wait.Wait()
	return len(due), errors.Join(errs...)
}

// deliver makes one attempt. One that ends with its context says nothing of
// the target: the claim lapses, and the next process goes on.
func (c *Courier) deliver(ctx context.Context, n Notification) error {
	began := time.Now()
	err := c.send(ctx, n)
	if err != nil && ctx.Err() != nil {
		return nil
	}
	status, next := c.judged(n, err)
	c.deps.Observe(n, status, time.Since(began), err)
	// What was delivered is concluded even if the process is being stopped.
	done, cancel := context.WithTimeout(context.WithoutCancel(ctx), lapse)
	defer cancel()
	if err := c.deps.Outbox.Conclude(done, n, status, next); err != nil {
		return fmt.Errorf("conclude notification: %w", err)
	}
	return nil
}

func (c *Courier) send(ctx context.Context, n Notification) error {
	to, ok := c.deps.Senders[n.Target.ID]
	if !ok {
		return ErrUnusable
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return to.Send(ctx, n)
}

// judged is what an attempt that ended in err makes of n, and when the next
// one is due. What one node takes for unusable, another one, or this one with
// its next configuration, may not: so that is tried again, too.
func (c *Courier) judged(n Notification, err error) (Status, *time.Time) {
	now := c.now()
	c.note(n.Target.ID, err, now)
	if err == nil {
		return Delivered, nil
	}
	status := Failed
	if errors.Is(err, ErrUnusable) {
		status = Unusable
	}
	next := now.Add(pause(n.Attempts, maxPause))
	if next.After(n.At.Add(c.deps.RetryFor)) {
		return status, nil
	}
	return status, &next
}

// pause grows with each attempt, up to most. Half of it is left to chance, so
// that those that failed together do not come back together.
func pause(attempts int, most time.Duration) time.Duration {
	d := most
	if attempts < 16 {
		d = min(most, firstPause<<max(attempts-1, 0))
	}
	return d/2 + rand.N(d/2+1) //nolint:gosec // jitter: nobody gains from guessing it
}

// note remembers how a target does. One that is unusable costs nothing to try.
func (c *Courier) note(target string, err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || errors.Is(err, ErrUnusable) {
		delete(c.targets, target)
		return
	}
	h := c.targets[target]
	if h.rests.After(now) {
		return // another attempt of the same batch said so
	}
	h.failed++
	h.rests = now.Add(pause(h.failed, maxRest))
	c.targets[target] = h
}

// resting are the targets that nothing is sent to for now.
func (c *Courier) resting(now time.Time) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for id, h := range c.targets {
		if h.rests.After(now) {
			all = append(all, id)
		}
	}
	return all
}

// expiredBatch is how many expiries one statement tells of.
const expiredBatch = 200

// Expire tells of versions that have expired, and says of how many.
func (c *Courier) Expire(ctx context.Context) (int, error) {
	for total := 0; ; {
		ids := make([]string, expiredBatch)
		for i := range ids {
			ids[i] = c.deps.NewID()
		}
		n, err := c.deps.Outbox.FireExpired(ctx, c.now(), ids)
		total += n
		if err != nil || n < expiredBatch {
			return total, err
		}
	}
}

// Purge removes records that are older than what is kept, and says how many.
func (c *Courier) Purge(ctx context.Context) (int, error) {
	for total := 0; ; {
		n, err := c.deps.Outbox.PurgeNotifications(ctx, Kept(c.now()), purgedBatch)
		total += n
		if err != nil || n < purgedBatch {
			return total, err
		}
	}
}
