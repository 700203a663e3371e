package secret

import (
	"context"
	"slices"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
)

var (
	ErrNoConsumer      = fault.New(fault.NotFound, "the secret has no such consumer")
	ErrConsumerForeign = fault.New(fault.Denied, "only the project that registered the consumer or the one that owns the secret may remove it")
	ErrInUse           = fault.New(fault.Invalid, "the secret has consumers; force its deletion, or remove them first")
)

// ConsumerID is a consumer's UUID, of version 4.
type ConsumerID string

// Use is what a consumer is: a resource of a service that needs the secret. A
// secret has each at most once.
type Use struct {
	Service      string
	ResourceType string
	ResourceID   string
}

// Consumer is a use that somebody registered.
type Consumer struct {
	ID ConsumerID
	Use
	Registrar auth.ProjectID // whose user registered it
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Consumers returns one page of the secret's consumers, oldest first, and how
// many there are.
func (l *Located) Consumers(ctx context.Context, limit, offset int) ([]Consumer, int, error) {
	if _, err := l.admit(ctx, policy.ConsumerList, "", ""); err != nil {
		return nil, 0, err
	}
	return l.s.deps.Store.Consumers(ctx, l.found.Secret, limit, offset)
}

// Consumer returns one consumer; ErrNoConsumer where there is none. Locate the
// secret with Want.Consumers.
func (l *Located) Consumer(ctx context.Context, id ConsumerID) (Consumer, error) {
	ev, err := l.admit(ctx, policy.ConsumerList, "", "")
	if err != nil {
		return Consumer{}, err
	}
	all := l.found.Secret.Consumers
	if i := slices.IndexFunc(all, func(c Consumer) bool { return c.ID == id }); i >= 0 {
		return all[i], nil
	}
	return Consumer{}, l.s.gate.Done(ctx, ev, ErrNoConsumer)
}

// Register says that u needs the secret, and returns the secret as it then is.
// What is registered already stays as it is. Locate the secret with
// Want.Consumers.
func (l *Located) Register(ctx context.Context, u Use) (Secret, error) {
	ev, err := l.admit(ctx, policy.ConsumerAdd, "", "")
	if err != nil {
		return Secret{}, err
	}
	sec, now := l.found.Secret, l.s.now()
	c := Consumer{
		ID: ConsumerID(l.s.deps.NewID()), Use: u, Registrar: l.who.Project, CreatedAt: now, UpdatedAt: now,
	}
	fresh, err := l.s.deps.Store.Register(ctx, sec, c, ev)
	if err != nil {
		return Secret{}, l.s.gate.Done(ctx, ev, err)
	}
	if fresh {
		sec.UpdatedAt = now
	}
	if !slices.ContainsFunc(sec.Consumers, c.same) {
		sec.Consumers = append(slices.Clone(sec.Consumers), c)
	}
	return sec, nil
}

// Unregister takes back that u needs the secret, and returns the secret as it
// then is. That is for the project that registered it, and for the secret's
// own. Locate the secret with Want.Consumers.
func (l *Located) Unregister(ctx context.Context, u Use) (Secret, error) {
	ev, err := l.admit(ctx, policy.ConsumerRemove, "", "")
	if err != nil {
		return Secret{}, err
	}
	sec := l.found.Secret
	if err := l.s.deps.Store.Unregister(ctx, sec, u, l.who.Project, ev); err != nil {
		return Secret{}, l.s.gate.Done(ctx, ev, err)
	}
	sec.Consumers = slices.DeleteFunc(slices.Clone(sec.Consumers), Consumer{Use: u}.same)
	return sec, nil
}

func (c Consumer) same(other Consumer) bool { return c.Use == other.Use }

// DeleteUnused removes the secret as Delete does, unless somebody is
// registered as its consumer: ErrInUse. Who registers meanwhile is not missed.
func (l *Located) DeleteUnused(ctx context.Context) error {
	ev, err := l.admit(ctx, policy.SecretDelete, "", "")
	if err != nil {
		return err
	}
	_, err = retry(ctx, l, func() (struct{}, error) {
		return struct{}{}, l.s.deps.Store.DeleteUnused(ctx, l.found.Secret, ev)
	})
	return l.s.gate.Done(ctx, ev, err)
}
