package realm

import (
	"context"
	"errors"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// maxPassword is in bytes. It only bounds the work: argon2 takes any length.
const maxPassword = 4096

var errPassword = fault.New(fault.Invalid, "password must have 1 to 4096 bytes.")

func userTarget(id auth.UserID, name string) policy.Target {
	return policy.Target{Kind: "user", ID: string(id), Name: name, Owner: string(id)}
}

// UserChange is what a user shall be; what is nil stays, or is as usual.
type UserChange struct {
	Name, Email, Description *string
	Enabled                  *bool
	DefaultProject           *auth.ProjectID
	Password                 *sensitive.Bytes
}

func (c UserChange) apply(u *auth.User) error {
	set(&u.Name, c.Name)
	set(&u.Email, c.Email)
	set(&u.Description, c.Description)
	set(&u.Enabled, c.Enabled)
	set(&u.DefaultProject, c.DefaultProject)
	if c.Password != nil && (c.Password.Len() == 0 || c.Password.Len() > maxPassword) {
		return errPassword
	}
	return named(u.Name, maxUserName)
}

// CreateUser makes a user.
func (s *Service) CreateUser(ctx context.Context, who auth.Principal, in UserChange) (auth.User, error) {
	u := auth.User{ID: auth.UserID(s.deps.NewID()), Enabled: true, CreatedAt: s.now()}
	bad := in.apply(&u)
	ev, err := s.manage(ctx, who, "user.create", userTarget(u.ID, u.Name))
	if err = first(err, bad); err != nil {
		return auth.User{}, err
	}
	var hash string
	if in.Password != nil {
		if hash, err = s.deps.Passwords.Hash(ctx, *in.Password); err != nil {
			return auth.User{}, err
		}
		u.PasswordAt = u.CreatedAt
	}
	return u, s.deps.Store.CreateUser(ctx, u, hash, ev)
}

// UpdateUser changes a user. Disabling it and setting its password end its
// tokens for good.
func (s *Service) UpdateUser(ctx context.Context, who auth.Principal, id auth.UserID, c UserChange) (auth.User, error) {
	ev, err := s.manage(ctx, who, "user.update", userTarget(id, ""))
	if err != nil {
		return auth.User{}, err
	}
	u, err := s.findUser(ctx, id, ev)
	if err != nil {
		return auth.User{}, err
	}
	if err := c.apply(&u); err != nil {
		return auth.User{}, err
	}
	var hash *string
	if c.Password != nil {
		if hash, err = s.hashed(ctx, *c.Password); err != nil {
			return auth.User{}, err
		}
		u.PasswordAt = s.now()
	}
	defer s.changed()
	return u, s.deps.Store.UpdateUser(ctx, u, hash, ev)
}

func (s *Service) hashed(ctx context.Context, password sensitive.Bytes) (*string, error) {
	hash, err := s.deps.Passwords.Hash(ctx, password)
	return &hash, err
}

// DeleteUser removes a user with its assignments, tokens and credentials.
func (s *Service) DeleteUser(ctx context.Context, who auth.Principal, id auth.UserID) error {
	ev, err := s.manage(ctx, who, "user.delete", userTarget(id, ""))
	if err != nil {
		return err
	}
	if _, err := s.findUser(ctx, id, ev); err != nil {
		return err
	}
	defer s.changed()
	return s.deps.Store.DeleteUser(ctx, id, ev)
}

func (s *Service) findUser(ctx context.Context, id auth.UserID, ev audit.Event) (auth.User, error) {
	u, err := s.deps.Store.FindUser(ctx, id)
	if errors.Is(err, ErrNoUser) {
		return u, s.refuse(ctx, ev.As(audit.Missing), ErrNoUser)
	}
	return u, err
}

// User returns a user. Everybody may see themselves.
func (s *Service) User(ctx context.Context, who auth.Principal, id auth.UserID) (auth.User, error) {
	ev, err := s.admit(ctx, who, policy.IdentityRead, "user.show", userTarget(id, ""), id)
	if err != nil {
		return auth.User{}, err
	}
	return s.findUser(ctx, id, ev)
}

// Users lists users. Who may not see all may look for itself by name.
func (s *Service) Users(ctx context.Context, who auth.Principal, q UserQuery) ([]auth.User, error) {
	var self auth.UserID
	if q.Name != "" && q.Name == who.UserName {
		self = who.User
	}
	if err := s.read(ctx, who, "user.list", policy.Target{Kind: "user", Name: q.Name}, self); err != nil {
		return nil, err
	}
	return s.deps.Store.ListUsers(ctx, q)
}

// ChangePassword sets a user's password for whoever knows the old one, which
// is all that it asks: caller only says where the request came from. It ends
// all of the user's tokens.
func (s *Service) ChangePassword(ctx context.Context, caller auth.Principal, id auth.UserID, old, next sensitive.Bytes) error {
	p, err := s.provePassword(ctx, UserRef{ID: id}, old)
	caller.User, caller.UserName, caller.Method = p.account.User.ID, p.account.User.Name, Password
	t := userTarget(p.account.User.ID, p.account.User.Name)
	ev := audit.New(s.deps.NewEventID(), s.now(), caller, policy.IdentityManage, t,
		policy.Decision{Allowed: err == nil, Rules: []string{"self"}})
	ev.Action = "user.password"
	switch fault.KindOf(err) {
	case fault.Unauthenticated, fault.Denied:
		return s.refuse(ctx, ev, err)
	}
	if err != nil {
		return err
	}
	if next.Len() == 0 || next.Len() > maxPassword {
		return errPassword
	}
	hash, err := s.hashed(ctx, next)
	if err != nil {
		return err
	}
	u := p.account.User
	u.PasswordAt = s.now()
	defer s.changed()
	return s.deps.Store.UpdateUser(ctx, u, hash, ev)
}
