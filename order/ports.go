package order

import (
	"context"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Store keeps orders. A write and its audit events become durable together or
// not at all. Every method is one round trip to a database, a list that is past
// its end two.
type Store interface {
	// CreateOrder stores c as PENDING. Until due nobody may claim it, so one
	// with Attempt 1 is claimed until then. A passphrase whose KEK is not
	// active any more is envelope.ErrKEKGone; a project that has all the orders
	// that it may have is quota.Reached.
	CreateOrder(ctx context.Context, c Claimed, due time.Time, ev audit.Event) error
	FindOrder(ctx context.Context, p auth.ProjectID, id ID) (Order, error)
	// ListOrders returns one page in the order of creation, and how many match.
	ListOrders(ctx context.Context, p auth.ProjectID, q Query) ([]Order, int, error)
	DeleteOrder(ctx context.Context, o Order, ev audit.Event) error

	// ClaimOrder claims a PENDING order of one of these kinds, of any project,
	// that is due at now, until then: the one that has been due longest. ok is
	// false where there is none.
	ClaimOrder(ctx context.Context, kinds []Kind, now, until time.Time) (c Claimed, ok bool, err error)
	// CompleteOrder stores all that y has and makes the order ACTIVE, if it is
	// PENDING and at c's attempt; else ErrLost. A version whose KEK is not
	// active any more is envelope.ErrKEKGone, and nothing is stored.
	CompleteOrder(ctx context.Context, c Claimed, y Yield, now time.Time) error
	// FailOrder makes the order ERROR, with the condition of CompleteOrder.
	FailOrder(ctx context.Context, c Claimed, why Failure, ev audit.Event) error
	// KeepOrder makes c's claim last until then, with that condition, too.
	KeepOrder(ctx context.Context, c Claimed, until time.Time) error
	// ReleaseOrder gives a claim back: anybody may claim the order from due on.
	// One that is not c's any more stays as it is.
	ReleaseOrder(ctx context.Context, c Claimed, due time.Time) error
}

// Yield is what an order made: it is stored whole, or not at all.
type Yield struct {
	Secrets   []Made
	Container *container.Container // with its entries; nil: none
	Event     audit.Event          // of the container
}

// Made is one secret with its first version.
type Made struct {
	Secret  secret.Secret
	Version secret.Version
	Event   audit.Event
}

// Sealer encrypts and decrypts payloads. *kek.Sealer is one.
type Sealer interface {
	Seal(ctx context.Context, payload sensitive.Bytes, under envelope.MasterKey, at envelope.Binding) (envelope.Sealed, error)
	Open(ctx context.Context, s envelope.Sealed, at envelope.Binding) (sensitive.Bytes, error)
	// Forget is called when a KEK that Seal used is not active any more.
	Forget(project string, under envelope.MasterKey, gone envelope.KEKID)
}

// Random gives random bytes of the token that a project's new secrets go to.
// *kek.Sealer is one. The caller wipes them.
type Random interface {
	Random(ctx context.Context, project string, n int) (sensitive.Bytes, error)
}

// Pair is a key pair in PEM.
type Pair struct {
	Private sensitive.Bytes // PKCS#8, encrypted where there is a passphrase
	Public  []byte          // SubjectPublicKeyInfo
}

// Pairs makes key pairs. *keypair.Maker is one. The caller wipes the private
// key.
type Pairs interface {
	Make(ctx context.Context, algorithm string, bits int, passphrase sensitive.Bytes) (Pair, error)
}
