package worker

import (
	"errors"
	"path/filepath"
	"unsafe"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// module is a PKCS#11 library in this process, used through two Go libraries
// at once. This file and moduledata.go are the only ones that know either; two
// calls go round both (oneshot.go).
//
// crypto11 finds and generates keys: it passes templates on unchanged, and it
// knows the vendors' own HMAC key types. miekg/pkcs11 does all the rest, the
// data path first of all, because crypto11's AEAD panics when the token fails,
// hides the return code, and puts broken sessions back into its pool for ever
// (pkcs11.md §1.2).
//
// One module, two users, four rules (pkcs11.md §1.4):
//
//   - crypto11 opens the module first: it takes ALREADY_INITIALIZED for an
//     error, while we know better.
//   - Both get the same spelling of the path, symbolic links resolved.
//   - Login belongs to the process and the token, not to a library. We log in,
//     because crypto11 would ask neither for the token's flags nor for a PIN
//     that can be wiped; crypto11 is told that the token has no login.
//   - One owner closes both, crypto11 last: its Close finalises the module.
type module struct {
	ctx  *pkcs11.Ctx
	keys *crypto11.Context // on any token until Use, then on that one
	path string
	info cryptoki.Info

	encrypt, decrypt oneShot
}

// crypto11Sessions is the least it takes: one to hold on to and one to work
// with. Keys are made one at a time.
const crypto11Sessions = 2

// openModule loads and initialises the library at path. crypto11 wants to be
// shown a token at once: one that has the serial, or else the label.
func openModule(path string, want TokenMatch) (*module, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	cfg := &crypto11.Config{Path: path, MaxSessions: crypto11Sessions, LoginNotSupported: true}
	if want.Serial != "" {
		cfg.TokenSerial = want.Serial
	} else {
		cfg.TokenLabel = want.Label
	}
	keys, err := crypto11.Configure(cfg)
	if err != nil {
		return nil, failed("open module "+path, err)
	}
	m := &module{path: path, keys: keys, ctx: pkcs11.New(path)}
	if err := m.join(); err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	return m, nil
}

// join makes miekg the second user of the module that crypto11 has opened.
func (m *module) join() error {
	if m.ctx == nil {
		return errors.New("module does not load a second time: " + m.path)
	}
	if err := m.ctx.Initialize(); err != nil && !errors.Is(err, pkcs11.Error(ckr.AlreadyInitialized)) {
		return failed("C_Initialize", err)
	}
	info, err := m.ctx.GetInfo()
	if err != nil {
		return failed("C_GetInfo", err)
	}
	m.info = describe(info)
	m.encrypt, m.decrypt, err = findOneShots(m.path)
	return err
}

// Close finalises the module. It does not unload it: vendors' threads may go on
// running in it (pkcs11.md §1.3).
func (m *module) Close() error { return m.keys.Close() }

// Use implements cryptoki.Module. Choosing by slot is exact: its label and
// serial have been read.
func (m *module) Use(slot cryptoki.Slot) error {
	number := int(slot)
	keys, err := crypto11.Configure(&crypto11.Config{
		Path:              m.path,
		SlotNumber:        &number,
		MaxSessions:       crypto11Sessions,
		LoginNotSupported: true,
	})
	if err != nil {
		return failed("C_OpenSession", err)
	}
	err = m.keys.Close() // of the two users that crypto11 counts for the module now, the first
	m.keys = keys
	return err
}

// GenerateKey implements cryptoki.Module.
func (m *module) GenerateKey(kind cryptoki.KeyKind, template []cryptoki.Attribute) error {
	generate := func(cipher *crypto11.SymmetricCipher) error {
		set := crypto11.NewAttributeSet() // a fresh one: crypto11 adds to it
		for _, a := range template {
			set[crypto11.AttributeType(a.Type)] = &pkcs11.Attribute{Type: uint(a.Type), Value: a.Value}
		}
		_, err := m.keys.GenerateSecretKeyWithAttributes(set, 256, cipher)
		return failed("C_GenerateKey", err)
	}
	if kind == cryptoki.AES256 {
		return generate(crypto11.CipherAES)
	}
	err := generate(crypto11.CipherGeneric)
	if ckr.CodeOf(err) == ckr.MechanismInvalid {
		return generate(crypto11.CipherHMACSHA256) // nShield makes HMAC keys by a mechanism of its own
	}
	return err
}

// KeyIDs implements cryptoki.Module. The key type is part of the search,
// because crypto11 gives up at the first key of a type it does not know.
func (m *module) KeyIDs() ([][]byte, error) {
	set := crypto11.NewAttributeSet()
	for _, a := range []cryptoki.Attribute{
		cryptoki.Ulong(cryptoki.KeyType, cryptoki.AES),
		cryptoki.Bool(cryptoki.OnToken, true),
	} {
		set[crypto11.AttributeType(a.Type)] = &pkcs11.Attribute{Type: uint(a.Type), Value: a.Value}
	}
	keys, err := m.keys.FindKeysWithAttributes(set)
	if err != nil {
		return nil, failed("C_FindObjects", err)
	}
	ids := make([][]byte, 0, len(keys))
	for _, k := range keys {
		id, err := m.keys.GetAttribute(k, crypto11.CkaId)
		if err != nil {
			return nil, failed("C_GetAttributeValue", err)
		}
		ids = append(ids, id.Value)
	}
	return ids, nil
}

// Info implements cryptoki.Module.
func (m *module) Info() cryptoki.Info { return m.info }

// Slots implements cryptoki.Module.
func (m *module) Slots() ([]cryptoki.Slot, error) {
	ids, err := m.ctx.GetSlotList(true)
	if err != nil {
		return nil, failed("C_GetSlotList", err)
	}
	slots := make([]cryptoki.Slot, len(ids))
	for i, id := range ids {
		slots[i] = cryptoki.Slot(id)
	}
	return slots, nil
}

// TokenInfo implements cryptoki.Module.
func (m *module) TokenInfo(slot cryptoki.Slot) (cryptoki.TokenInfo, error) {
	t, err := m.ctx.GetTokenInfo(uint(slot))
	if err != nil {
		return cryptoki.TokenInfo{}, failed("C_GetTokenInfo", err)
	}
	return cryptoki.TokenInfo{
		Label:             t.Label,
		Manufacturer:      t.ManufacturerID,
		Model:             t.Model,
		Serial:            t.SerialNumber,
		Flags:             t.Flags,
		MaxSessions:       t.MaxRwSessionCount,
		FreePrivateMemory: t.FreePrivateMemory,
	}, nil
}

// OpenSession implements cryptoki.Module.
func (m *module) OpenSession(slot cryptoki.Slot) (cryptoki.Session, error) {
	s, err := m.ctx.OpenSession(uint(slot), pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	return cryptoki.Session(s), failed("C_OpenSession", err)
}

// CloseSession implements cryptoki.Module.
func (m *module) CloseSession(s cryptoki.Session) error {
	return failed("C_CloseSession", m.ctx.CloseSession(pkcs11.SessionHandle(s)))
}

// SessionState implements cryptoki.Module.
func (m *module) SessionState(s cryptoki.Session) (cryptoki.State, error) {
	info, err := m.ctx.GetSessionInfo(pkcs11.SessionHandle(s))
	return cryptoki.State(info.State), failed("C_GetSessionInfo", err)
}

// Login implements cryptoki.Module. The binding wants a string; this one is
// the caller's bytes under another type, so that wiping them leaves no copy on
// the Go side. The copy in C is overwritten when it is freed, by the worker's
// GLIBC_TUNABLES.
func (m *module) Login(s cryptoki.Session, pin []byte) error {
	return failed("C_Login", m.ctx.Login(pkcs11.SessionHandle(s), pkcs11.CKU_USER, unsafe.String(unsafe.SliceData(pin), len(pin))))
}

// failed names the call and sorts its code. It returns nil for nil, so it can
// wrap a call in one line. What crypto11 says without a code of the token is
// about crypto11 itself, which cannot be mended in this process.
func failed(call string, err error) error {
	if err == nil {
		return nil
	}
	if code, ok := errors.AsType[pkcs11.Error](err); ok {
		return ckr.New(call, ckr.Code(code))
	}
	return ckr.Found(ckr.Module, call+": "+err.Error())
}
