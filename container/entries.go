package container

import (
	"context"

	"github.com/strongroom-kms/strongroom/policy"
)

// TakesEntries says why nothing can be added, for dialects that answer so
// before they look at the body.
func (l *Located) TakesEntries(ctx context.Context) error {
	ev, err := l.admitOwner(ctx, policy.ContainerSecretAdd)
	if err == nil && l.found.Type != Generic {
		err = l.s.deps.Gate.Done(ctx, ev, ErrNotGeneric)
	}
	return err
}

// Add adds a secret of the same project. A container may have one under
// several names, and several under one name.
func (l *Located) Add(ctx context.Context, e Entry) error {
	if err := l.TakesEntries(ctx); err != nil {
		return err
	}
	return l.s.deps.Gate.Done(ctx, l.event, l.s.deps.Store.AddEntry(ctx, l.found, e, l.event))
}

// Remove removes a secret under one name, from a container of any type.
func (l *Located) Remove(ctx context.Context, e Entry) error {
	ev, err := l.admitOwner(ctx, policy.ContainerSecretRemove)
	if err != nil {
		return err
	}
	return l.s.deps.Gate.Done(ctx, ev, l.s.deps.Store.RemoveEntry(ctx, l.found, e, ev))
}
