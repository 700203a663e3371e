package worker_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
	"github.com/strongroom-kms/strongroom/hsm/worker/fakecki"
)

func pinFile(tb testing.TB, pin string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "pin")
	if err := os.WriteFile(file, []byte(pin+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

func fakeConfig(tb testing.TB) worker.Config {
	tb.Helper()
	return worker.Config{
		Token:    worker.TokenMatch{Label: "fake"},
		PIN:      worker.PINSource{File: pinFile(tb, fakecki.PIN)},
		Sessions: 4,
	}
}

// load is what a new worker process does with the device.
func load(tb testing.TB, device *fakecki.Token, change func(*worker.Config)) *worker.Token {
	tb.Helper()
	cfg := fakeConfig(tb)
	if change != nil {
		change(&cfg)
	}
	tok, err := worker.OpenOn(tb.Context(), cfg, device.Load())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		device.Behave()
		if err := tok.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return tok
}

func fake(tb testing.TB, b fakecki.Behaviour) (*worker.Token, *fakecki.Token) {
	tb.Helper()
	device := fakecki.New(b)
	return load(tb, device, nil), device
}

func TestTokenOverFake(t *testing.T) {
	for _, tc := range []struct {
		name string
		iv   worker.IVConvention
		b    fakecki.Behaviour
	}{
		{"a good token", worker.IVCaller, fakecki.Behaviour{}},
		{"one that writes its IV back", worker.IVWriteback, fakecki.Behaviour{WritesIV: true}},
		{"one that appends 12 bytes of IV", worker.IVAppended, fakecki.Behaviour{AppendsIV: 12}},
		{"one that appends 16 bytes of IV", worker.IVAppended, fakecki.Behaviour{AppendsIV: 16}},
		{"one that says GENERAL_ERROR to tampering", worker.IVCaller, fakecki.Behaviour{BadTag: ckr.GeneralError}},
		{"one that says KEY_HANDLE_INVALID", worker.IVCaller, fakecki.Behaviour{StaleHandle: 0x60}},
		{"one that keeps failed operations active", worker.IVCaller, fakecki.Behaviour{Sticky: true, BadTag: ckr.GeneralError}},
		{"one with a handful of sessions", worker.IVCaller, fakecki.Behaviour{MaxSessions: 5}},
		{"one with a small template", worker.IVCaller, fakecki.Behaviour{
			Refuses: []cryptoki.AttributeType{cryptoki.AllowedMechanisms, cryptoki.Copyable, cryptoki.Modifiable}}},
		{"one without session keys, imports and check values", worker.IVCaller, fakecki.Behaviour{
			NoSessionKey: true, NoImport: true, NoCheckValue: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			device := fakecki.New(tc.b)
			tok := load(t, device, func(c *worker.Config) { c.GCMIV = tc.iv })
			opt := options
			opt.Quick = true
			hsmtest.Run(t, opt, func(*testing.T) hsmtest.Token { return tok })
			if n := device.Keys(); n != 0 {
				t.Errorf("%d objects left in the token", n)
			}
		})
	}
}

func generate(tb testing.TB, tok *worker.Token, f key.Format) key.Ref {
	tb.Helper()
	made, err := tok.Generate(tb.Context(), key.Spec{ID: hsmtest.NewID(tb), Label: "test", Format: f, CanaryAAD: []byte("canary")})
	if err != nil {
		tb.Fatalf("Generate: %v", err)
	}
	return made.Ref
}

func wrap(tb testing.TB, tok *worker.Token, kek key.Ref) (wrapped, dek []byte) {
	tb.Helper()
	secret, dek := hsmtest.NewDEK(tb)
	wrapped, err := tok.Wrap(tb.Context(), kek, secret, []byte("here"))
	if err != nil {
		tb.Fatalf("Wrap: %v", err)
	}
	return wrapped, dek
}

// opens fails the test unless wrapped opens to dek.
func opens(tb testing.TB, tok *worker.Token, kek key.Ref, wrapped, dek []byte) {
	tb.Helper()
	got, err := tok.Unwrap(tb.Context(), kek, wrapped, []byte("here"))
	if err != nil || !bytes.Equal(got.Reveal(), dek) {
		tb.Errorf("Unwrap: %v", err)
	}
}
