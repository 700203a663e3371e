package secret

import (
	"context"

	"github.com/strongroom-kms/strongroom/policy"
)

// Metadata returns all pairs of the secret. Locate it with Want.Metadata.
func (l *Located) Metadata(ctx context.Context) (map[string]string, error) {
	if _, err := l.admit(ctx, policy.MetadataRead, "", ""); err != nil {
		return nil, err
	}
	return l.found.Metadata, nil
}

// Metadatum returns one value. Locate the secret with Want.Metadata.
func (l *Located) Metadatum(ctx context.Context, key string) (string, error) {
	ev, err := l.admit(ctx, policy.MetadataRead, "", "")
	if err != nil {
		return "", err
	}
	value, ok := l.found.Metadata[key]
	if !ok {
		return "", l.s.gate.Done(ctx, ev, ErrNoMetadatum)
	}
	return value, nil
}

// ReplaceMetadata replaces all pairs.
func (l *Located) ReplaceMetadata(ctx context.Context, pairs map[string]string) error {
	ev, err := l.admit(ctx, policy.MetadataWrite, "", "")
	if err != nil {
		return err
	}
	return l.s.gate.Done(ctx, ev, l.s.deps.Store.ReplaceMetadata(ctx, l.found.Secret, pairs, ev))
}

// AddMetadatum adds a pair; a key that is there is ErrMetadatum.
func (l *Located) AddMetadatum(ctx context.Context, m Metadatum) error {
	ev, err := l.admit(ctx, policy.MetadataWrite, "", "")
	if err != nil {
		return err
	}
	return l.s.gate.Done(ctx, ev, l.s.deps.Store.AddMetadatum(ctx, l.found.Secret, m, ev))
}

// ChangeMetadatum changes the value of a key that is there.
func (l *Located) ChangeMetadatum(ctx context.Context, m Metadatum) error {
	ev, err := l.admit(ctx, policy.MetadataWrite, "", "")
	if err != nil {
		return err
	}
	return l.s.gate.Done(ctx, ev, l.s.deps.Store.ChangeMetadatum(ctx, l.found.Secret, m, ev))
}

// RemoveMetadatum removes a key that is there.
func (l *Located) RemoveMetadatum(ctx context.Context, key string) error {
	ev, err := l.admit(ctx, policy.MetadataWrite, "", "")
	if err != nil {
		return err
	}
	return l.s.gate.Done(ctx, ev, l.s.deps.Store.RemoveMetadatum(ctx, l.found.Secret, key, ev))
}
