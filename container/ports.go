package container

import (
	"context"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/secret"
)

// Store keeps containers. A write and its audit event become durable together
// or not at all; the event's time is the time of the write. Every method is one
// round trip to a database, a list that is past its end two. A container that
// is gone is ErrNotFound.
type Store interface {
	// CreateContainer stores c with its entries, if every secret exists in its
	// project and is unexpired; else nothing, and ErrNoSecret. Where the project
	// has as many as it may, the error wraps quota.ErrReached.
	CreateContainer(ctx context.Context, c Container, ev audit.Event) error
	FindContainer(ctx context.Context, h Handle, want Want) (Container, error)
	// ListContainers returns one page with contents, in the order of creation,
	// and how many match.
	ListContainers(ctx context.Context, p auth.ProjectID, q Query) ([]Container, int, error)
	// DeleteContainer leaves the secrets.
	DeleteContainer(ctx context.Context, c Container, ev audit.Event) error

	// AddEntry is ErrNoSecret where the project has no such secret, and
	// ErrHasSecret where the container has it under that name.
	AddEntry(ctx context.Context, c Container, e Entry, ev audit.Event) error
	// RemoveEntry is ErrNoSecret or ErrLacksSecret.
	RemoveEntry(ctx context.Context, c Container, e Entry, ev audit.Event) error

	// PutContainerACL sets the parts that change mentions, and the others to
	// their defaults where there is no ACL yet. It counts as an update of the
	// container.
	PutContainerACL(ctx context.Context, c Container, change secret.ACLChange, ev audit.Event) error
	// DropContainerACL removes the ACL; that is an update of the container only
	// where touch says so.
	DropContainerACL(ctx context.Context, c Container, touch bool, ev audit.Event) error

	// AddContainerConsumer registers n, which counts as an update of the
	// container, unless such a party is registered. It returns the container as
	// it is then, with contents. A registrar that has as many consumers as it
	// may is told so in either case: quota.ErrReached.
	AddContainerConsumer(ctx context.Context, c Container, n Consumer, ev audit.Event) (Container, error)
	// RemoveContainerConsumer does so for a project that registered the party or
	// owns the container, else ErrNotRegistrar. A party that is not registered
	// is ErrNoConsumer.
	RemoveContainerConsumer(ctx context.Context, c Container, p Party, by auth.ProjectID, ev audit.Event) (Container, error)
	// ListContainerConsumers returns one page in the order of names, and how
	// many there are.
	ListContainerConsumers(ctx context.Context, c Container, limit, offset int) ([]Consumer, int, error)
	// FindContainerConsumer is ErrNoConsumer where the container has none of
	// that ID.
	FindContainerConsumer(ctx context.Context, c Container, id string) (Consumer, error)
}

// Want says what to read beside the container itself.
type Want struct {
	Contents bool // entries and consumers
}
