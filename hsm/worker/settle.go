package worker

import (
	"context"
	"errors"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// purpose says what an ambiguous code means once the token has turned out to
// be well: a ciphertext that does not open is damaged, while an encryption
// that failed is worth another try.
type purpose uint8

const (
	opening purpose = iota
	wrapping
)

// onKey runs op with the objects of a KEK, and settles what goes wrong
// (pkcs11.md §7.2): a sick session is replaced and a refused handle looked up
// again, once each; where a code does not tell, a canary decides. op may run
// several times.
func (t *Token) onKey(ctx context.Context, kek key.Ref, f key.Format, why purpose, op func(cryptoki.Session, handles) error) error {
	var tried struct{ session, handle, ambiguous bool }
	for {
		err := t.attempt(ctx, kek, f, op)
		if err == nil {
			return nil
		}
		switch ckr.ClassOf(err) {
		case ckr.Session:
			if tried.session {
				return settled(err, ckr.Module)
			}
			tried.session = true
			t.pool.renew()
		case ckr.Handle:
			if errors.Is(err, errMissing) {
				return t.settleMissing(ctx, kek)
			}
			if tried.handle {
				return settled(err, ckr.Module)
			}
			tried.handle = true
			t.cache.refuse(kek.ID)
		case ckr.Ambiguous:
			class := t.askCanary(ctx, kek, f)
			if class != ckr.Data || why == opening {
				return settled(err, class)
			}
			if tried.ambiguous {
				return settled(err, ckr.Module)
			}
			tried.ambiguous = true
		default:
			return err
		}
	}
}

func (t *Token) attempt(ctx context.Context, kek key.Ref, f key.Format, op func(cryptoki.Session, handles) error) error {
	h, err := t.handlesOf(ctx, kek, f)
	if err != nil {
		return err
	}
	return t.pool.with(ctx, func(s cryptoki.Session) error { return op(s, h) })
}

// settled returns err with its class as a closer look has found it.
func settled(err error, c ckr.Class) error {
	if e, ok := errors.AsType[*ckr.Error](err); ok {
		return e.SettledTo(c)
	}
	return ckr.Found(c, err.Error())
}

// askCanary decides who is ill after an ambiguous code: Data if only this
// ciphertext is, Module if the token is, Busy or Login if nobody could look.
func (t *Token) askCanary(ctx context.Context, kek key.Ref, f key.Format) ckr.Class {
	err := t.openCanary(ctx, kek)
	if err == nil {
		return ckr.Data
	}
	switch ckr.ClassOf(err) {
	case ckr.Data, ckr.Ambiguous, ckr.Capability:
		// The canary comes from the same database as the ciphertext. If both are
		// damaged, or the key is another one, the token need not be ill, and must
		// not be replaced for its neighbours' sake: they decide.
		return t.askNeighbour(ctx, kek.ID, f)
	case ckr.Busy, ckr.Login:
		return ckr.ClassOf(err)
	}
	return ckr.Module
}

// askNeighbour is askCanary with the canary of another KEK of the same format,
// since another format takes other calls, or, where this process has met none,
// with a key made for the question.
func (t *Token) askNeighbour(ctx context.Context, than key.ID, f key.Format) ckr.Class {
	found, err := t.tryNeighbour(ctx, than, f)
	if !found {
		err = t.probe(ctx, f)
	}
	return verdict(err, ckr.Data)
}

// tryNeighbour opens the canary of some KEK other than this one. found is
// false where this process knows none.
func (t *Token) tryNeighbour(ctx context.Context, than key.ID, f key.Format) (found bool, err error) {
	for {
		other, ok := t.cache.another(than, f)
		if !ok {
			return false, nil
		}
		if err = t.openCanary(ctx, other); err == nil || t.cache.knows(other.ID) {
			return true, err
		}
		// It has been destroyed while we asked, by ourselves: ask the next.
	}
}

// verdict is well if a canary opened, and else what its error says of the
// token.
func verdict(err error, well ckr.Class) ckr.Class {
	if err == nil {
		return well
	}
	if c := ckr.ClassOf(err); c == ckr.Busy || c == ckr.Login {
		return c
	}
	return ckr.Module
}

// settleMissing decides what it means that a search found nothing: the key is
// gone, or the login, or the token's store (SoftHSM finds nothing, without an
// error, both after a logout and once its folder has been moved away).
func (t *Token) settleMissing(ctx context.Context, kek key.Ref) error {
	class := ckr.Handle
	err := t.pool.with(ctx, func(s cryptoki.Session) error {
		state, err := t.m.SessionState(s)
		if err == nil && !state.LoggedIn() {
			class = ckr.Login
		}
		return err
	})
	if err == nil {
		_, err = t.m.TokenInfo(t.slot)
	}
	switch {
	case ckr.ClassOf(err) == ckr.Busy && err != nil:
		return err
	case err != nil:
		return settled(err, ckr.Module)
	case class == ckr.Login:
		return errMissing.SettledTo(ckr.Login)
	}
	return errMissing.SettledTo(t.whereIs(ctx, kek.ID))
}

// whereIs tells a missing key from a missing token with the canary of another
// key of the token. A session object would not do: it survives its token's
// store. Where there is no other key, one that this process has used before
// cannot just be gone: the next process will see for itself.
func (t *Token) whereIs(ctx context.Context, id key.ID) ckr.Class {
	found, err := t.tryNeighbour(ctx, id, key.Auto)
	if !found && t.cache.knows(id) {
		return ckr.Module
	}
	return verdict(err, ckr.Handle)
}
