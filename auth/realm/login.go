package realm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// The ways to log in, as Keystone calls them.
const (
	Password      = "password"
	Token         = "token"
	AppCredential = "application_credential"
)

// Login asks for an access token.
type Login struct {
	Method   string  // one of the three above
	User     UserRef // for Password, and for AppCredential where that is by name
	Password sensitive.Bytes
	Token    sensitive.Bytes
	AppCred  string // ID, or the name among User's
	Secret   sensitive.Bytes
	Scope    Scope
}

// UserRef is a user as a login names it: by ID, or by name and domain.
type UserRef struct {
	ID     auth.UserID
	Name   string
	Domain DomainRef
}

// DomainRef is a domain as a login names it: by ID or by name.
type DomainRef struct{ ID, Name string }

// known reports whether the reference is to the one domain there is. A client
// that names none means it.
func (d DomainRef) known() bool {
	switch {
	case d.ID != "":
		return d.ID == auth.DefaultDomain.ID
	case d.Name != "":
		return strings.EqualFold(d.Name, auth.DefaultDomain.Name)
	}
	return true
}

// Scope is what a token shall be good for.
type Scope struct {
	Kind    ScopeKind
	Project auth.ProjectID // or
	Name    string         // of the project, in
	Domain  DomainRef      // or of the scope itself
}

// ScopeKind is what kind of scope a login asks for.
type ScopeKind uint8

const (
	Whatever  ScopeKind = iota // the user's default project, else none
	Nothing                    // unscoped, expressly
	ToProject                  //
	ToDomain                   //
)

var errScopeFixed = fault.New(fault.Denied, "An application credential's scope cannot be changed.")

// proof is what a login has shown so far.
type proof struct {
	account Account
	methods []string
	from    *Grant // the token that was shown
	appCred auth.ApplicationCredential
}

// Issued is a fresh access token. Whoever gets it hands it to its owner alone.
type Issued struct {
	Token sensitive.Bytes
	Grant Grant
}

// Authenticate issues an access token to whoever proves who it is. caller says
// where the request came from; nobody has been identified yet.
//
// A user that does not exist, a wrong password, a disabled user and a scope
// that is not theirs get one answer, after the same work.
func (s *Service) Authenticate(ctx context.Context, caller auth.Principal, l Login) (Issued, error) {
	p, err := s.prove(ctx, l)
	if err == nil {
		var g Grant
		if g, err = s.scoped(ctx, p, l.Scope); err == nil {
			return s.issue(ctx, caller, g)
		}
	}
	switch fault.KindOf(err) {
	case fault.Unauthenticated, fault.Denied:
		return Issued{}, s.refuse(ctx, s.loginEvent(caller, p.account.User, l, audit.Denied), err)
	}
	return Issued{}, fmt.Errorf("log in: %w", err)
}

// loginEvent records a login. The name of a user that does not exist is not in
// it: people type their password there.
func (s *Service) loginEvent(caller auth.Principal, u auth.User, l Login, o audit.Outcome) audit.Event {
	caller.User, caller.UserName = u.ID, u.Name
	caller.Method = auth.Method(l.Method)
	if l.Method == AppCredential && u.ID != "" {
		caller.Credential = l.AppCred
	}
	t := policy.Target{Kind: "token", Owner: string(u.ID)}
	ev := audit.New(s.deps.NewEventID(), s.now(), caller, "identity.login", t, policy.Decision{})
	ev.Action = "token.issue"
	return ev.As(o)
}

// prove finds out who logs in.
func (s *Service) prove(ctx context.Context, l Login) (proof, error) {
	switch l.Method {
	case Password:
		return s.provePassword(ctx, l.User, l.Password)
	case Token:
		return s.proveToken(ctx, l.Token)
	case AppCredential:
		return s.proveAppCred(ctx, l)
	}
	return proof{}, errUnauthenticated
}

func (s *Service) provePassword(ctx context.Context, u UserRef, password sensitive.Bytes) (proof, error) {
	guess := "user " + string(u.ID) + "/" + u.Name
	if s.guesses.locked(guess) {
		return proof{}, errLocked
	}
	a, err := s.account(ctx, u)
	if err != nil && !errors.Is(err, ErrNoUser) {
		return proof{}, err
	}
	// Also for a user that does not exist: a.Hash is empty then.
	match, err := s.deps.Passwords.Verify(ctx, password, a.Hash)
	if err != nil {
		return proof{}, err
	}
	if !match || !a.User.Enabled {
		s.guesses.fail(guess)
		return proof{account: a}, errUnauthenticated
	}
	s.guesses.succeed(guess)
	return proof{account: a, methods: []string{Password}}, nil
}

func (s *Service) account(ctx context.Context, u UserRef) (Account, error) {
	if u.ID == "" && (u.Name == "" || !u.Domain.known()) {
		return Account{}, ErrNoUser
	}
	a, err := s.deps.Store.FindLogin(ctx, u.ID, u.Name)
	if err != nil {
		return Account{}, fmt.Errorf("find user: %w", err)
	}
	return a, nil
}

// proveToken takes a token that is good now. What comes of it lives no longer.
func (s *Service) proveToken(ctx context.Context, token sensitive.Bytes) (proof, error) {
	d, ok := digest(string(token.Reveal()))
	if !ok {
		return proof{}, errUnauthenticated
	}
	// Not from memory: a token that was revoked elsewhere must bear no other.
	g, err := s.deps.Store.FindToken(ctx, d, s.now())
	if errors.Is(err, ErrNoToken) {
		return proof{}, errUnauthenticated
	}
	if err != nil {
		return proof{}, fmt.Errorf("find access token: %w", err)
	}
	p := proof{account: Account{User: g.User, Stamp: g.UserStamp}, methods: g.Methods, from: &g}
	if !s.deps.Now().Before(g.ExpiresAt) {
		return p, errUnauthenticated
	}
	if !slices.Contains(p.methods, Token) {
		p.methods = append(slices.Clone(p.methods), Token)
	}
	return p, nil
}

func (s *Service) proveAppCred(ctx context.Context, l Login) (proof, error) {
	guess := "application credential " + l.AppCred + "/" + string(l.User.ID) + "/" + l.User.Name
	if s.guesses.locked(guess) {
		return proof{}, errLocked
	}
	c, hash, a, err := s.findAppCred(ctx, l)
	if err != nil {
		return proof{}, err
	}
	match, err := s.verifySecret(ctx, l.Secret, hash)
	if err != nil {
		return proof{}, err
	}
	if !match || !a.User.Enabled || c.Expired(s.deps.Now()) {
		s.guesses.fail(guess)
		return proof{account: a}, errUnauthenticated
	}
	s.guesses.succeed(guess)
	return proof{account: a, methods: []string{AppCredential}, appCred: c}, nil
}

// findAppCred finds an application credential and its owner. Where there is
// none, all it returns is empty.
func (s *Service) findAppCred(ctx context.Context, l Login) (auth.ApplicationCredential, string, Account, error) {
	var none auth.ApplicationCredential
	id := l.AppCred
	if l.User.ID != "" || l.User.Name != "" {
		a, err := s.account(ctx, l.User)
		if errors.Is(err, ErrNoUser) {
			return none, "", Account{}, nil
		}
		if err != nil {
			return none, "", Account{}, err
		}
		named, err := s.deps.Store.ListAppCreds(ctx, a.User.ID, l.AppCred)
		if err != nil || len(named) == 0 {
			return none, "", Account{}, err
		}
		id = named[0].ID
	}
	c, hash, err := s.deps.Store.FindAppCred(ctx, id)
	if errors.Is(err, ErrNoAppCred) {
		return none, "", Account{}, nil
	}
	if err != nil {
		return none, "", Account{}, err
	}
	a, err := s.deps.Store.FindLogin(ctx, c.User, "")
	if errors.Is(err, ErrNoUser) {
		return none, "", Account{}, nil
	}
	return c, hash, a, err
}

// scoped is what the proof is good for, in the scope that was asked for.
func (s *Service) scoped(ctx context.Context, p proof, want Scope) (Grant, error) {
	now := s.now()
	g := Grant{
		User: p.account.User, UserStamp: p.account.Stamp, Methods: p.methods,
		AuditID: s.deps.NewID(), IssuedAt: now, ExpiresAt: now.Add(s.deps.Config.TokenTTL),
	}
	if p.from != nil {
		g.ExpiresAt = p.from.ExpiresAt
		g.Credential, g.Only = p.from.Credential, p.from.Only
	}
	if p.appCred.ID != "" {
		g.Credential, g.Only = p.appCred.ID, p.appCred.Roles
		if !p.appCred.ExpiresAt.IsZero() && p.appCred.ExpiresAt.Before(g.ExpiresAt) {
			g.ExpiresAt = p.appCred.ExpiresAt
		}
	}
	place, err := s.place(ctx, p, want)
	if err != nil || place == "" {
		return g, err
	}
	m, err := s.deps.Store.Member(ctx, p.account.User.ID, place)
	switch {
	case errors.Is(err, ErrNoProject), errors.Is(err, ErrNoUser):
		return g, errUnauthenticated
	case err != nil:
		return g, fmt.Errorf("find roles: %w", err)
	}
	g.Roles = m.Roles
	if len(g.effective()) == 0 || !m.Project.Enabled {
		if want.Kind == Whatever && g.Credential == "" {
			g.Roles = nil // the default project is no good: none at all
			return g, nil
		}
		return g, errUnauthenticated
	}
	g.ProjectStamp = m.ProjectStamp
	if place == auth.InDomain {
		g.Domain = true
		return g, nil
	}
	g.Project = m.Project
	return g, nil
}

// place is the project that a scope means; InDomain for the domain, and empty
// for none. An application credential has one scope, whatever is asked for.
func (s *Service) place(ctx context.Context, p proof, want Scope) (auth.ProjectID, error) {
	fixed := p.appCred.Project
	if p.from != nil && p.from.Credential != "" {
		fixed = p.from.Project.ID
	}
	var place auth.ProjectID
	switch want.Kind {
	case Whatever:
		if fixed == "" {
			return p.account.User.DefaultProject, nil
		}
		return fixed, nil
	case Nothing:
	case ToDomain:
		if !want.Domain.known() {
			return "", errUnauthenticated
		}
		place = auth.InDomain
	case ToProject:
		var err error
		if place, err = s.projectOf(ctx, p.account.User, want); err != nil {
			return "", err
		}
	}
	if fixed != "" && place != fixed {
		return "", errScopeFixed
	}
	return place, nil
}

// projectOf finds the project that a scope names, also by the region's name.
func (s *Service) projectOf(ctx context.Context, u auth.User, want Scope) (auth.ProjectID, error) {
	if want.Project != "" {
		if want.Project == auth.InDomain { // it is not a project
			return "", errUnauthenticated
		}
		return want.Project, nil
	}
	if !want.Domain.known() {
		return "", errUnauthenticated
	}
	found, err := s.deps.Store.ListProjects(ctx, ProjectQuery{Name: want.Name})
	if err != nil {
		return "", fmt.Errorf("find project: %w", err)
	}
	if len(found) == 0 && s.isRegion(want.Name) {
		home, err := s.home(ctx, u.ID, u.DefaultProject)
		if err != nil {
			return "", err
		}
		found = home
	}
	if len(found) == 0 {
		return "", errUnauthenticated
	}
	return found[0].ID, nil
}

// issue makes the token. Only now is there one: nothing before this line could
// have leaked it.
func (s *Service) issue(ctx context.Context, caller auth.Principal, g Grant) (Issued, error) {
	token, d := newToken()
	ev := s.loginEvent(caller, g.User, Login{Method: g.Methods[len(g.Methods)-1], AppCred: g.Credential}, audit.Success)
	ev.Project = string(g.Project.ID)
	ev.Target.Project, ev.Target.ID = string(g.Project.ID), g.AuditID
	if err := s.deps.Store.AddToken(ctx, d, g, ev); err != nil {
		return Issued{}, fmt.Errorf("store access token: %w", err)
	}
	var err error
	g.Roles, err = s.listed(ctx, g.effective())
	return Issued{Token: token, Grant: g}, err
}
