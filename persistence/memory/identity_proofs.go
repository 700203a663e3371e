package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// AddToken implements realm.Store.
func (r *Realm) AddToken(ctx context.Context, d realm.Digest, g realm.Grant, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if _, ok := r.users[g.User.ID]; !ok {
			return realm.ErrNoUser
		}
		r.tokens[d] = g
		return nil
	})
}

// FindToken implements realm.Store.
func (r *Realm) FindToken(ctx context.Context, d realm.Digest, now time.Time) (realm.Grant, error) {
	if err := ctx.Err(); err != nil {
		return realm.Grant{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.tokens[d]
	if !ok {
		return realm.Grant{}, realm.ErrNoToken
	}
	a := r.users[g.User.ID]
	if !a.User.Enabled || a.Stamp != g.UserStamp {
		return realm.Grant{}, realm.ErrNoToken
	}
	g.User, g.Roles, g.Only = a.User, nil, nil
	if g.Domain {
		g.Roles = r.rolesOf(g.User.ID, auth.InDomain)
	}
	if g.Project.ID != "" {
		p, ok := r.projects[g.Project.ID]
		if !ok || !p.Enabled || p.stamp != g.ProjectStamp {
			return realm.Grant{}, realm.ErrNoToken
		}
		g.Project, g.Roles = p.Project, r.rolesOf(g.User.ID, p.ID)
	}
	if g.Credential != "" {
		c, ok := r.appCreds[g.Credential]
		if !ok || c.Expired(now) {
			return realm.Grant{}, realm.ErrNoToken
		}
		g.Only = r.rolesIn(c.ApplicationCredential).Roles
	}
	return g, nil
}

// RemoveToken implements realm.Store.
func (r *Realm) RemoveToken(ctx context.Context, d realm.Digest, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if _, ok := r.tokens[d]; !ok {
			return realm.ErrNoToken
		}
		delete(r.tokens, d)
		return nil
	})
}

// PurgeTokens implements realm.Store.
func (r *Realm) PurgeTokens(_ context.Context, before time.Time, limit int) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for d, g := range r.tokens {
		if n < limit && g.ExpiresAt.Before(before) {
			delete(r.tokens, d)
			n++
		}
	}
	return n, nil
}

// AddAccessKey implements realm.Store.
func (r *Realm) AddAccessKey(ctx context.Context, k realm.SealedKey, ev audit.Event) error {
	if r.Active != nil {
		active, err := r.Active(ctx, string(k.Project), k.Sealed.KEK.MasterKey)
		if err != nil {
			return fmt.Errorf("add access key: %w", err)
		}
		if active != k.Sealed.KEK.ID {
			return envelope.ErrKEKGone
		}
	}
	return r.change(ctx, ev, func() error {
		if _, ok := r.keys[k.ID]; ok {
			return realm.ErrKeyTaken
		}
		if _, ok := r.users[k.User]; !ok {
			return realm.ErrNoUser
		}
		if _, ok := r.projects[k.Project]; !ok {
			return realm.ErrNoProject
		}
		k.Secret = auth.AccessKey{}.Secret
		r.keys[k.ID] = k
		return nil
	})
}

// FindAccessKey implements realm.Store.
func (r *Realm) FindAccessKey(ctx context.Context, id string) (realm.SealedKey, error) {
	if err := ctx.Err(); err != nil {
		return realm.SealedKey{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.keys[id]
	if !ok {
		return realm.SealedKey{}, realm.ErrNoAccessKey
	}
	k.UserEnabled = r.users[k.User].User.Enabled
	return k, nil
}

// UpdateAccessKey implements realm.Store.
func (r *Realm) UpdateAccessKey(ctx context.Context, k auth.AccessKey, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		old, ok := r.keys[k.ID]
		if !ok {
			return realm.ErrNoAccessKey
		}
		old.Enabled, old.Description = k.Enabled, k.Description
		r.keys[k.ID] = old
		return nil
	})
}

// DeleteAccessKey implements realm.Store.
func (r *Realm) DeleteAccessKey(ctx context.Context, id string, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if _, ok := r.keys[id]; !ok {
			return realm.ErrNoAccessKey
		}
		delete(r.keys, id)
		return nil
	})
}

// ListAccessKeys implements realm.Store.
func (r *Realm) ListAccessKeys(_ context.Context, u auth.UserID) ([]auth.AccessKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []auth.AccessKey
	for _, k := range byName(r.keys, func(k realm.SealedKey) string { return k.ID },
		func(k realm.SealedKey) bool { return u == "" || k.User == u }) {
		out = append(out, k.AccessKey)
	}
	return out, nil
}

// AddAppCred implements realm.Store.
func (r *Realm) AddAppCred(ctx context.Context, c auth.ApplicationCredential, hash string, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if _, ok := r.users[c.User]; !ok {
			return realm.ErrNoUser
		}
		if _, ok := r.projects[c.Project]; !ok {
			return realm.ErrNoProject
		}
		for _, role := range c.Roles {
			if _, ok := r.roles[role.ID]; !ok {
				return realm.ErrNoRole
			}
		}
		for _, other := range r.appCreds {
			if other.User == c.User && other.Name == c.Name {
				return realm.ErrNameTaken
			}
		}
		r.appCreds[c.ID] = appCred{c, hash}
		return nil
	})
}

// rolesIn is c with its roles as they are called now, sorted by name.
func (r *Realm) rolesIn(c auth.ApplicationCredential) auth.ApplicationCredential {
	c.Roles = byName(r.roles, roleName, func(role auth.Role) bool {
		return slices.ContainsFunc(c.Roles, func(o auth.Role) bool { return o.ID == role.ID })
	})
	for i := range c.Roles {
		c.Roles[i].Description = ""
	}
	return c
}

// FindAppCred implements realm.Store.
func (r *Realm) FindAppCred(_ context.Context, id string) (auth.ApplicationCredential, string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.appCreds[id]
	if !ok {
		return auth.ApplicationCredential{}, "", realm.ErrNoAppCred
	}
	return r.rolesIn(c.ApplicationCredential), c.hash, nil
}

// DeleteAppCred implements realm.Store.
func (r *Realm) DeleteAppCred(ctx context.Context, id string, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if _, ok := r.appCreds[id]; !ok {
			return realm.ErrNoAppCred
		}
		delete(r.appCreds, id)
		return nil
	})
}

// ListAppCreds implements realm.Store.
func (r *Realm) ListAppCreds(_ context.Context, u auth.UserID, name string) ([]auth.ApplicationCredential, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []auth.ApplicationCredential
	for _, c := range byName(r.appCreds, func(c appCred) string { return c.Name },
		func(c appCred) bool { return c.User == u && (name == "" || c.Name == name) }) {
		out = append(out, r.rolesIn(c.ApplicationCredential))
	}
	return out, nil
}
