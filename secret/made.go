package secret

import (
	"context"
	"fmt"

	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// First seals payload as the first version of a secret that is not stored yet,
// under its project's default master key, and returns both as they are to be
// stored. It is for secrets that the server makes itself, such as those of an
// order; whoever stores them passes a gate of its own. The caller wipes payload.
func First(ctx context.Context, sealer Sealer, sec Secret, payload sensitive.Bytes, contentType string) (Secret, Version, error) {
	if payload.Len() > MaxPayload {
		return Secret{}, Version{}, ErrTooLarge
	}
	sec.Handle, sec.State = string(sec.ID), Enabled
	sealed, err := sealer.Seal(ctx, payload, envelope.Default, sec.place(1))
	if err != nil {
		return Secret{}, Version{}, fmt.Errorf("seal payload: %w", err)
	}
	v := Version{Number: 1, ContentType: contentType, CreatedAt: sec.CreatedAt, Key: sealed.KEK.MasterKey, Sealed: sealed}
	return sec.holding(v), v, nil
}
