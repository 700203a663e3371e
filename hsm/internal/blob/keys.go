package blob

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/strongroom-kms/strongroom/hsm/key"
)

// Keys is a KEK whose value is known: the formats in Go, to hold a token's
// output against and for a token made of memory. No KEK of the product is ever
// one of these.
type Keys struct {
	Enc [32]byte
	MAC [32]byte // format 2 alone
}

// Wrap encrypts a DEK as a token does.
func (k *Keys) Wrap(f key.Format, dek, aad []byte) ([]byte, error) {
	if len(dek) != DEKBytes {
		return nil, fmt.Errorf("a DEK has %d bytes, not %d", DEKBytes, len(dek))
	}
	block, err := aes.NewCipher(k.Enc[:])
	if err != nil {
		return nil, err
	}
	w := Wrapped{Format: f}
	switch f {
	case key.A256GCM:
		w.IV = make([]byte, 12)
	case key.A256CBCHS256:
		w.IV = make([]byte, 16)
	default:
		return nil, errors.New("format " + f.String())
	}
	if _, err := rand.Read(w.IV); err != nil {
		return nil, err
	}
	if f == key.A256GCM {
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		w.Body = gcm.Seal(nil, w.IV, dek, GCMAAD(aad))
		return w.Marshal(), nil
	}
	ct := append(append(make([]byte, 0, CBCBytes), dek...), padding[:]...)
	cipher.NewCBCEncrypter(block, w.IV).CryptBlocks(ct, ct)
	w.Body = append(ct, k.sum(w.IV, aad, ct)...)
	return w.Marshal(), nil
}

// padding is PKCS#7 for a text that fills its last block: a block of sixteens.
var padding = [16]byte{16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16}

// Open opens what Wrap, or a token, has encrypted.
func (k *Keys) Open(w Wrapped, aad []byte) (dek []byte, ok bool) {
	block, err := aes.NewCipher(k.Enc[:])
	if err != nil {
		return nil, false
	}
	if w.Format == key.A256GCM {
		gcm, err := cipher.NewGCMWithNonceSize(block, len(w.IV))
		if err != nil {
			return nil, false
		}
		dek, err := gcm.Open(nil, w.IV, w.Body, GCMAAD(aad))
		return dek, err == nil
	}
	ct, mac := w.Split()
	if !hmac.Equal(k.sum(w.IV, aad, ct), mac) {
		return nil, false
	}
	text := make([]byte, len(ct))
	cipher.NewCBCDecrypter(block, w.IV).CryptBlocks(text, ct)
	if [16]byte(text[DEKBytes:]) != padding {
		return nil, false
	}
	return text[:DEKBytes], true
}

func (k *Keys) sum(iv, aad, ct []byte) []byte {
	h := hmac.New(sha256.New, k.MAC[:])
	h.Write(MACInput(iv, aad, ct))
	return h.Sum(nil)
}

// CanaryText is what a canary wraps: 32 bytes like a DEK, and no secret. It is
// the same for all KEKs.
func CanaryText() []byte {
	text := make([]byte, DEKBytes)
	copy(text, "strongroom canary v1")
	return text
}
