package secretstore

import (
	"context"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/gate"
)

// Store is one token group. Its ID is the same on all nodes and for ever, also
// where the group left the configuration meanwhile.
type Store struct {
	ID                   string // UUID of version 4
	Name                 string // of the token group
	Global               bool   // takes the secrets of projects that prefer none
	CreatedAt, UpdatedAt time.Time
}

var (
	ErrOff           = fault.New(fault.NotFound, "multiple secret stores are not enabled on this server")
	ErrNotFound      = fault.New(fault.NotFound, "the secret store does not exist")
	ErrNonePreferred = fault.New(fault.NotFound, "the project prefers no secret store")
	// ErrElsewhere says that this node lacks the group that a project prefers:
	// its configuration is older than that of the node that allowed it.
	ErrElsewhere = fault.New(fault.Unavailable, "the preferred secret store is not configured on this server")
)

// Preferences keeps which token group each project prefers. A change and its
// audit event become durable together or not at all, in one round trip.
type Preferences interface {
	// PreferredGroup returns the name of the group, or ErrNonePreferred.
	PreferredGroup(ctx context.Context, p auth.ProjectID) (string, error)
	// PreferGroup sets it; from its answer on, nothing new is stored elsewhere.
	PreferGroup(ctx context.Context, p auth.ProjectID, group string, ev audit.Event) error
	// ForgetPreference removes it; ErrNonePreferred where there is none.
	ForgetPreference(ctx context.Context, p auth.ProjectID, ev audit.Event) error
}

// Deps is what a Service needs. All fields but Enabled are required.
type Deps struct {
	// Enabled says that clients may know of several stores at all; else every
	// operation is ErrOff, for who may ask.
	Enabled     bool
	Stores      []Store // one per token group of this node; one of them is Global
	Preferences Preferences
	Gate        gate.Gate
}

// Service is the only way to secret stores. It may be used concurrently.
type Service struct{ deps Deps }

// NewService panics on a missing dependency, and unless one store is the global
// one: that is a wiring mistake, and the program must not start with it.
func NewService(d Deps) *Service {
	global := 0
	for _, s := range d.Stores {
		if s.Global {
			global++
		}
	}
	if d.Preferences == nil || !d.Gate.Complete() || global != 1 {
		panic("secretstore.NewService: incomplete Deps")
	}
	return &Service{d}
}
