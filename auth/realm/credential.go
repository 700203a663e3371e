package realm

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

var (
	errRestricted = fault.New(fault.Denied, "A restricted credential may not manage credentials.")
	errNoScope    = fault.New(fault.Invalid, "An application credential needs a token with a project.")
	errNotHeld    = fault.New(fault.Invalid, "roles has a role that the caller does not have in the project.")
	errPast       = fault.New(fault.Invalid, "expires_at is not in the future.")
)

// admitCredential is the gate for changing what a user proves itself with. Its
// owner may, unless it comes with a credential that was made to do less: that
// one must not make itself a better one.
func (s *Service) admitCredential(ctx context.Context, who auth.Principal, does string, t policy.Target, owner auth.UserID) (audit.Event, error) {
	free, err := s.unrestricted(ctx, who)
	if err != nil {
		return audit.Event{}, err
	}
	if free {
		return s.admit(ctx, who, policy.IdentityManage, does, t, owner)
	}
	ev := audit.New(s.deps.NewEventID(), s.now(), who, policy.IdentityManage, t, policy.Decision{})
	ev.Action = does
	return ev, s.refuse(ctx, ev, errRestricted)
}

// unrestricted reports whether who came with all that the user has.
func (s *Service) unrestricted(ctx context.Context, who auth.Principal) (bool, error) {
	if who.Credential == "" {
		return true, nil
	}
	if who.Method == auth.BySignature {
		k, err := s.deps.Store.FindAccessKey(ctx, who.Credential)
		if errors.Is(err, ErrNoAccessKey) {
			return false, nil
		}
		return !k.Confined, err
	}
	c, _, err := s.deps.Store.FindAppCred(ctx, who.Credential)
	if errors.Is(err, ErrNoAppCred) {
		return false, nil
	}
	return c.Unrestricted, err
}

// NewAppCred is an application credential to be made. Its project is the
// caller's.
type NewAppCred struct {
	Name, Description string
	Secret            sensitive.Bytes // empty: one is made
	Roles             []RoleRef       // empty: all that the caller has
	ExpiresAt         time.Time
	Unrestricted      bool
}

// RoleRef names a role by ID or by name.
type RoleRef struct {
	ID   auth.RoleID
	Name string
}

func (w RoleRef) is(r auth.Role) bool {
	if w.ID != "" {
		return w.ID == r.ID
	}
	return strings.EqualFold(w.Name, r.Name)
}

// CreateAppCred makes an application credential of the caller's own, and
// returns its secret, which can't be read again.
func (s *Service) CreateAppCred(ctx context.Context, who auth.Principal, u auth.UserID, in NewAppCred) (auth.ApplicationCredential, sensitive.Bytes, error) {
	var none auth.ApplicationCredential
	t := policy.Target{Kind: "application_credential", Project: string(who.Project), Name: in.Name, Owner: string(u)}
	ev, err := s.admitCredential(ctx, who, "application_credential.create", t, u)
	if err != nil {
		return none, sensitive.Bytes{}, err
	}
	if u != who.User { // not even for an administrator: it would become that user
		return none, sensitive.Bytes{}, s.refuse(ctx, ev.As(audit.Denied), errDenied)
	}
	c := auth.ApplicationCredential{
		ID: s.deps.NewID(), Name: in.Name, Description: in.Description, User: u, Project: who.Project,
		Unrestricted: in.Unrestricted, CreatedAt: s.now(), ExpiresAt: in.ExpiresAt,
	}
	switch {
	case who.Project == "":
		return none, sensitive.Bytes{}, errNoScope
	case c.Expired(c.CreatedAt):
		return none, sensitive.Bytes{}, errPast
	}
	if c.Roles, err = s.heldRoles(ctx, who, in.Roles); err != nil {
		return none, sensitive.Bytes{}, err
	}
	secret, hash, err := s.newSecret(ctx, in.Secret)
	if err != nil {
		return none, sensitive.Bytes{}, err
	}
	ev.Target.ID = c.ID
	return c, secret, s.deps.Store.AddAppCred(ctx, c, hash, ev)
}

// heldRoles finds the roles that were asked for among those the caller has: the
// ones of its token, which may be fewer than the user's.
func (s *Service) heldRoles(ctx context.Context, who auth.Principal, want []RoleRef) ([]auth.Role, error) {
	all, err := s.deps.Store.ListRoles(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	held := slices.DeleteFunc(all, func(r auth.Role) bool { return !who.Has(r.Name) })
	if len(want) == 0 {
		return held, nil
	}
	var out []auth.Role
	for _, w := range want {
		i := slices.IndexFunc(held, w.is)
		if i < 0 {
			return nil, errNotHeld
		}
		if !slices.Contains(out, held[i]) {
			out = append(out, held[i])
		}
	}
	return out, nil
}

// digestMark begins the hash of a secret that we made: one with 256 random bits
// needs no slow hash. What a person chose gets one.
const digestMark = "sha256$"

func (s *Service) newSecret(ctx context.Context, chosen sensitive.Bytes) (sensitive.Bytes, string, error) {
	if chosen.Len() > 0 {
		hash, err := s.deps.Passwords.Hash(ctx, chosen)
		return chosen, hash, err
	}
	secret, d := newToken()
	return secret, digestMark + hex.EncodeToString(d[:]), nil
}

// verifySecret reports whether hash is of secret. Where there is no hash, a
// secret that may be a person's choice is hashed all the same, for the time it
// takes.
func (s *Service) verifySecret(ctx context.Context, secret sensitive.Bytes, hash string) (bool, error) {
	want, made := strings.CutPrefix(hash, digestMark)
	if made || (hash == "" && secret.Len() == tokenLen) {
		d := sha256.Sum256(secret.Reveal())
		return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(d[:])), []byte(want)) == 1, nil
	}
	return s.deps.Passwords.Verify(ctx, secret, hash)
}

// AppCreds lists a user's application credentials, of that name or all.
func (s *Service) AppCreds(ctx context.Context, who auth.Principal, u auth.UserID, name string) ([]auth.ApplicationCredential, error) {
	t := policy.Target{Kind: "application_credential", Owner: string(u)}
	if err := s.read(ctx, who, "application_credential.list", t, u); err != nil {
		return nil, err
	}
	return s.deps.Store.ListAppCreds(ctx, u, name)
}

// ShowAppCred returns one application credential of a user.
func (s *Service) ShowAppCred(ctx context.Context, who auth.Principal, u auth.UserID, id string) (auth.ApplicationCredential, error) {
	t := policy.Target{Kind: "application_credential", ID: id, Owner: string(u)}
	if err := s.read(ctx, who, "application_credential.show", t, u); err != nil {
		return auth.ApplicationCredential{}, err
	}
	c, _, err := s.deps.Store.FindAppCred(ctx, id)
	if err == nil && c.User != u {
		err = ErrNoAppCred
	}
	if err != nil {
		return auth.ApplicationCredential{}, err
	}
	return c, nil
}

// DeleteAppCred removes one application credential of a user, and ends the
// tokens that were issued for it.
func (s *Service) DeleteAppCred(ctx context.Context, who auth.Principal, u auth.UserID, id string) error {
	t := policy.Target{Kind: "application_credential", ID: id, Owner: string(u)}
	ev, err := s.admitCredential(ctx, who, "application_credential.delete", t, u)
	if err != nil {
		return err
	}
	if _, err := s.ShowAppCred(ctx, who, u, id); err != nil {
		return err
	}
	defer s.changed()
	return s.deps.Store.DeleteAppCred(ctx, id, ev)
}
