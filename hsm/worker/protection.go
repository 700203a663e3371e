package worker

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// testProtection tries to get a key out in three ways that must not work. To
// show its value is unforgivable. Two of the tokens we tried let a PIN holder
// copy or wrap it (NSS, openCryptoki; pkcs11.md §3.1): whether that will do is
// the operator's to judge, so it is a warning.
func (t *Token) testProtection(ctx context.Context, h cryptoki.Object) error {
	err := t.pool.with(ctx, func(s cryptoki.Session) error {
		got, err := t.m.Attributes(s, h, cryptoki.Value)
		if v, ok := got[cryptoki.Value]; ok && err == nil {
			clear(v)
			return errShown
		}
		return err
	})
	if err != nil && (errors.Is(err, errShown) || ckr.ClassOf(err) != ckr.Capability) {
		return err
	}
	copied, err := t.succeeds(ctx, func(s cryptoki.Session) error {
		c, err := t.m.CopyObject(s, h, []cryptoki.Attribute{
			cryptoki.Bool(cryptoki.OnToken, false),
			cryptoki.Bool(cryptoki.Extractable, true),
		})
		if err == nil {
			err = t.m.DestroyObject(s, c)
		}
		return err
	})
	if err != nil {
		return err
	}
	if copied {
		t.warn("key protection: weak (a key that is not extractable can be copied to one that is)")
	}
	return t.testExport(ctx, h)
}

var errShown = ckr.Found(ckr.Capability, "token shows the value of a sensitive key")

// succeeds reports whether a call works that ought not to. What else fails is
// an error only if the token itself is in trouble.
func (t *Token) succeeds(ctx context.Context, f func(cryptoki.Session) error) (bool, error) {
	err := t.pool.with(ctx, f)
	switch ckr.ClassOf(err) {
	case ckr.Module, ckr.Login, ckr.Busy:
		return false, err
	}
	return err == nil, nil
}

// testExport tries C_WrapKey with a key that is made for wrapping.
func (t *Token) testExport(ctx context.Context, h cryptoki.Object) (err error) {
	var id key.ID
	if _, err := rand.Read(id[:]); err != nil {
		return errRandom
	}
	defer func() { err = errors.Join(err, t.destroyObjects(ctx, id)) }()
	made, err := t.succeeds(ctx, func(cryptoki.Session) error {
		return t.m.GenerateKey(cryptoki.AES256, []cryptoki.Attribute{
			cryptoki.Ulong(cryptoki.Class, cryptoki.SecretKey),
			cryptoki.Bytes(cryptoki.ID, id[:]),
			cryptoki.Bytes(cryptoki.Label, []byte(selfTestLabel)),
			cryptoki.Bool(cryptoki.OnToken, false),
			cryptoki.Bool(cryptoki.Private, true),
			cryptoki.Bool(cryptoki.Sensitive, true),
			cryptoki.Bool(cryptoki.Extractable, false),
			cryptoki.Bool(cryptoki.MayEncrypt, false),
			cryptoki.Bool(cryptoki.MayDecrypt, false),
			cryptoki.Bool(cryptoki.MayWrap, true),
		})
	})
	if err != nil || !made {
		return err
	}
	wrapping, err := t.locateLocked(ctx, id, key.A256GCM)
	if err != nil {
		return err
	}
	exported, err := t.succeeds(ctx, func(s cryptoki.Session) error {
		out, err := t.m.WrapKey(s, cryptoki.Mechanism{Type: cryptoki.AESKeyWrap}, wrapping.enc, h)
		clear(out)
		return err
	})
	if exported {
		t.warn("key protection: weak (a key that is not extractable can be wrapped by another)")
	}
	return err
}
