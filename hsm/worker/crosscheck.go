package worker

import (
	"bytes"
	"context"
	"crypto/rand"

	"github.com/strongroom-kms/strongroom/hsm/internal/blob"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// crossCheck imports a key of known value, wraps in the token and opens here,
// with Go's own implementation of the format: so the token's algorithm is the
// published one, and a blob can be opened elsewhere with the key in hand. Many
// HSMs refuse imports; then this step says nothing.
func (t *Token) crossCheck(ctx context.Context, f key.Format) error {
	var keys blob.Keys
	if _, err := rand.Read(keys.Enc[:]); err != nil {
		return errRandom
	}
	if _, err := rand.Read(keys.MAC[:]); err != nil {
		return errRandom
	}
	defer clear(keys.Enc[:])
	defer clear(keys.MAC[:])
	if err := t.objects.Lock(ctx); err != nil {
		return err
	}
	defer t.objects.Unlock()
	refused := false
	err := t.pool.with(ctx, func(s cryptoki.Session) error {
		h, err := t.importKeys(s, f, &keys)
		if err != nil {
			refused = true
			return err
		}
		aad := []byte(selfTestLabel)
		w, err := t.encrypt(s, f, h, canaryText, aad)
		if err != nil {
			return err
		}
		if text, ok := keys.Open(w, aad); !ok || !bytes.Equal(text, canaryText) {
			return ckr.Found(ckr.Capability, "token's ciphertext is not what the format's standard says")
		}
		return t.destroyImported(s, h)
	})
	if refused && ckr.ClassOf(err) != ckr.Module && ckr.ClassOf(err) != ckr.Login && ckr.ClassOf(err) != ckr.Busy {
		return nil // no import, no check; what was imported has gone with its session
	}
	return err
}

func (t *Token) importKeys(s cryptoki.Session, f key.Format, keys *blob.Keys) (h handles, err error) {
	for _, o := range objectsOf(f, false) {
		value, handle := keys.Enc[:], &h.enc
		if !o.encrypts {
			value, handle = keys.MAC[:], &h.mac
		}
		*handle, err = t.m.CreateObject(s, []cryptoki.Attribute{
			cryptoki.Ulong(cryptoki.Class, cryptoki.SecretKey),
			cryptoki.Ulong(cryptoki.KeyType, o.keyType),
			cryptoki.Bytes(cryptoki.Value, value),
			cryptoki.Bytes(cryptoki.Label, []byte(selfTestLabel)),
			cryptoki.Bool(cryptoki.OnToken, false),
			cryptoki.Bool(cryptoki.Private, true),
			cryptoki.Bool(cryptoki.Sensitive, true),
			cryptoki.Bool(cryptoki.Extractable, false),
			cryptoki.Bool(cryptoki.MayEncrypt, o.encrypts),
			cryptoki.Bool(cryptoki.MayDecrypt, o.encrypts),
			cryptoki.Bool(cryptoki.MaySign, !o.encrypts),
			cryptoki.Bool(cryptoki.MayVerify, !o.encrypts),
		})
		if err != nil {
			return h, err
		}
	}
	return h, nil
}

func (t *Token) destroyImported(s cryptoki.Session, h handles) error {
	if h.mac != 0 {
		if err := t.m.DestroyObject(s, h.mac); err != nil {
			return err
		}
	}
	return t.m.DestroyObject(s, h.enc)
}
