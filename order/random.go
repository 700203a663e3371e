package order

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// random returns n bytes for a key: the token's and as many of the server's
// own, XORed. It is as good as the better of the two.
func (s *Service) random(ctx context.Context, p auth.ProjectID, n int) (sensitive.Bytes, error) {
	token, err := s.deps.Random.Random(ctx, string(p), n)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	defer token.Wipe()
	if token.Len() != n {
		return sensitive.Bytes{}, fmt.Errorf("the token gave %d random bytes, not %d", token.Len(), n)
	}
	key := make([]byte, n)
	s.deps.Fill(key)
	subtle.XORBytes(key, key, token.Reveal())
	return sensitive.Take(key), nil
}

func fill(b []byte) {
	_, _ = rand.Read(b) // never fails since Go 1.24: it ends the process instead
}

func target(kind string, p auth.ProjectID, id string, name *string) policy.Target {
	t := policy.Target{Kind: kind, Project: string(p), ID: id}
	if name != nil {
		t.Name = *name
	}
	return t
}
