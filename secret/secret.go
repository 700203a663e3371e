package secret

import (
	"strconv"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// ID is a secret's UUID: lower case, version 4, never reused.
type ID string

// State says what may happen to a secret (csms.md §2.1). Barbican knows no
// states: there every secret is ACTIVE, and only an Enabled one has a payload.
type State string

const (
	Enabled       State = "ENABLED"
	Disabled      State = "DISABLED"
	PendingDelete State = "PENDING_DELETE"
	Frozen        State = "FROZEN"
)

// Content types a payload may have. Text is UTF-8.
const (
	Text   = "text/plain"
	Binary = "application/octet-stream"
	PKCS8  = "application/pkcs8"
)

// MaxPayload is what the engine takes, in bytes of plaintext. Each dialect has
// a limit of its own below it.
const MaxPayload = 64 << 10

// Versions and stages that one secret may have (csms.md §5.1).
const (
	MaxVersions = 20
	MaxStages   = 12 // the caller's own; built-in ones do not count
)

var (
	ErrNotFound      = fault.New(fault.NotFound, "the secret does not exist")
	ErrNameTaken     = fault.New(fault.Exists, "a secret of that name exists")
	ErrHasPayload    = fault.New(fault.Exists, "the secret has a payload already")
	ErrNoPayload     = fault.New(fault.NotFound, "the secret has no payload")
	ErrNoVersion     = fault.New(fault.NotFound, "the secret has no such version")
	ErrNoStage       = fault.New(fault.NotFound, "the secret has no such stage")
	ErrBuiltInStage  = fault.New(fault.Invalid, "a built-in stage cannot be deleted")
	ErrManyStages    = fault.New(fault.Invalid, "the secret has the most stages it may have")
	ErrManyVersions  = fault.New(fault.Invalid, "the secret has the most versions it may have, and none of them may go yet")
	ErrPendingDelete = fault.New(fault.WrongState, "the secret is scheduled for deletion")
	ErrNotEnabled    = fault.New(fault.WrongState, "the secret is not enabled")
	ErrDenied        = policy.ErrDenied
	ErrTooLarge      = fault.New(fault.TooLarge, "the payload is larger than what may be stored")
	ErrNoEvent       = fault.New(fault.Invalid, "event_subscriptions names an event that does not exist")
	ErrPeriod        = fault.New(fault.Invalid, "rotation_period is not a period between 6 hours and 365 days")
	ErrNoMetadatum   = fault.New(fault.NotFound, "the secret has no such metadata key")
	ErrMetadatum     = fault.New(fault.Exists, "the secret has that metadata key already")
	ErrExpiresPast   = fault.New(fault.Invalid, "the expiry time is not in the future")
	// ErrStale says that the secret changed since it was read. It never leaves
	// this package: the operation starts over.
	ErrStale = fault.New(fault.Unavailable, "the secret changed meanwhile")
)

// Secret is everything of a secret but its payloads.
type Secret struct {
	ID      ID
	Project auth.ProjectID
	Family  policy.Family // of the client that made it; only Huawei names are unique
	Name    *string       // nil: none
	Handle  string        // what CSMS calls it: its name where that names nothing else, else its UUID

	// Barbican's attributes.
	Type       string // symmetric, public, private, passphrase, certificate, opaque
	Algorithm  *string
	Mode       *string
	BitLength  *int
	Expiration *time.Time // from then on it does not exist
	Creator    auth.UserID

	// CSMS's attributes.
	State             State
	Description       string
	Kind              string             // COMMON, RDS, RDS-FG, GaussDB-FG
	Key               envelope.MasterKey // UUID; protects new versions; empty before the first
	DeleteAt          *time.Time         // set while PendingDelete
	Rotation          Rotation
	Event             string // the event it is subscribed to; empty: none
	EnterpriseProject string

	CreatedAt time.Time
	UpdatedAt time.Time

	Latest      int       // highest version number ever issued; 0: none
	Current     Mark      // SYSCURRENT
	Previous    Mark      // SYSPREVIOUS
	ContentType string    // of the current version; empty without one
	LatestAt    time.Time // when version Latest was made

	ACL       *ACL       // who may read it beside the roles; nil: nobody
	Consumers []Consumer // oldest first, where they were asked for

	// Revision counts changes. A write that was prepared from another revision
	// is refused.
	Revision int64
}

// Rotation is what CSMS keeps about rotating a secret. Texts are echoed as the
// caller wrote them.
type Rotation struct {
	Auto    bool
	Period  string
	Config  string
	FuncURN string
	Last    *time.Time
	Next    *time.Time
	Version int // that a running rotation is about to put into force; 0: none runs
}

// Expired reports whether the secret is past its expiration: it then behaves
// as if it did not exist.
func (s Secret) Expired(now time.Time) bool {
	return s.Expiration != nil && !s.Expiration.After(now)
}

// usable says why a payload may neither be read nor added now.
func (s Secret) usable() error {
	switch s.State {
	case Enabled:
		return nil
	case PendingDelete:
		return ErrPendingDelete
	}
	return ErrNotEnabled
}

// changeable says why attributes may not be changed now (csms.md §2.2).
func (s Secret) changeable() error {
	switch s.State {
	case Enabled, Disabled:
		return nil
	case PendingDelete:
		return ErrPendingDelete
	}
	return ErrNotEnabled
}

func (s Secret) place(version int) envelope.Binding {
	return envelope.Binding{Project: string(s.Project), Secret: string(s.ID), Version: version}
}

func (s Secret) target() policy.Target {
	name := s.Handle
	if s.Name != nil {
		name = *s.Name
	}
	return s.ACL.Guards(policy.Target{
		Kind:    "secret",
		Project: string(s.Project),
		ID:      string(s.ID),
		Name:    name,
		Owner:   string(s.Creator),
		Key:     string(s.Key),
	})
}

// Version is one payload at rest, or what is known of it where the payload was
// not asked for.
type Version struct {
	Number      int
	ContentType string
	CreatedAt   time.Time
	ExpiresAt   *time.Time
	Key         envelope.MasterKey // UUID of the master key that protects it
	Stages      []Stage            // built-in ones first, then by name
	Sealed      envelope.Sealed
}

// Label is the version's name: v1, v2, …
func (v Version) Label() string { return "v" + strconv.Itoa(v.Number) }

// New is a secret that is to be made.
type New struct {
	Name       *string
	Type       string
	Algorithm  *string
	Mode       *string
	BitLength  *int
	Expiration *time.Time

	Description       string
	Kind              string
	Key               envelope.MasterKey // UUID or alias; empty: the project's default
	Rotation          Rotation           // Next is computed
	Event             string
	EnterpriseProject string

	// Payload is stored as version 1 unless ContentType is empty.
	Payload     sensitive.Bytes
	ContentType string
}

// NewVersion is a payload that is to be added.
type NewVersion struct {
	Payload     sensitive.Bytes
	ContentType string
	ExpiresAt   *time.Time
	Stages      []Stage // empty: Current
	// Fits, where set, says why the payload is no value for a secret of this
	// kind and rotation: both are known only once the secret is found.
	Fits func(kind string, r Rotation) error
}

// Handle is how a caller names a secret.
type Handle struct {
	Project auth.ProjectID // empty: any
	ID      ID
	Name    string // CSMS's path segment: a name, or where nothing has it, a UUID
}

// Anywhere names a secret by UUID alone, as Barbican's modern paths do.
func Anywhere(id ID) Handle { return Handle{ID: id} }

// Within names a secret by UUID in one project.
func Within(p auth.ProjectID, id ID) Handle { return Handle{Project: p, ID: id} }

// Named names a secret by what stands in a CSMS path.
func Named(p auth.ProjectID, name string) Handle { return Handle{Project: p, Name: name} }
