package worker_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/internal/blob"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
	"github.com/strongroom-kms/strongroom/softhsm"
	"github.com/strongroom-kms/strongroom/softhsm/softhsmtest"
)

// beside is another user of the module in this process: the login is shared,
// sessions and searches are not.
type beside struct {
	*pkcs11.Ctx
	s pkcs11.SessionHandle
}

func openBeside(t *testing.T, s softhsm.Token) beside {
	t.Helper()
	ctx := pkcs11.New(s.Module)
	if ctx == nil {
		t.Fatal("module does not load")
	}
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		info, err := ctx.GetTokenInfo(slot)
		if err != nil || info.SerialNumber != s.Serial {
			continue
		}
		sh, err := ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := ctx.CloseSession(sh); err != nil {
				t.Error(err)
			}
		})
		return beside{ctx, sh}
	}
	t.Fatal("the token is gone")
	return beside{}
}

func (b beside) find(t *testing.T, id key.ID) []pkcs11.ObjectHandle {
	t.Helper()
	if err := b.FindObjectsInit(b.s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ID, id[:])}); err != nil {
		t.Fatal(err)
	}
	found, _, err := b.FindObjects(b.s, 10)
	if err := errors.Join(err, b.FindObjectsFinal(b.s)); err != nil {
		t.Fatal(err)
	}
	return found
}

// importKey puts a key of known value into the token, as an operator might.
func (b beside) importKey(t *testing.T, id key.ID, keyType uint, value []byte, encrypts bool) {
	t.Helper()
	a := pkcs11.NewAttribute
	_, err := b.CreateObject(b.s, []*pkcs11.Attribute{
		a(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), a(pkcs11.CKA_KEY_TYPE, keyType), a(pkcs11.CKA_VALUE, value),
		a(pkcs11.CKA_ID, id[:]), a(pkcs11.CKA_TOKEN, true), a(pkcs11.CKA_PRIVATE, true),
		a(pkcs11.CKA_SENSITIVE, true), a(pkcs11.CKA_EXTRACTABLE, false),
		a(pkcs11.CKA_ENCRYPT, encrypts), a(pkcs11.CKA_DECRYPT, encrypts),
		a(pkcs11.CKA_SIGN, !encrypts), a(pkcs11.CKA_VERIFY, !encrypts),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Known answers in both directions: the token wraps and Go opens, Go wraps and
// the token opens, with a key whose value we know.
func TestSoftHSMAgreesWithGo(t *testing.T) {
	tok, s := soft(t, nil)
	b := openBeside(t, s)
	for _, f := range []key.Format{key.A256GCM, key.A256CBCHS256} {
		t.Run(f.String(), func(t *testing.T) {
			kek := key.Ref{ID: hsmtest.NewID(t), Format: f}
			var keys blob.Keys
			_, _ = rand.Read(keys.Enc[:])
			_, _ = rand.Read(keys.MAC[:])
			b.importKey(t, kek.ID, pkcs11.CKK_AES, keys.Enc[:], true)
			if f == key.A256CBCHS256 {
				b.importKey(t, kek.ID, pkcs11.CKK_GENERIC_SECRET, keys.MAC[:], false)
			}
			theirs, dek := wrap(t, tok, kek)
			w, err := blob.Parse(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := keys.Open(w, []byte("here")); !ok || !bytes.Equal(got, dek) {
				t.Error("Go does not open what the token wrapped")
			}
			ours, err := keys.Wrap(f, dek, []byte("here"))
			if err != nil {
				t.Fatal(err)
			}
			opens(t, tok, kek, ours, dek)
		})
	}
}

// What SoftHSM itself says of a KEK, asked by somebody else.
func TestKEKInSoftHSMGivesNothingAway(t *testing.T) {
	tok, s := soft(t, nil)
	b := openBeside(t, s)
	for _, f := range []key.Format{key.A256GCM, key.A256CBCHS256} {
		kek := generate(t, tok, f)
		found := b.find(t, kek.ID)
		if want := map[key.Format]int{key.A256GCM: 1, key.A256CBCHS256: 2}[f]; len(found) != want {
			t.Errorf("%v: %d objects, want %d", f, len(found), want)
		}
		for _, h := range found {
			for attr, want := range map[uint]byte{
				pkcs11.CKA_SENSITIVE: 1, pkcs11.CKA_ALWAYS_SENSITIVE: 1, pkcs11.CKA_EXTRACTABLE: 0, pkcs11.CKA_NEVER_EXTRACTABLE: 1,
				pkcs11.CKA_LOCAL: 1, pkcs11.CKA_PRIVATE: 1, pkcs11.CKA_TOKEN: 1, pkcs11.CKA_MODIFIABLE: 0, pkcs11.CKA_COPYABLE: 0,
				pkcs11.CKA_WRAP: 0, pkcs11.CKA_UNWRAP: 0, pkcs11.CKA_DERIVE: 0,
			} {
				got, err := b.GetAttributeValue(b.s, h, []*pkcs11.Attribute{{Type: attr}})
				if err != nil || !bytes.Equal(got[0].Value, []byte{want}) {
					t.Errorf("%v: attribute 0x%X is not %d: %v", f, attr, want, err)
				}
			}
			if _, err := b.GetAttributeValue(b.s, h, []*pkcs11.Attribute{{Type: pkcs11.CKA_VALUE}}); err == nil {
				t.Errorf("%v: the value is readable", f)
			}
			if err := b.SetAttributeValue(b.s, h, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_WRAP, true)}); err == nil {
				t.Errorf("%v: what the key may do can be changed", f)
			}
			// Without its tag, GCM is a stream cipher: flipping bits would be easy.
			ctr := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_CTR, append(cryptoki.UlongBytes(128), make([]byte, 16)...))}
			if err := b.DecryptInit(b.s, ctr, h); err == nil {
				t.Errorf("%v: the key decrypts in counter mode", f)
			}
		}
	}
}

func TestRemovedKEKInSoftHSM(t *testing.T) {
	tok, s := soft(t, nil)
	b := openBeside(t, s)
	kek, other := generate(t, tok, key.A256GCM), generate(t, tok, key.A256GCM)
	wrapped, _ := wrap(t, tok, kek)
	theirs, dek := wrap(t, tok, other)
	for _, h := range b.find(t, kek.ID) {
		if err := b.DestroyObject(b.s, h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here")); !missing(err) {
		t.Errorf("Unwrap = %v of class %v", err, ckr.ClassOf(err))
	}
	opens(t, tok, other, theirs, dek)
}

// Another key under the same ID, as after a restore gone wrong: a read that
// fails says nothing bad about the token.
func TestReplacedKEKInSoftHSM(t *testing.T) {
	tok, s := soft(t, nil)
	b := openBeside(t, s)
	kek := generate(t, tok, key.A256GCM)
	wrapped, _ := wrap(t, tok, kek)
	if err := tok.Destroy(t.Context(), kek); err != nil {
		t.Fatal(err)
	}
	b.importKey(t, kek.ID, pkcs11.CKK_AES, bytes.Repeat([]byte{7}, 32), true)
	if got, err := tok.Check(t.Context(), kek); got != key.WrongKey || err != nil {
		t.Errorf("Check = %v, %v", got, err)
	}
	if _, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here")); !damaged(err) {
		t.Errorf("Unwrap = %v of class %v", err, ckr.ClassOf(err))
	}
}

func TestLogoutInSoftHSM(t *testing.T) {
	tok, s := soft(t, nil)
	b := openBeside(t, s)
	kek := generate(t, tok, key.A256GCM)
	wrapped, _ := wrap(t, tok, kek)
	if err := b.Logout(b.s); err != nil {
		t.Fatal(err)
	}
	if _, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here")); ckr.ClassOf(err) != ckr.Login {
		t.Errorf("Unwrap = %v of class %v", err, ckr.ClassOf(err))
	}
}

// SoftHSM whose folder went away says that the handle is wrong and that the key
// is not there. Neither is true, and it goes on when the folder is back, so
// this process has to end.
func TestSoftHSMFolderMovedAway(t *testing.T) {
	tok, s := soft(t, nil)
	kek, other := generate(t, tok, key.A256GCM), generate(t, tok, key.A256GCM)
	wrapped, _ := wrap(t, tok, kek)
	wrap(t, tok, other)
	tokens := filepath.Join(filepath.Dir(s.Conf), "tokens")
	if err := os.Rename(tokens, tokens+".away"); err != nil {
		t.Fatal(err)
	}
	_, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("here"))
	if ckr.ClassOf(err) != ckr.Module || err == nil {
		t.Errorf("while away: %v of class %v", err, ckr.ClassOf(err))
	}
	if err := os.Rename(tokens+".away", tokens); err != nil {
		t.Fatal(err)
	}
	_, err = tok.Unwrap(t.Context(), kek, wrapped, []byte("here"))
	if ckr.ClassOf(err) != ckr.Module || err == nil {
		t.Errorf("once back: %v of class %v", err, ckr.ClassOf(err))
	}
}

func TestSoftHSMTokenIsOpenedAgain(t *testing.T) {
	s := softhsmtest.Provision(t)
	var kek key.Ref
	var wrapped, dek []byte
	t.Run("first", func(t *testing.T) {
		tok := openSoft(t, s, nil)
		kek = generate(t, tok, key.A256CBCHS256)
		wrapped, dek = wrap(t, tok, kek)
	})
	t.Run("again", func(t *testing.T) {
		tok := openSoft(t, s, nil)
		opens(t, tok, kek, wrapped, dek)
		ids, err := tok.List(t.Context())
		if err != nil || len(ids) != 1 || ids[0] != kek.ID {
			t.Errorf("List = %v, %v", ids, err)
		}
	})
}

func TestWrongPINOnSoftHSM(t *testing.T) {
	s := softhsmtest.Provision(t)
	takeTurn(t, s)
	cfg := softConfig(s)
	cfg.PIN.File = pinFile(t, "not the PIN")
	if tok, err := worker.Open(t.Context(), cfg); !worker.PINRejected(err) {
		t.Errorf("Open = %v, %v", tok, err)
	}
	cfg.PIN.File = s.PINFile
	cfg.Token.Serial = strings.Repeat("0", 16)
	if tok, err := worker.Open(t.Context(), cfg); err == nil || worker.PINRejected(err) {
		t.Errorf("another serial: Open = %v, %v", tok, err)
	}
}

// Tampered rows must cost no memory: somebody may have millions of them. The
// binding's own C_Decrypt loses 64 bytes each time, 0.9 MB in each round here.
// Other things grow once in a while, so the quietest round counts.
func TestTamperingCostsNoMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	tok, _ := soft(t, nil)
	kek := generate(t, tok, key.A256GCM)
	wrapped, dek := wrap(t, tok, kek)
	least := math.MaxInt
	for range 4 {
		before := residentKiB(t)
		for range 15_000 {
			if _, err := tok.Unwrap(t.Context(), kek, wrapped, []byte("there")); !damaged(err) {
				t.Fatalf("Unwrap = %v", err)
			}
		}
		least = min(least, residentKiB(t)-before)
	}
	if least > 500 {
		t.Errorf("each 15,000 tampered reads cost %d KiB or more", least)
	}
	opens(t, tok, kek, wrapped, dek)
}

func residentKiB(t *testing.T) (n int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			if _, err := fmt.Sscanf(rest, "%d kB", &n); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}
