package keypair

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/sensitive"
)

func TestPairsAreWhatWasAskedFor(t *testing.T) {
	for _, tc := range []struct {
		algorithm string
		bits      int
	}{{"rsa", 1024}, {"rsa", 2048}, {"rsa", 3072}, {"ec", 256}, {"ec", 384}, {"ec", 521}} {
		t.Run(fmt.Sprint(tc.algorithm, tc.bits), func(t *testing.T) {
			t.Parallel()
			pair, err := NewMaker(1).Make(t.Context(), tc.algorithm, tc.bits, sensitive.Bytes{})
			if err != nil {
				t.Fatal(err)
			}
			private, rest := pem.Decode(pair.Private.Reveal())
			if private == nil || private.Type != "PRIVATE KEY" || len(rest) != 0 {
				t.Fatal("the private key is not one PEM block of PKCS#8")
			}
			key, err := x509.ParsePKCS8PrivateKey(private.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			public, rest := pem.Decode(pair.Public)
			if public == nil || public.Type != "PUBLIC KEY" || len(rest) != 0 {
				t.Fatal("the public key is not one PEM block of SubjectPublicKeyInfo")
			}
			half, err := x509.ParsePKIXPublicKey(public.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			switch key := key.(type) {
			case *rsa.PrivateKey:
				if tc.algorithm != "rsa" || key.N.BitLen() != tc.bits || key.E != 65537 || !key.PublicKey.Equal(half) {
					t.Errorf("RSA key of %d bits and exponent %d", key.N.BitLen(), key.E)
				}
			case *ecdsa.PrivateKey:
				if tc.algorithm != "ec" || key.Curve.Params().BitSize != tc.bits || !key.PublicKey.Equal(half) {
					t.Errorf("EC key of %d bits", key.Curve.Params().BitSize)
				}
			}
		})
	}
}

// OpenSSL is another program than the one that wrote it.
func TestEncryptedKeyOpensWithThePassphrase(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil && os.Getenv("REQUIRE_CLIENTS") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pair, err := NewMaker(1).Make(t.Context(), "rsa", 2048, sensitive.Take([]byte("correct horse €")))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(file, pair.Private.Reveal(), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(passphrase string) (string, error) {
		name := filepath.Join(dir, "passphrase")
		if err := os.WriteFile(name, []byte(passphrase), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), openssl, "pkey", "-in", file, "-passin", "file:"+name, "-pubout").Output()
		return string(out), err
	}
	public, err := open("correct horse €")
	if err != nil || public != string(pair.Public) {
		t.Errorf("OpenSSL does not find the public key in the private one: %v", err)
	}
	if _, err := open("wrong horse"); err == nil {
		t.Error("another passphrase opens it, too")
	}
	if _, err := open(""); err == nil {
		t.Error("it opens without a passphrase")
	}
}

// Every length of plaintext is padded, and no two encryptions are alike.
func TestEncryptionsDiffer(t *testing.T) {
	a, err := encrypt(make([]byte, 32), sensitive.Take([]byte("p")))
	if err != nil {
		t.Fatal(err)
	}
	b, err := encrypt(make([]byte, 32), sensitive.Take([]byte("p")))
	if err != nil {
		t.Fatal(err)
	}
	if string(a) == string(b) {
		t.Error("salt and IV repeat")
	}
	if len(a) < 48 {
		t.Errorf("%d bytes: 32 bytes of plaintext make three blocks", len(a))
	}
}

func TestWhoWaitsMayLeave(t *testing.T) {
	m := NewMaker(1)
	m.turns <- struct{}{} // somebody is at it
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := m.Make(ctx, "ec", 256, sensitive.Bytes{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for a turn: %v", err)
	}
	<-m.turns
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := m.Make(ctx, "rsa", 4096, sensitive.Bytes{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("in the middle of it: %v", err)
	}
	if len(m.turns) != 1 {
		t.Error("the turn ended before the work did")
	}
}

func TestUnknownPairsAreRefused(t *testing.T) {
	for _, algorithm := range []string{"dsa", "ec", ""} {
		if _, err := NewMaker(1).Make(t.Context(), algorithm, 1024, sensitive.Bytes{}); err == nil {
			t.Errorf("%q of 1024 bits was made", algorithm)
		}
	}
}
