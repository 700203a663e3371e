package container

import (
	"context"

	"github.com/strongroom-kms/strongroom/policy"
)

// Consumers returns one page of who registered, in the order of names, and how
// many there are.
func (l *Located) Consumers(ctx context.Context, limit, offset int) ([]Consumer, int, error) {
	if _, err := l.admit(ctx, policy.ContainerConsumerList); err != nil {
		return nil, 0, err
	}
	return l.s.deps.Store.ListContainerConsumers(ctx, l.found, limit, offset)
}

// Consumer returns one of them by its UUID.
func (l *Located) Consumer(ctx context.Context, id string) (Consumer, error) {
	ev, err := l.admit(ctx, policy.ContainerConsumerList)
	if err != nil {
		return Consumer{}, err
	}
	c, err := l.s.deps.Store.FindContainerConsumer(ctx, l.found, id)
	return c, l.s.deps.Gate.Done(ctx, ev, err)
}

// Register puts a party on the list of consumers, once, and returns the
// container with it.
func (l *Located) Register(ctx context.Context, p Party) (Container, error) {
	ev, err := l.admit(ctx, policy.ContainerConsumerAdd)
	if err != nil {
		return Container{}, err
	}
	c, err := l.s.deps.Store.AddContainerConsumer(ctx, l.found, Consumer{
		Party: p, ID: l.s.deps.NewID(), Registrar: l.who.Project, CreatedAt: ev.At, UpdatedAt: ev.At,
	}, ev)
	return c, l.s.deps.Gate.Done(ctx, ev, err)
}

// Unregister takes a party off the list, and returns the container without it.
// Only the project that registered it and the container's own may.
func (l *Located) Unregister(ctx context.Context, p Party) (Container, error) {
	ev, err := l.admit(ctx, policy.ContainerConsumerRemove)
	if err != nil {
		return Container{}, err
	}
	c, err := l.s.deps.Store.RemoveContainerConsumer(ctx, l.found, p, l.who.Project, ev)
	return c, l.s.deps.Gate.Done(ctx, ev, err)
}
