package worker

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// object says what one object of a KEK is for.
type object struct {
	kind       cryptoki.KeyKind
	keyType    uint
	mechanism  cryptoki.MechanismType
	encrypts   bool // else it signs
	persistent bool // CKA_TOKEN; the self-test's keys are not
}

// objectsOf lists the objects that a KEK of format f has. They share a CKA_ID,
// are made together and destroyed together.
func objectsOf(f key.Format, persistent bool) []object {
	if f == key.A256GCM {
		return []object{{cryptoki.AES256, cryptoki.AES, cryptoki.AESGCM, true, persistent}}
	}
	return []object{
		{cryptoki.AES256, cryptoki.AES, cryptoki.AESCBCPad, true, persistent},
		{cryptoki.HMAC256, cryptoki.GenericSecret, cryptoki.SHA256HMAC, false, persistent},
	}
}

// required spells out every attribute that decides what a key may do. Defaults
// differ between tokens, so none is left to the token (pkcs11.md §8.4).
func (o object) required(id key.ID, label string) []cryptoki.Attribute {
	return []cryptoki.Attribute{
		cryptoki.Ulong(cryptoki.Class, cryptoki.SecretKey),
		cryptoki.Ulong(cryptoki.KeyType, o.keyType),
		cryptoki.Ulong(cryptoki.ValueLen, 32),
		cryptoki.Bytes(cryptoki.ID, id[:]),            // the KEK's UUID: how it is found
		cryptoki.Bytes(cryptoki.Label, []byte(label)), // for people only
		cryptoki.Bool(cryptoki.OnToken, o.persistent), // survives a restart
		cryptoki.Bool(cryptoki.Private, true),         // invisible without login
		cryptoki.Bool(cryptoki.Sensitive, true),       // value never readable
		cryptoki.Bool(cryptoki.Extractable, false),    // and never wrappable by another key
		cryptoki.Bool(cryptoki.MayEncrypt, o.encrypts),
		cryptoki.Bool(cryptoki.MayDecrypt, o.encrypts),
		cryptoki.Bool(cryptoki.MaySign, !o.encrypts),
		cryptoki.Bool(cryptoki.MayVerify, !o.encrypts),
		cryptoki.Bool(cryptoki.MayWrap, false),   // wrap and decrypt together would let a
		cryptoki.Bool(cryptoki.MayUnwrap, false), // PIN holder export other keys
		cryptoki.Bool(cryptoki.MayDerive, false),
	}
}

// optional are the attributes that not every token takes, the most readily
// given up last: ladder step n goes without the last n of them.
func (o object) optional() []cryptoki.Attribute {
	return []cryptoki.Attribute{
		cryptoki.Bool(cryptoki.Modifiable, false), // no flag can be switched later
		cryptoki.Bool(cryptoki.Copyable, false),
		// Stops a PIN holder from opening GCM without its tag, as CTR or ECB.
		cryptoki.Bytes(cryptoki.AllowedMechanisms, cryptoki.UlongBytes(uint(o.mechanism))),
	}
}

// ladder is the last step, on which only the required attributes are left.
const ladder = 3

// template is what goes into C_GenerateKey on a step of the ladder.
func (o object) template(id key.ID, label string, step int) []cryptoki.Attribute {
	return append(o.required(id, label), o.optional()[:ladder-step]...)
}

// refusesTemplate reports whether a token says so of a template it does not
// like. SoftHSM also says 0xD1 when two processes make keys at once, which is
// why a step that once worked is not left because of it.
func refusesTemplate(err error) bool {
	switch ckr.CodeOf(err) {
	case ckr.AttributeTypeInvalid, ckr.AttributeValueInvalid, ckr.TemplateInconsistent:
		return true
	}
	return false
}

// generated are attributes that only the token can set. All are true of a key
// that was made inside and never was anything else.
var generated = []cryptoki.AttributeType{cryptoki.Local, cryptoki.AlwaysSensitive, cryptoki.NeverExtractable}

// verify reads a new key's attributes back. The error names what is not as it
// must be; notes say what the token took and did not keep.
func (t *Token) verify(s cryptoki.Session, h cryptoki.Object, o object, id key.ID, label string) (notes []string, err error) {
	want := o.required(id, label)
	optional := o.optional()[:ladder-int(t.steps[o.kind].Load())]
	types := slices.Clone(generated)
	for _, a := range slices.Concat(want, optional) {
		types = append(types, a.Type)
	}
	got, err := t.m.Attributes(s, h, types...)
	if err != nil {
		return nil, err
	}
	for _, a := range want {
		if v, ok := got[a.Type]; !o.accepts(a, v) || !ok {
			return nil, ckr.Found(ckr.Capability, fmt.Sprintf("new key has attribute 0x%X other than asked for", uint(a.Type)))
		}
	}
	for _, typ := range generated {
		if typ == cryptoki.Local && t.lies.local {
			continue
		}
		if !bytes.Equal(got[typ], []byte{1}) {
			return nil, ckr.Found(ckr.Capability, fmt.Sprintf("new key has attribute 0x%X other than true", uint(typ)))
		}
	}
	for _, a := range optional {
		if !bytes.Equal(got[a.Type], a.Value) {
			notes = append(notes, fmt.Sprintf("token does not keep attribute 0x%X of a key", uint(a.Type)))
		}
	}
	return notes, nil
}

// accepts compares one attribute. An HMAC key made by a vendor's mechanism has
// that vendor's key type.
func (o object) accepts(want cryptoki.Attribute, got []byte) bool {
	if want.Type == cryptoki.KeyType && !o.encrypts {
		return len(got) == len(want.Value)
	}
	return bytes.Equal(want.Value, got)
}

// lies are the attributes that a token is known to report wrongly.
type lies struct{ local bool }

// knownLies: NSS reports CKA_LOCAL = 0 for keys it made itself (3.87,
// pkcs11.md §3.1).
func knownLies(t cryptoki.TokenInfo) lies {
	return lies{local: t.Manufacturer == "Mozilla Foundation"}
}
