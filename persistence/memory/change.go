package memory

import (
	"context"
	"maps"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/secret"
)

// Apply implements secret.Store.
func (st *Store) Apply(ctx context.Context, c secret.Change, ev audit.Event) error {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return err
	}
	r, err := st.at(c.Secret.Project, c.Secret.ID, ev.At)
	if err != nil {
		return err
	}
	if r.secret.Revision != c.Secret.Revision {
		return secret.ErrStale
	}
	if c.Add != nil && !st.seals(c.Secret.Project, c.Add.Sealed) {
		return envelope.ErrKEKGone
	}
	if c.Secret.Event != "" && !st.events[place{string(c.Secret.Project), c.Secret.Event}] {
		return secret.ErrNoEvent
	}
	r.secret = mutable(r.secret, copied(c.Secret))
	r.secret.Revision++
	if c.Add != nil {
		r.versions[c.Add.Number] = stored(*c.Add)
	}
	maps.Copy(r.stages, c.Put)
	for _, s := range c.Drop {
		delete(r.stages, s)
	}
	for _, n := range c.Purge {
		delete(r.versions, n)
	}
	if c.Expires != nil {
		r.versions[c.Expires.Number].ExpiresAt = clone(c.Expires.At)
	}
	if c.Tags != nil {
		for _, t := range c.Tags.Put {
			r.tags[t.Key] = t.Value
		}
		for _, key := range c.Tags.Drop {
			delete(r.tags, key)
		}
	}
	st.log = append(st.log, ev)
	return nil
}

// mutable is s with those attributes of to that may change.
func mutable(s, to secret.Secret) secret.Secret {
	to.Family, to.Name, to.Type = s.Family, s.Name, s.Type
	to.Algorithm, to.Mode, to.BitLength = s.Algorithm, s.Mode, s.BitLength
	to.Expiration, to.Creator, to.Kind, to.CreatedAt = s.Expiration, s.Creator, s.Kind, s.CreatedAt
	return to
}

// Delete implements secret.Store.
func (st *Store) Delete(ctx context.Context, s secret.Secret, ev audit.Event) error {
	return st.onSecret(ctx, s, ev, func(r *record) error {
		if (r.secret.Event == "") != (s.Event == "") {
			return secret.ErrStale
		}
		st.remove(s)
		return nil
	})
}

// DeleteUnused implements secret.Store.
func (st *Store) DeleteUnused(ctx context.Context, s secret.Secret, ev audit.Event) error {
	return st.onSecret(ctx, s, ev, func(r *record) error {
		switch {
		case len(r.consumers) > 0:
			return secret.ErrInUse
		case r.secret.Revision != s.Revision:
			return secret.ErrStale
		}
		st.remove(s)
		return nil
	})
}

// ReplaceMetadata implements secret.Store.
func (st *Store) ReplaceMetadata(ctx context.Context, s secret.Secret, pairs map[string]string, ev audit.Event) error {
	return st.onSecret(ctx, s, ev, func(r *record) error {
		r.metadata = map[string]string{}
		maps.Copy(r.metadata, pairs)
		return nil
	})
}

// AddMetadatum implements secret.Store.
func (st *Store) AddMetadatum(ctx context.Context, s secret.Secret, m secret.Metadatum, ev audit.Event) error {
	return st.onSecret(ctx, s, ev, func(r *record) error {
		if _, ok := r.metadata[m.Key]; ok {
			return secret.ErrMetadatum
		}
		r.metadata[m.Key] = m.Value
		return nil
	})
}

// ChangeMetadatum implements secret.Store.
func (st *Store) ChangeMetadatum(ctx context.Context, s secret.Secret, m secret.Metadatum, ev audit.Event) error {
	return st.onSecret(ctx, s, ev, func(r *record) error {
		if _, ok := r.metadata[m.Key]; !ok {
			return secret.ErrNoMetadatum
		}
		r.metadata[m.Key] = m.Value
		return nil
	})
}

// RemoveMetadatum implements secret.Store.
func (st *Store) RemoveMetadatum(ctx context.Context, s secret.Secret, key string, ev audit.Event) error {
	return st.onSecret(ctx, s, ev, func(r *record) error {
		if _, ok := r.metadata[key]; !ok {
			return secret.ErrNoMetadatum
		}
		delete(r.metadata, key)
		return nil
	})
}

// onSecret does something with a living secret, and records it where it was
// done.
func (st *Store) onSecret(ctx context.Context, s secret.Secret, ev audit.Event, do func(*record) error) error {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return err
	}
	r, err := st.at(s.Project, s.ID, ev.At)
	if err != nil {
		return err
	}
	if err := do(r); err != nil {
		return err
	}
	st.log = append(st.log, ev)
	return nil
}
