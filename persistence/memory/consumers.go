package memory

import (
	"context"
	"slices"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
)

// copiedConsumers shares nothing that can be changed, and is never nil.
func (r *record) copiedConsumers() []secret.Consumer {
	return append([]secret.Consumer{}, r.consumers...)
}

// using returns where a use is among the consumers, and -1 where it is not.
func (r *record) using(u secret.Use) int {
	return slices.IndexFunc(r.consumers, func(c secret.Consumer) bool { return c.Use == u })
}

// Consumers implements secret.Store.
func (st *Store) Consumers(ctx context.Context, s secret.Secret, limit, offset int) ([]secret.Consumer, int, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return nil, 0, err
	}
	r := st.secrets[place{string(s.Project), string(s.ID)}]
	if r == nil {
		return nil, 0, nil
	}
	page := r.consumers[min(offset, len(r.consumers)):]
	return slices.Clone(page[:min(limit, len(page))]), len(r.consumers), nil
}

// Register implements secret.Store.
func (st *Store) Register(ctx context.Context, s secret.Secret, c secret.Consumer, ev audit.Event) (fresh bool, err error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return false, err
	}
	r, err := st.at(s.Project, s.ID, ev.At)
	if err != nil {
		return false, err
	}
	if most := st.Quotas.Of(quota.Consumers); most >= 0 && st.registered(c.Registrar) >= most {
		return false, quota.Reached(quota.Consumers)
	}
	if r.using(c.Use) >= 0 {
		return false, nil
	}
	after := slices.IndexFunc(r.consumers, func(o secret.Consumer) bool {
		return o.CreatedAt.After(c.CreatedAt) || o.CreatedAt.Equal(c.CreatedAt) && o.ID > c.ID
	})
	if after < 0 {
		after = len(r.consumers)
	}
	r.consumers = slices.Insert(r.consumers, after, c)
	r.secret.Revision++
	r.secret.UpdatedAt = c.UpdatedAt
	st.log = append(st.log, ev)
	return true, nil
}

// registered counts the consumers that a project registered.
func (st *Store) registered(by auth.ProjectID) (n int64) {
	for _, r := range st.secrets {
		for _, c := range r.consumers {
			if c.Registrar == by {
				n++
			}
		}
	}
	return n
}

// Unregister implements secret.Store.
func (st *Store) Unregister(ctx context.Context, s secret.Secret, u secret.Use, by auth.ProjectID, ev audit.Event) error {
	return st.onSecret(ctx, s, ev, func(r *record) error {
		i := r.using(u)
		switch {
		case i < 0:
			return secret.ErrNoConsumer
		case by != s.Project && by != r.consumers[i].Registrar:
			return secret.ErrConsumerForeign
		}
		r.consumers = slices.Delete(r.consumers, i, i+1)
		return nil
	})
}
