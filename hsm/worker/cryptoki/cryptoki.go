// Package cryptoki is as much of PKCS#11 as the worker needs, as one narrow
// interface with types of its own. Package worker implements it over a real
// module, package fakecki in memory.
//
// Every method that fails returns a *ckr.Error that names the C function, so
// that no caller has to know which library spoke.
package cryptoki

import "encoding/binary"

// Slot, Session and Object are handles. A session handle of zero is none:
// PKCS#11 calls it CK_INVALID_HANDLE.
type (
	Slot    uint
	Session uint
	Object  uint
)

// Module is a loaded PKCS#11 library, initialised. Its methods may be called
// from any goroutine; no two at once with the same session.
type Module interface {
	// Info says which library this is, for people.
	Info() Info
	// Slots lists the slots that have a token.
	Slots() ([]Slot, error)
	TokenInfo(Slot) (TokenInfo, error)

	// OpenSession opens a read-write session: some tokens have no others.
	OpenSession(Slot) (Session, error)
	CloseSession(Session) error
	SessionState(Session) (State, error)
	// Login logs the user in, once for all sessions of this process and token.
	// It makes one attempt. The caller wipes pin.
	Login(s Session, pin []byte) error

	// Encrypt also returns the IV that the token left in the mechanism's
	// parameter, which is m.IV or one of its own making.
	Encrypt(s Session, m Mechanism, key Object, in []byte) (out, iv []byte, err error)
	Decrypt(s Session, m Mechanism, key Object, in []byte) ([]byte, error)
	Sign(s Session, m Mechanism, key Object, in []byte) ([]byte, error)
	Verify(s Session, m Mechanism, key Object, in, mac []byte) error
	// GenerateRandom returns n bytes of the token's random number generator.
	GenerateRandom(s Session, n int) ([]byte, error)
	WrapKey(s Session, m Mechanism, wrapping, key Object) ([]byte, error)

	// Find returns up to limit objects that have all attributes of template.
	Find(s Session, template []Attribute, limit int) ([]Object, error)
	// Attributes returns those of the given types that the token knows and
	// shows. What it does not know or keeps to itself is left out.
	Attributes(s Session, o Object, types ...AttributeType) (map[AttributeType][]byte, error)
	CreateObject(s Session, template []Attribute) (Object, error)
	CopyObject(s Session, o Object, template []Attribute) (Object, error)
	DestroyObject(s Session, o Object) error

	// Use names the token that GenerateKey and KeyIDs are about. Call it once,
	// before either.
	Use(Slot) error
	// GenerateKey makes a secret key. It returns no handle, since the library
	// behind it keeps its handles to itself: the caller searches for CKA_ID.
	GenerateKey(kind KeyKind, template []Attribute) error
	// KeyIDs returns the CKA_ID of every AES key on the token.
	KeyIDs() ([][]byte, error)

	// Close ends the use of the module. No other call may be running.
	Close() error
}

// KeyKind is what GenerateKey makes.
type KeyKind uint8

const (
	AES256  KeyKind = iota
	HMAC256         // a generic secret of 32 bytes, or the vendor's HMAC-SHA-256 key type
)

// Info describes a module.
type Info struct {
	Manufacturer, Description, Version string
}

// TokenInfo is CK_TOKEN_INFO, texts without their padding.
type TokenInfo struct {
	Label, Manufacturer, Model, Serial string
	Flags                              uint
	MaxSessions                        uint // read-write; see Limit
	FreePrivateMemory                  uint // bytes; Unavailable where the token does not say
}

// Token flags (PKCS#11 v2.40, C_GetTokenInfo).
const (
	FlagUserPINInitialized uint = 0x8
	FlagTokenInitialized   uint = 0x400
	FlagUserPINFinalTry    uint = 0x20000
	FlagUserPINLocked      uint = 0x40000
)

// Unavailable is CK_UNAVAILABLE_INFORMATION.
const Unavailable = ^uint(0)

// Limit returns how many sessions the token takes, or zero where it says
// neither or has no limit.
func (t TokenInfo) Limit() int {
	if t.MaxSessions == Unavailable || t.MaxSessions > 1<<20 {
		return 0
	}
	return int(t.MaxSessions)
}

// State is CK_STATE.
type State uint

const (
	ROPublic State = 0
	ROUser   State = 1
	RWPublic State = 2
	RWUser   State = 3
	RWSO     State = 4
)

// LoggedIn reports whether the user is logged in.
func (s State) LoggedIn() bool { return s == ROUser || s == RWUser }

// Attribute is one entry of a template.
type Attribute struct {
	Type  AttributeType
	Value []byte // as in C: CK_BBOOL one byte, CK_ULONG in the machine's order
}

// Bool makes a CK_BBOOL attribute.
func Bool(t AttributeType, v bool) Attribute {
	if v {
		return Attribute{t, []byte{1}}
	}
	return Attribute{t, []byte{0}}
}

// Ulong makes a CK_ULONG attribute.
func Ulong(t AttributeType, v uint) Attribute { return Attribute{t, UlongBytes(v)} }

// Bytes makes an attribute of bytes or text.
func Bytes(t AttributeType, v []byte) Attribute { return Attribute{t, v} }

// UlongBytes is a CK_ULONG in memory. It has the size of a machine word on
// every system that this worker runs on.
func UlongBytes(vs ...uint) []byte {
	out := make([]byte, 0, 8*len(vs))
	for _, v := range vs {
		out = binary.NativeEndian.AppendUint64(out, uint64(v))
	}
	return out
}

// Mechanism is a CK_MECHANISM with the parameters the worker uses.
type Mechanism struct {
	Type MechanismType
	IV   []byte
	AAD  []byte // GCM alone
}

// AttributeType is CK_ATTRIBUTE_TYPE.
type AttributeType uint

const (
	Class             AttributeType = 0x0
	OnToken           AttributeType = 0x1 // CKA_TOKEN
	Private           AttributeType = 0x2
	Label             AttributeType = 0x3
	Value             AttributeType = 0x11
	CheckValue        AttributeType = 0x90
	KeyType           AttributeType = 0x100
	ID                AttributeType = 0x102
	Sensitive         AttributeType = 0x103
	MayEncrypt        AttributeType = 0x104
	MayDecrypt        AttributeType = 0x105
	MayWrap           AttributeType = 0x106
	MayUnwrap         AttributeType = 0x107
	MaySign           AttributeType = 0x108
	MayVerify         AttributeType = 0x10A
	MayDerive         AttributeType = 0x10C
	ValueLen          AttributeType = 0x161
	Extractable       AttributeType = 0x162
	Local             AttributeType = 0x163
	NeverExtractable  AttributeType = 0x164
	AlwaysSensitive   AttributeType = 0x165
	Modifiable        AttributeType = 0x170
	Copyable          AttributeType = 0x171
	AllowedMechanisms AttributeType = 0x40000600
)

// MechanismType is CK_MECHANISM_TYPE.
type MechanismType uint

const (
	AESCBCPad  MechanismType = 0x1085
	AESGCM     MechanismType = 0x1087
	AESKeyWrap MechanismType = 0x2109 // RFC 3394
	SHA256HMAC MechanismType = 0x251
)

// Object classes and key types.
const (
	SecretKey uint = 0x4 // CKO_SECRET_KEY

	GenericSecret uint = 0x10 // CKK_…
	AES           uint = 0x1F
)
