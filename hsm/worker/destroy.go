package worker

import (
	"context"
	"errors"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// Destroy destroys all objects of a KEK and searches afterwards: none may be
// left. A key that is not there counts as destroyed, so that Destroy may be
// repeated; a token that merely shows nothing does not.
func (t *Token) Destroy(ctx context.Context, kek key.Ref) error {
	found, err := t.destroyKEK(ctx, kek.ID)
	if worthAnotherTry(err) {
		var more bool
		more, err = t.destroyKEK(ctx, kek.ID)
		found = found || more
	}
	if err != nil {
		if worthAnotherTry(err) {
			err = settled(err, ckr.Module)
		}
		return err
	}
	if !found {
		if err := t.settleMissing(ctx, kek); ckr.ClassOf(err) != ckr.Handle {
			return err
		}
	}
	t.cache.forget(kek.ID)
	return nil
}

func (t *Token) destroyKEK(ctx context.Context, id key.ID) (found bool, err error) {
	if err := t.objects.Lock(ctx); err != nil {
		return false, err
	}
	defer t.objects.Unlock()
	objects, err := t.objectsWith(ctx, id)
	if err != nil || len(objects) == 0 {
		return false, err
	}
	t.cache.forget(id) // first: from now on nobody shall judge the token by this key
	return true, t.destroyObjects(ctx, id)
}

// destroyObjects leaves no object of this ID, or says why. The caller holds
// the lock.
func (t *Token) destroyObjects(ctx context.Context, id key.ID) error {
	return t.pool.with(ctx, func(s cryptoki.Session) error {
		// A key has two objects at most; twice that, and twins, are gone in the
		// first rounds. What then is still there does not go away.
		for range 4 {
			objects, err := t.m.Find(s, byID(id), 10)
			if err != nil || len(objects) == 0 {
				return err
			}
			if err := t.destroyEach(s, objects); err != nil {
				return err
			}
		}
		return ckr.Found(ckr.Capability, "key objects are still there after they were destroyed")
	})
}

func (t *Token) destroyEach(s cryptoki.Session, objects []cryptoki.Object) error {
	var errs []error
	for _, o := range objects {
		// Gone already is what we want: another process was faster, or SoftHSM
		// showed one object twice.
		if err := t.m.DestroyObject(s, o); err != nil && ckr.CodeOf(err) != ckr.ObjectHandleInvalid {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (t *Token) objectsWith(ctx context.Context, id key.ID) (found []cryptoki.Object, err error) {
	err = t.pool.with(ctx, func(s cryptoki.Session) error {
		found, err = t.m.Find(s, byID(id), 10)
		return err
	})
	return found, err
}

// List returns the IDs of all KEKs in the token: AES keys whose CKA_ID is a
// UUID. Keys that others keep there are left out as far as that tells.
func (t *Token) List(ctx context.Context) ([]key.ID, error) {
	if err := t.objects.RLock(ctx); err != nil {
		return nil, err
	}
	defer t.objects.RUnlock()
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(ckr.Found(ckr.Busy, "no time left to list keys"), err)
	}
	raw, err := t.m.KeyIDs()
	if err != nil && worthAnotherTry(err) {
		raw, err = t.m.KeyIDs() // a key may vanish while others are being listed
	}
	if err != nil {
		if worthAnotherTry(err) {
			err = settled(err, ckr.Module)
		}
		return nil, err
	}
	var ids []key.ID
	seen := map[key.ID]bool{}
	for _, b := range raw {
		if len(b) != len(key.ID{}) || seen[key.ID(b)] {
			continue
		}
		seen[key.ID(b)] = true
		ids = append(ids, key.ID(b))
	}
	return ids, nil
}
