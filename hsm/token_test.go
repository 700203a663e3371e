package hsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/sensitive"
)

func TestOperationsReachTheWorker(t *testing.T) {
	t.Parallel()
	s := folder(t)
	tok := openFake(t, fakeConfig(t, s))
	ctx := t.Context()

	made, err := tok.Generate(ctx, key.Spec{ID: kek.ID, Label: "csms/default@1 demo", Format: key.Auto})
	if err != nil || made.Ref.ID != kek.ID || made.TokenLabel != "fake" {
		t.Fatalf("Generate = %+v, %v", made, err)
	}
	w, err := tok.Wrap(ctx, kek, sensitive.Take(bytes.Clone(dek)), aad)
	if err != nil || !bytes.Equal(w, wrapped()) {
		t.Errorf("Wrap = %x, %v", w, err)
	}
	if err := unwrap(ctx, tok); err != nil {
		t.Errorf("Unwrap: %v", err)
	}
	if r, err := tok.Check(ctx, kek); err != nil || r != key.OK {
		t.Errorf("Check = %v, %v", r, err)
	}
	if ids, err := tok.List(ctx); err != nil || !slices.Equal(ids, []key.ID{kek.ID}) {
		t.Errorf("List = %v, %v", ids, err)
	}
	if err := tok.Destroy(ctx, kek); err != nil {
		t.Errorf("Destroy: %v", err)
	}
	st, err := tok.Status(ctx)
	if err != nil || !st.Usable() || st.Tokens[0].Model != "script" || st.Tokens[0].Breaker != "closed" || st.Tokens[0].Workers != 1 {
		t.Errorf("Status = %+v, %v", st, err)
	}
	if err := tok.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
	if n := tok.Calls(); n != 6 {
		t.Errorf("%d token calls, want 6: Status is none", n)
	}
}

func TestRewrapTravelsInPieces(t *testing.T) {
	t.Parallel()
	tok := openFake(t, fakeConfig(t, folder(t)))
	other := ref(key.ID{0xBE, 0xEF})
	const n, bad = 500, 321
	items := make([]key.Rewrap, n)
	for i := range items {
		items[i] = key.Rewrap{Wrapped: wrapped(), From: aad, To: key.AAD("there")}
	}
	items[bad].Wrapped = []byte("damaged")
	out, err := tok.Rewrap(t.Context(), kek, other, items)
	if err != nil || len(out) != n {
		t.Fatalf("Rewrap = %d items, %v", len(out), err)
	}
	want := turn(other, dek, []byte("there"))
	for i, o := range out {
		switch {
		case i == bad:
			if fault.KindOf(o.Err) != fault.Damaged || o.Wrapped != nil {
				t.Errorf("item %d = %x, %v", i, o.Wrapped, o.Err)
			}
		case o.Err != nil || !bytes.Equal(o.Wrapped, want):
			t.Fatalf("item %d = %x, %v", i, o.Wrapped, o.Err)
		}
	}
	if calls := tok.Calls(); calls != 8 {
		t.Errorf("%d token calls for %d items, want 8", calls, n)
	}
}

func TestListHasManyPages(t *testing.T) {
	t.Parallel()
	s := folder(t)
	s.put(t, "list-length", "10000")
	ids, err := openFake(t, fakeConfig(t, s)).List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := manyIDs(10000)
	slices.SortFunc(want, func(a, b key.ID) int { return bytes.Compare(a[:], b[:]) })
	if !slices.Equal(ids, want) {
		t.Errorf("%d IDs that are not those in the token, in order", len(ids))
	}
}

func TestCodesBecomeFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		code   ckr.Code
		kind   fault.Kind
		public string
	}{
		{"a damaged row", 0x40, fault.Damaged, "the stored value does not open"},
		{"a key that is gone", 0x82, fault.Unavailable, "key hardware is unavailable"},
		{"a module without sessions", 0xB1, fault.Unavailable, "key hardware is unavailable"},
		{"a token that is away", 0xE0, fault.Unavailable, "key hardware is unavailable"},
		{"an ambiguous code that nobody settled", 0x5, fault.Unavailable, "key hardware is unavailable"},
		{"a mechanism that is missing", 0x70, fault.Internal, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := folder(t)
			s.put(t, "code-unwrap", fmt.Sprintf("%#x", uint32(tc.code)))
			tok := openFake(t, fakeConfig(t, s))
			patience := 10 * time.Second // for the workers this costs
			if ckr.Of(tc.code) == ckr.Busy {
				patience = 500 * time.Millisecond // that worker is asked until the end
				eventually(t, 10*time.Second, "ready", func() bool { return tok.Ready() == nil })
			}
			err := unwrap(within(t, patience), tok)
			if fault.KindOf(err) != tc.kind || fault.PublicText(err) != tc.public {
				t.Errorf("Unwrap = %v (%v)", err, fault.KindOf(err))
			}
			if code := ckr.CodeOf(err); code != tc.code {
				t.Errorf("code %v in %v, want %v", code, err, tc.code)
			}
		})
	}
}

func TestDamagedRowsDisturbNobody(t *testing.T) {
	t.Parallel()
	tok := openFake(t, fakeConfig(t, folder(t)))
	ctx := t.Context()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				if _, err := tok.Unwrap(ctx, kek, []byte("tampered"), aad); fault.KindOf(err) != fault.Damaged {
					t.Errorf("tampered: %v", err)
				}
				if err := unwrap(ctx, tok); err != nil {
					t.Errorf("its neighbour: %v", err)
				}
			}
		})
	}
	wg.Wait()
	st, _ := tok.Status(ctx)
	if st.Tokens[0].Respawns != 0 || st.Tokens[0].Breaker != "closed" {
		t.Errorf("2,000 damaged rows and the token is %+v", st.Tokens[0])
	}
}

func TestValueThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	tok := openFake(t, fakeConfig(t, folder(t)))
	_, err := tok.Unwrap(t.Context(), kek, make([]byte, frame.MaxBytes), aad)
	if fault.KindOf(err) != fault.TooLarge {
		t.Errorf("Unwrap = %v", err)
	}
	if err := unwrap(t.Context(), tok); err != nil {
		t.Errorf("the next request: %v", err)
	}
	if st, _ := tok.Status(t.Context()); st.Tokens[0].Respawns != 0 {
		t.Error("the worker was replaced")
	}
}

func TestWorkerDiesOverGenerate(t *testing.T) {
	t.Parallel()
	s := folder(t)
	s.put(t, "die-generate", "") // after the object is made
	tok := openFake(t, fakeConfig(t, s))
	if _, err := tok.Generate(t.Context(), key.Spec{ID: kek.ID}); err != nil {
		t.Fatalf("Generate: %v", err)
	}
	if n := s.lines("generated"); n != 2 {
		t.Errorf("generated %d times, want 2", n)
	}
	if ids, err := tok.List(t.Context()); err != nil || len(ids) != 1 {
		t.Errorf("List = %v, %v: the first object is still there", ids, err)
	}
}

func TestObserverSeesEverything(t *testing.T) {
	t.Parallel()
	s := folder(t)
	cfg := fakeConfig(t, s)
	var (
		mu   sync.Mutex
		seen = map[string]int{}
	)
	note := func(what string) { mu.Lock(); defer mu.Unlock(); seen[what]++ }
	cfg.Observer.Operation = func(op, class string, took time.Duration) { note(op + " " + class) }
	cfg.Observer.Respawn = func(token string) { note("respawn " + token) }
	tok := openFake(t, cfg)
	if err := unwrap(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	s.put(t, "once-unwrap", "")
	if err := unwrap(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if seen["unwrap ok"] != 2 || seen["unwrap module"] != 1 || seen["respawn fake"] != 1 {
		t.Errorf("seen %v", seen)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, file string }{
		{"while idle", ""},
		{"while a call hangs", "hang-unwrap"},
		{"while the token hangs in its self-test", "open-hangs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := folder(t)
			if tc.file != "" {
				s.put(t, tc.file, "")
			}
			tok := openFake(t, fakeConfig(t, s))
			var pids []int
			if tc.file != "open-hangs" {
				eventually(t, 5*time.Second, "a worker", func() bool { return len(tok.PIDs()) == 1 })
				pids = tok.PIDs()
			}
			var failed atomic.Bool
			asked := make(chan struct{})
			go func() {
				defer close(asked)
				failed.Store(unwrap(context.Background(), tok) != nil)
			}()
			if tc.file != "" {
				time.Sleep(50 * time.Millisecond)
			} else {
				<-asked
			}
			began := time.Now()
			if err := tok.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("Close took %v", took)
			}
			for _, pid := range pids {
				if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("worker %d is still there: %v", pid, err)
				}
			}
			<-asked
			if failed.Load() != (tc.file != "") {
				t.Errorf("request failed: %v", failed.Load())
			}
			if err := unwrap(t.Context(), tok); fault.KindOf(err) != fault.Unavailable {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}

// A new key meets as many dying workers as its deadline has room for, each time
// after what may be there is destroyed.
func TestGenerateOutlivesManyWorkers(t *testing.T) {
	t.Parallel()
	s := folder(t)
	s.put(t, "deaths-generate", "5")
	s.put(t, "deaths-destroy", "4")
	tok := openFake(t, fakeConfig(t, s))
	id := key.ID{0xBE, 0xEF}
	made, err := tok.Generate(within(t, 20*time.Second), key.Spec{ID: id, CanaryAAD: []byte("canary")})
	if err != nil || made.Ref.ID != id {
		t.Fatalf("Generate = %v, %v", made.Ref.ID, err)
	}
	if n := s.lines("generated"); n != 6 {
		t.Errorf("%d generations, want 6", n)
	}
	if ids, err := tok.List(t.Context()); err != nil || !slices.Equal(ids, []key.ID{id}) {
		t.Errorf("List = %v, %v", ids, err)
	}
}

// A generation that itself takes every worker down ends at its deadline, and
// does not eat workers as fast as they come.
func TestGenerateIsNotRepeatedForever(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, file, text string }{
		{"they die", "deaths-generate", "1000"},
		{"their module is gone", "code-generate", "0x30"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := folder(t)
			s.put(t, tc.file, tc.text)
			tok := openFake(t, fakeConfig(t, s))
			began := time.Now()
			_, err := tok.Generate(within(t, 2*time.Second), key.Spec{ID: kek.ID})
			if took := time.Since(began); fault.KindOf(err) != fault.Unavailable || took > 6*time.Second {
				t.Errorf("Generate = %v after %v", err, took)
			}
			if n := s.lines("generated"); n < 2 || n > 10 {
				t.Errorf("generated %d times in two seconds", n)
			}
			s.drop(t, tc.file)
			if err := unwrap(within(t, 10*time.Second), tok); err != nil {
				t.Errorf("the next request: %v", err)
			}
		})
	}
}

// Many projects are used for the first time on a slow token: who only unwraps
// does not wait behind them, and no worker seems to hang.
func TestManyNewKeysHoldNobodyUp(t *testing.T) {
	t.Parallel()
	s := folder(t)
	s.put(t, "slow-generate", "800ms")
	cfg := fakeConfig(t, s)
	cfg.OpTimeout, cfg.HardDeadline = 600*time.Millisecond, 1200*time.Millisecond
	tok := openFake(t, cfg)
	if err := unwrap(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	var making sync.WaitGroup
	var left atomic.Int32
	for i := range 8 {
		left.Add(1)
		making.Go(func() {
			if _, err := tok.Generate(within(t, 30*time.Second), key.Spec{ID: key.ID{1, byte(i)}}); err != nil {
				t.Errorf("Generate: %v", err)
			}
			left.Add(-1)
		})
	}
	for left.Load() > 5 {
		began := time.Now()
		if err := unwrap(t.Context(), tok); err != nil || time.Since(began) > 500*time.Millisecond {
			t.Errorf("Unwrap = %v after %v", err, time.Since(began))
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := tok.Destroy(within(t, 20*time.Millisecond), kek); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Destroy without time to wait = %v", err)
	}
	making.Wait()
	if n := status(t, tok).Respawns; n != 0 {
		t.Errorf("%d respawns", n)
	}
}
