package event

import (
	"context"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
)

// Store keeps events and notifications. A write and its audit event become
// durable together or not at all. Every method is one round trip to a database.
// Notifications of changes are made by the statements that make the changes.
type Store interface {
	// CreateEvent is ErrNameTaken where the project has one of that name, and
	// else ErrFull where it has most already; a negative most does not limit.
	CreateEvent(ctx context.Context, e Event, most int64, ev audit.Event) error
	// FindEvent is ErrNotFound where the project has none of that name.
	FindEvent(ctx context.Context, p auth.ProjectID, name string) (Event, error)
	// ListEvents returns events in byte order of their names, from the first
	// after the named one on, limit at most.
	ListEvents(ctx context.Context, p auth.ProjectID, after string, limit int) ([]Event, error)
	// UpdateEvent returns the event as it is then; ErrNotFound.
	UpdateEvent(ctx context.Context, e Event, u Update, ev audit.Event) (Event, error)
	// DeleteEvent is ErrInUse where a secret is subscribed, and ErrNotFound.
	DeleteEvent(ctx context.Context, e Event, ev audit.Event) error
	// ListNotifications returns those after since, newest first, from the first
	// that is older than the identified one on, limit at most.
	ListNotifications(ctx context.Context, p auth.ProjectID, since time.Time, before string, limit int) ([]Notification, error)
}

// Outbox has the notifications of all projects that are to be delivered.
type Outbox interface {
	// Claim returns notifications that are due at now, those that are longest so
	// first, but of targets that rest, limit at most. They are due again, for
	// anybody, at lapse. No two claims return one before it lapsed.
	Claim(ctx context.Context, now, lapse time.Time, resting []string, limit int) ([]Notification, error)
	// Conclude says what became of an attempt, and when the next is due; nil:
	// never. One whose claim lapsed and was taken over keeps what came of that,
	// unless it was delivered: that counts whoever says so.
	Conclude(ctx context.Context, n Notification, s Status, next *time.Time) error
	// FireExpired tells of versions that expired until now, limit at most, and
	// says of how many; ids are for the notifications. Each expiry is told once.
	FireExpired(ctx context.Context, now time.Time, ids []string) (int, error)
	// PurgeNotifications removes those from before then, limit at most, and says
	// how many.
	PurgeNotifications(ctx context.Context, before time.Time, limit int) (int, error)
	// Fire tells of what happened to a secret by itself, without a change. A
	// secret that is gone or not subscribed is told of to nobody.
	Fire(ctx context.Context, f Firing) error
}

// Firing is something that happened to a secret.
type Firing struct {
	ID      string // UUID of version 7
	At      time.Time
	Project auth.ProjectID
	Secret  string // UUID
	Type    Type
	Version int // 0: it is not of a version
}

// Sender takes notifications to one target. Package event/deliver has some.
type Sender interface {
	// Send returns once the receiver has taken responsibility. The error says
	// nothing of credentials; it wraps ErrUnusable where the operator does not
	// let notifications go there.
	Send(ctx context.Context, n Notification) error
}
