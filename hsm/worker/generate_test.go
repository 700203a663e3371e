package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
	"github.com/strongroom-kms/strongroom/hsm/worker/fakecki"
)

func spec(tb testing.TB, f key.Format) key.Spec {
	tb.Helper()
	return key.Spec{ID: hsmtest.NewID(tb), Label: "test", Format: f, CanaryAAD: []byte("canary")}
}

// A generation that fails half way leaves nothing behind, and one more try is
// made where that may help.
func TestFailedGenerationLeavesNoOrphan(t *testing.T) {
	for _, tc := range []struct {
		name string
		call string
		nth  int
		code ckr.Code
		want ckr.Class // when the code comes once; works: settled inside
	}{
		{"no key", "C_GenerateKey", 1, ckr.GeneralError, works},
		{"no MAC key", "C_GenerateKey", 2, ckr.GeneralError, works},
		{"a race with another process", "C_GenerateKey", 1, ckr.TemplateInconsistent, works},
		{"a lost session", "C_GenerateKey", 1, ckr.SessionHandleInvalid, works},
		{"attributes that cannot be read", "C_GetAttributeValue", 1, ckr.GeneralError, works},
		{"a canary that cannot be wrapped", "C_Encrypt", 1, ckr.GeneralError, works},
		{"a canary that does not open", "C_Decrypt", 1, ckr.EncryptedDataInvalid, ckr.Data},
		{"a dead module", "C_GenerateKey", 2, ckr.DeviceError, ckr.Module},
		{"a lost login", "C_GenerateKey", 2, ckr.UserNotLoggedIn, ckr.Login},
		{"a full token", "C_GenerateKey", 2, 0x31, ckr.Busy},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tok, device := fake(t, fakecki.Behaviour{})
			device.FailNth(tc.call, tc.nth, tc.code)
			_, err := tok.Generate(t.Context(), spec(t, key.A256CBCHS256))
			objects := 0
			if tc.want == works {
				objects = 2
				if err != nil {
					t.Errorf("Generate: %v", err)
				}
			} else if err == nil || ckr.ClassOf(err) != tc.want {
				t.Errorf("Generate = %v of class %v, want %v", err, ckr.ClassOf(err), tc.want)
			}
			if n := device.Keys(); n != objects {
				t.Errorf("%d objects in the token, want %d", n, objects)
			}
		})
	}
}

// A token that serves its keys and makes no new one is full or read-only; a
// token that does neither is ill.
func TestTokenThatMakesNoKeys(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{})
	device.Fail("C_GenerateKey", ckr.GeneralError, forever)
	if _, err := tok.Generate(t.Context(), spec(t, key.A256GCM)); ckr.ClassOf(err) != ckr.Module {
		t.Errorf("with nothing to judge by: %v of class %v", err, ckr.ClassOf(err))
	}
	device.Behave()
	kek := generate(t, tok, key.A256GCM)
	wrapped, dek := wrap(t, tok, kek)
	device.Fail("C_GenerateKey", ckr.GeneralError, forever)
	if _, err := tok.Generate(t.Context(), spec(t, key.A256GCM)); ckr.ClassOf(err) != ckr.Capability {
		t.Errorf("beside a KEK that works: %v of class %v", err, ckr.ClassOf(err))
	}
	opens(t, tok, kek, wrapped, dek)
}

// Whoever asks a second time may be about to overwrite a key in use.
func TestGenerateNeverReplacesAKey(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{})
	s := spec(t, key.A256GCM)
	if _, err := tok.Generate(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Generate(t.Context(), s); ckr.ClassOf(err) != ckr.Capability {
		t.Errorf("Generate = %v of class %v", err, ckr.ClassOf(err))
	}
	if n := device.Keys(); n != 1 {
		t.Errorf("%d objects in the token", n)
	}
}

func TestGenerateWantsAWholeSpec(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{})
	good := spec(t, key.A256GCM)
	for name, change := range map[string]func(*key.Spec){
		"no ID":            func(s *key.Spec) { s.ID = key.ID{} },
		"no canary AAD":    func(s *key.Spec) { s.CanaryAAD = nil },
		"a format unknown": func(s *key.Spec) { s.Format = 17 },
	} {
		s := good
		change(&s)
		if _, err := tok.Generate(t.Context(), s); ckr.ClassOf(err) != ckr.Capability || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := device.Keys(); n != 0 {
		t.Errorf("%d objects in the token", n)
	}
}

// What a token takes is asked for, what it does not take is left out, and what
// it takes and does not keep is noticed.
func TestTemplateLadder(t *testing.T) {
	for _, tc := range []struct {
		name    string
		refuses []cryptoki.AttributeType
		has     []cryptoki.AttributeType
	}{
		{"takes all", nil, []cryptoki.AttributeType{cryptoki.Modifiable, cryptoki.Copyable, cryptoki.AllowedMechanisms}},
		{"takes no list of mechanisms", []cryptoki.AttributeType{cryptoki.AllowedMechanisms}, []cryptoki.AttributeType{cryptoki.Modifiable, cryptoki.Copyable}},
		{"does not know COPYABLE", []cryptoki.AttributeType{cryptoki.Copyable}, []cryptoki.AttributeType{cryptoki.Modifiable}},
		{"does not know MODIFIABLE", []cryptoki.AttributeType{cryptoki.Modifiable}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			device := fakecki.New(fakecki.Behaviour{Refuses: tc.refuses})
			tok := load(t, device, nil)
			kek := generate(t, tok, key.A256GCM)
			got := device.AttributesOf(kek.ID[:])
			for _, a := range []cryptoki.AttributeType{cryptoki.Modifiable, cryptoki.Copyable, cryptoki.AllowedMechanisms} {
				_, ok := got[a]
				want := false
				for _, h := range tc.has {
					want = want || h == a
				}
				if ok != want {
					t.Errorf("attribute 0x%X: %v, want %v", uint(a), ok, want)
				}
			}
		})
	}
}

func TestEveryAttributeIsSpelledOut(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{})
	kek := generate(t, tok, key.A256CBCHS256)
	yes, no := []byte{1}, []byte{0}
	got := device.AttributesOf(kek.ID[:])
	for a, want := range map[cryptoki.AttributeType][]byte{
		cryptoki.OnToken: yes, cryptoki.Private: yes, cryptoki.Sensitive: yes, cryptoki.Extractable: no,
		cryptoki.MayEncrypt: yes, cryptoki.MayDecrypt: yes, cryptoki.MayWrap: no, cryptoki.MayUnwrap: no,
		cryptoki.MaySign: no, cryptoki.MayVerify: no, cryptoki.MayDerive: no,
		cryptoki.Modifiable: no, cryptoki.Copyable: no,
		cryptoki.AllowedMechanisms: cryptoki.UlongBytes(uint(cryptoki.AESCBCPad)),
		cryptoki.ValueLen:          cryptoki.UlongBytes(32), cryptoki.ID: kek.ID[:],
	} {
		if string(got[a]) != string(want) {
			t.Errorf("attribute 0x%X = %x, want %x", uint(a), got[a], want)
		}
	}
}

// A token that quietly drops an attribute which decides what a key may do is
// refused at the self-test, before any KEK is made.
func TestTokenThatForgetsAttributesIsRefused(t *testing.T) {
	for _, a := range []cryptoki.AttributeType{
		cryptoki.Sensitive, cryptoki.Extractable, cryptoki.Private, cryptoki.MayWrap, cryptoki.MayDerive,
	} {
		device := fakecki.New(fakecki.Behaviour{Ignores: []cryptoki.AttributeType{a}})
		if err := refused(t, device, nil); ckr.ClassOf(err) != ckr.Capability {
			t.Errorf("without attribute 0x%X: %v", uint(a), err)
		}
	}
	device := fakecki.New(fakecki.Behaviour{SaysImported: true})
	if err := refused(t, device, nil); ckr.ClassOf(err) != ckr.Capability {
		t.Errorf("keys that were not made inside: %v", err)
	}
}

func TestTokenThatForgetsAnOptionalAttributeIsNoted(t *testing.T) {
	device := fakecki.New(fakecki.Behaviour{Ignores: []cryptoki.AttributeType{cryptoki.AllowedMechanisms}})
	if w := load(t, device, nil).Warnings(); len(w) != 1 {
		t.Errorf("warnings: %q", w)
	}
}

func TestDestroyTakesBothObjects(t *testing.T) {
	tok, device := fake(t, fakecki.Behaviour{})
	kek, other := generate(t, tok, key.A256CBCHS256), generate(t, tok, key.A256GCM)
	wrapped, dek := wrap(t, tok, other)
	device.Fail("C_DestroyObject", ckr.GeneralError, 1)
	if err := tok.Destroy(t.Context(), kek); err != nil {
		t.Errorf("Destroy: %v", err)
	}
	if n := device.Keys(); n != 1 {
		t.Errorf("%d objects left, want the other KEK's", n)
	}
	device.Fail("C_DestroyObject", ckr.GeneralError, forever)
	if err := tok.Destroy(t.Context(), other); ckr.ClassOf(err) != ckr.Module || err == nil {
		t.Errorf("a destruction that did not happen: %v", err)
	}
	device.Behave()
	opens(t, tok, other, wrapped, dek)
	device.Fail("C_DestroyObject", 0x1B, forever)
	if err := tok.Destroy(t.Context(), other); ckr.ClassOf(err) != ckr.Capability || err == nil {
		t.Errorf("a key that may not be destroyed: %v", err)
	}
}

// A key that takes long to make holds nobody up beyond his deadline, and
// nobody at all whose key is in use already.
func TestSlowGenerationEndsNobodyElse(t *testing.T) {
	device := fakecki.New(fakecki.Behaviour{})
	first := load(t, device, nil)
	inUse := generate(t, first, key.A256GCM)
	wrapped, dek := wrap(t, first, inUse)
	fresh := generate(t, first, key.A256GCM)
	wrappedFresh, dekFresh := wrap(t, first, fresh)

	tok := load(t, device, nil)
	opens(t, tok, inUse, wrapped, dek)
	release := device.Hang("C_GenerateKey")
	defer release()
	before := device.Calls("C_GenerateKey")
	made := make(chan error, 1)
	go func() {
		_, err := tok.Generate(t.Context(), spec(t, key.Auto))
		made <- err
	}()
	for device.Calls("C_GenerateKey") == before {
		time.Sleep(time.Millisecond)
	}
	opens(t, tok, inUse, wrapped, dek)
	for name, ask := range map[string]func(context.Context) error{
		"Unwrap": func(ctx context.Context) error {
			_, err := tok.Unwrap(ctx, fresh, wrappedFresh, []byte("here"))
			return err
		},
		"Destroy": func(ctx context.Context) error { return tok.Destroy(ctx, fresh) },
		"List":    func(ctx context.Context) error { _, err := tok.List(ctx); return err },
		"Generate": func(ctx context.Context) error {
			_, err := tok.Generate(ctx, spec(t, key.Auto))
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		if err := ask(ctx); ckr.ClassOf(err) != ckr.Busy || time.Since(began) > time.Second {
			t.Errorf("%s = %v after %v", name, err, time.Since(began))
		}
		cancel()
	}
	release()
	if err := <-made; err != nil {
		t.Errorf("the slow one: %v", err)
	}
	opens(t, tok, fresh, wrappedFresh, dekFresh)
}
