// Package keypair makes the key pairs that orders ask for, in the forms that
// Barbican's clients read: PEM of PKCS#8, encrypted where there is a
// passphrase, and of SubjectPublicKeyInfo.
//
// The private key is made by Go's cryptography in the server's memory, because
// the caller is to have it: a token would have to let it out.
package keypair

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Maker makes key pairs, a few at a time: finding the primes of one RSA key
// takes a processor for seconds. It implements order.Pairs.
type Maker struct{ turns chan struct{} }

// NewMaker returns a Maker that works on so many pairs at once.
func NewMaker(atOnce int) *Maker { return &Maker{turns: make(chan struct{}, max(atOnce, 1))} }

// made is the outcome of one generation.
type made struct {
	pair order.Pair
	err  error
}

// Make makes one pair. Go's generators cannot be interrupted: where ctx ends
// first, Make returns, the pair is forgotten when it is there, and its turn
// ends only then.
func (m *Maker) Make(ctx context.Context, algorithm string, bits int, passphrase sensitive.Bytes) (order.Pair, error) {
	select {
	case m.turns <- struct{}{}:
	case <-ctx.Done():
		return order.Pair{}, fmt.Errorf("wait for a turn to make a key pair: %w", ctx.Err())
	}
	// A copy: the caller wipes its own when it leaves.
	secret := sensitive.Take(append([]byte(nil), passphrase.Reveal()...))
	done := make(chan made, 1)
	go func() {
		defer func() { <-m.turns }()
		defer secret.Wipe()
		pair, err := generate(algorithm, bits, secret)
		done <- made{pair, err}
	}()
	select {
	case r := <-done:
		return r.pair, r.err
	case <-ctx.Done():
		go func() { // whoever made it cannot know that nobody wants it
			r := <-done
			r.pair.Private.Wipe()
		}()
		return order.Pair{}, fmt.Errorf("make a key pair: %w", ctx.Err())
	}
}

func generate(algorithm string, bits int, passphrase sensitive.Bytes) (order.Pair, error) {
	key, err := newKey(algorithm, bits)
	if err != nil {
		return order.Pair{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return order.Pair{}, fmt.Errorf("encode public key: %w", err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return order.Pair{}, fmt.Errorf("encode private key: %w", err)
	}
	defer clear(plain)
	block := &pem.Block{Type: "PRIVATE KEY", Bytes: plain}
	if passphrase.Len() > 0 {
		block.Type = "ENCRYPTED PRIVATE KEY"
		if block.Bytes, err = encrypt(plain, passphrase); err != nil {
			return order.Pair{}, fmt.Errorf("encrypt private key: %w", err)
		}
	}
	return order.Pair{
		Private: sensitive.Take(pem.EncodeToMemory(block)),
		Public:  pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	}, nil
}

// newKey makes the private key; order has checked that there is such a one.
func newKey(algorithm string, bits int) (crypto.Signer, error) {
	switch algorithm {
	case "rsa":
		return rsa.GenerateKey(rand.Reader, bits) // exponent 65537
	case "ec":
		for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			if c.Params().BitSize == bits {
				return ecdsa.GenerateKey(c, rand.Reader)
			}
		}
	}
	return nil, errors.New("no such key pair")
}
