package realm

import (
	"context"
	"errors"
	"strings"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
)

func roleTarget(id auth.RoleID, name string) policy.Target {
	return policy.Target{Kind: "role", ID: string(id), Name: name}
}

// RoleChange is what a role shall be; what is nil stays.
type RoleChange struct{ Name, Description *string }

// apply lower-cases the name: role names are compared without case, and the
// policy's are in lower case.
func (c RoleChange) apply(r *auth.Role) error {
	set(&r.Name, c.Name)
	set(&r.Description, c.Description)
	r.Name = strings.ToLower(r.Name)
	return named(r.Name, maxRoleName)
}

// CreateRole makes a role.
func (s *Service) CreateRole(ctx context.Context, who auth.Principal, in RoleChange) (auth.Role, error) {
	r := auth.Role{ID: auth.RoleID(s.deps.NewID())}
	bad := in.apply(&r)
	ev, err := s.manage(ctx, who, "role.create", roleTarget(r.ID, r.Name))
	if err = first(err, bad); err != nil {
		return auth.Role{}, err
	}
	return r, s.deps.Store.CreateRole(ctx, r, ev)
}

// UpdateRole renames or describes a role.
func (s *Service) UpdateRole(ctx context.Context, who auth.Principal, id auth.RoleID, c RoleChange) (auth.Role, error) {
	ev, err := s.manage(ctx, who, "role.update", roleTarget(id, ""))
	if err != nil {
		return auth.Role{}, err
	}
	r, err := s.findRole(ctx, id, ev)
	if err != nil {
		return auth.Role{}, err
	}
	if err := c.apply(&r); err != nil {
		return auth.Role{}, err
	}
	defer s.changed()
	return r, s.deps.Store.UpdateRole(ctx, r, ev)
}

// DeleteRole removes a role from everybody who has it.
func (s *Service) DeleteRole(ctx context.Context, who auth.Principal, id auth.RoleID) error {
	ev, err := s.manage(ctx, who, "role.delete", roleTarget(id, ""))
	if err != nil {
		return err
	}
	if _, err := s.findRole(ctx, id, ev); err != nil {
		return err
	}
	defer s.changed()
	return s.deps.Store.DeleteRole(ctx, id, ev)
}

func (s *Service) findRole(ctx context.Context, id auth.RoleID, ev audit.Event) (auth.Role, error) {
	r, err := s.deps.Store.FindRole(ctx, id)
	if errors.Is(err, ErrNoRole) {
		return r, s.refuse(ctx, ev.As(audit.Missing), ErrNoRole)
	}
	return r, err
}

// Role returns a role.
func (s *Service) Role(ctx context.Context, who auth.Principal, id auth.RoleID) (auth.Role, error) {
	ev, err := s.admit(ctx, who, policy.IdentityRead, "role.show", roleTarget(id, ""), "")
	if err != nil {
		return auth.Role{}, err
	}
	return s.findRole(ctx, id, ev)
}

// Roles lists the roles of that name, in any case, or all for "".
func (s *Service) Roles(ctx context.Context, who auth.Principal, name string) ([]auth.Role, error) {
	if err := s.read(ctx, who, "role.list", policy.Target{Kind: "role", Name: name}, ""); err != nil {
		return nil, err
	}
	return s.deps.Store.ListRoles(ctx, strings.ToLower(name))
}

func assignmentTarget(a auth.Assignment) policy.Target {
	return policy.Target{Kind: "assignment", Project: string(a.Project), ID: string(a.Role), Owner: string(a.User)}
}

// Assign gives a user a role in a project or in the domain.
func (s *Service) Assign(ctx context.Context, who auth.Principal, a auth.Assignment) error {
	ev, err := s.manage(ctx, who, "assignment.create", assignmentTarget(a))
	if err != nil {
		return err
	}
	defer s.changed()
	return s.missed(ctx, ev, s.deps.Store.Assign(ctx, a, ev))
}

// Unassign takes a role away.
func (s *Service) Unassign(ctx context.Context, who auth.Principal, a auth.Assignment) error {
	ev, err := s.manage(ctx, who, "assignment.delete", assignmentTarget(a))
	if err != nil {
		return err
	}
	defer s.changed()
	return s.missed(ctx, ev, s.deps.Store.Unassign(ctx, a, ev))
}

// missed records that a part of an assignment was not there.
func (s *Service) missed(ctx context.Context, ev audit.Event, err error) error {
	for _, missing := range []error{ErrNoProject, ErrNoUser, ErrNoRole, ErrNoAssignment} {
		if errors.Is(err, missing) {
			return s.refuse(ctx, ev.As(audit.Missing), err)
		}
	}
	return err
}

// Assignments lists what matches every field of a that is not empty. Everybody
// may see their own.
func (s *Service) Assignments(ctx context.Context, who auth.Principal, a auth.Assignment) ([]NamedAssignment, error) {
	if err := s.read(ctx, who, "assignment.list", assignmentTarget(a), a.User); err != nil {
		return nil, err
	}
	return s.deps.Store.Assignments(ctx, a)
}

// miss asks the gate about something that is not there, so that who may not
// know learns nothing, and records the miss.
func (s *Service) miss(ctx context.Context, who auth.Principal, act policy.Action, does string, t policy.Target, why error) error {
	ev, err := s.admit(ctx, who, act, does, t, "")
	if err != nil {
		return err
	}
	return s.refuse(ctx, ev.As(audit.Missing), why)
}
