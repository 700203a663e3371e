package fakecki

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"slices"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// begin is C_…Init: it looks the key up and checks that it may be used so.
func (m *Module) begin(call string, s cryptoki.Session, mech cryptoki.Mechanism, h cryptoki.Object, may cryptoki.AttributeType) (*object, error) {
	if err := m.inSession(call, s); err != nil {
		return nil, err
	}
	defer m.leave()
	o, err := m.object(call, h)
	if err != nil {
		return nil, err
	}
	allowed, limited := o.attrs[cryptoki.AllowedMechanisms]
	switch {
	case mech.Type == cryptoki.AESGCM && m.t.NoGCM,
		limited && !bytes.Equal(allowed, cryptoki.UlongBytes(uint(mech.Type))):
		return nil, ckr.New(call, ckr.MechanismInvalid)
	case !bytes.Equal(o.attrs[may], []byte{1}):
		return nil, ckr.New(call, 0x68)
	}
	return o, nil
}

// finish is the second call of an operation. What run reports as not opening
// gets the code that this token has for it.
func (m *Module) finish(call string, s cryptoki.Session, run func() (ok bool)) error {
	err := m.inSession(call, s)
	if err == nil {
		if !run() {
			err = ckr.New(call, m.t.BadTag)
		}
		m.leave()
	}
	if err != nil && m.t.Sticky {
		m.t.mu.Lock()
		if ses, ok := m.sessions[s]; ok {
			ses.active = true
		}
		m.t.mu.Unlock()
	}
	return err
}

// Encrypt implements cryptoki.Module.
func (m *Module) Encrypt(s cryptoki.Session, mech cryptoki.Mechanism, h cryptoki.Object, in []byte) (out, iv []byte, err error) {
	o, err := m.begin("C_EncryptInit", s, mech, h, cryptoki.MayEncrypt)
	if err != nil {
		return nil, nil, err
	}
	if mech.Type == cryptoki.AESGCM {
		if iv, err = m.chooseIV(mech.IV); err != nil {
			return nil, nil, err
		}
		err = m.finish("C_Encrypt", s, func() bool {
			out = gcm(o.value, len(iv)).Seal(nil, iv, in, mech.AAD)
			return true
		})
		switch {
		case m.t.AppendsIV > 0:
			return append(out, iv...), nil, err
		case len(mech.IV) == 0:
			return out, nil, err
		}
		return out, iv, err
	}
	err = m.finish("C_Encrypt", s, func() bool {
		out = pad(in)
		cipher.NewCBCEncrypter(block(o.value), mech.IV).CryptBlocks(out, out)
		return true
	})
	return out, mech.IV, err
}

// chooseIV is what real tokens differ in (pkcs11.md §3.2).
func (m *Module) chooseIV(given []byte) ([]byte, error) {
	n := len(given)
	if m.t.AppendsIV > 0 {
		n = m.t.AppendsIV
	}
	switch {
	case m.t.WritesIV, m.t.AppendsIV > 0:
		if m.t.AppendsIV > 0 && len(given) > 0 {
			return nil, ckr.New("C_EncryptInit", ckr.MechanismParamInvalid)
		}
		iv := make([]byte, n)
		_, err := rand.Read(iv)
		return iv, err
	case n == 0 && m.t.TakesNoIV:
		return make([]byte, 12), nil
	case n == 0:
		return nil, ckr.New("C_EncryptInit", ckr.MechanismParamInvalid)
	}
	return slices.Clone(given), nil
}

// Decrypt implements cryptoki.Module.
func (m *Module) Decrypt(s cryptoki.Session, mech cryptoki.Mechanism, h cryptoki.Object, in []byte) (out []byte, err error) {
	o, err := m.begin("C_DecryptInit", s, mech, h, cryptoki.MayDecrypt)
	if err != nil {
		return nil, err
	}
	err = m.finish("C_Decrypt", s, func() bool {
		switch {
		case mech.Type != cryptoki.AESGCM:
			out = unpad(o.value, mech.IV, in)
		case m.t.BlindToTags:
			out = make([]byte, 32)
			cipher.NewCTR(block(o.value), counter(mech.IV)).XORKeyStream(out, in[:32])
		default:
			var bad error
			out, bad = gcm(o.value, len(mech.IV)).Open(nil, mech.IV, in, mech.AAD)
			return bad == nil
		}
		return out != nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Sign implements cryptoki.Module.
func (m *Module) Sign(s cryptoki.Session, mech cryptoki.Mechanism, h cryptoki.Object, in []byte) (mac []byte, err error) {
	o, err := m.begin("C_SignInit", s, mech, h, cryptoki.MaySign)
	if err != nil {
		return nil, err
	}
	err = m.finish("C_Sign", s, func() bool {
		mac = sum(o.value, in)
		return true
	})
	return mac, err
}

// Verify implements cryptoki.Module. A bad MAC has a code of its own on every
// token we know, unless a test asks for another.
func (m *Module) Verify(s cryptoki.Session, mech cryptoki.Mechanism, h cryptoki.Object, in, mac []byte) error {
	o, err := m.begin("C_VerifyInit", s, mech, h, cryptoki.MayVerify)
	if err != nil {
		return err
	}
	good := false
	err = m.finish("C_Verify", s, func() bool {
		good = hmac.Equal(sum(o.value, in), mac)
		return good || m.t.BadTag != ckr.GeneralError
	})
	if err == nil && !good {
		return ckr.New("C_Verify", ckr.SignatureInvalid)
	}
	return err
}

// GenerateRandom implements cryptoki.Module.
func (m *Module) GenerateRandom(s cryptoki.Session, n int) ([]byte, error) {
	if err := m.inSession("C_GenerateRandom", s); err != nil {
		return nil, err
	}
	defer m.leave()
	out := make([]byte, n)
	_, err := rand.Read(out)
	return out, err
}

// WrapKey implements cryptoki.Module. What it returns is no real key wrap:
// whoever gets that far has shown the point.
func (m *Module) WrapKey(s cryptoki.Session, mech cryptoki.Mechanism, wrapping, h cryptoki.Object) ([]byte, error) {
	if _, err := m.begin("C_WrapKey", s, mech, wrapping, cryptoki.MayWrap); err != nil {
		return nil, err
	}
	if !m.t.LetsWrap {
		return nil, ckr.New("C_WrapKey", 0x6A)
	}
	return make([]byte, 40), nil
}

func block(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // every key here has 32 bytes
	}
	return b
}

func gcm(key []byte, iv int) cipher.AEAD {
	g, err := cipher.NewGCMWithNonceSize(block(key), iv)
	if err != nil {
		panic(err) // every IV here has 12 or 16 bytes
	}
	return g
}

// counter is where GCM with a 12-byte IV begins to encrypt.
func counter(iv []byte) []byte { return append(append([]byte(nil), iv...), 0, 0, 0, 2) }

func sum(key, in []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(in)
	return h.Sum(nil)
}

// pad is PKCS#7.
func pad(in []byte) []byte {
	n := aes.BlockSize - len(in)%aes.BlockSize
	return append(append([]byte(nil), in...), bytes.Repeat([]byte{byte(n)}, n)...)
}

func unpad(key, iv, in []byte) []byte {
	if len(in) == 0 || len(in)%aes.BlockSize != 0 {
		return nil
	}
	out := make([]byte, len(in))
	cipher.NewCBCDecrypter(block(key), iv).CryptBlocks(out, in)
	n := int(out[len(out)-1])
	if n == 0 || n > aes.BlockSize {
		return nil
	}
	return out[:len(out)-n]
}
