package kek

import (
	"context"
	"errors"
	"fmt"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// SealBackup encrypts content for its way out of the installation and back. It
// is under a fresh DEK, and that under the installation's own master key, which
// is made here on first use: no project's rotation or deletion concerns it.
//
// Nothing is stored, so nothing has to be proved of the KEK afterwards: one
// that another took over from opens as before.
func (s *Sealer) SealBackup(ctx context.Context, content sensitive.Bytes) (string, error) {
	active, err := s.takeForBackup(ctx)
	if err != nil {
		return "", fmt.Errorf("find active KEK of %s: %w", envelope.Backups, err)
	}
	r, err := ref(active)
	if err != nil {
		return "", err
	}
	token, err := s.deps.Tokens.Group(active.Group)
	if err != nil {
		return "", fmt.Errorf("token of KEK %s: %w", active.ID, err)
	}
	dek := newDEK()
	defer dek.Wipe()

	blob := envelope.Blob{KEK: active.ID}
	blob.WrappedDEK, err = token.Wrap(ctx, r, dek, envelope.ForBackup(active.ID))
	if err != nil {
		return "", fmt.Errorf("wrap DEK under KEK %s: %w", active.ID, err)
	}
	aead, err := newAEAD(dek)
	if err != nil {
		return "", err
	}
	blob.Body = aead.Seal(nil, nil, content.Reveal(), blob.AAD())
	return blob.Text(), nil
}

// takeForBackup is take for the one master key that no project has.
func (s *Sealer) takeForBackup(ctx context.Context) (envelope.KEK, error) {
	k, err := s.take(ctx, envelope.Installation, envelope.Backups)
	if !errors.Is(err, envelope.ErrNoMasterKey) {
		return k, err
	}
	err = s.MakeMasterKey(ctx, NewMasterKey{
		Project:     envelope.Installation,
		ID:          envelope.MasterKey(s.deps.NewID()),
		Alias:       string(envelope.Backups),
		Description: "backups of secrets, made on first use",
		HandedOut:   true,
	})
	if err != nil {
		return envelope.KEK{}, err
	}
	return s.take(ctx, envelope.Installation, envelope.Backups)
}

// OpenBackup decrypts what SealBackup of any node made, under whichever KEK it
// was: anything else, or one with a changed byte, is envelope.ErrBlob. The
// caller wipes the content.
func (s *Sealer) OpenBackup(ctx context.Context, text string) (sensitive.Bytes, error) {
	blob, err := envelope.ParseBlob(text)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	k, err := s.deps.Store.KEK(ctx, envelope.Installation, blob.KEK)
	switch {
	case errors.Is(err, ErrNoKEK): // another installation's
		return sensitive.Bytes{}, envelope.ErrBlob
	case err != nil:
		return sensitive.Bytes{}, fmt.Errorf("find KEK of a backup: %w", err)
	case !k.Usable:
		return sensitive.Bytes{}, envelope.ErrKeyUnusable
	}
	r, err := ref(k)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	token, err := s.deps.Tokens.Group(k.Group)
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("token of KEK %s: %w", k.ID, err)
	}
	dek, err := token.Unwrap(ctx, r, blob.WrappedDEK, envelope.ForBackup(k.ID))
	if fault.KindOf(err) == fault.Damaged { // of this one wrapped DEK, which the caller brought
		return sensitive.Bytes{}, fault.Wrap(fault.Invalid, envelope.ErrBlob.Public, errors.Join(envelope.ErrBlob, err))
	}
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("unwrap DEK under KEK %s: %w", k.ID, err)
	}
	defer dek.Wipe()
	aead, err := newAEAD(dek)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	content, err := aead.Open(nil, nil, blob.Body, blob.AAD())
	if err != nil {
		return sensitive.Bytes{}, envelope.ErrBlob
	}
	return sensitive.Take(content), nil
}
