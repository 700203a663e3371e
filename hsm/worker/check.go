package worker

import (
	"context"
	"crypto/subtle"

	"github.com/strongroom-kms/strongroom/hsm/internal/blob"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// canaryText is the one text of all canaries: what opens to anything else is not a canary.
var canaryText = blob.CanaryText()

var errNoCanary = ckr.Found(ckr.Ambiguous, "no canary is known of this KEK")

// openCanary opens the canary of kek in a fresh session. It settles nothing:
// others ask it to find out what to settle.
func (t *Token) openCanary(ctx context.Context, kek key.Ref) error {
	if len(kek.Canary.Wrapped) == 0 {
		return errNoCanary
	}
	w, err := parse(kek, kek.Canary.Wrapped)
	if err != nil {
		return err
	}
	h, err := t.handlesOf(ctx, kek, w.Format)
	if err != nil {
		return err
	}
	return t.pool.withFresh(ctx, func(s cryptoki.Session) error { return t.tryCanary(s, w, h, kek.Canary.AAD) })
}

func (t *Token) tryCanary(s cryptoki.Session, w blob.Wrapped, h handles, aad []byte) error {
	text, err := t.decrypt(s, w, h, aad)
	if err != nil {
		return err
	}
	defer clear(text)
	if subtle.ConstantTimeCompare(text, canaryText) != 1 {
		return ckr.Found(ckr.Data, "canary opens to another text")
	}
	return nil
}

// Check finds out what became of a KEK. The error says why nobody could look,
// and comes with CheckUnknown.
func (t *Token) Check(ctx context.Context, kek key.Ref) (key.CheckResult, error) {
	if len(kek.Canary.Wrapped) == 0 {
		return key.CheckUnknown, errNoCanary.SettledTo(ckr.Capability)
	}
	w, err := parse(kek, kek.Canary.Wrapped)
	if err != nil {
		return key.CheckUnknown, err
	}
	err = t.onKey(ctx, kek, w.Format, opening, func(s cryptoki.Session, h handles) error {
		return t.tryCanary(s, w, h, kek.Canary.AAD)
	})
	if err == nil {
		return key.OK, nil
	}
	switch ckr.ClassOf(err) {
	case ckr.Data:
		return key.WrongKey, nil
	case ckr.Handle:
		return key.Missing, nil
	}
	return key.CheckUnknown, err
}
