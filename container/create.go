package container

import (
	"context"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
)

// MayCreate asks the gate for Create, for dialects that answer a refusal
// before they look at the body.
func (s *Service) MayCreate(ctx context.Context, who auth.Principal) error {
	_, err := s.deps.Gate.Admit(ctx, who, policy.ContainerCreate, gate.Project(who))
	return err
}

// Create makes a container in the caller's project, with all its entries or
// not at all.
func (s *Service) Create(ctx context.Context, who auth.Principal, in New) (Container, error) {
	ev, err := s.deps.Gate.Admit(ctx, who, policy.ContainerCreate, gate.Project(who))
	if err != nil {
		return Container{}, err
	}
	if err := in.check(); err != nil {
		return Container{}, err
	}
	c := Container{
		ID: ID(s.deps.NewID()), Project: who.Project, Name: in.Name, Type: in.Type, Creator: who.User,
		CreatedAt: ev.At, UpdatedAt: ev.At, Entries: in.Entries,
	}
	ev.Target = audit.Target{Kind: "container", Project: string(c.Project), ID: string(c.ID), Name: c.target().Name}
	return c, s.deps.Gate.Done(ctx, ev, s.deps.Store.CreateContainer(ctx, c, ev))
}

// MayList asks the gate for List.
func (s *Service) MayList(ctx context.Context, who auth.Principal) error {
	_, err := s.deps.Gate.Admit(ctx, who, policy.ContainerList, gate.Project(who))
	return err
}

// List returns one page of the caller's project, and how many containers
// match.
func (s *Service) List(ctx context.Context, who auth.Principal, q Query) ([]Container, int, error) {
	if err := s.MayList(ctx, who); err != nil {
		return nil, 0, err
	}
	return s.deps.Store.ListContainers(ctx, who.Project, q)
}

// Show returns the container. Locate it with Want.Contents.
func (l *Located) Show(ctx context.Context) (Container, error) {
	if _, err := l.admit(ctx, policy.ContainerShow); err != nil {
		return Container{}, err
	}
	return l.found, nil
}

// Delete removes the container at once. Its secrets stay.
func (l *Located) Delete(ctx context.Context) error {
	ev, err := l.admitOwner(ctx, policy.ContainerDelete)
	if err != nil {
		return err
	}
	return l.s.deps.Gate.Done(ctx, ev, l.s.deps.Store.DeleteContainer(ctx, l.found, ev))
}
