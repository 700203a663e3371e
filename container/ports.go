package container

import (
	"context"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
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
}

// Want says what to read beside the container itself.
type Want struct {
	Contents bool // entries and consumers
}
