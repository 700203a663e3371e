package worker

import (
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// The rest of module: what happens to data and to objects, through miekg but
// for the two calls of oneshot.go.

// gcmTagBits is the longest tag there is, and the only one we accept.
const gcmTagBits = 128

// toBinding makes the binding's mechanism. params is nil for all but GCM; it
// owns C memory until Free, because some tokens write their IV there.
func toBinding(m cryptoki.Mechanism) (mech []*pkcs11.Mechanism, params *pkcs11.GCMParams) {
	switch {
	case m.Type == cryptoki.AESGCM:
		params = pkcs11.NewGCMParams(m.IV, m.AAD, gcmTagBits)
		return []*pkcs11.Mechanism{pkcs11.NewMechanism(uint(m.Type), params)}, params
	case m.IV != nil:
		return []*pkcs11.Mechanism{pkcs11.NewMechanism(uint(m.Type), m.IV)}, nil
	}
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(uint(m.Type), nil)}, nil
}

// Encrypt implements cryptoki.Module.
func (m *module) Encrypt(s cryptoki.Session, mech cryptoki.Mechanism, key cryptoki.Object, in []byte) (out, iv []byte, err error) {
	mm, params := toBinding(mech)
	defer params.Free()
	if err := m.ctx.EncryptInit(pkcs11.SessionHandle(s), mm, pkcs11.ObjectHandle(key)); err != nil {
		return nil, nil, failed("C_EncryptInit", err)
	}
	out, err = m.encrypt.run("C_Encrypt", s, in)
	if err != nil || params == nil {
		return out, mech.IV, err
	}
	return out, params.IV(), nil
}

// Decrypt implements cryptoki.Module.
func (m *module) Decrypt(s cryptoki.Session, mech cryptoki.Mechanism, key cryptoki.Object, in []byte) ([]byte, error) {
	mm, params := toBinding(mech)
	defer params.Free()
	if err := m.ctx.DecryptInit(pkcs11.SessionHandle(s), mm, pkcs11.ObjectHandle(key)); err != nil {
		return nil, failed("C_DecryptInit", err)
	}
	return m.decrypt.run("C_Decrypt", s, in)
}

// Sign implements cryptoki.Module.
func (m *module) Sign(s cryptoki.Session, mech cryptoki.Mechanism, key cryptoki.Object, in []byte) ([]byte, error) {
	mm, _ := toBinding(mech)
	if err := m.ctx.SignInit(pkcs11.SessionHandle(s), mm, pkcs11.ObjectHandle(key)); err != nil {
		return nil, failed("C_SignInit", err)
	}
	mac, err := m.ctx.Sign(pkcs11.SessionHandle(s), in)
	return mac, failed("C_Sign", err)
}

// Verify implements cryptoki.Module.
func (m *module) Verify(s cryptoki.Session, mech cryptoki.Mechanism, key cryptoki.Object, in, mac []byte) error {
	mm, _ := toBinding(mech)
	if err := m.ctx.VerifyInit(pkcs11.SessionHandle(s), mm, pkcs11.ObjectHandle(key)); err != nil {
		return failed("C_VerifyInit", err)
	}
	return failed("C_Verify", m.ctx.Verify(pkcs11.SessionHandle(s), in, mac))
}

// GenerateRandom implements cryptoki.Module. The binding frees its memory
// without wiping it. That leaves no key there: a key is made of these bytes
// and as many of the server's own (docs/key-hierarchy.md).
func (m *module) GenerateRandom(s cryptoki.Session, n int) ([]byte, error) {
	out, err := m.ctx.GenerateRandom(pkcs11.SessionHandle(s), n)
	return out, failed("C_GenerateRandom", err)
}

// WrapKey implements cryptoki.Module.
func (m *module) WrapKey(s cryptoki.Session, mech cryptoki.Mechanism, wrapping, key cryptoki.Object) ([]byte, error) {
	mm, _ := toBinding(mech)
	out, err := m.ctx.WrapKey(pkcs11.SessionHandle(s), mm, pkcs11.ObjectHandle(wrapping), pkcs11.ObjectHandle(key))
	return out, failed("C_WrapKey", err)
}

// Find implements cryptoki.Module. The search is finished whatever happens: an
// open one blocks the next in its session.
func (m *module) Find(s cryptoki.Session, template []cryptoki.Attribute, limit int) (found []cryptoki.Object, err error) {
	sh := pkcs11.SessionHandle(s)
	if err := m.ctx.FindObjectsInit(sh, toAttributes(template)); err != nil {
		return nil, failed("C_FindObjectsInit", err)
	}
	defer func() {
		if final := m.ctx.FindObjectsFinal(sh); err == nil {
			err = failed("C_FindObjectsFinal", final)
		}
	}()
	handles, _, err := m.ctx.FindObjects(sh, limit)
	if err != nil {
		return nil, failed("C_FindObjects", err)
	}
	for _, h := range handles {
		found = append(found, cryptoki.Object(h))
	}
	return found, nil
}

// Attributes implements cryptoki.Module. One attribute that a token does not
// know or show fails the whole call (PKCS#11 v2.40, C_GetAttributeValue), and
// the binding then returns none: so they are asked for one by one where asking
// for all fails.
func (m *module) Attributes(s cryptoki.Session, o cryptoki.Object, types ...cryptoki.AttributeType) (map[cryptoki.AttributeType][]byte, error) {
	values := make(map[cryptoki.AttributeType][]byte, len(types))
	err := m.readAttributes(s, o, values, types...)
	if !unreadable(err) {
		return values, err
	}
	for _, t := range types {
		if err := m.readAttributes(s, o, values, t); err != nil && !unreadable(err) {
			return nil, err
		}
	}
	return values, nil
}

func unreadable(err error) bool {
	code := ckr.CodeOf(err)
	return code == ckr.AttributeTypeInvalid || code == ckr.AttributeSensitive
}

func (m *module) readAttributes(s cryptoki.Session, o cryptoki.Object, into map[cryptoki.AttributeType][]byte, types ...cryptoki.AttributeType) error {
	query := make([]*pkcs11.Attribute, len(types))
	for i, t := range types {
		query[i] = &pkcs11.Attribute{Type: uint(t)}
	}
	got, err := m.ctx.GetAttributeValue(pkcs11.SessionHandle(s), pkcs11.ObjectHandle(o), query)
	if err != nil {
		return failed("C_GetAttributeValue", err)
	}
	for _, a := range got {
		if a.Value != nil {
			into[cryptoki.AttributeType(a.Type)] = a.Value
		}
	}
	return nil
}

// CreateObject implements cryptoki.Module.
func (m *module) CreateObject(s cryptoki.Session, template []cryptoki.Attribute) (cryptoki.Object, error) {
	o, err := m.ctx.CreateObject(pkcs11.SessionHandle(s), toAttributes(template))
	return cryptoki.Object(o), failed("C_CreateObject", err)
}

// CopyObject implements cryptoki.Module.
func (m *module) CopyObject(s cryptoki.Session, o cryptoki.Object, template []cryptoki.Attribute) (cryptoki.Object, error) {
	c, err := m.ctx.CopyObject(pkcs11.SessionHandle(s), pkcs11.ObjectHandle(o), toAttributes(template))
	return cryptoki.Object(c), failed("C_CopyObject", err)
}

// DestroyObject implements cryptoki.Module.
func (m *module) DestroyObject(s cryptoki.Session, o cryptoki.Object) error {
	return failed("C_DestroyObject", m.ctx.DestroyObject(pkcs11.SessionHandle(s), pkcs11.ObjectHandle(o)))
}

func toAttributes(template []cryptoki.Attribute) []*pkcs11.Attribute {
	out := make([]*pkcs11.Attribute, len(template))
	for i, a := range template {
		out[i] = &pkcs11.Attribute{Type: uint(a.Type), Value: a.Value}
	}
	return out
}

func describe(i pkcs11.Info) cryptoki.Info {
	return cryptoki.Info{
		Manufacturer: i.ManufacturerID,
		Description:  i.LibraryDescription,
		Version:      fmt.Sprintf("%d.%d", i.LibraryVersion.Major, i.LibraryVersion.Minor),
	}
}
