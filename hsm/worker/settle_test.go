package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker"
	"github.com/strongroom-kms/strongroom/hsm/worker/fakecki"
)

const forever = -1

// Once is settled inside where a second try can help; what lasts comes out as
// the class that tells the server what to do (pkcs11.md §7.2).
func TestCodesDuringUnwrapAndWrap(t *testing.T) {
	for _, tc := range []struct {
		code           ckr.Code
		call           string
		once, lasting  ckr.Class
		wrapOnce, wrap ckr.Class
	}{
		{0x40, "Init", ckr.Data, ckr.Data, ckr.Data, ckr.Data},
		{0x5, "Init", ckr.Data, ckr.Module, works, ckr.Module},
		{0x6, "", ckr.Data, ckr.Module, works, ckr.Module},
		{0x7, "", ckr.Data, ckr.Module, works, ckr.Module},
		{0x12345, "", ckr.Data, ckr.Module, works, ckr.Module},
		{0xB3, "Init", works, ckr.Module, works, ckr.Module},
		{0xB0, "", works, ckr.Module, works, ckr.Module},
		{0x90, "Init", works, ckr.Module, works, ckr.Module},
		{0x91, "", works, ckr.Module, works, ckr.Module},
		{0x150, "", works, ckr.Module, works, ckr.Module},
		{0xB1, "", ckr.Busy, ckr.Busy, ckr.Busy, ckr.Busy},
		{0x201, "", ckr.Busy, ckr.Busy, ckr.Busy, ckr.Busy},
		{0x82, "Init", works, ckr.Module, works, ckr.Module},
		{0x60, "Init", works, ckr.Module, works, ckr.Module},
		{0x101, "Init", ckr.Login, ckr.Login, ckr.Login, ckr.Login},
		{0x30, "", ckr.Module, ckr.Module, ckr.Module, ckr.Module},
		{0xE0, "Init", ckr.Module, ckr.Module, ckr.Module, ckr.Module},
		{0x190, "Init", ckr.Module, ckr.Module, ckr.Module, ckr.Module},
		{0x80000001, "", ckr.Module, ckr.Module, ckr.Module, ckr.Module},
		{0xA0, "", ckr.PIN, ckr.PIN, ckr.PIN, ckr.PIN},
		{0x68, "Init", ckr.Capability, ckr.Capability, ckr.Capability, ckr.Capability},
		{0x70, "Init", ckr.Capability, ckr.Capability, ckr.Capability, ckr.Capability},
	} {
		t.Run(tc.code.String()+tc.call, func(t *testing.T) {
			t.Parallel()
			tok, device := fake(t, fakecki.Behaviour{})
			kek, other := generate(t, tok, key.A256GCM), generate(t, tok, key.A256GCM)
			wrapped, dek := wrap(t, tok, kek)
			wrap(t, tok, other)
			unwrap := func() error {
				_, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here"))
				return err
			}
			wrapAgain := func() error {
				secret, _ := hsmtest.NewDEK(t)
				_, err := tok.Wrap(t.Context(), kek, secret, []byte("here"))
				return err
			}
			for _, step := range []struct {
				name string
				call string
				n    int
				do   func() error
				want ckr.Class
			}{
				{"unwrap, once", "C_Decrypt", 1, unwrap, tc.once},
				{"unwrap, for ever", "C_Decrypt", forever, unwrap, tc.lasting},
				{"wrap, once", "C_Encrypt", 1, wrapAgain, tc.wrapOnce},
				{"wrap, for ever", "C_Encrypt", forever, wrapAgain, tc.wrap},
			} {
				device.Behave()
				device.Fail(step.call+tc.call, tc.code, step.n)
				err := step.do()
				switch {
				case step.want == works && err != nil:
					t.Errorf("%s: %v", step.name, err)
				case step.want != works && (err == nil || ckr.ClassOf(err) != step.want):
					t.Errorf("%s: %v of class %v, want %v", step.name, err, ckr.ClassOf(err), step.want)
				}
			}
			device.Behave()
			opens(t, tok, kek, wrapped, dek)
		})
	}
}

func TestDamageIsToldFromASickToken(t *testing.T) {
	for _, badTag := range []ckr.Code{ckr.EncryptedDataInvalid, ckr.GeneralError} {
		tok, device := fake(t, fakecki.Behaviour{BadTag: badTag})
		for _, f := range []key.Format{key.A256GCM, key.A256CBCHS256} {
			kek := generate(t, tok, f)
			wrapped, dek := wrap(t, tok, kek)
			bad := append([]byte(nil), wrapped...)
			bad[len(bad)-1] ^= 1
			if _, err := tok.Unwrap(t.Context(), kek, bad, []byte("here")); !damaged(err) {
				t.Errorf("%v, %v, tampered: %v", badTag, f, err)
			}
			if _, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("there")); !damaged(err) {
				t.Errorf("%v, %v, moved: %v", badTag, f, err)
			}
			opens(t, tok, kek, wrapped, dek)
			call := map[key.Format]string{key.A256GCM: "C_Decrypt", key.A256CBCHS256: "C_Verify"}[f]
			device.Fail(call, ckr.GeneralError, forever)
			if _, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here")); ckr.ClassOf(err) != ckr.Module {
				t.Errorf("%v, %v, sick token: %v", badTag, f, err)
			}
			device.Behave()
		}
	}
}

// Where this process knows no other KEK, a key made for the question decides
// whether a damaged canary beside a damaged DEK means a sick token.
func TestOnlyKEKWithADamagedCanary(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{BadTag: ckr.GeneralError})
	kek := generate(t, tok, key.A256GCM)
	wrapped, dek := wrap(t, tok, kek)
	bad := kek
	bad.Canary.Wrapped = append([]byte(nil), kek.Canary.Wrapped...)
	bad.Canary.Wrapped[30] ^= 1
	if _, err := tok.Unwrap(t.Context(), bad, wrapped, []byte("there")); !damaged(err) {
		t.Errorf("on a good token: %v", err)
	}
	if got, err := tok.Check(t.Context(), bad); got != key.WrongKey || err != nil {
		t.Errorf("Check = %v, %v", got, err)
	}
	opens(t, tok, kek, wrapped, dek)
	device.Fail("C_Decrypt", ckr.GeneralError, forever)
	if _, err := tok.Unwrap(t.Context(), bad, wrapped, []byte("there")); ckr.ClassOf(err) != ckr.Module {
		t.Errorf("on a sick token: %v", err)
	}
	if n := device.Keys(); n != 1 {
		t.Errorf("%d objects in the token, want the KEK alone", n)
	}
}

func TestLostSessionsAreReplaced(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{})
	kek := generate(t, tok, key.A256GCM)
	wrapped, dek := wrap(t, tok, kek)
	for range 20 {
		device.LoseSession()
		opens(t, tok, kek, wrapped, dek)
	}
}

func TestLostLoginNeedsAnotherWorker(t *testing.T) {
	for name, lose := range map[string]func(*fakecki.Token){
		"a logout":                (*fakecki.Token).Logout,
		"the end of all sessions": (*fakecki.Token).ForgetSessions,
	} {
		t.Run(name, func(t *testing.T) {
			tok, device := fake(t, fakecki.Behaviour{})
			kek := generate(t, tok, key.A256GCM)
			wrapped, dek := wrap(t, tok, kek)
			lose(device)
			if _, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here")); ckr.ClassOf(err) != ckr.Login {
				t.Errorf("Unwrap = %v of class %v", err, ckr.ClassOf(err))
			}
			if st, err := tok.Status(t.Context()); err != nil || st.Usable() {
				t.Errorf("Status = %+v, %v", st, err)
			}
			opens(t, load(t, device, nil), kek, wrapped, dek)
		})
	}
}

func TestNewHandlesAreFound(t *testing.T) {
	for _, stale := range []ckr.Code{0x82, 0x60} {
		tok, device := fake(t, fakecki.Behaviour{StaleHandle: stale})
		for _, f := range []key.Format{key.A256GCM, key.A256CBCHS256} {
			kek := generate(t, tok, f)
			wrapped, dek := wrap(t, tok, kek)
			device.Renumber()
			opens(t, tok, kek, wrapped, dek)
		}
	}
}

func TestRemovedKeyIsMissingAndItsNeighbourIsNot(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{})
	kek, other := generate(t, tok, key.A256GCM), generate(t, tok, key.A256GCM)
	wrapped, _ := wrap(t, tok, kek)
	theirs, dek := wrap(t, tok, other)
	device.Remove(kek.ID[:])
	for range 3 {
		if _, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here")); !missing(err) {
			t.Errorf("Unwrap = %v of class %v", err, ckr.ClassOf(err))
		}
	}
	if got, err := tok.Check(t.Context(), kek); got != key.Missing || err != nil {
		t.Errorf("Check = %v, %v", got, err)
	}
	opens(t, tok, other, theirs, dek)
}

// A key that was here and is the only one known may be gone, or the token's
// store may be: a new process can tell.
func TestOnlyKEKVanishes(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{})
	kek := generate(t, tok, key.A256GCM)
	wrapped, _ := wrap(t, tok, kek)
	device.Remove(kek.ID[:])
	if _, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here")); ckr.ClassOf(err) != ckr.Module {
		t.Errorf("Unwrap = %v of class %v", err, ckr.ClassOf(err))
	}
	next := load(t, device, nil)
	if _, err := next.Unwrap(t.Context(), kek, wrapped, []byte("here")); !missing(err) {
		t.Errorf("in the next process: %v of class %v", err, ckr.ClassOf(err))
	}
}

func TestTokenThatWentAwayIsNotTakenForLostKeys(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{})
	kek, other := generate(t, tok, key.A256GCM), generate(t, tok, key.A256GCM)
	wrapped, dek := wrap(t, tok, kek)
	wrap(t, tok, other)
	device.Unplug()
	for _, when := range []string{"while it is away", "once it is back"} {
		if _, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here")); ckr.ClassOf(err) != ckr.Module {
			t.Errorf("%s: %v of class %v", when, err, ckr.ClassOf(err))
		}
		if err := tok.Destroy(t.Context(), kek); ckr.ClassOf(err) != ckr.Module || err == nil {
			t.Errorf("%s: Destroy = %v", when, err)
		}
		if got, err := tok.Check(t.Context(), kek); got != key.CheckUnknown || ckr.ClassOf(err) != ckr.Module {
			t.Errorf("%s: Check = %v, %v", when, got, err)
		}
		device.Replug()
	}
	opens(t, load(t, device, nil), kek, wrapped, dek)
}

func TestTwins(t *testing.T) {
	t.Run("the same key twice is used", func(t *testing.T) {
		tok, device := fake(t, fakecki.Behaviour{})
		kek := generate(t, tok, key.A256GCM)
		wrapped, dek := wrap(t, tok, kek)
		device.Twin(kek.ID[:], true)
		opens(t, load(t, device, nil), kek, wrapped, dek)
	})
	for name, b := range map[string]fakecki.Behaviour{
		"two keys of one ID are refused":     {},
		"so are two that nobody can compare": {NoCheckValue: true},
	} {
		t.Run(name, func(t *testing.T) {
			tok, device := fake(t, b)
			kek := generate(t, tok, key.A256GCM)
			wrapped, _ := wrap(t, tok, kek)
			device.Twin(kek.ID[:], b.NoCheckValue)
			if _, err := load(t, device, nil).Unwrap(t.Context(), kek, wrapped, []byte("here")); ckr.ClassOf(err) != ckr.Capability {
				t.Errorf("Unwrap = %v of class %v", err, ckr.ClassOf(err))
			}
			if err := tok.Destroy(t.Context(), kek); err != nil || device.Keys() != 0 {
				t.Errorf("Destroy = %v, %d objects left", err, device.Keys())
			}
		})
	}
}

func TestFailuresLeakNoSessions(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{BadTag: ckr.GeneralError})
	kek := generate(t, tok, key.A256GCM)
	wrapped, dek := wrap(t, tok, kek)
	opens(t, tok, kek, wrapped, dek)
	failing := []struct {
		call string
		code ckr.Code
	}{{"", 0}, {"C_Decrypt", 0x40}, {"C_DecryptInit", 0xB3}, {"C_DecryptInit", 0x82}, {"C_Decrypt", 0x30}, {"C_OpenSession", 0x30}, {"C_CloseSession", 0x30}}
	limit := 1 + tok.Info().Sessions
	for i := range 10_000 {
		f := failing[i%len(failing)]
		if f.call != "" {
			device.Fail(f.call, f.code, 1)
		}
		if _, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("there")); err == nil {
			t.Fatal("opened in another place")
		}
		device.Behave()
	}
	// A session that the token refused to close is the token's, not ours.
	if n := device.Sessions(); n > limit+10_000/len(failing) {
		t.Errorf("%d sessions open, the pool and the anchor are %d", n, limit)
	}
	opens(t, tok, kek, wrapped, dek)
}

func TestSessionsRunOut(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{})
	kek := generate(t, tok, key.A256GCM)
	wrapped, dek := wrap(t, tok, kek)
	device.MaxSessions = device.Sessions() // no room for another one
	device.LoseSession()
	device.MaxSessions = 2 // the anchor and one more
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			_, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here"))
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Errorf("Unwrap: %v", err)
		}
	}
	device.LoseSession()
	device.MaxSessions = 1
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := tok.Unwrap(ctx, kek, wrapped, []byte("here")); ckr.ClassOf(err) != ckr.Busy {
		t.Errorf("without any session: %v of class %v", err, ckr.ClassOf(err))
	}
	device.MaxSessions = 2
	opens(t, tok, kek, wrapped, dek)
}

func TestWaitingForASessionEndsWithTheContext(t *testing.T) {
	device := fakecki.New(fakecki.Behaviour{})
	tok := load(t, device, func(c *worker.Config) { c.Sessions = 1 })
	kek := generate(t, tok, key.A256GCM)
	wrapped, dek := wrap(t, tok, kek)
	before := device.Calls("C_DecryptInit")
	release := device.Hang("C_Decrypt")
	defer release()
	hung := make(chan error, 1)
	go func() {
		_, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here"))
		hung <- err
	}()
	for device.Calls("C_DecryptInit") == before {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := tok.Unwrap(ctx, kek, wrapped, []byte("here")); ckr.ClassOf(err) != ckr.Busy {
		t.Errorf("Unwrap = %v of class %v", err, ckr.ClassOf(err))
	}
	release()
	if err := <-hung; err != nil {
		t.Errorf("the call that hung: %v", err)
	}
	opens(t, tok, kek, wrapped, dek)
}
