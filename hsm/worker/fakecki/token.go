// Package fakecki is a PKCS#11 token in memory that can misbehave in every way
// we have seen or feared: any return code at any call, calls that hang, PINs
// that lock, IVs of its own, sessions and stores that get lost, keys that are
// there twice. Its cryptography is real. For tests only.
package fakecki

import (
	"bytes"
	"crypto/aes"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// PIN is the fake's user PIN.
const PIN = "1234-fake"

// Behaviour is what kind of token this is. The zero value is a good one, like
// SoftHSM 2.7.
type Behaviour struct {
	WritesIV  bool // over the one it was given
	AppendsIV int  // so many bytes, after the tag; takes no IV then
	TakesNoIV bool // accepts a missing IV and uses the same one each time, as SoftHSM does

	BadTag      ckr.Code // for what does not open; 0: ENCRYPTED_DATA_INVALID
	StaleHandle ckr.Code // for a handle it does not know; 0: OBJECT_HANDLE_INVALID
	Sticky      bool     // a failed operation stays active in its session

	Slots         int // that show this same token; 0: one
	MaxSessions   int // 0: no limit
	Tries         int // wrong PINs until it locks; 0: never
	HidesPINFlags bool

	Refuses      []cryptoki.AttributeType // in templates: ATTRIBUTE_TYPE_INVALID
	Ignores      []cryptoki.AttributeType // in templates: takes them and does not keep them
	NoGCM        bool
	NoHMAC       bool
	NoImport     bool
	NoCheckValue bool
	NoSessionKey bool
	BlindToTags  bool // decrypts whatever comes
	LetsCopy     bool // a key that is not extractable to one that is
	LetsWrap     bool // a key that is not extractable
	ShowsValues  bool
	SaysImported bool // CKA_LOCAL and its like are false, as of an imported key

	LiesAboutLocal bool // CKA_LOCAL alone is false, as on NSS

	Manufacturer string
}

// Token is the device: what survives the processes that use it. Its methods
// may be called at any time from any goroutine.
type Token struct {
	Behaviour

	mu       sync.Mutex
	objects  map[cryptoki.Object]*object
	next     cryptoki.Object
	attempts int // logins, right or wrong
	wrong    int // wrong PINs since the last right one
	modules  []*Module
	rules    []*rule
	calls    map[string]int
	away     bool
}

type object struct {
	attrs   map[cryptoki.AttributeType][]byte
	value   []byte
	creator *Module // of a session object, which no other process sees
}

// New returns a token without keys.
func New(b Behaviour) *Token {
	if b.BadTag == 0 {
		b.BadTag = ckr.EncryptedDataInvalid
	}
	if b.StaleHandle == 0 {
		b.StaleHandle = ckr.ObjectHandleInvalid
	}
	return &Token{Behaviour: b, objects: map[cryptoki.Object]*object{}, calls: map[string]int{}}
}

// Load is what a new process does: a fresh view of the token.
func (t *Token) Load() *Module {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &Module{t: t, sessions: map[cryptoki.Session]*session{}, slot: 7}
	t.modules = append(t.modules, m)
	return m
}

// Unplug takes the token away, as when SoftHSM's folder is moved. Processes
// that were there never see it again, even when it is back: they find nothing,
// without an error.
func (t *Token) Unplug() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.away = true
	for _, m := range t.modules {
		m.blind = true
	}
}

// Replug puts it back for processes to come.
func (t *Token) Replug() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.away = false
}

// ForgetSessions closes every session behind its owner's back. The login goes
// with them.
func (t *Token) ForgetSessions() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.modules {
		clear(m.sessions)
		m.loggedIn = false
	}
}

// LoseSession closes all sessions but the first one, which is the anchor.
func (t *Token) LoseSession() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.modules {
		for s := range m.sessions {
			if s != 1 {
				delete(m.sessions, s)
			}
		}
	}
}

// Logout logs everybody out.
func (t *Token) Logout() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range t.modules {
		m.loggedIn = false
	}
}

// Remove destroys the objects of an ID behind everybody's back.
func (t *Token) Remove(id []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for h, o := range t.objects {
		if bytes.Equal(o.attrs[cryptoki.ID], id) {
			delete(t.objects, h)
		}
	}
}

// Renumber gives every object a new handle, as a token does that was restarted.
func (t *Token) Renumber() {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.objects
	t.objects = map[cryptoki.Object]*object{}
	for _, o := range old {
		t.add(o)
	}
}

// Twin doubles the AES object of an ID: the same key once more, or another one
// that claims to be it.
func (t *Token) Twin(id []byte, sameKey bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.objects {
		if !bytes.Equal(o.attrs[cryptoki.ID], id) || !bytes.Equal(o.attrs[cryptoki.KeyType], cryptoki.UlongBytes(cryptoki.AES)) {
			continue
		}
		twin := &object{attrs: maps.Clone(o.attrs), value: slices.Clone(o.value)}
		if !sameKey {
			twin.value[0] ^= 1
			twin.attrs[cryptoki.CheckValue] = checkValue(twin.value)
		}
		t.add(twin)
		return
	}
}

// Keys counts the token objects.
func (t *Token) Keys() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, o := range t.objects {
		if o.creator == nil {
			n++
		}
	}
	return n
}

// AttributesOf returns the attributes of the AES object of an ID.
func (t *Token) AttributesOf(id []byte) map[cryptoki.AttributeType][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.objects {
		if bytes.Equal(o.attrs[cryptoki.ID], id) && bytes.Equal(o.attrs[cryptoki.KeyType], cryptoki.UlongBytes(cryptoki.AES)) {
			return maps.Clone(o.attrs)
		}
	}
	return nil
}

// Sessions counts the open sessions of all processes.
func (t *Token) Sessions() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, m := range t.modules {
		n += len(m.sessions)
	}
	return n
}

// Attempts counts the logins so far, right or wrong.
func (t *Token) Attempts() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.attempts
}

// SetWrong says how many wrong PINs the token has seen.
func (t *Token) SetWrong(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrong = n
}

// Calls counts the calls of a C function so far.
func (t *Token) Calls(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls[name]
}

// add gives o a handle. The caller holds mu.
func (t *Token) add(o *object) cryptoki.Object {
	t.next++
	t.objects[t.next] = o
	return t.next
}

func (t *Token) locked() bool { return t.Tries > 0 && t.wrong >= t.Tries }

// checkValue is the first three bytes of AES of a block of zeros.
func checkValue(key []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil
	}
	out := make([]byte, aes.BlockSize)
	block.Encrypt(out, out)
	return out[:3]
}

// rule changes what calls of one function do.
type rule struct {
	call string
	skip int // calls that pass first
	left int // calls it still applies to; negative: all
	code ckr.Code
	wait time.Duration
	hang chan struct{}
}

// Fail makes the next n calls of a C function return code; a negative n makes
// all.
func (t *Token) Fail(call string, code ckr.Code, n int) {
	t.addRule(&rule{call: call, left: n, code: code})
}

// FailNth lets n-1 calls pass and makes the n-th return code.
func (t *Token) FailNth(call string, n int, code ckr.Code) {
	t.addRule(&rule{call: call, skip: n - 1, left: 1, code: code})
}

// Delay makes every call of a C function take so much longer.
func (t *Token) Delay(call string, d time.Duration) { t.addRule(&rule{call: call, left: -1, wait: d}) }

// Hang makes the next call of a C function wait until release is called.
func (t *Token) Hang(call string) (release func()) {
	r := &rule{call: call, left: 1, hang: make(chan struct{})}
	t.addRule(r)
	return sync.OnceFunc(func() { close(r.hang) })
}

// Behave takes all rules back.
func (t *Token) Behave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rules = nil
}

func (t *Token) addRule(r *rule) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rules = append(t.rules, r)
}

// apply counts a call and returns the rule for it, if there is one.
func (t *Token) apply(call string) *rule {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[call]++
	for _, r := range t.rules {
		switch {
		case r.call != call || r.left == 0:
			continue
		case r.skip > 0:
			r.skip--
			continue
		}
		r.left--
		return r
	}
	return nil
}
