package worker

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
)

func TestObjectLockKeepsOthersOut(t *testing.T) {
	l := newObjectLock()
	var readers, writers atomic.Int32
	var most atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(200))*time.Microsecond)
				if rand.IntN(4) == 0 {
					if l.Lock(ctx) == nil {
						if writers.Add(1) != 1 || readers.Load() != 0 {
							t.Error("a writer is not alone")
						}
						writers.Add(-1)
						l.Unlock()
					}
				} else if l.RLock(ctx) == nil {
					n := readers.Add(1)
					most.Store(max(most.Load(), n))
					time.Sleep(10 * time.Microsecond)
					if writers.Load() != 0 {
						t.Error("a reader meets a writer")
					}
					readers.Add(-1)
					l.RUnlock()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if most.Load() < 2 {
		t.Error("readers never met")
	}
	if err := l.Lock(t.Context()); err != nil { // whoever gave up left nothing locked
		t.Error(err)
	}
}

func TestObjectLockEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newObjectLock()
		busy := func(what string, lock func(context.Context) error) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if err := lock(ctx); ckr.ClassOf(err) != ckr.Busy || time.Since(began) != time.Second {
				t.Errorf("%s = %v after %v", what, err, time.Since(began))
			}
		}
		fine := func(what string, lock func(context.Context) error) {
			t.Helper()
			if err := lock(t.Context()); err != nil {
				t.Errorf("%s = %v", what, err)
			}
		}
		fine("Lock", l.Lock)
		busy("a second Lock", l.Lock)
		busy("RLock beside Lock", l.RLock)
		l.Unlock()
		fine("RLock", l.RLock)
		busy("Lock beside RLock", l.Lock)
		fine("RLock after a writer gave up", l.RLock)
		l.RUnlock()
		l.RUnlock()
		fine("Lock after all left", l.Lock)
		l.Unlock()
	})
}

// A writer that waits is not overtaken for ever.
func TestObjectLockLetsWritersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newObjectLock()
		if err := l.RLock(t.Context()); err != nil {
			t.Fatal(err)
		}
		var order []string
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = l.Lock(t.Context())
			order = append(order, "writer")
			l.Unlock()
		})
		synctest.Wait()
		wg.Go(func() {
			_ = l.RLock(t.Context())
			order = append(order, "reader")
			l.RUnlock()
		})
		synctest.Wait()
		l.RUnlock()
		wg.Wait()
		if order[0] != "writer" {
			t.Errorf("order: %v", order)
		}
	})
}
