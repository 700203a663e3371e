package secret

import (
	"context"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Store keeps secrets. A write and its audit event become durable together or
// not at all. Every method is one round trip to a database, lists two. Package
// persistence/storetest says precisely what a Store does.
//
// Who is subscribed to a secret's event hears of a first version, of a Change
// that says so, and of each way in which a secret goes: the notification becomes
// durable with the change, and has the audit event's identifier.
type Store interface {
	// Create stores s, and its first version where v is not nil. A Huawei name
	// that another Huawei secret of the project has is ErrNameTaken, or a
	// *NameHeldError where that one's time is over. An event that the project does
	// not have is ErrNoEvent, a version whose KEK is not active any more is
	// envelope.ErrKEKGone. Where the project has as many as it may, the error
	// wraps quota.ErrReached; a name that is taken comes first.
	Create(ctx context.Context, s Secret, v *Version, ev audit.Event) error

	// Restore is Create of a secret with all its versions, stages, tags and
	// user metadata, as Find returns it with Want.Every. All versions are under the
	// same KEK. It is made at ev.At, whatever times it has. An event that the
	// project does not have is left out; kept says which one it has.
	Restore(ctx context.Context, f Found, ev audit.Event) (kept string, err error)

	// Find returns what h names, with what want asks for. One that is past its
	// expiration or its deletion time at now is ErrNotFound. A stage or number
	// that is on no version is no error: Found.Version is then zero.
	Find(ctx context.Context, h Handle, want Want, now time.Time) (Found, error)

	// Apply makes one change, if the secret still has Secret.Revision; else
	// ErrStale, or ErrNotFound where it is gone. A new version whose KEK is
	// not active any more is envelope.ErrKEKGone. The stored revision grows by
	// one.
	Apply(ctx context.Context, c Change, ev audit.Event) error

	// Delete removes a secret with all its versions, stages, metadata and
	// consumers at once, whatever its revision; ErrNotFound where it is gone, and
	// ErrStale where it got a subscription, or lost it, since it was read.
	Delete(ctx context.Context, s Secret, ev audit.Event) error
	// DeleteUnused is Delete of a secret that has no consumer, else ErrInUse,
	// and that still has the revision, else ErrStale.
	DeleteUnused(ctx context.Context, s Secret, ev audit.Event) error

	// Ended returns some secrets, limit at most, that are past their expiration
	// or deletion time at before; those that were so first.
	Ended(ctx context.Context, before time.Time, limit int) ([]Ended, error)
	// Purge is Delete of those secrets of a project that are past their time at
	// before, and says how many. One that somebody else changes just now may
	// stay.
	Purge(ctx context.Context, p auth.ProjectID, gone []Purged, before time.Time) (int, error)

	// List returns one page of a project's secrets, and how many match.
	List(ctx context.Context, p auth.ProjectID, q Query, now time.Time) ([]Secret, int, error)
	// ListShared is List of the secrets whose ACL lists reader: of every
	// project, or of p alone where p is not empty.
	ListShared(ctx context.Context, reader auth.UserID, p auth.ProjectID, q Query, now time.Time) ([]Secret, int, error)

	// ListNamed returns a project's secrets in byte order of their handles,
	// from the first after q.After on; one more than q.Limit where there are
	// more.
	ListNamed(ctx context.Context, p auth.ProjectID, q NamedQuery, now time.Time) ([]Secret, error)

	// ReplaceMetadata replaces all pairs of a secret.
	ReplaceMetadata(ctx context.Context, s Secret, pairs map[string]string, ev audit.Event) error
	// AddMetadatum adds a pair; ErrMetadatum where the key is there.
	AddMetadatum(ctx context.Context, s Secret, m Metadatum, ev audit.Event) error
	// ChangeMetadatum changes a pair; ErrNoMetadatum where the key is not there.
	ChangeMetadatum(ctx context.Context, s Secret, m Metadatum, ev audit.Event) error
	// RemoveMetadatum removes a pair; ErrNoMetadatum where the key is not there.
	RemoveMetadatum(ctx context.Context, s Secret, key string, ev audit.Event) error

	// ProjectTags returns the tags of a project's living secrets, by key.
	ProjectTags(ctx context.Context, p auth.ProjectID, now time.Time) ([]TagValues, error)
	// FindTagged returns a page of the living secrets that q selects, in byte
	// order of their handles, and how many it selects.
	FindTagged(ctx context.Context, p auth.ProjectID, q TagQuery, now time.Time) ([]Tagged, int, error)

	// Consumers returns one page of a secret's consumers, oldest first, and how
	// many there are.
	Consumers(ctx context.Context, s Secret, limit, offset int) ([]Consumer, int, error)
	// Register adds c to a secret, which counts as an update of it and makes
	// its revision grow. Where the secret has that use already, fresh is false
	// and nothing changes. Where its registrar has as many as it may, the error
	// wraps quota.ErrReached.
	Register(ctx context.Context, s Secret, c Consumer, ev audit.Event) (fresh bool, err error)
	// Unregister removes a use from a secret: ErrNoConsumer where it is not
	// there, ErrConsumerForeign where neither it nor the secret is by's.
	Unregister(ctx context.Context, s Secret, u Use, by auth.ProjectID, ev audit.Event) error
}

// Want says what to read beside the secret itself.
type Want struct {
	Sealed    bool  // the ciphertext of one version: Number, else Stage, else Current
	Stage     Stage // which version
	Number    int   // which version
	Every     bool  // the ciphertext of all versions, into Found.Versions; with it goes Versions
	Versions  bool  // what is known of all versions, and the position of all stages
	Metadata  bool  // user metadata
	Consumers bool  // into Secret.Consumers, which is not nil then
	Tags      bool
}

// Found is a secret as it was at one moment.
type Found struct {
	Secret   Secret
	Version  Version           // with Want.Sealed; its Stages are not filled
	Versions []Version         // with Want.Versions: by number; Sealed filled with Want.Every alone, Stages never
	Stages   map[Stage]Mark    // with Want.Versions: all but the two in Secret
	Metadata map[string]string // with Want.Metadata; never nil then
	Tags     []Tag             // with Want.Tags: by key
}

// Change is one atomic change of a secret that exists.
type Change struct {
	Secret  Secret         // as it shall be; Revision is the one that was read
	Add     *Version       // a new version
	Put     map[Stage]Mark // stages that are new or moved; not the two in Secret
	Drop    []Stage        // stages that go; not the two in Secret
	Purge   []int          // versions that go
	Expires *VersionExpiry // a version's new expiry
	Tags    *TagChange     // of its tags; not empty
	Tell    event.Type     // what subscribers hear of it; empty: nothing
}

// VersionExpiry is the new expiry of one version; nil clears it.
type VersionExpiry struct {
	Number int
	At     *time.Time
}

// Metadatum is one pair of user metadata.
type Metadatum struct{ Key, Value string }

// Sealer encrypts and decrypts payloads. *kek.Sealer is one.
type Sealer interface {
	Seal(ctx context.Context, payload sensitive.Bytes, under envelope.MasterKey, at envelope.Binding) (envelope.Sealed, error)
	Open(ctx context.Context, s envelope.Sealed, at envelope.Binding) (sensitive.Bytes, error)
	// Forget is called when a KEK that Seal used is not active any more.
	Forget(project string, under envelope.MasterKey, gone envelope.KEKID)
}

// BackupSealer is a Sealer that makes backups, too. *kek.Sealer is one.
type BackupSealer interface {
	Sealer
	// SealBackup makes a blob that this installation alone can open, and
	// OpenBackup opens it: anything else is envelope.ErrBlob, and
	// envelope.ErrKeyUnusable one whose key may not be used now.
	SealBackup(ctx context.Context, content sensitive.Bytes) (blob string, err error)
	OpenBackup(ctx context.Context, blob string) (sensitive.Bytes, error)
}

// Keys knows the master keys that callers name. *kek.Sealer is one.
type Keys interface {
	// Resolve returns the UUID of a project's master key that may protect
	// something new: envelope.ErrNoMasterKey, envelope.ErrKeyUnusable.
	Resolve(ctx context.Context, project string, name envelope.MasterKey) (envelope.MasterKey, error)
	// Make makes a master key of a project with exactly that UUID.
	Make(ctx context.Context, project string, id envelope.MasterKey) error
}
