package worker

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// pauseMissing is how long to wait before searching again for a key that
// should be there exactly once. With several processes on one token, SoftHSM
// shows a new key twice or not at all for a moment (pkcs11.md §7.1).
const pauseMissing = 50 * time.Millisecond

// What a search finds wrong. Neither says anything bad about the session.
var (
	errMissing = ckr.Found(ckr.Handle, "token has no key of this ID")
	errTwins   = ckr.Found(ckr.Capability, "token has several different keys of this ID")
)

// handlesOf returns the objects of a KEK, from the cache if it can.
func (t *Token) handlesOf(ctx context.Context, kek key.Ref, f key.Format) (handles, error) {
	if h, ok := t.cache.handles(kek.ID, f); ok {
		return h, nil
	}
	h, err := t.locate(ctx, kek, f)
	if errors.Is(err, errMissing) || errors.Is(err, errTwins) {
		// No session and no lock is held meanwhile.
		select {
		case <-time.After(pauseMissing):
			return t.locate(ctx, kek, f)
		case <-ctx.Done():
		}
	}
	return h, err
}

// locate searches the token for the objects of one KEK. Searching shares a
// lock that making and destroying objects has to itself: SoftHSM loses new keys
// otherwise (pkcs11.md §7.1). The lock comes before the session, everywhere.
//
// What it finds goes into the cache under the same lock, so that no destroyed
// key comes back into it.
func (t *Token) locate(ctx context.Context, kek key.Ref, f key.Format) (handles, error) {
	if err := t.objects.RLock(ctx); err != nil {
		return handles{}, err
	}
	defer t.objects.RUnlock()
	h, err := t.locateLocked(ctx, kek.ID, f)
	if err == nil {
		t.cache.put(kek, h)
	}
	return h, err
}

func (t *Token) locateLocked(ctx context.Context, id key.ID, f key.Format) (h handles, err error) {
	var finding error
	err = t.pool.with(ctx, func(s cryptoki.Session) error {
		h, err = t.find(s, id, f)
		if errors.Is(err, errMissing) || errors.Is(err, errTwins) {
			finding = err
			return nil
		}
		return err
	})
	return h, cmp.Or(err, finding)
}

// find returns the objects of one KEK, each of which must be there once.
func (t *Token) find(s cryptoki.Session, id key.ID, f key.Format) (h handles, err error) {
	h.enc, err = t.findOne(s, append(byID(id), cryptoki.Ulong(cryptoki.KeyType, cryptoki.AES)))
	if err != nil || f != key.A256CBCHS256 {
		return h, err
	}
	// By what it may do, since the key type may be a vendor's.
	h.mac, err = t.findOne(s, append(byID(id), cryptoki.Bool(cryptoki.MaySign, true)))
	return h, err
}

func byID(id key.ID) []cryptoki.Attribute {
	return []cryptoki.Attribute{
		cryptoki.Ulong(cryptoki.Class, cryptoki.SecretKey),
		cryptoki.Bytes(cryptoki.ID, id[:]),
	}
}

// findOne asks for three and expects one: identifiers only ought to be unique.
func (t *Token) findOne(s cryptoki.Session, template []cryptoki.Attribute) (cryptoki.Object, error) {
	found, err := t.m.Find(s, template, 3)
	if err != nil {
		return 0, err
	}
	slices.Sort(found)
	found = slices.Compact(found) // the same handle twice is one object
	switch len(found) {
	case 0:
		return 0, errMissing
	case 1:
		return found[0], nil
	}
	same, err := t.sameKey(s, found)
	if err != nil {
		return 0, err
	}
	if !same {
		return 0, errTwins
	}
	t.log.Warn("token shows one key as several objects", zap.Int("objects", len(found)))
	return found[0], nil
}

// sameKey compares what tells keys apart. Without a check value nobody knows,
// and then two objects are two keys.
func (t *Token) sameKey(s cryptoki.Session, objects []cryptoki.Object) (bool, error) {
	var first map[cryptoki.AttributeType][]byte
	for _, o := range objects {
		got, err := t.m.Attributes(s, o, cryptoki.ID, cryptoki.Label, cryptoki.CheckValue)
		if err != nil {
			return false, err
		}
		if len(got[cryptoki.CheckValue]) == 0 {
			return false, nil
		}
		if first == nil {
			first = got
		}
		for _, typ := range []cryptoki.AttributeType{cryptoki.ID, cryptoki.Label, cryptoki.CheckValue} {
			if !bytes.Equal(got[typ], first[typ]) {
				return false, nil
			}
		}
	}
	return true, nil
}
