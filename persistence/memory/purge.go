package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/secret"
)

// Ended implements secret.Store.
func (st *Store) Ended(ctx context.Context, before time.Time, limit int) ([]secret.Ended, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return nil, err
	}
	var dead []secret.Secret
	for _, r := range st.secrets {
		if !alive(r.secret, before) {
			dead = append(dead, r.secret)
		}
	}
	slices.SortFunc(dead, func(a, b secret.Secret) int {
		return cmp.Or(endOf(a).Compare(endOf(b)), cmp.Compare(a.ID, b.ID))
	})
	var ended []secret.Ended
	for _, s := range dead[:min(limit, len(dead))] {
		e := secret.Ended{Project: s.Project, ID: s.ID, Name: string(s.ID)}
		if s.Name != nil {
			e.Name = *s.Name
		}
		ended = append(ended, e)
	}
	return ended, nil
}

// endOf is when a secret that ends does so.
func endOf(s secret.Secret) time.Time {
	if s.Expiration == nil || s.DeleteAt != nil && s.DeleteAt.Before(*s.Expiration) {
		return *s.DeleteAt
	}
	return *s.Expiration
}

// Purge implements secret.Store.
func (st *Store) Purge(ctx context.Context, p auth.ProjectID, gone []secret.Purged, before time.Time) (int, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return 0, err
	}
	n := 0
	for _, g := range gone {
		r := st.secrets[place{string(p), string(g.ID)}]
		if r == nil || alive(r.secret, before) {
			continue
		}
		st.remove(r.secret)
		st.log = append(st.log, g.Event)
		n++
	}
	return n, nil
}
