package kek

import (
	"context"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Token is what the key hierarchy needs from a token. *hsm.Token is one.
// Methods may be called concurrently and honour ctx. Failures are faults:
// Damaged speaks of the one wrapped DEK, Unavailable of the token.
type Token interface {
	Generate(ctx context.Context, spec key.Spec) (key.Made, error)
	Wrap(ctx context.Context, kek key.Ref, dek sensitive.Bytes, aad []byte) ([]byte, error)
	// Unwrap returns the DEK, which the caller wipes.
	Unwrap(ctx context.Context, kek key.Ref, wrapped, aad []byte) (sensitive.Bytes, error)
	// Random returns n random bytes, which the caller wipes.
	Random(ctx context.Context, n int) (sensitive.Bytes, error)
	// Destroy removes a key object; one that is not there is no error.
	Destroy(ctx context.Context, kek key.Ref) error
}

// Tokens finds the token that stands for a group: the one or more that hold the
// same keys. A group that this node does not have is a fault.Unavailable: its
// keys are somewhere, and may be back with the next configuration.
type Tokens interface {
	Group(name string) (Token, error)
}

// Groups are the tokens of a program by the names of their groups.
type Groups map[string]Token

// OneGroup is the only group of a program that has one.
func OneGroup(t Token) Groups { return Groups{key.DefaultGroup: t} }

// Group implements Tokens.
func (g Groups) Group(name string) (Token, error) {
	t, ok := g[name]
	if !ok {
		return nil, fault.Wrap(fault.Unavailable, "key hardware is unavailable",
			fmt.Errorf("no token group called %s is configured", name))
	}
	return t, nil
}

// Store keeps master keys and KEKs, and knows the token group that a project's
// new secrets go to: the one it prefers, else the installation's default. Where
// a name is envelope.Default, the default master key of that group is meant.
// Package persistence/storetest says precisely what a Store does.
type Store interface {
	// Resolve returns the UUID of a project's master key that may protect
	// something new, with the errors of Lease.
	Resolve(ctx context.Context, project string, name envelope.MasterKey) (envelope.MasterKey, error)

	// Lease returns the active KEK of a master key and adds n to the count of
	// wraps in its row, in one round trip. A count that would pass HardLimit
	// is ErrExhausted and stays as it is. A name that nobody has is
	// envelope.ErrNoMasterKey; a key that is disabled, going, destroyed, without an
	// active KEK or of another project is envelope.ErrKeyUnusable.
	Lease(ctx context.Context, project string, under envelope.MasterKey, n int64) (Lease, error)

	// KEK returns a project's KEK, in whatever state, in one round trip: ErrNoKEK
	// where there is none or it is still pending.
	KEK(ctx context.Context, project string, id envelope.KEKID) (envelope.KEK, error)

	// Prepare stores a pending KEK with the identifier it will have in the
	// token, and the master key itself where project has none of that alias, or
	// no default one in the group that it is for. A new master key is of the
	// group that the project's secrets go to; the version says which.
	// The pending row belongs to the caller until expires. A UUID that another
	// project has, or that was ever destroyed, is envelope.ErrKeyUnusable; a master key
	// that has an active KEK already is ErrLostRace.
	Prepare(ctx context.Context, mk NewMasterKey, id envelope.KEKID, expires time.Time) (Version, error)

	// Activate makes a pending KEK the active one, its count of wraps 1 for the
	// canary, with what the token said of
	// it. Of two racers one gets ErrLostRace, kept by a constraint. So does
	// whoever's pending row is gone or belongs to another by now, which
	// Version.Until shows.
	Activate(ctx context.Context, v Version, made key.Made) error

	// Discard removes a pending row; one that is gone already is no error.
	Discard(ctx context.Context, v Version) error

	// Abandoned takes over the pending KEKs of a master key whose owner's time
	// ran out before now: it died between two steps, or is very slow. They
	// belong to the caller until the given time, and their former owner cannot
	// activate them any more.
	Abandoned(ctx context.Context, project, alias string, now, until time.Time) ([]Version, error)
}
