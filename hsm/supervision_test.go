package hsm_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm"
)

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// status is the only token's.
func status(t testing.TB, tok *hsm.Token) (s struct {
	Usable, PINBlocked bool
	Problem, Breaker   string
	Workers, Respawns  int
}) {
	t.Helper()
	st, err := tok.Status(t.Context())
	if err != nil || len(st.Tokens) != 1 {
		t.Fatalf("Status = %+v, %v", st, err)
	}
	one := st.Tokens[0]
	s.Usable, s.PINBlocked, s.Problem, s.Breaker = one.Usable, one.PINBlocked, one.Problem, one.Breaker
	s.Workers, s.Respawns = one.Workers, one.Respawns
	return s
}

// pkcs11.md §11, row 4.
func TestCallThatNeverReturns(t *testing.T) {
	t.Parallel()
	s := folder(t)
	cfg := fakeConfig(t, s)
	cfg.OpTimeout, cfg.HardDeadline = time.Second, 2*time.Second
	tok := openFake(t, cfg)
	if err := unwrap(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	before := tok.PIDs()
	s.put(t, "hang-unwrap", "")
	began := time.Now()
	if err := unwrap(within(t, 200*time.Millisecond), tok); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Unwrap = %v", err)
	}
	if took := time.Since(began); took < 200*time.Millisecond || took > cfg.HardDeadline {
		t.Errorf("the request failed after %v, its deadline was 200ms", took)
	}
	s.drop(t, "hang-unwrap")
	eventually(t, 10*time.Second, "stuck worker is replaced", func() bool {
		now := tok.PIDs()
		return len(now) == 1 && now[0] != before[0]
	})
	if took := time.Since(began); took < cfg.HardDeadline {
		t.Errorf("the worker was killed after %v, before its hard deadline", took)
	}
	if err := unwrap(t.Context(), tok); err != nil {
		t.Errorf("the next request: %v", err)
	}
}

// A request with time left survives the worker that hangs over it, also where
// the worker hangs in the middle of an answer.
func TestRequestOutlivesAStuckWorker(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{
		"it says nothing":       "",
		"it says half a frame":  "\x00\x00\x00\x09\x00\x00",
		"it says half a length": "\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := folder(t)
			cfg := fakeConfig(t, s)
			cfg.OpTimeout, cfg.HardDeadline = 100*time.Millisecond, 300*time.Millisecond
			tok := openFake(t, cfg)
			s.put(t, "says-unwrap", said)
			s.put(t, "stall-unwrap", "")
			if err := unwrap(within(t, 10*time.Second), tok); err != nil {
				t.Errorf("Unwrap = %v", err)
			}
			if n := status(t, tok).Respawns; n == 0 {
				t.Error("no respawn")
			}
		})
	}
}

// With a second worker nobody waits for the hard deadline.
func TestAnotherWorkerTakesOver(t *testing.T) {
	t.Parallel()
	s := folder(t)
	cfg := fakeConfig(t, s)
	cfg.Tokens[0].Workers = 2
	cfg.OpTimeout = 200 * time.Millisecond
	tok := openFake(t, cfg)
	eventually(t, 5*time.Second, "two workers", func() bool { return len(tok.PIDs()) == 2 })
	// Stopped, a process is as silent as one whose module hangs.
	if err := syscall.Kill(tok.PIDs()[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		began := time.Now()
		if err := unwrap(within(t, 2*time.Second), tok); err != nil {
			t.Errorf("Unwrap = %v", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
	}
}

func TestWorkerReplacedUnderTheRequest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, file, text string }{
		{"it dies", "die-unwrap", ""},
		{"its module is gone", "once-unwrap", ""},
		{"it is logged out", "once-unwrap", "0x101"},
		{"it answers garbage", "says-unwrap", "this is no frame at all, is it?"},
		{"it answers what nobody asked", "says-unwrap", "\x00\x00\x00\x09\xff\xff\xff\xff\xff\xff\xff\xff\x87"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := folder(t)
			s.put(t, tc.file, tc.text)
			tok := openFake(t, fakeConfig(t, s))
			if err := unwrap(within(t, 3*time.Second), tok); err != nil {
				t.Errorf("Unwrap = %v", err)
			}
			if n := status(t, tok).Respawns; n != 1 {
				t.Errorf("%d respawns, want 1", n)
			}
		})
	}
}

// pkcs11.md §11, row 3, without a token's own time: kills alone fail nobody.
func TestKillsFailNoRequest(t *testing.T) {
	t.Parallel()
	tok := openFake(t, fakeConfig(t, folder(t)))
	killUnderLoad(t, tok, 5, 1000, func(ctx context.Context) error { return unwrap(ctx, tok) })
}

// killUnderLoad kills the workers again and again while eight callers use the
// token, until there have been enough kills and enough requests. However slow
// the machine is, some requests are done between two kills.
func killUnderLoad(t *testing.T, tok *hsm.Token, kills, requests int, use func(context.Context) error) {
	t.Helper()
	var done, failed atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
				if err := use(deadline); err != nil {
					failed.Add(1)
					t.Errorf("request failed: %v", err)
				}
				cancel()
				done.Add(1)
			}
		})
	}
	killed, seen := 0, int64(0)
	for end := time.Now().Add(time.Minute); killed < kills || done.Load() < int64(requests); {
		if time.Now().After(end) {
			t.Errorf("only %d kills and %d requests in a minute", killed, done.Load())
			break
		}
		time.Sleep(200 * time.Millisecond)
		if done.Load() < seen+4 {
			continue
		}
		seen = done.Load()
		for _, pid := range tok.PIDs() {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
		}
	}
	stop()
	wg.Wait()
	t.Logf("%d requests, %d failed, %d kills", done.Load(), failed.Load(), killed)
	if s := status(t, tok); s.Breaker != "closed" {
		t.Errorf("breaker is %s", s.Breaker)
	}
}

// pkcs11.md §11, row 5.
func TestTokenAwayAndBack(t *testing.T) {
	t.Parallel()
	s := folder(t)
	s.put(t, "away", "")
	cfg := fakeConfig(t, s)
	var mu sync.Mutex
	var states []string
	cfg.Observer.Breaker = func(_, state string) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, state)
	}
	tok := openFake(t, cfg)
	if err := unwrap(within(t, 300*time.Millisecond), tok); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Unwrap = %v", err)
	}
	eventually(t, 5*time.Second, "breaker opens", func() bool { return status(t, tok).Breaker == "open" })
	st := status(t, tok)
	if st.Usable || st.Workers != 0 || !strings.Contains(st.Problem, "C_Initialize") {
		t.Errorf("Status = %+v", st)
	}
	if tok.Ready() == nil {
		t.Error("ready")
	}
	// Nobody waits for a probe that comes after his deadline.
	eventually(t, 5*time.Second, "a request fails at once", func() bool {
		err := unwrap(within(t, 50*time.Millisecond), tok)
		return err != nil && strings.Contains(err.Error(), "token is away")
	})
	s.drop(t, "away")
	if err := unwrap(within(t, 10*time.Second), tok); err != nil {
		t.Errorf("after it came back: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(states, " "); !strings.HasPrefix(got, "open half-open") || !strings.HasSuffix(got, "half-open closed") {
		t.Errorf("breaker went %s", got)
	}
}

// pkcs11.md §11, row 6, on one node.
func TestRejectedPINIsTriedOnce(t *testing.T) {
	t.Parallel()
	s := folder(t)
	s.put(t, "pin-of-token", "right")
	s.put(t, "pin", "hunter2-canary")
	core, logs := observer.New(zap.DebugLevel)
	cfg := fakeConfig(t, s)
	cfg.Log = zap.New(core)
	cfg.Tokens[0].Workers = 3
	cfg.Tokens = append(cfg.Tokens, cfg.Tokens[0]) // the same token, named twice
	tok := openFake(t, cfg)

	eventually(t, 5*time.Second, "PIN is blocked", func() bool {
		st, _ := tok.Status(t.Context())
		return st.Tokens[0].PINBlocked && st.Tokens[1].PINBlocked
	})
	began := time.Now()
	if err := unwrap(t.Context(), tok); fault.KindOf(err) != fault.Unavailable || time.Since(began) > time.Second {
		t.Errorf("Unwrap = %v after %v", err, time.Since(began))
	}
	time.Sleep(500 * time.Millisecond)
	if n := s.lines("logins"); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
	st, _ := tok.Status(t.Context())
	if st.Usable() || !strings.Contains(st.Tokens[0].Problem, "refused the PIN") {
		t.Errorf("Status = %+v", st)
	}

	tok.Unblock()
	eventually(t, 5*time.Second, "one more login", func() bool { return s.lines("logins") == 2 })
	time.Sleep(300 * time.Millisecond)
	if n := s.lines("logins"); n != 2 {
		t.Errorf("%d logins after one Unblock, want 2", n)
	}

	s.put(t, "pin", "right")
	if err := unwrap(within(t, 5*time.Second), tok); err != nil {
		t.Errorf("with the right PIN: %v", err)
	}
	for _, e := range logs.All() {
		for _, f := range append(e.Context, zap.String("", e.Message)) {
			if strings.Contains(f.String, "hunter2") {
				t.Errorf("a log line has the PIN: %s", e.Message)
			}
		}
	}
}

func TestPINRejectedWhileRunning(t *testing.T) {
	t.Parallel()
	s := folder(t)
	s.put(t, "pin", "any")
	tok := openFake(t, fakeConfig(t, s))
	s.put(t, "code-unwrap", "0xA4")
	if err := unwrap(within(t, 2*time.Second), tok); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Unwrap = %v", err)
	}
	eventually(t, 2*time.Second, "PIN is blocked", func() bool { return status(t, tok).PINBlocked })
	time.Sleep(200 * time.Millisecond)
	if n := status(t, tok).Respawns; n != 0 {
		t.Errorf("%d respawns, want none while the PIN is blocked", n)
	}
}

// A module that breaks over one kind of request takes at most three workers
// per request, opens the breaker, and recovers.
func TestBreakerOpensAndCloses(t *testing.T) {
	t.Parallel()
	s := folder(t)
	cfg := fakeConfig(t, s)
	var opened atomic.Int32
	cfg.Observer.Breaker = func(_, state string) {
		if state == "open" {
			opened.Add(1)
		}
	}
	tok := openFake(t, cfg)
	if err := unwrap(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	s.put(t, "code-unwrap", "0x30")
	for range 2 {
		if err := unwrap(within(t, 3*time.Second), tok); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("Unwrap = %v", err)
		}
	}
	if n := tok.Calls(); n != 1+2*3 {
		t.Errorf("%d token calls, want 7", n)
	}
	if opened.Load() == 0 {
		t.Error("the breaker did not open after five lost workers")
	}
	s.drop(t, "code-unwrap")
	if err := unwrap(within(t, 5*time.Second), tok); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
	eventually(t, time.Second, "breaker is closed", func() bool { return status(t, tok).Breaker == "closed" })
}

// A respawn is a worker in place of another: neither the first one of a seat
// nor the loss of one that nobody replaces.
func TestRespawnsAreCounted(t *testing.T) {
	t.Parallel()
	s := folder(t)
	cfg := fakeConfig(t, s)
	cfg.Tokens[0].Workers = 2
	var told atomic.Int32
	cfg.Observer.Respawn = func(string) { told.Add(1) }
	tok := openFake(t, cfg)
	alive := func(n int) {
		t.Helper()
		eventually(t, 5*time.Second, "workers are up", func() bool { return status(t, tok).Workers == n })
	}
	alive(2)
	if n := status(t, tok).Respawns; n != 0 {
		t.Errorf("%d respawns after the first two workers", n)
	}
	for want := 1; want <= 2; want++ {
		before := tok.PIDs()
		if err := syscall.Kill(before[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, "it is replaced", func() bool {
			return status(t, tok).Respawns == want && !slices.Contains(tok.PIDs(), before[0])
		})
		alive(2)
	}
	if n := status(t, tok).Respawns; n != 2 || told.Load() != 2 {
		t.Errorf("%d respawns, and %d were told, want 2", n, told.Load())
	}
}

// Sessions may run out for a while: that is no reason to lose a worker.
func TestBusyTokenIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := folder(t)
	s.put(t, "code-unwrap", "0xB1")
	tok := openFake(t, fakeConfig(t, s))
	time.AfterFunc(150*time.Millisecond, func() { _ = os.Remove(s.file("code-unwrap")) })
	if err := unwrap(within(t, 3*time.Second), tok); err != nil {
		t.Errorf("Unwrap = %v", err)
	}
	if n := status(t, tok).Respawns; n != 0 {
		t.Errorf("%d respawns", n)
	}
}

func TestCallerWhoLeaves(t *testing.T) {
	t.Parallel()
	s := folder(t)
	s.put(t, "slow-unwrap", "1s")
	tok := openFake(t, fakeConfig(t, s))
	eventually(t, 5*time.Second, "ready", func() bool { return tok.Ready() == nil })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	if err := unwrap(ctx, tok); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Unwrap = %v", err)
	}
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("came back after %v", took)
	}
	if err := unwrap(t.Context(), tok); err != nil { // its answer is not taken for this one's
		t.Errorf("the next request: %v", err)
	}
	if n := status(t, tok).Respawns; n != 0 {
		t.Errorf("%d respawns", n)
	}
}
