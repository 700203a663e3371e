package storetest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
)

// LoginBlock is one node's view of who may log in at a token.
type LoginBlock interface {
	Blocked(ctx context.Context, token string) (since time.Time, node, code string, err error)
	Claim(ctx context.Context, token string, lapse time.Duration) (bool, error)
	Release(ctx context.Context, token string) error
	Block(ctx context.Context, token, code string, tried time.Time) error
	Clear(ctx context.Context, token string) error
	Allow(ctx context.Context, token string) error
}

// RunLoginBlock exercises one implementation. open returns an empty store,
// which gives every node its view.
func RunLoginBlock(t *testing.T, open func(t *testing.T) func(node string) LoginBlock) {
	for name, test := range map[string]func(*testing.T, func(string) LoginBlock){
		"ABlockIsSeenByAll":          aBlockIsSeenByAll,
		"ABlockIsNotOlderThanItsPIN": aBlockIsNotOlderThanItsPIN,
		"ClearingTakesTheBlockAway":  clearingTakesTheBlockAway,
		"WhatIsAllowedStays":         whatIsAllowedStays,
		"OneHasTheTurn":              oneHasTheTurn,
		"ATurnEndsWithItsOutcome":    aTurnEndsWithItsOutcome,
		"ATurnLapses":                aTurnLapses,
		"WhoLeftIsNotAnswered":       whoLeftIsNotAnswered,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

const long = time.Hour

func fine(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// blocked is the block of a token.
func blocked(t *testing.T, b LoginBlock, token string) (since time.Time, node, code string) {
	t.Helper()
	since, node, code, err := b.Blocked(t.Context(), token)
	fine(t, err)
	return since, node, code
}

// claims tells whether the turn is b's by now.
func claims(t *testing.T, b LoginBlock, token string) bool {
	t.Helper()
	ok, err := b.Claim(t.Context(), token, long)
	fine(t, err)
	return ok
}

func aBlockIsSeenByAll(t *testing.T, node func(string) LoginBlock) {
	one, two := node("one"), node("two")
	if since, who, code := blocked(t, one, "token"); !since.IsZero() || who != "" || code != "" {
		t.Errorf("an empty store blocks since %v, by %q: %q", since, who, code)
	}
	began := time.Now()
	fine(t, one.Block(t.Context(), "token", "0xA0 PIN_INCORRECT", began.Add(-long)))
	since, who, code := blocked(t, two, "token")
	if who != "one" || code != "0xA0 PIN_INCORRECT" || since.Before(began.Add(-time.Second)) || since.After(time.Now().Add(time.Second)) {
		t.Errorf("block of %q, %q, since %v", who, code, since)
	}
	if since, _, _ := blocked(t, two, "another"); !since.IsZero() {
		t.Error("another token is blocked, too")
	}
	fine(t, two.Block(t.Context(), "token", "0xA4 PIN_LOCKED", began))
	if later, who, code := blocked(t, one, "token"); who != "two" || code != "0xA4 PIN_LOCKED" || later.Before(since) {
		t.Errorf("the later block is of %q, %q, since %v", who, code, later)
	}
}

// A node whose clock is ahead must not take its own file for a newer one.
func aBlockIsNotOlderThanItsPIN(t *testing.T, node func(string) LoginBlock) {
	b := node("one")
	ahead := time.Now().Add(long).Truncate(time.Microsecond)
	fine(t, b.Block(t.Context(), "token", "0xA0", ahead))
	if since, _, _ := blocked(t, b, "token"); !since.Equal(ahead) {
		t.Errorf("since %v, want %v", since, ahead)
	}
}

func clearingTakesTheBlockAway(t *testing.T, node func(string) LoginBlock) {
	one, two := node("one"), node("two")
	for _, token := range []string{"token", "another"} {
		fine(t, one.Block(t.Context(), token, "0xA0", time.Now()))
	}
	fine(t, two.Clear(t.Context(), "token"))
	fine(t, two.Clear(t.Context(), "token"))
	if since, _, _ := blocked(t, one, "token"); !since.IsZero() {
		t.Errorf("blocked since %v after it was cleared", since)
	}
	if since, _, _ := blocked(t, one, "another"); since.IsZero() {
		t.Error("the other token's block has gone, too")
	}
}

func whatIsAllowedStays(t *testing.T, node func(string) LoginBlock) {
	one, two := node("one"), node("two")
	fine(t, one.Block(t.Context(), "token", "0xA0", time.Now()))
	before, _, _ := blocked(t, one, "token")
	fine(t, two.Allow(t.Context(), "token"))
	fine(t, two.Clear(t.Context(), "token"))
	since, who, code := blocked(t, one, "token")
	if code != "" || who != "two" || !since.After(before) {
		t.Errorf("allowed by %q: %q, since %v", who, code, since)
	}
	fine(t, one.Block(t.Context(), "token", "0xA0", time.Now()))
	if _, _, code := blocked(t, two, "token"); code != "0xA0" {
		t.Errorf("refused again after it was allowed: %q", code)
	}
}

func oneHasTheTurn(t *testing.T, node func(string) LoginBlock) {
	var taken atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		b := node("twins have one name")
		wg.Go(func() {
			if ok, err := b.Claim(t.Context(), "token", long); err != nil {
				t.Error(err)
			} else if ok {
				taken.Add(1)
				if again, err := b.Claim(t.Context(), "token", long); err != nil || !again {
					t.Errorf("the holder's second claim: %v, %v", again, err)
				}
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n != 1 {
		t.Errorf("%d of 8 have the turn", n)
	}
	if !claims(t, node("two"), "another") {
		t.Error("another token's turn is taken, too")
	}
}

func aTurnEndsWithItsOutcome(t *testing.T, node func(string) LoginBlock) {
	one, two := node("one"), node("two")
	for name, end := range map[string]func(LoginBlock) error{
		"release": func(b LoginBlock) error { return b.Release(t.Context(), "token") },
		"clear":   func(b LoginBlock) error { return b.Clear(t.Context(), "token") },
		"block":   func(b LoginBlock) error { return b.Block(t.Context(), "token", "0xA0", time.Now()) },
	} {
		if !claims(t, one, "token") {
			t.Fatalf("%s: the turn is not free", name)
		}
		fine(t, end(two))
		if claims(t, two, "token") {
			t.Errorf("%s by another node took the turn away", name)
		}
		fine(t, end(one))
		if !claims(t, two, "token") {
			t.Errorf("%s left the turn taken", name)
		}
		fine(t, two.Release(t.Context(), "token"))
	}
}

func aTurnLapses(t *testing.T, node func(string) LoginBlock) {
	one, two := node("one"), node("two")
	ok, err := one.Claim(t.Context(), "token", 20*time.Millisecond)
	fine(t, err)
	if !ok {
		t.Fatal("the turn is not free")
	}
	time.Sleep(50 * time.Millisecond)
	if !claims(t, two, "token") {
		t.Fatal("a turn that has lapsed is still taken")
	}
	fine(t, one.Release(t.Context(), "token"))
	if claims(t, node("three"), "token") {
		t.Error("who was late gave back what is another's by now")
	}
}

func whoLeftIsNotAnswered(t *testing.T, node func(string) LoginBlock) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := node("one")
	_, _, _, asked := b.Blocked(ctx, "token")
	_, claimed := b.Claim(ctx, "token", long)
	for name, err := range map[string]error{
		"Blocked": asked, "Claim": claimed,
		"Block": b.Block(ctx, "token", "0xA0", time.Now()), "Clear": b.Clear(ctx, "token"), "Release": b.Release(ctx, "token"),
	} {
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s = %v", name, err)
		}
	}
}
