package worker

import (
	"context"
	"fmt"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Random returns n bytes of the token's random number generator. The caller
// wipes them.
//
// There is no ciphertext here that could be damaged: a token that fails twice,
// the second time in a fresh session, is ill, whatever code it has for it.
func (t *Token) Random(ctx context.Context, n int) (sensitive.Bytes, error) {
	if n < 1 || n > key.MaxRandom {
		return sensitive.Bytes{}, ckr.Found(ckr.Capability, fmt.Sprintf("a token gives 1 to %d random bytes, not %d", key.MaxRandom, n))
	}
	out, err := t.random(ctx, n)
	if mayPass(err) {
		t.pool.renew()
		if out, err = t.random(ctx, n); mayPass(err) {
			err = settled(err, ckr.Module)
		}
	}
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return sensitive.Take(out), nil
}

func (t *Token) random(ctx context.Context, n int) (out []byte, err error) {
	err = t.pool.with(ctx, func(s cryptoki.Session) (err error) {
		out, err = t.m.GenerateRandom(s, n)
		return err
	})
	return out, err
}

// mayPass reports whether err says nothing of the token as a whole, so that
// another session may do better.
func mayPass(err error) bool {
	if err == nil {
		return false
	}
	switch ckr.ClassOf(err) {
	case ckr.Session, ckr.Handle, ckr.Ambiguous, ckr.Data:
		return true
	}
	return false
}
