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
)

// Limits on names, in characters: Keystone's own.
const (
	maxProjectName = 64
	maxUserName    = 255
	maxRoleName    = 255
)

// named checks a name that people give.
func named(name string, most int) error {
	if strings.TrimSpace(name) == "" || len([]rune(name)) > most || strings.ContainsRune(name, 0) {
		return fault.New(fault.Invalid, fmt.Sprintf("name must have 1 to %d characters.", most))
	}
	return nil
}

// set changes a field where there is something to change it to.
func set[T any](field *T, to *T) {
	if to != nil {
		*field = *to
	}
}

func projectTarget(p auth.Project) policy.Target {
	return policy.Target{Kind: "project", Project: string(p.ID), ID: string(p.ID), Name: p.Name}
}

// ProjectChange is what a project shall be; what is nil stays, or is as usual.
type ProjectChange struct {
	Name, Description *string
	Enabled           *bool
}

func (c ProjectChange) apply(p *auth.Project) error {
	set(&p.Name, c.Name)
	set(&p.Description, c.Description)
	set(&p.Enabled, c.Enabled)
	return named(p.Name, maxProjectName)
}

// CreateProject makes a project.
func (s *Service) CreateProject(ctx context.Context, who auth.Principal, in ProjectChange) (auth.Project, error) {
	p := auth.Project{ID: auth.ProjectID(s.deps.NewID()), Enabled: true, CreatedAt: s.now()}
	bad := in.apply(&p)
	ev, err := s.manage(ctx, who, "project.create", projectTarget(p))
	if err = first(err, bad); err != nil {
		return auth.Project{}, err
	}
	return p, s.deps.Store.CreateProject(ctx, p, ev)
}

// first is the first of two errors: the gate's before the body's.
func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// UpdateProject changes a project. Disabling it ends its tokens for good.
func (s *Service) UpdateProject(ctx context.Context, who auth.Principal, id auth.ProjectID, c ProjectChange) (auth.Project, error) {
	ev, err := s.manage(ctx, who, "project.update", projectTarget(auth.Project{ID: id}))
	if err != nil {
		return auth.Project{}, err
	}
	p, err := s.findProject(ctx, id, ev)
	if err != nil {
		return auth.Project{}, err
	}
	if err := c.apply(&p); err != nil {
		return auth.Project{}, err
	}
	defer s.changed()
	return p, s.deps.Store.UpdateProject(ctx, p, ev)
}

// DeleteProject removes a project, its assignments and credentials. Its secrets
// stay where they are, out of everybody's reach: they are not the realm's.
func (s *Service) DeleteProject(ctx context.Context, who auth.Principal, id auth.ProjectID) error {
	ev, err := s.manage(ctx, who, "project.delete", projectTarget(auth.Project{ID: id}))
	if err != nil {
		return err
	}
	if _, err := s.findProject(ctx, id, ev); err != nil {
		return err
	}
	defer s.changed()
	return s.deps.Store.DeleteProject(ctx, id, ev)
}

// findProject finds a project that is not the domain. A miss is recorded.
func (s *Service) findProject(ctx context.Context, id auth.ProjectID, ev audit.Event) (auth.Project, error) {
	if id == auth.InDomain {
		return auth.Project{}, s.refuse(ctx, ev.As(audit.Missing), ErrNoProject)
	}
	p, err := s.deps.Store.FindProject(ctx, id)
	if errors.Is(err, ErrNoProject) {
		return p, s.refuse(ctx, ev.As(audit.Missing), ErrNoProject)
	}
	return p, err
}

// Project returns a project. Its members may see it.
func (s *Service) Project(ctx context.Context, who auth.Principal, id auth.ProjectID) (auth.Project, error) {
	var self auth.UserID
	if who.User != "" {
		own, err := s.deps.Store.ListProjects(ctx, ProjectQuery{Member: who.User})
		if err != nil {
			return auth.Project{}, err
		}
		if slices.ContainsFunc(own, func(p auth.Project) bool { return p.ID == id }) {
			self = who.User
		}
	}
	ev, err := s.admit(ctx, who, policy.IdentityRead, "project.show", projectTarget(auth.Project{ID: id}), self)
	if err != nil {
		return auth.Project{}, err
	}
	return s.findProject(ctx, id, ev)
}

// Projects lists projects: all for who may see all, else the caller's own. The
// name of a region, where no project has it, finds exactly one: the one that
// the caller means by default, under that name.
func (s *Service) Projects(ctx context.Context, who auth.Principal, q ProjectQuery) ([]auth.Project, error) {
	if !s.decide(who, policy.IdentityRead, policy.Target{Kind: "project"}, "").Allowed {
		if q.Member != "" && q.Member != who.User {
			return nil, s.read(ctx, who, "project.list", policy.Target{Kind: "project", Owner: string(q.Member)}, "")
		}
		q.Member = who.User
	}
	found, err := s.deps.Store.ListProjects(ctx, q)
	if err != nil || len(found) > 0 || !s.isRegion(q.Name) {
		return found, err
	}
	at := who.Project
	if at == "" {
		u, err := s.deps.Store.FindUser(ctx, who.User)
		if err != nil && !errors.Is(err, ErrNoUser) {
			return nil, err
		}
		at = u.DefaultProject
	}
	home, err := s.home(ctx, who.User, at)
	for i := range home {
		home[i].Name = q.Name
	}
	return home, err
}

// OwnProjects lists the enabled projects that the caller has a role in, which
// are those it may have a token for.
func (s *Service) OwnProjects(ctx context.Context, who auth.Principal) ([]auth.Project, error) {
	enabled := true
	return s.deps.Store.ListProjects(ctx, ProjectQuery{Member: who.User, Enabled: &enabled})
}

func (s *Service) isRegion(name string) bool {
	return name != "" && slices.Contains(s.deps.Config.Regions, name)
}

// home is the project that a user means without naming one: the preferred one
// where the user may use it, else the first by name. It has one element, or
// none where the user has no project.
func (s *Service) home(ctx context.Context, u auth.UserID, preferred auth.ProjectID) ([]auth.Project, error) {
	enabled := true
	own, err := s.deps.Store.ListProjects(ctx, ProjectQuery{Member: u, Enabled: &enabled})
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	if i := slices.IndexFunc(own, func(p auth.Project) bool { return p.ID == preferred }); i >= 0 {
		return own[i : i+1], nil
	}
	return own[:min(1, len(own))], nil
}
