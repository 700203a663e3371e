package order

import (
	"slices"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// ID is an order's UUID: lower case, version 4, never reused.
type ID string

// Kind says what an order is for.
type Kind string

const (
	Key        Kind = "key"        // one symmetric key
	Asymmetric Kind = "asymmetric" // a key pair in a container
)

// Status is where an order is in its life. Active and Failed are final.
type Status string

const (
	Pending Status = "PENDING"
	Active  Status = "ACTIVE"
	Failed  Status = "ERROR"
)

var (
	ErrNotFound = fault.New(fault.NotFound, "the order does not exist")
	// ErrLost says that an order is not the worker's any more: somebody else
	// claimed it, finished it or deleted it. Only Deps.Ended hears of it.
	ErrLost = fault.New(fault.WrongState, "the order is somebody else's by now")
)

// Order is what was asked for and what became of it.
type Order struct {
	ID        ID
	Project   auth.ProjectID
	Kind      Kind
	Status    Status
	Meta      Meta
	Creator   auth.UserID
	Request   string // ID of the request that made it, for audit events
	CreatedAt time.Time
	UpdatedAt time.Time

	Failure   *Failure     // of a Failed one
	Secret    secret.ID    // what an Active one for a key made
	Container container.ID // what an Active one for a key pair made
}

// Meta is what was ordered. Its values are those of the secrets to be made.
type Meta struct {
	Name        *string
	Algorithm   string // as the caller wrote it
	Mode        *string
	BitLength   int
	Expiration  *time.Time
	ContentType string
	// Shown is the dialect's own form of all this, a JSON object, and Words the
	// names and texts in it. It holds no passphrase.
	Shown []byte
	Words []string
}

// Failure says why an order yielded nothing.
type Failure struct {
	Code   string // "400": the order can never be carried out; "500": it could not
	Reason string // at most maxReason bytes; never a value of the order
}

// maxReason is how long a client reads (barbican.md §14.1).
const maxReason = 255

func failed(code, reason string) error { return &failureError{Failure{code, reason}} }

// failureError is a Failure on its way to the order.
type failureError struct{ Failure }

func (e *failureError) Error() string { return e.Reason }

// New is an order that is to be made.
type New struct {
	Kind       Kind
	Meta       Meta
	Passphrase sensitive.Bytes // of the private key; empty: none
}

// Claimed is an order that a worker may work on.
type Claimed struct {
	Order
	Attempt int // grows with each claim
	Lapses  int // claims in a row that nobody gave back, this one included
	// Passphrase is sealed for the order's place; nil: none.
	Passphrase *envelope.Sealed
}

// Query selects orders of a project. Zero fields select nothing away.
type Query struct {
	Limit, Offset int
	Word          string // a name or a text of Meta.Shown
}

// place is where an order's passphrase is sealed. No secret has a slash in its
// identifier.
func (o Order) place() envelope.Binding {
	return envelope.Binding{Project: string(o.Project), Secret: "order/" + string(o.ID), Version: 1}
}

func (o Order) target() policy.Target {
	t := policy.Target{Kind: "order", Project: string(o.Project), ID: string(o.ID), Owner: string(o.Creator)}
	if o.Meta.Name != nil {
		t.Name = *o.Meta.Name
	}
	return t
}

// What can be ordered, as upstream's software store has it (barbican.md §14.4,
// §14.5). The names are lower case; callers write them as they like.
var (
	symmetric  = []string{"aes", "des", "hmacsha1", "hmacsha256", "hmacsha384", "hmacsha512"}
	keyBits    = []int{64, 128, 192, 256}
	rsaBits    = []int{1024, 2048, 3072, 4096}
	curveBits  = []int{256, 384, 521}
	errKeyName = failed("400", "The algorithm is not one that keys can be ordered for.")
	errPair    = failed("400", "The algorithm is not one that key pairs can be ordered for.")
	errBits    = failed("500", "The algorithm does not have keys of that bit_length.")
	errExpired = failed("400", "The expiration passed before the order was carried out.")
	errDied    = failed("500", "The server ended several times while it worked on the order.")
)

// algorithm is the name that the tables know.
func (m Meta) algorithm() string { return strings.ToLower(m.Algorithm) }

// size is how many bytes a symmetric key has. In mode XTS it is two keys.
func (m Meta) size() (int, error) {
	if !slices.Contains(symmetric, m.algorithm()) {
		return 0, errKeyName
	}
	bits := m.BitLength
	if m.Mode != nil && strings.EqualFold(*m.Mode, "xts") {
		bits /= 2
	}
	if !slices.Contains(keyBits, bits) || m.BitLength%8 != 0 {
		return 0, errBits
	}
	return m.BitLength / 8, nil
}

// pair says which container a key pair goes to, and whether there is such a
// pair. Clients know no type for elliptic curves.
func (m Meta) pair() (container.Type, error) {
	switch m.algorithm() {
	case "rsa":
		if slices.Contains(rsaBits, m.BitLength) {
			return container.RSA, nil
		}
		return "", errBits
	case "ec":
		if slices.Contains(curveBits, m.BitLength) {
			return container.Generic, nil
		}
		return "", errBits
	}
	return "", errPair
}
