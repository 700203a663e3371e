package realm

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func constant(v string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return v, nil }
}

// What was being read while somebody changed it is neither kept nor given to
// anybody who came after the change.
func TestCacheForgetsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(c *cache[int, string]){
		"drop":  func(c *cache[int, string]) { c.drop(1) },
		"clear": func(c *cache[int, string]) { c.clear() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCache[int, string](5*time.Second, 10, time.Now)
				reading, changed := make(chan struct{}), make(chan struct{})
				go func() {
					_, err := c.get(t.Context(), 1, func(context.Context) (string, error) {
						close(reading)
						<-changed
						return "old", nil
					})
					if err != nil {
						t.Error(err)
					}
				}()
				<-reading
				forget(c)
				if v, err := c.get(t.Context(), 1, constant("new")); v != "new" || err != nil {
					t.Errorf("got %q, %v after the change", v, err)
				}
				close(changed)
				synctest.Wait()
				if v, err := c.get(t.Context(), 1, constant("newer")); v != "new" || err != nil {
					t.Errorf("got %q, %v later", v, err)
				}
			})
		})
	}
}

func TestCacheLoadsOnceAndForgetsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache[int, string](5*time.Second, 10, time.Now)
		loads := 0
		slow := func(context.Context) (string, error) {
			loads++
			time.Sleep(time.Second)
			return fmt.Sprint(loads), nil
		}
		for range 20 {
			go func() {
				if v, err := c.get(t.Context(), 1, slow); v != "1" || err != nil {
					t.Errorf("got %q, %v", v, err)
				}
			}()
		}
		synctest.Wait()
		time.Sleep(4999 * time.Millisecond) // counted from before the load
		if v, _ := c.get(t.Context(), 1, slow); v != "1" || loads != 1 {
			t.Errorf("got %q after %d loads", v, loads)
		}
		time.Sleep(time.Millisecond)
		if v, _ := c.get(t.Context(), 1, slow); v != "2" {
			t.Errorf("got %q after the time", v)
		}
	})
}

// A caller that goes away takes nobody along; a failure is not remembered.
func TestCacheOutlivesACaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCache[int, string](5*time.Second, 10, time.Now)
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			_, err := c.get(ctx, 1, func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("whoever left: %v", err)
			}
		}()
		synctest.Wait()
		go func() {
			if v, err := c.get(t.Context(), 1, constant("mine")); v != "mine" || err != nil {
				t.Errorf("got %q, %v", v, err)
			}
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		if _, err := c.get(t.Context(), 2, func(context.Context) (string, error) { return "", ErrNoToken }); !errors.Is(err, ErrNoToken) {
			t.Error(err)
		}
		if v, err := c.get(t.Context(), 2, constant("found")); v != "found" || err != nil {
			t.Errorf("got %q, %v after a failure", v, err)
		}
	})
}

func TestCacheAndThrottleAreBounded(t *testing.T) {
	t.Parallel()
	c := newCache[int, string](5*time.Second, 10, time.Now)
	for k := range 1000 {
		if _, err := c.get(t.Context(), k, constant("x")); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.entries) != 10 || len(c.flights) != 0 {
		t.Errorf("%d entries, %d flights", len(c.entries), len(c.flights))
	}
	th := newThrottle(time.Now)
	for range maxGuesses {
		th.fail("victim")
	}
	for k := range 3 * maxGuessers {
		th.fail(fmt.Sprint(k))
	}
	if len(th.by) > maxGuessers || !th.locked("victim") {
		t.Errorf("%d names, the victim is locked: %v", len(th.by), th.locked("victim"))
	}
}
