package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
)

// CreateUser implements realm.Store.
func (r *Realm) CreateUser(ctx context.Context, u auth.User, hash string, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if err := r.userFits(u); err != nil {
			return err
		}
		r.users[u.ID] = realm.Account{User: u, Hash: hash}
		return nil
	})
}

func (r *Realm) userFits(u auth.User) error {
	for id, other := range r.users {
		if other.User.Name == u.Name && id != u.ID {
			return realm.ErrNameTaken
		}
	}
	if _, ok := r.projects[u.DefaultProject]; !ok && u.DefaultProject != "" {
		return realm.ErrNoProject
	}
	return nil
}

// UpdateUser implements realm.Store.
func (r *Realm) UpdateUser(ctx context.Context, u auth.User, hash *string, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		old, ok := r.users[u.ID]
		if !ok {
			return realm.ErrNoUser
		}
		if err := r.userFits(u); err != nil {
			return err
		}
		u.CreatedAt = old.User.CreatedAt
		if hash != nil || old.User.Enabled && !u.Enabled {
			old.Stamp++
		}
		if hash == nil {
			u.PasswordAt = old.User.PasswordAt
		} else {
			old.Hash = *hash
		}
		old.User = u
		r.users[u.ID] = old
		return nil
	})
}

// DeleteUser implements realm.Store.
func (r *Realm) DeleteUser(ctx context.Context, id auth.UserID, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if _, ok := r.users[id]; !ok {
			return realm.ErrNoUser
		}
		delete(r.users, id)
		maps.DeleteFunc(r.assignments, func(a auth.Assignment, _ bool) bool { return a.User == id })
		maps.DeleteFunc(r.tokens, func(_ realm.Digest, g realm.Grant) bool { return g.User.ID == id })
		maps.DeleteFunc(r.keys, func(_ string, k realm.SealedKey) bool { return k.User == id })
		maps.DeleteFunc(r.appCreds, func(_ string, c appCred) bool { return c.User == id })
		return nil
	})
}

// FindUser implements realm.Store.
func (r *Realm) FindUser(ctx context.Context, id auth.UserID) (auth.User, error) {
	a, err := r.FindLogin(ctx, id, "")
	return a.User, err
}

// FindLogin implements realm.Store.
func (r *Realm) FindLogin(_ context.Context, id auth.UserID, name string) (realm.Account, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id != "" || name == "" {
		if a, ok := r.users[id]; ok {
			return a, nil
		}
		return realm.Account{}, realm.ErrNoUser
	}
	for _, a := range r.users {
		if a.User.Name == name {
			return a, nil
		}
	}
	return realm.Account{}, realm.ErrNoUser
}

// ListUsers implements realm.Store.
func (r *Realm) ListUsers(_ context.Context, q realm.UserQuery) ([]auth.User, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []auth.User
	for _, a := range byName(r.users, func(a realm.Account) string { return a.User.Name }, func(a realm.Account) bool {
		return (q.Name == "" || a.User.Name == q.Name) && (q.Enabled == nil || a.User.Enabled == *q.Enabled)
	}) {
		out = append(out, a.User)
	}
	return out, nil
}

func roleName(r auth.Role) string { return r.Name }

// CreateRole implements realm.Store.
func (r *Realm) CreateRole(ctx context.Context, role auth.Role, ev audit.Event) error {
	return r.change(ctx, ev, func() error { return r.putRole(role) })
}

func (r *Realm) putRole(role auth.Role) error {
	for id, other := range r.roles {
		if other.Name == role.Name && id != role.ID {
			return realm.ErrNameTaken
		}
	}
	r.roles[role.ID] = role
	return nil
}

// UpdateRole implements realm.Store.
func (r *Realm) UpdateRole(ctx context.Context, role auth.Role, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if _, ok := r.roles[role.ID]; !ok {
			return realm.ErrNoRole
		}
		return r.putRole(role)
	})
}

// DeleteRole implements realm.Store.
func (r *Realm) DeleteRole(ctx context.Context, id auth.RoleID, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if _, ok := r.roles[id]; !ok {
			return realm.ErrNoRole
		}
		delete(r.roles, id)
		maps.DeleteFunc(r.assignments, func(a auth.Assignment, _ bool) bool { return a.Role == id })
		for cid, c := range r.appCreds {
			c.Roles = slices.DeleteFunc(slices.Clone(c.Roles), func(role auth.Role) bool { return role.ID == id })
			r.appCreds[cid] = c
		}
		return nil
	})
}

// FindRole implements realm.Store.
func (r *Realm) FindRole(_ context.Context, id auth.RoleID) (auth.Role, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	role, ok := r.roles[id]
	if !ok {
		return auth.Role{}, realm.ErrNoRole
	}
	return role, nil
}

// ListRoles implements realm.Store.
func (r *Realm) ListRoles(_ context.Context, name string) ([]auth.Role, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return byName(r.roles, roleName, func(role auth.Role) bool { return name == "" || role.Name == name }), nil
}

// Assign implements realm.Store.
func (r *Realm) Assign(ctx context.Context, a auth.Assignment, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if _, ok := r.projects[a.Project]; !ok {
			return realm.ErrNoProject
		}
		if _, ok := r.users[a.User]; !ok {
			return realm.ErrNoUser
		}
		if _, ok := r.roles[a.Role]; !ok {
			return realm.ErrNoRole
		}
		r.assignments[a] = true
		return nil
	})
}

// Unassign implements realm.Store.
func (r *Realm) Unassign(ctx context.Context, a auth.Assignment, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if !r.assignments[a] {
			return realm.ErrNoAssignment
		}
		delete(r.assignments, a)
		return nil
	})
}

// Assignments implements realm.Store.
func (r *Realm) Assignments(_ context.Context, want auth.Assignment) ([]realm.NamedAssignment, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []realm.NamedAssignment
	for a := range r.assignments {
		if (want.Project == "" || a.Project == want.Project) &&
			(want.User == "" || a.User == want.User) && (want.Role == "" || a.Role == want.Role) {
			out = append(out, realm.NamedAssignment{
				Assignment: a, ProjectName: r.projects[a.Project].Name,
				UserName: r.users[a.User].User.Name, RoleName: r.roles[a.Role].Name,
			})
		}
	}
	inDomain := func(n realm.NamedAssignment) int { // the domain comes first
		if n.Project == auth.InDomain {
			return 0
		}
		return 1
	}
	slices.SortFunc(out, func(a, b realm.NamedAssignment) int {
		return cmp.Or(cmp.Compare(inDomain(a), inDomain(b)), cmp.Compare(a.ProjectName, b.ProjectName),
			cmp.Compare(a.UserName, b.UserName), cmp.Compare(a.RoleName, b.RoleName))
	})
	return out, nil
}

// Member implements realm.Store.
func (r *Realm) Member(_ context.Context, u auth.UserID, p auth.ProjectID) (realm.Member, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.users[u]
	if !ok {
		return realm.Member{}, realm.ErrNoUser
	}
	in, ok := r.projects[p]
	if !ok {
		return realm.Member{}, realm.ErrNoProject
	}
	return realm.Member{
		User: a.User, UserStamp: a.Stamp, Project: in.Project, ProjectStamp: in.stamp, Roles: r.rolesOf(u, p),
	}, nil
}

func (r *Realm) rolesOf(u auth.UserID, p auth.ProjectID) []auth.Role {
	found := byName(r.roles, roleName, func(role auth.Role) bool {
		return r.assignments[auth.Assignment{Project: p, User: u, Role: role.ID}]
	})
	for i := range found {
		found[i].Description = ""
	}
	return found
}
