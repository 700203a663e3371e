package fakecki

import (
	"bytes"
	"crypto/rand"
	"slices"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// Module is one process's view of a Token. It implements cryptoki.Module.
type Module struct {
	t        *Token
	slot     cryptoki.Slot
	sessions map[cryptoki.Session]*session
	last     cryptoki.Session
	loggedIn bool
	blind    bool // lost the token once
	closed   bool
}

type session struct{ active bool }

var _ cryptoki.Module = (*Module)(nil)

// enter is the beginning of every call: it counts, does what the rules say,
// and takes the token's lock. leave gives it back.
func (m *Module) enter(call string) error {
	if r := m.t.apply(call); r != nil {
		time.Sleep(r.wait)
		if r.hang != nil {
			<-r.hang
		}
		if r.code != 0 {
			return ckr.New(call, r.code)
		}
	}
	m.t.mu.Lock()
	if m.closed {
		m.t.mu.Unlock()
		return ckr.New(call, 0x190)
	}
	return nil
}

func (m *Module) leave() { m.t.mu.Unlock() }

// inSession is enter for a call that needs a session without an operation
// under way.
func (m *Module) inSession(call string, s cryptoki.Session) error {
	if err := m.enter(call); err != nil {
		return err
	}
	var code ckr.Code
	if ses, ok := m.sessions[s]; !ok {
		code = ckr.SessionHandleInvalid
	} else if ses.active {
		code = 0x90
	}
	if code != 0 {
		m.leave()
		return ckr.New(call, code)
	}
	return nil
}

// Info implements cryptoki.Module.
func (m *Module) Info() cryptoki.Info { return cryptoki.Info{Manufacturer: "fakecki", Version: "1.0"} }

// Slots implements cryptoki.Module.
func (m *Module) Slots() ([]cryptoki.Slot, error) {
	if err := m.enter("C_GetSlotList"); err != nil {
		return nil, err
	}
	defer m.leave()
	return slices.Repeat([]cryptoki.Slot{m.slot}, max(m.t.Slots, 1)), nil
}

// TokenInfo implements cryptoki.Module.
func (m *Module) TokenInfo(slot cryptoki.Slot) (cryptoki.TokenInfo, error) {
	if err := m.enter("C_GetTokenInfo"); err != nil {
		return cryptoki.TokenInfo{}, err
	}
	defer m.leave()
	if m.t.away {
		return cryptoki.TokenInfo{}, ckr.New("C_GetTokenInfo", ckr.GeneralError)
	}
	flags := cryptoki.FlagTokenInitialized | cryptoki.FlagUserPINInitialized
	if m.t.Tries > 0 && !m.t.HidesPINFlags {
		if m.t.locked() {
			flags |= cryptoki.FlagUserPINLocked
		}
		if m.t.wrong == m.t.Tries-1 {
			flags |= cryptoki.FlagUserPINFinalTry
		}
	}
	return cryptoki.TokenInfo{
		Label:             "fake",
		Manufacturer:      m.t.Manufacturer,
		Model:             "fakecki",
		Serial:            "F00D",
		Flags:             flags,
		MaxSessions:       uint(m.t.MaxSessions),
		FreePrivateMemory: cryptoki.Unavailable,
	}, nil
}

// OpenSession implements cryptoki.Module.
func (m *Module) OpenSession(cryptoki.Slot) (cryptoki.Session, error) {
	if err := m.enter("C_OpenSession"); err != nil {
		return 0, err
	}
	defer m.leave()
	if m.t.MaxSessions > 0 && len(m.sessions) >= m.t.MaxSessions {
		return 0, ckr.New("C_OpenSession", ckr.SessionCount)
	}
	m.last++
	m.sessions[m.last] = &session{}
	return m.last, nil
}

// CloseSession implements cryptoki.Module.
func (m *Module) CloseSession(s cryptoki.Session) error {
	if err := m.enter("C_CloseSession"); err != nil {
		return err
	}
	defer m.leave()
	if _, ok := m.sessions[s]; !ok {
		return ckr.New("C_CloseSession", ckr.SessionHandleInvalid)
	}
	delete(m.sessions, s)
	return nil
}

// SessionState implements cryptoki.Module.
func (m *Module) SessionState(s cryptoki.Session) (cryptoki.State, error) {
	if err := m.inSession("C_GetSessionInfo", s); err != nil {
		return 0, err
	}
	defer m.leave()
	if m.loggedIn {
		return cryptoki.RWUser, nil
	}
	return cryptoki.RWPublic, nil
}

// Login implements cryptoki.Module.
func (m *Module) Login(s cryptoki.Session, pin []byte) error {
	if err := m.inSession("C_Login", s); err != nil {
		return err
	}
	defer m.leave()
	m.t.attempts++
	switch {
	case m.loggedIn:
		return ckr.New("C_Login", ckr.UserAlreadyLoggedIn)
	case m.t.locked():
		return ckr.New("C_Login", ckr.PINLocked)
	case string(pin) != PIN:
		m.t.wrong++
		return ckr.New("C_Login", ckr.PINIncorrect)
	}
	m.t.wrong = 0
	m.loggedIn = true
	return nil
}

// Use implements cryptoki.Module.
func (m *Module) Use(cryptoki.Slot) error { return nil }

// Find implements cryptoki.Module.
func (m *Module) Find(s cryptoki.Session, template []cryptoki.Attribute, limit int) ([]cryptoki.Object, error) {
	if err := m.inSession("C_FindObjects", s); err != nil {
		return nil, err
	}
	defer m.leave()
	var found []cryptoki.Object
	for h, o := range m.t.objects {
		if m.sees(o) && o.has(template) {
			found = append(found, h)
		}
	}
	slices.Sort(found)
	return found[:min(limit, len(found))], nil
}

// sees reports whether a search shows o: without login and after the token was
// away, it shows nothing and no error.
func (m *Module) sees(o *object) bool {
	return m.loggedIn && (o.creator == m || o.creator == nil && !m.blind)
}

func (o *object) has(template []cryptoki.Attribute) bool {
	for _, a := range template {
		if !bytes.Equal(o.attrs[a.Type], a.Value) {
			return false
		}
	}
	return true
}

// object looks a handle up. The caller holds mu.
func (m *Module) object(call string, h cryptoki.Object) (*object, error) {
	o, ok := m.t.objects[h]
	if !ok || !m.sees(o) {
		return nil, ckr.New(call, m.t.StaleHandle)
	}
	return o, nil
}

// Attributes implements cryptoki.Module.
func (m *Module) Attributes(s cryptoki.Session, h cryptoki.Object, types ...cryptoki.AttributeType) (map[cryptoki.AttributeType][]byte, error) {
	if err := m.inSession("C_GetAttributeValue", s); err != nil {
		return nil, err
	}
	defer m.leave()
	o, err := m.object("C_GetAttributeValue", h)
	if err != nil {
		return nil, err
	}
	values := map[cryptoki.AttributeType][]byte{}
	for _, t := range types {
		if v, ok := o.attrs[t]; ok {
			values[t] = slices.Clone(v)
		}
		if t == cryptoki.Value && m.t.ShowsValues {
			values[t] = slices.Clone(o.value)
		}
	}
	return values, nil
}

// GenerateKey implements cryptoki.Module.
func (m *Module) GenerateKey(kind cryptoki.KeyKind, template []cryptoki.Attribute) error {
	const call = "C_GenerateKey"
	if err := m.enter(call); err != nil {
		return err
	}
	defer m.leave()
	switch {
	case m.t.away:
		return ckr.New(call, ckr.GeneralError)
	case !m.loggedIn:
		return ckr.New(call, ckr.UserNotLoggedIn)
	case kind == cryptoki.HMAC256 && m.t.NoHMAC:
		return ckr.New(call, ckr.MechanismInvalid)
	}
	value := make([]byte, 32)
	if _, err := rand.Read(value); err != nil {
		return ckr.New(call, ckr.GeneralError)
	}
	o, err := m.newObject(call, template, value, !m.t.SaysImported)
	if err != nil {
		return err
	}
	keyType := cryptoki.AES
	if kind == cryptoki.HMAC256 {
		keyType = cryptoki.GenericSecret
	}
	o.attrs[cryptoki.KeyType] = cryptoki.UlongBytes(keyType)
	o.attrs[cryptoki.ValueLen] = cryptoki.UlongBytes(32)
	m.t.add(o)
	return nil
}

// KeyIDs implements cryptoki.Module.
func (m *Module) KeyIDs() ([][]byte, error) {
	if err := m.enter("C_FindObjects"); err != nil {
		return nil, err
	}
	defer m.leave()
	var ids [][]byte
	for _, o := range m.t.objects {
		if m.sees(o) && o.creator == nil && o.has([]cryptoki.Attribute{cryptoki.Ulong(cryptoki.KeyType, cryptoki.AES)}) {
			ids = append(ids, slices.Clone(o.attrs[cryptoki.ID]))
		}
	}
	return ids, nil
}

// CreateObject implements cryptoki.Module.
func (m *Module) CreateObject(s cryptoki.Session, template []cryptoki.Attribute) (cryptoki.Object, error) {
	const call = "C_CreateObject"
	if err := m.inSession(call, s); err != nil {
		return 0, err
	}
	defer m.leave()
	if m.t.NoImport {
		return 0, ckr.New(call, ckr.FunctionNotSupported)
	}
	i := slices.IndexFunc(template, func(a cryptoki.Attribute) bool { return a.Type == cryptoki.Value })
	if i < 0 {
		return 0, ckr.New(call, 0xD0)
	}
	o, err := m.newObject(call, template, slices.Clone(template[i].Value), false)
	if err != nil {
		return 0, err
	}
	delete(o.attrs, cryptoki.Value)
	return m.t.add(o), nil
}

// newObject applies a template. The caller holds mu.
func (m *Module) newObject(call string, template []cryptoki.Attribute, value []byte, local bool) (*object, error) {
	o := &object{attrs: map[cryptoki.AttributeType][]byte{}, value: value, creator: m}
	for _, a := range template {
		if slices.Contains(m.t.Refuses, a.Type) {
			return nil, ckr.New(call, ckr.AttributeTypeInvalid)
		}
		if !slices.Contains(m.t.Ignores, a.Type) {
			o.attrs[a.Type] = slices.Clone(a.Value)
		}
	}
	if bytes.Equal(o.attrs[cryptoki.OnToken], []byte{1}) {
		o.creator = nil
	} else if m.t.NoSessionKey {
		return nil, ckr.New(call, ckr.TemplateInconsistent)
	}
	for _, t := range []cryptoki.AttributeType{cryptoki.Local, cryptoki.AlwaysSensitive, cryptoki.NeverExtractable} {
		o.attrs[t] = cryptoki.Bool(t, local).Value
	}
	if m.t.LiesAboutLocal {
		o.attrs[cryptoki.Local] = []byte{0}
	}
	if !m.t.NoCheckValue {
		o.attrs[cryptoki.CheckValue] = checkValue(value)
	}
	return o, nil
}

// CopyObject implements cryptoki.Module.
func (m *Module) CopyObject(s cryptoki.Session, h cryptoki.Object, template []cryptoki.Attribute) (cryptoki.Object, error) {
	const call = "C_CopyObject"
	if err := m.inSession(call, s); err != nil {
		return 0, err
	}
	defer m.leave()
	o, err := m.object(call, h)
	if err != nil {
		return 0, err
	}
	if !m.t.LetsCopy {
		return 0, ckr.New(call, 0x1B)
	}
	c, err := m.newObject(call, template, o.value, false)
	if err != nil {
		return 0, err
	}
	return m.t.add(c), nil
}

// DestroyObject implements cryptoki.Module.
func (m *Module) DestroyObject(s cryptoki.Session, h cryptoki.Object) error {
	const call = "C_DestroyObject"
	if err := m.inSession(call, s); err != nil {
		return err
	}
	defer m.leave()
	if _, err := m.object(call, h); err != nil {
		return err
	}
	delete(m.t.objects, h)
	return nil
}

// Close implements cryptoki.Module.
func (m *Module) Close() error {
	if err := m.enter("C_Finalize"); err != nil {
		return err
	}
	defer m.leave()
	m.closed = true
	clear(m.sessions)
	for h, o := range m.t.objects {
		if o.creator == m {
			delete(m.t.objects, h)
		}
	}
	m.t.modules = slices.DeleteFunc(m.t.modules, func(other *Module) bool { return other == m })
	return nil
}
