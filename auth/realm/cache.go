package realm

import (
	"context"
	"errors"
	"sync"
	"time"
)

// cache remembers what load found, for ttl from before load began, and lets
// one caller load at a time for each key. Failures are not remembered.
type cache[K comparable, V any] struct {
	ttl time.Duration
	max int // entries
	now func() time.Time

	mu      sync.RWMutex
	entries map[K]entry[V]
	flights map[K]*flight[V]
	swept   time.Time
}

type entry[V any] struct {
	value V
	until time.Time
}

// flight is one load under way. value and err are set before done closes.
type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
}

func newCache[K comparable, V any](ttl time.Duration, most int, now func() time.Time) *cache[K, V] {
	return &cache[K, V]{
		ttl: ttl, max: most, now: now,
		entries: make(map[K]entry[V]), flights: make(map[K]*flight[V]), swept: now(),
	}
}

func (c *cache[K, V]) get(ctx context.Context, k K, load func(context.Context) (V, error)) (V, error) {
	for {
		began := c.now()
		c.mu.RLock()
		e, ok := c.entries[k]
		c.mu.RUnlock()
		if ok && began.Before(e.until) {
			return e.value, nil
		}
		c.mu.Lock()
		f, taken := c.flights[k]
		if !taken {
			f = &flight[V]{done: make(chan struct{})}
			c.flights[k] = f
		}
		c.mu.Unlock()
		if !taken {
			return c.fly(ctx, k, f, began, load)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return f.value, ctx.Err()
		}
		// Whoever loaded may have gone away; that is no answer for anybody else.
		if !errors.Is(f.err, context.Canceled) && !errors.Is(f.err, context.DeadlineExceeded) {
			return f.value, f.err
		}
	}
}

func (c *cache[K, V]) fly(ctx context.Context, k K, f *flight[V], began time.Time, load func(context.Context) (V, error)) (V, error) {
	f.err = context.Canceled // what others see if load panics
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.flights[k] == f { // else it was dropped: what it found may be old
			delete(c.flights, k)
			if f.err == nil {
				c.keep(k, entry[V]{f.value, began.Add(c.ttl)})
			}
		}
		close(f.done)
	}()
	f.value, f.err = load(ctx)
	return f.value, f.err
}

// keep stores an entry. Expired ones go first, once per ttl; if that makes no
// room, any other does. mu is held.
func (c *cache[K, V]) keep(k K, e entry[V]) {
	now := c.now()
	if now.Sub(c.swept) >= c.ttl {
		c.swept = now
		for old, o := range c.entries {
			if !now.Before(o.until) {
				delete(c.entries, old)
			}
		}
	}
	if len(c.entries) >= c.max {
		for old := range c.entries {
			delete(c.entries, old)
			break
		}
	}
	c.entries[k] = e
}

// drop forgets a key. A load that is under way is not waited for by anybody
// who comes later, and what it finds is not kept.
func (c *cache[K, V]) drop(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, k)
	delete(c.flights, k)
}

// clear is drop for every key.
func (c *cache[K, V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	clear(c.flights)
}
