// Package password hashes passwords with argon2id and keeps them as PHC
// strings, which name their own parameters: old ones stay readable when the
// parameters below change.
package password

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"

	"github.com/alexedwards/argon2id"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// params is OWASP's second choice: 19 MiB, two passes, one lane; some 25 ms.
var params = &argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// Hasher hashes and verifies, so many at a time and no more: each takes 19 MiB
// and a processor, and logins must not starve everything else.
type Hasher struct {
	places chan struct{}
	decoy  string
}

// New returns a Hasher that lets atOnce hashes run, or as many as there are
// processors where atOnce is 0.
func New(atOnce int) (*Hasher, error) {
	if atOnce <= 0 {
		atOnce = runtime.GOMAXPROCS(0)
	}
	decoy, err := argon2id.CreateHash(rand.Text(), params)
	if err != nil {
		return nil, fmt.Errorf("hash a decoy password: %w", err)
	}
	return &Hasher{places: make(chan struct{}, atOnce), decoy: decoy}, nil
}

var errBusy = fault.New(fault.Unavailable, "too many logins at once")

// enter waits for a place until ctx is done.
func (h *Hasher) enter(ctx context.Context) error {
	select {
	case h.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errors.Join(errBusy, ctx.Err())
	}
}

func (h *Hasher) leave() { <-h.places }

// Hash returns a PHC string with a fresh salt.
func (h *Hasher) Hash(ctx context.Context, password sensitive.Bytes) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	hash, err := argon2id.CreateHash(string(password.Reveal()), params)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return hash, nil
}

// Verify reports whether hash is of password. An empty hash belongs to nobody:
// the answer is no, and takes as long as any other.
func (h *Hasher) Verify(ctx context.Context, password sensitive.Bytes, hash string) (bool, error) {
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	nobody := hash == ""
	if nobody {
		hash = h.decoy
	}
	match, err := argon2id.ComparePasswordAndHash(string(password.Reveal()), hash)
	if err != nil {
		return false, fault.Wrap(fault.Damaged, "the stored password hash cannot be read", err)
	}
	return match && !nobody, nil
}
