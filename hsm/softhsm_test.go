package hsm_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/sensitive"
	"github.com/strongroom-kms/strongroom/softhsm/softhsmtest"
)

func damaged(err error) bool { return fault.KindOf(err) == fault.Damaged }

func missing(err error) bool {
	return fault.KindOf(err) == fault.Unavailable && ckr.ClassOf(err) == ckr.Handle
}

// What a token must do, behind a worker and over a real module.
func TestContractOverSoftHSM(t *testing.T) {
	tok := softhsmtest.Open(t)
	hsmtest.Run(t, hsmtest.Options{Damaged: damaged, Missing: missing, Quick: true},
		func(*testing.T) hsmtest.Token { return tok })
	t.Cleanup(func() {
		if st := status(t, tok); st.Respawns != 0 || st.Breaker != "closed" {
			t.Errorf("the contract cost workers: %+v", st)
		}
	})
}

// softKEK makes a key and a DEK wrapped under it.
func softKEK(t testing.TB, tok *hsm.Token, f key.Format) (kek key.Ref, wrapped, dek []byte) {
	t.Helper()
	id := hsmtest.NewID(t)
	made, err := tok.Generate(t.Context(), key.Spec{ID: id, Label: "csms/default@1 test", Format: f, CanaryAAD: []byte("canary of " + id.String())})
	if err != nil {
		t.Fatal(err)
	}
	secret, dek := hsmtest.NewDEK(t)
	wrapped, err = tok.Wrap(t.Context(), made.Ref, secret, aad)
	if err != nil {
		t.Fatal(err)
	}
	return made.Ref, wrapped, dek
}

// opens returns a request that fails unless the DEK comes back.
func opens(tok *hsm.Token, kek key.Ref, wrapped, dek []byte) func(context.Context) error {
	return func(ctx context.Context) error {
		got, err := tok.Unwrap(ctx, kek, wrapped, aad)
		if err != nil {
			return err
		}
		defer got.Wipe()
		if !bytes.Equal(got.Reveal(), dek) {
			return errors.New("another DEK came back")
		}
		return nil
	}
}

// pkcs11.md §11, row 3.
func TestKillsFailNoRequestOverSoftHSM(t *testing.T) {
	tok := softhsmtest.Open(t)
	kek, wrapped, dek := softKEK(t, tok, key.Auto)
	killUnderLoad(t, tok, 10, 1000, opens(tok, kek, wrapped, dek))
}

// Keys made while workers die: the ID is the server's, so nothing is made twice
// and nothing is left behind.
func TestKillsWhileKeysAreMade(t *testing.T) {
	tok := softhsmtest.Open(t)
	var mu sync.Mutex
	var made []key.ID
	killUnderLoad(t, tok, 10, 50, func(ctx context.Context) error {
		id := hsmtest.NewID(t)
		m, err := tok.Generate(ctx, key.Spec{ID: id, Label: "kill", CanaryAAD: []byte("canary")})
		if err != nil {
			return err
		}
		if r, err := tok.Check(ctx, m.Ref); err != nil || r != key.OK {
			return errors.Join(err, errors.New("a new key is "+r.String()))
		}
		mu.Lock()
		made = append(made, id)
		mu.Unlock()
		return nil
	})
	ids, err := tok.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(ids) != len(made) {
		t.Errorf("%d keys in the token, %d were made", len(ids), len(made))
	}
}

// pkcs11.md §11, row 8.
func TestTokenFolderMovedAwayAndBack(t *testing.T) {
	t.Parallel()
	dir := softhsmtest.Dir(t)
	soft := softhsmtest.ProvisionIn(t, dir)
	cfg := softhsmtest.Config(t)
	cfg.Tokens[0].URI, cfg.Tokens[0].Env = soft.URI, soft.Env
	tok := openFake(t, cfg)
	kek, wrapped, dek := softKEK(t, tok, key.Auto)
	use := opens(tok, kek, wrapped, dek)

	tokens := filepath.Join(dir, "tokens")
	if err := os.Rename(tokens, tokens+".away"); err != nil {
		t.Fatal(err)
	}
	// SoftHSM notices nothing while it has the handle; a canary does at last.
	_, lost := tok.Wrap(within(t, 300*time.Millisecond), ref(hsmtest.NewID(t)), newDEK(t), aad)
	if fault.KindOf(lost) != fault.Unavailable {
		t.Errorf("Wrap under a key nobody can look up = %v", lost)
	}
	eventually(t, 10*time.Second, "token is away", func() bool { return tok.Ready() != nil })

	if err := os.Rename(tokens+".away", tokens); err != nil {
		t.Fatal(err)
	}
	if err := use(within(t, 20*time.Second)); err != nil {
		t.Errorf("after it came back: %v", err)
	}
	if err := tok.Ready(); err != nil {
		t.Errorf("Ready: %v", err)
	}
}

// pkcs11.md §11, row 9: a key that somebody else has destroyed is a matter of
// that key alone.
func TestKeyDestroyedBehindOurBack(t *testing.T) {
	t.Parallel()
	cfg := softhsmtest.Config(t)
	ours, theirs := openFake(t, cfg), openFake(t, cfg)
	kek, wrapped, dek := softKEK(t, ours, key.Auto)
	lost, wrappedLost, _ := softKEK(t, ours, key.Auto)
	if err := theirs.Destroy(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Unwrap(t.Context(), lost, wrappedLost, aad); !missing(err) {
		t.Errorf("Unwrap under the lost key = %v", err)
	}
	if r, err := ours.Check(t.Context(), lost); err != nil || r != key.Missing {
		t.Errorf("Check = %v, %v", r, err)
	}
	if err := opens(ours, kek, wrapped, dek)(t.Context()); err != nil {
		t.Errorf("its neighbour: %v", err)
	}
	if st := status(t, ours); st.Respawns != 0 || !st.Usable {
		t.Errorf("Status = %+v", st)
	}
}

// A wrong PIN on a real token: one attempt, and the right one is found without
// a restart.
func TestWrongPINOverSoftHSM(t *testing.T) {
	t.Parallel()
	dir := softhsmtest.Dir(t)
	soft := softhsmtest.ProvisionIn(t, dir)
	right, err := os.ReadFile(soft.PINFile)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(own, []byte("hunter2-canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	uri, _, _ := strings.Cut(soft.URI, "&pin-source=")
	cfg := softhsmtest.Config(t)
	cfg.Tokens[0].URI, cfg.Tokens[0].Env, cfg.Tokens[0].PINFile = uri, soft.Env, own
	tok := openFake(t, cfg)
	eventually(t, 10*time.Second, "PIN is blocked", func() bool { return status(t, tok).PINBlocked })
	if p := status(t, tok).Problem; !strings.Contains(p, "0xA0") || strings.Contains(p, "hunter2") {
		t.Errorf("Problem = %q", p)
	}
	time.Sleep(300 * time.Millisecond)
	if n := status(t, tok).Respawns; n != 0 {
		t.Errorf("%d respawns", n)
	}
	if err := os.WriteFile(own, right, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "token is ready", func() bool { return tok.Ready() == nil })
}

// pkcs11.md §11, row 22: ten thousand failures leave everything as it was.
func TestFailuresLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	tok := softhsmtest.Open(t)
	kek, wrapped, dek := softKEK(t, tok, key.Auto)
	use := opens(tok, kek, wrapped, dek)
	bad := bytes.Clone(wrapped)
	bad[len(bad)-1] ^= 1
	before := sessions(t, tok)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1250 {
				if _, err := tok.Unwrap(t.Context(), kek, bad, aad); !damaged(err) {
					t.Errorf("Unwrap = %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := use(t.Context()); err != nil {
		t.Error(err)
	}
	if n := status(t, tok).Respawns; n != 0 {
		t.Errorf("%d respawns", n)
	}
	// Eight at a time may have found four sessions where one had been enough.
	if after := sessions(t, tok); after > max(before, 1+softSessions) {
		t.Errorf("the worker went from %d open sessions to %d", before, after)
	}
}

// softSessions is how many sessions softhsmtest lets a worker have, beside the
// one that holds the login.
const softSessions = 4

// sessions asks the only worker how many sessions it has open.
func sessions(t testing.TB, tok *hsm.Token) int {
	t.Helper()
	if err := tok.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := tok.Status(t.Context())
	if err != nil || len(st.Tokens) != 1 || st.Tokens[0].Sessions == 0 {
		t.Fatalf("Status = %+v, %v", st, err)
	}
	return st.Tokens[0].Sessions
}

func newDEK(t testing.TB) sensitive.Bytes {
	t.Helper()
	dek, _ := hsmtest.NewDEK(t)
	return dek
}
