package csms_test

import (
	"context"
	"time"

	"github.com/strongroom-kms/strongroom/persistence/memory"
	"github.com/strongroom-kms/strongroom/secret"
)

// store is a memory.Store in which two secrets' ciphertexts can be exchanged,
// as somebody who can write to the database might do.
type store struct {
	*memory.Store
	swapped map[string]string
}

func newStore() *store { return &store{Store: &memory.Store{}, swapped: map[string]string{}} }

// swap exchanges the ciphertexts of two secrets, or puts them back.
func (st *store) swap(a, b string) {
	if st.swapped[a] == b {
		clear(st.swapped)
		return
	}
	st.swapped[a], st.swapped[b] = b, a
}

func (st *store) Find(ctx context.Context, h secret.Handle, want secret.Want, now time.Time) (secret.Found, error) {
	found, err := st.Store.Find(ctx, h, want, now)
	if other := st.swapped[h.Name]; err == nil && want.Sealed && other != "" {
		h.Name = other
		instead, err := st.Store.Find(ctx, h, want, now)
		if err != nil {
			return secret.Found{}, err
		}
		found.Version.Sealed = instead.Version.Sealed
	}
	return found, err
}
