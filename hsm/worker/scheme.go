package worker

import (
	"crypto/rand"

	"github.com/strongroom-kms/strongroom/hsm/internal/blob"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// handles are the objects of one KEK.
type handles struct {
	enc cryptoki.Object
	mac cryptoki.Object // format 2 alone
}

// encrypt wraps dek in format f, in one session.
func (t *Token) encrypt(s cryptoki.Session, f key.Format, h handles, dek, aad []byte) (blob.Wrapped, error) {
	switch f {
	case key.A256GCM:
		return t.encryptGCM(s, h, dek, aad)
	case key.A256CBCHS256:
		return t.encryptCBC(s, h, dek, aad)
	}
	return blob.Wrapped{}, errFormat
}

// decrypt opens what encrypt made.
func (t *Token) decrypt(s cryptoki.Session, w blob.Wrapped, h handles, aad []byte) ([]byte, error) {
	var dek []byte
	var err error
	switch w.Format {
	case key.A256GCM:
		dek, err = t.m.Decrypt(s, cryptoki.Mechanism{Type: cryptoki.AESGCM, IV: w.IV, AAD: blob.GCMAAD(aad)}, h.enc, w.Body)
	case key.A256CBCHS256:
		dek, err = t.decryptCBC(s, w, h, aad)
	default:
		err = errFormat
	}
	if err == nil && len(dek) != blob.DEKBytes {
		clear(dek)
		return nil, ckr.Found(ckr.Data, "what was wrapped is not a DEK")
	}
	return dek, err
}

var errFormat = ckr.Found(ckr.Capability, "KEK of a format this worker does not know")

func (t *Token) encryptGCM(s cryptoki.Session, h handles, dek, aad []byte) (blob.Wrapped, error) {
	offered, err := t.ivs.offer()
	if err != nil {
		return blob.Wrapped{}, errRandom
	}
	out, left, err := t.m.Encrypt(s, cryptoki.Mechanism{Type: cryptoki.AESGCM, IV: offered, AAD: blob.GCMAAD(aad)}, h.enc, dek)
	if err != nil {
		return blob.Wrapped{}, err
	}
	iv, body, err := t.ivs.take(offered, left, out)
	return blob.Wrapped{Format: key.A256GCM, IV: iv, Body: body}, err
}

var errRandom = ckr.Found(ckr.Module, "no random numbers")

// encryptCBC encrypts, then authenticates everything that goes into the blob
// and the associated data.
func (t *Token) encryptCBC(s cryptoki.Session, h handles, dek, aad []byte) (blob.Wrapped, error) {
	iv := make([]byte, 16) // CBC needs an IV that nobody can foresee, so it is random too
	if _, err := rand.Read(iv); err != nil {
		return blob.Wrapped{}, errRandom
	}
	ct, _, err := t.m.Encrypt(s, cryptoki.Mechanism{Type: cryptoki.AESCBCPad, IV: iv}, h.enc, dek)
	if err != nil {
		return blob.Wrapped{}, err
	}
	if len(ct) != blob.CBCBytes {
		return blob.Wrapped{}, ckr.Found(ckr.Capability, "token pads CBC in a way of its own")
	}
	mac, err := t.m.Sign(s, cryptoki.Mechanism{Type: cryptoki.SHA256HMAC}, h.mac, blob.MACInput(iv, aad, ct))
	if err != nil {
		return blob.Wrapped{}, err
	}
	if len(mac) != blob.MACBytes {
		return blob.Wrapped{}, ckr.Found(ckr.Capability, "token shortens its HMAC")
	}
	return blob.Wrapped{Format: key.A256CBCHS256, IV: iv, Body: append(ct, mac...)}, nil
}

// decryptCBC verifies first. CBC alone notices nothing: openCryptoki returned
// garbage without an error for a flipped last byte (pkcs11.md §4.2).
func (t *Token) decryptCBC(s cryptoki.Session, w blob.Wrapped, h handles, aad []byte) ([]byte, error) {
	ct, mac := w.Split()
	if err := t.m.Verify(s, cryptoki.Mechanism{Type: cryptoki.SHA256HMAC}, h.mac, blob.MACInput(w.IV, aad, ct), mac); err != nil {
		return nil, err
	}
	return t.m.Decrypt(s, cryptoki.Mechanism{Type: cryptoki.AESCBCPad, IV: w.IV}, h.enc, ct)
}
