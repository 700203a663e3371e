package kek

import (
	"strconv"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// State is where a KEK is in its life (pkcs11.md §8.6). Disabled is a mark
// beside the state, so that enabling needs no memory.
type State string

const (
	Pending     State = "pending"      // has a row, perhaps a key object, and wraps nothing
	Active      State = "active"       // wraps and unwraps; at most one per master key
	DecryptOnly State = "decrypt-only" // unwraps; a later KEK took over
	Retired     State = "retired"      // no DEK depends on it
	Scheduled   State = "scheduled"    // waits for its destruction
	Destroying  State = "destroying"   // some token may still hold it
	Destroyed   State = "destroyed"    // gone from every token
)

// Wraps a KEK may do with random 96-bit IVs (SP 800-38D §8.3 stops at 2^32).
// Counting is by leased blocks, so it runs ahead of the truth, never behind.
const (
	SoftLimit int64 = 1 << 30 // rotate
	HardLimit int64 = 1 << 32 // refuse
	Block     int64 = 1 << 16 // wraps per lease
)

var (
	// ErrExhausted says that a KEK reached its hard limit of wraps.
	ErrExhausted = fault.New(fault.Unavailable, "the master key must be rotated before it can protect anything new")
	// ErrLostRace says that another KEK of the same master key became active
	// first. It never leaves this package.
	ErrLostRace = fault.New(fault.Exists, "another KEK is active already")
	// ErrNoKEK says that a project has no such KEK.
	ErrNoKEK = fault.New(fault.NotFound, "the KEK does not exist")
)

// Version is one KEK as its row has it.
type Version struct {
	Project   string
	ID        envelope.KEKID
	MasterKey envelope.MasterKey // UUID
	Group     string             // of tokens that it is made in
	Alias     string             // of the master key, for the label
	Number    int                // from 1, per master key
	State     State
	Until     time.Time // while pending: until then it belongs to whoever holds this value
}

// label is for people who look at the token. Nothing finds a key by it.
func (v Version) label() string {
	return v.Alias + "@" + strconv.Itoa(v.Number) + " " + v.Project
}

// Lease is the active KEK of a master key and a block of wraps under it.
type Lease struct {
	KEK    envelope.KEK
	Wraps  int64 // how many this lease allows
	Leased int64 // all blocks ever leased under this KEK, this one included
}

// NewMasterKey describes a master key that is to be made with its first KEK.
type NewMasterKey struct {
	Project     string
	ID          envelope.MasterKey // UUID; used where the alias is new
	Alias       string             // unique in the project
	Description string
	// Default says that it shall be the project's default master key. Which one
	// that is, its group tells; so the store chooses the alias.
	Default bool
	// HandedOut says that what its KEKs encrypt is kept by others: they are
	// never retired, for nobody can count what depends on them.
	HandedOut bool
	CreatedAt time.Time
}

// ref is what the token needs to know of a KEK.
func ref(k envelope.KEK) (key.Ref, error) {
	id, err := key.ParseID(string(k.ID))
	if err != nil {
		return key.Ref{}, fault.Wrap(fault.Damaged, "the stored key reference is damaged", err)
	}
	return key.Ref{
		ID:     id,
		Format: key.Format(k.Format),
		Canary: key.Canary{Wrapped: k.Canary, AAD: envelope.ForCanary(k.ID)},
	}, nil
}
