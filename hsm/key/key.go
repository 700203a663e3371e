// Package key has the words that the key hierarchy, the server's side of a
// token and the worker share about one key object in a token: what it is
// called, how it is made, and what shows that it is still the same key.
// Everything here is a plain value; handles and sessions never leave the
// worker.
package key

import (
	"encoding/hex"
	"errors"
)

// ID is the UUID of a key and the 16 bytes of its CKA_ID in the token. The
// server chooses it before the key exists.
type ID [16]byte

// String returns the canonical lower-case dashed form (RFC 9562).
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return string(b[:])
}

var errID = errors.New("a key ID is a lower-case dashed UUID")

// ParseID reads the canonical form, and only that: one key has one spelling.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, errID
	}
	packed := s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36]
	if _, err := hex.Decode(id[:], []byte(packed)); err != nil || id.String() != s {
		return ID{}, errID
	}
	return id, nil
}

// DefaultGroup is the name of the one group of tokens that the short form of
// the configuration stands for, and of what was stored before there were groups.
const DefaultGroup = "default"

// Format is how a KEK wraps a DEK: the first byte of every wrapped DEK
// (docs/key-hierarchy.md). A number is never reused.
type Format uint8

const (
	Auto         Format = 0 // when making a key: the first format that passed the token's self-test
	A256GCM      Format = 1 // AES-256-GCM, 16-byte tag, additional authenticated data
	A256CBCHS256 Format = 2 // AES-256-CBC, then HMAC-SHA-256 under a second key
)

func (f Format) String() string {
	switch f {
	case Auto:
		return "auto"
	case A256GCM:
		return "A256GCM"
	case A256CBCHS256:
		return "A256CBC-HS256"
	}
	return "unknown format"
}

// Ref names one KEK in a token. Callers keep it in the KEK's row; it holds no
// handle and stays valid across workers, restarts and cloned tokens.
type Ref struct {
	ID     ID
	Format Format
	Canary Canary
}

// Canary is a known text wrapped under a key when it was made. That it opens
// shows that the key is there, is the same, and that the token works; so it
// settles what an ambiguous return code does not (pkcs11.md §7.2, §8.5).
type Canary struct {
	Wrapped []byte // as a wrapped DEK, format byte first
	AAD     []byte // what it was bound to
}

// Spec asks for a new KEK.
type Spec struct {
	ID        ID
	Label     string // for people; never used to find a key
	Format    Format
	CanaryAAD []byte
}

// Made is a KEK that a token has just generated, its attributes read back and
// its canary opened.
type Made struct {
	Ref         Ref
	TokenLabel  string
	TokenSerial string
	CheckValue  []byte // CKA_CHECK_VALUE, three bytes, or empty where the token has none
}

// Rewrap is one DEK on its way from one KEK to another, with what binds it to
// each.
type Rewrap struct {
	Wrapped  []byte
	From, To AAD
}

// AAD is the additional authenticated data of one wrapping.
type AAD []byte

// Rewrapped answers one Rewrap: either Wrapped or Err is set. Err speaks of
// this DEK alone.
type Rewrapped struct {
	Wrapped []byte
	Err     error
}

// CheckResult says what became of a key.
type CheckResult uint8

const (
	CheckUnknown CheckResult = iota // nobody could look
	OK                              // the canary opens
	Missing                         // the token works and has no such key
	WrongKey                        // there is a key of that ID, and it is another one
)

func (r CheckResult) String() string {
	switch r {
	case OK:
		return "ok"
	case Missing:
		return "missing"
	case WrongKey:
		return "wrong key"
	}
	return "unknown"
}

// MaxRandom limits the random bytes of one call. No key that this product makes
// of random bytes has a tenth of them.
const MaxRandom = 1024

// Status is what is known of the tokens at one moment, for health and people.
type Status struct {
	Tokens []TokenStatus
}

// Usable reports whether at least one token takes work.
func (s Status) Usable() bool {
	for _, t := range s.Tokens {
		if t.Usable {
			return true
		}
	}
	return false
}

// TokenStatus describes one token. Texts are for people and hold no secret.
type TokenStatus struct {
	Label, Serial, Model string
	Usable               bool
	Problem              string // why not, in one sentence; empty while Usable
	PINBlocked           bool   // a PIN was rejected; nobody tries again before it changes
	Breaker              string // closed, open, half-open
	Workers              int    // alive now
	Respawns             int    // since start
	Sessions             int    // that a worker has open, when it last told
	Formats              []FormatReport
	Warnings             []string // e.g. weak key protection, from the self-test
}

// FormatReport is what the self-test found out about one format.
type FormatReport struct {
	Format  Format
	Passed  bool
	Problem string // empty when Passed
}
