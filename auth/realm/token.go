package realm

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Grant is what an access token stands for.
type Grant struct {
	User    auth.User
	Project auth.Project // zero without project scope
	Domain  bool         // the scope is the domain
	Roles   []auth.Role  // assigned ones; a Service adds the implied ones
	Only    []auth.Role  // of the application credential: all that it may have
	Methods []string     // how its owner logged in: password, token, …
	// Credential is the application credential it was issued for; empty: none.
	Credential string
	AuditID    string // names the token where the token itself must not stand
	IssuedAt   time.Time
	ExpiresAt  time.Time

	UserStamp, ProjectStamp int64
}

// scope is the project whose roles count; the domain's own name where that is
// the scope, and empty for none.
func (g Grant) scope() auth.ProjectID {
	if g.Domain {
		return auth.InDomain
	}
	return g.Project.ID
}

// effective is the roles with what they imply, and of those the ones that the
// application credential may have.
func (g Grant) effective() []auth.Role {
	all := withImplied(g.Roles)
	if g.Credential == "" {
		return all
	}
	only := roleNames(g.Only)
	all = slices.DeleteFunc(all, func(r auth.Role) bool { return !slices.Contains(only, r.Name) })
	return withImplied(all)
}

func (g Grant) principal() auth.Principal {
	return auth.Principal{
		User: g.User.ID, UserName: g.User.Name, Domain: auth.DefaultDomain.ID, ProjectDomain: auth.DefaultDomain.ID,
		Project: g.Project.ID, Roles: roleNames(g.Roles),
		Method: auth.ByToken, Credential: g.Credential,
	}
}

var errUnauthenticated = fault.New(fault.Unauthenticated, "The request you have made requires authentication.")

const tokenBytes = 32 // of randomness

var tokenLen = hex.EncodedLen(tokenBytes)

// newToken makes an access token. Its digits are hexadecimal: one that begins
// with a dash would be an option on a command line.
func newToken() (sensitive.Bytes, Digest) {
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // never fails since Go 1.24: it ends the process instead
	token := hex.AppendEncode(nil, raw)
	clear(raw)
	return sensitive.Take(token), sha256.Sum256(token)
}

// digest is how a token is looked up. What cannot be a token is not.
func digest(token string) (Digest, bool) {
	if len(token) != tokenLen {
		return Digest{}, false
	}
	return sha256.Sum256([]byte(token)), true
}

// ByToken returns whose access token this is. An unscoped one, and one of the
// domain, has no project. While it is remembered that costs no round trip;
// where the database is away it is an Unavailable fault, never a guess.
func (s *Service) ByToken(ctx context.Context, token string) (auth.Principal, error) {
	d, ok := digest(token)
	if !ok {
		return auth.Principal{}, errUnauthenticated
	}
	g, err := s.grant(ctx, d)
	if errors.Is(err, ErrNoToken) {
		return auth.Principal{}, errUnauthenticated
	}
	if err != nil {
		return auth.Principal{}, fmt.Errorf("find access token: %w", err)
	}
	if !s.deps.Now().Before(g.ExpiresAt) {
		return auth.Principal{}, errUnauthenticated
	}
	return g.principal(), nil
}

// ByTokens is ByToken where a service may have added its own token, which must
// be good as well. It prolongs nothing.
func (s *Service) ByTokens(ctx context.Context, t auth.Tokens) (auth.Principal, error) {
	if t.Service != "" {
		if _, err := s.ByToken(ctx, t.Service); err != nil {
			return auth.Principal{}, err
		}
	}
	return s.ByToken(ctx, t.User)
}

// grant looks a token up, or remembers it. The roles include implied ones.
func (s *Service) grant(ctx context.Context, d Digest) (Grant, error) {
	return s.tokens.get(ctx, d, func(ctx context.Context) (Grant, error) {
		g, err := s.deps.Store.FindToken(ctx, d, s.now())
		if err != nil {
			return Grant{}, err
		}
		g.Roles = g.effective()
		if g.scope() != "" && len(g.Roles) == 0 {
			return Grant{}, ErrNoToken // its owner lost the last role there
		}
		return g, nil
	})
}

// Validate tells who about another token, or about its own. A token that is
// not good is ErrNoToken; one that merely expired is good where expired is set.
func (s *Service) Validate(ctx context.Context, who auth.Principal, subject string, expired bool) (Grant, error) {
	g, _, err := s.subject(ctx, who, policy.IdentityRead, "token.show", subject)
	if err != nil {
		return Grant{}, err
	}
	if !expired && !s.deps.Now().Before(g.ExpiresAt) {
		return Grant{}, ErrNoToken
	}
	g.Roles, err = s.listed(ctx, g.Roles)
	return g, err
}

// Revoke ends a token. Its owner may, and whoever manages the realm.
func (s *Service) Revoke(ctx context.Context, who auth.Principal, subject string) error {
	_, ev, err := s.subject(ctx, who, policy.IdentityManage, "token.revoke", subject)
	if err != nil {
		return err
	}
	d, _ := digest(subject)
	defer s.tokens.drop(d)
	return s.deps.Store.RemoveToken(ctx, d, ev)
}

// subject finds the token that a call is about and admits who to it. Guessing
// tokens is an attack: a miss is on record, without the guess.
func (s *Service) subject(ctx context.Context, who auth.Principal, act policy.Action, does, subject string) (Grant, audit.Event, error) {
	var g Grant
	err := error(ErrNoToken)
	if d, ok := digest(subject); ok {
		g, err = s.grant(ctx, d)
	}
	if errors.Is(err, ErrNoToken) {
		ev, err := s.admit(ctx, who, act, does, policy.Target{Kind: "token"}, who.User)
		if err == nil {
			err = s.refuse(ctx, ev.As(audit.Missing), ErrNoToken)
		}
		return Grant{}, ev, err
	}
	if err != nil {
		return Grant{}, audit.Event{}, fmt.Errorf("find access token: %w", err)
	}
	ev, err := s.admit(ctx, who, act, does, tokenTarget(g), g.User.ID)
	return g, ev, err
}

func tokenTarget(g Grant) policy.Target {
	return policy.Target{Kind: "token", Project: string(g.Project.ID), ID: g.AuditID, Owner: string(g.User.ID)}
}

// PurgeTokens removes some expired tokens, limit at most, and says how many
// that were. It is for a timer, and may run anywhere and twice.
func (s *Service) PurgeTokens(ctx context.Context, limit int) (int, error) {
	before := s.now().Add(-keepExpired)
	n, err := s.deps.Store.PurgeTokens(ctx, before, limit)
	if err != nil {
		return 0, fmt.Errorf("purge access tokens: %w", err)
	}
	return n, nil
}

// keepExpired is how long an expired token may still be looked up by a service
// that asks for expired ones, as Keystone has it.
const keepExpired = 48 * time.Hour

func roleNames(roles []auth.Role) []string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.Name
	}
	return names
}

// withImplied adds the roles that roles imply, by name alone: who asks for a
// principal needs no more.
func withImplied(roles []auth.Role) []auth.Role {
	out := make([]auth.Role, len(roles), len(roles)+2)
	copy(out, roles)
	have := roleNames(roles)
	for _, name := range auth.Implied(have) {
		if !slices.Contains(have, name) {
			out = append(out, auth.Role{Name: name})
		}
	}
	return out
}

// listed fills in the identifiers of implied roles, and leaves those out that
// the realm does not have.
func (s *Service) listed(ctx context.Context, roles []auth.Role) ([]auth.Role, error) {
	if len(roles) == 0 {
		return nil, nil
	}
	all, err := s.deps.Store.ListRoles(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	byName := make(map[string]auth.Role, len(all))
	for _, r := range all {
		byName[r.Name] = r
	}
	var out []auth.Role
	for _, r := range roles {
		if r, ok := byName[r.Name]; ok {
			out = append(out, r)
		}
	}
	return out, nil
}
