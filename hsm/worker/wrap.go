package worker

import (
	"context"
	"fmt"

	"github.com/strongroom-kms/strongroom/hsm/internal/blob"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Wrap encrypts dek, of 32 bytes, under kek in that KEK's format, bound to aad.
func (t *Token) Wrap(ctx context.Context, kek key.Ref, dek sensitive.Bytes, aad []byte) ([]byte, error) {
	return t.wrap(ctx, kek, dek.Reveal(), aad)
}

func (t *Token) wrap(ctx context.Context, kek key.Ref, dek, aad []byte) ([]byte, error) {
	if len(dek) != blob.DEKBytes {
		return nil, ckr.Found(ckr.Capability, fmt.Sprintf("a DEK has %d bytes, not %d", blob.DEKBytes, len(dek)))
	}
	if kek.Format != key.A256GCM && kek.Format != key.A256CBCHS256 {
		return nil, errFormat
	}
	var w blob.Wrapped
	err := t.onKey(ctx, kek, kek.Format, wrapping, func(s cryptoki.Session, h handles) (err error) {
		w, err = t.encrypt(s, kek.Format, h, dek, aad)
		return err
	})
	if err != nil {
		return nil, err
	}
	return w.Marshal(), nil
}

// Unwrap opens what Wrap returned, under the same kek and aad. The caller
// wipes the DEK.
func (t *Token) Unwrap(ctx context.Context, kek key.Ref, wrapped, aad []byte) (sensitive.Bytes, error) {
	dek, err := t.unwrap(ctx, kek, wrapped, aad)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return sensitive.Take(dek), nil
}

func (t *Token) unwrap(ctx context.Context, kek key.Ref, wrapped, aad []byte) ([]byte, error) {
	w, err := parse(kek, wrapped)
	if err != nil {
		return nil, err
	}
	var dek []byte
	err = t.onKey(ctx, kek, w.Format, opening, func(s cryptoki.Session, h handles) (err error) {
		dek, err = t.decrypt(s, w, h, aad)
		return err
	})
	return dek, err
}

// parse also holds the blob to its KEK's format: a KEK has one for life, and a
// key must not be asked to open another's.
func parse(kek key.Ref, wrapped []byte) (blob.Wrapped, error) {
	w, err := blob.Parse(wrapped)
	if err != nil {
		return blob.Wrapped{}, ckr.Found(ckr.Data, err.Error())
	}
	if kek.Format != key.Auto && w.Format != kek.Format {
		return blob.Wrapped{}, ckr.Found(ckr.Data, fmt.Sprintf("wrapped DEK of format %d under a KEK of format %d", w.Format, kek.Format))
	}
	return w, nil
}

// Rewrap moves DEKs from one KEK to another without letting them out. A DEK
// that does not open gets an error of its own; anything else that fails stops
// the batch, since the rest would fail as well.
func (t *Token) Rewrap(ctx context.Context, from, to key.Ref, items []key.Rewrap) ([]key.Rewrapped, error) {
	out := make([]key.Rewrapped, len(items))
	for i, item := range items {
		wrapped, err := t.rewrap(ctx, from, to, item)
		if err != nil && ckr.ClassOf(err) != ckr.Data {
			return nil, err
		}
		out[i] = key.Rewrapped{Wrapped: wrapped, Err: err}
	}
	return out, nil
}

func (t *Token) rewrap(ctx context.Context, from, to key.Ref, item key.Rewrap) ([]byte, error) {
	dek, err := t.unwrap(ctx, from, item.Wrapped, item.From)
	if err != nil {
		return nil, err
	}
	defer clear(dek)
	return t.wrap(ctx, to, dek, item.To)
}
