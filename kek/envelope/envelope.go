// Package envelope defines how one secret version looks when it is at rest, and
// how a backup looks that leaves the installation (blob.go).
//
// A sealed version has three parts, kept in three columns:
//
//	kek_id       which KEK wraps the DEK
//	wrapped_dek  a format byte, then the DEK under that KEK as the format says
//	             (docs/key-hierarchy.md); the worker writes and reads it
//	body         nonce(12) || AES-256-GCM ciphertext || tag(16), under the DEK
//
// They are separate so that rotating a KEK rewrites the first two (wrapped_dek
// has 62 bytes in format 1) and never reads or writes body.
//
// The package knows the parts and what binds them to their place, and nothing
// else: no keys, no I/O.
package envelope

import (
	"encoding/binary"

	"github.com/strongroom-kms/strongroom/fault"
)

// MasterKey names a master key: its UUID or its alias, unique in its project.
type MasterKey string

// IsID reports whether the name is a UUID in its one canonical spelling; any
// other name is an alias.
func (k MasterKey) IsID() bool {
	if len(k) != 36 {
		return false
	}
	for i, c := range []byte(k) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		if dash != (c == '-') || !dash && !hex {
			return false
		}
	}
	return true
}

// Default names a project's default master key: the one of the token group that
// the project prefers, else of the installation's default group. It is made on
// first use. The first one of a project has this as its alias, too.
const Default MasterKey = "csms/default"

// Installation owns the master keys that belong to no project. No project may
// be called so: whoever lets callers in refuses it.
const Installation = "installation keys"

// Backups is the installation's master key for what callers take away and
// bring back. Its KEKs are never retired: nobody knows what is still out there.
const Backups MasterKey = "csms/backup"

// KEKID is the canonical UUID of one KEK: one version of a master key.
type KEKID string

// Sealed is one payload at rest. It holds no plaintext and no key.
type Sealed struct {
	KEK        KEK
	WrappedDEK []byte
	Body       []byte
	// AsDefault says that this was sealed under Default. The project may prefer
	// another token group by the time it is stored: then the store answers
	// ErrKEKGone. It is not part of what is stored.
	AsDefault bool
}

// KEK is what opening a version must know of the KEK that it depends on; a
// store reads it together with the version's own row.
type KEK struct {
	ID        KEKID
	MasterKey MasterKey // always the UUID
	Group     string    // of tokens that hold it
	Format    uint8     // how this KEK wraps
	Default   bool      // the master key is, or once was, its project's default
	Canary    []byte
	// Usable is false where the KEK or its master key is disabled, pending
	// deletion or gone. It is read anew with every row, so a change of state
	// takes effect at once on every node.
	Usable bool
}

var (
	// ErrNoMasterKey says that nobody has a master key of that name.
	ErrNoMasterKey = fault.New(fault.NotFound, "the master key does not exist")
	// ErrKeyUnusable says that the master key may not be used by this project
	// now: disabled, pending deletion, destroyed, or another project's.
	ErrKeyUnusable = fault.New(fault.WrongState, "the master key cannot be used")
)

// ErrKEKGone is a store's answer to a write whose KEK stopped being active, or
// stopped being one of the project's default master key, after the DEK was
// wrapped: nothing was written, and sealing once more finds the KEK that took
// over.
var ErrKEKGone = fault.New(fault.Unavailable, "the key changed meanwhile")

// Binding ties ciphertext to the place it was stored. A row copied over
// another row then fails to open, even though both DEKs are genuine.
type Binding struct {
	Project, Secret string
	Version         int
}

// ForBody is the associated data of the payload encryption. It does not name
// the KEK, so that re-wrapping a DEK leaves the payload alone.
func (b Binding) ForBody() []byte { return b.encode("body", "") }

// ForDEK is the associated data of the DEK wrapping under kek. The worker adds
// the format byte.
func (b Binding) ForDEK(kek KEKID) []byte { return b.encode("dek", string(kek)) }

// ForCanary is the associated data of a KEK's canary.
func ForCanary(kek KEKID) []byte { return Binding{}.encode("canary", string(kek)) }

// ForBackup is the associated data of the wrapping of a backup's DEK.
func ForBackup(kek KEKID) []byte {
	return Binding{Project: Installation}.encode("backup", string(kek))
}

// magic names this encoding: another encoding, another name.
const magic = "strongroom-aad-1"

// encode is injective: every field is length-prefixed, so no two bindings
// share an encoding (pkcs11.md §4.3).
func (b Binding) encode(purpose, kek string) []byte {
	fields := [...]string{purpose, b.Project, b.Secret, kek}
	size := len(magic) + 8
	for _, f := range fields {
		size += 4 + len(f)
	}
	out := append(make([]byte, 0, size), magic...)
	for _, f := range fields {
		out = binary.BigEndian.AppendUint32(out, uint32(len(f)))
		out = append(out, f...)
	}
	return binary.BigEndian.AppendUint64(out, uint64(b.Version))
}
