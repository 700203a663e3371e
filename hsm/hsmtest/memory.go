package hsmtest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/internal/blob"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Memory is a token made of memory, for the tests of packages that need one:
// real cryptography, the errors that the server's token has, and no token. It
// protects nothing. The zero value is ready for use.
type Memory struct {
	mu    sync.RWMutex
	keks  map[key.ID]memoryKEK
	away  atomic.Bool
	calls atomic.Int64
}

type memoryKEK struct {
	format key.Format
	blob.Keys
}

// SetAway unplugs the token, or plugs it in again.
func (m *Memory) SetAway(away bool) { m.away.Store(away) }

// Calls counts the operations so far; Status is none.
func (m *Memory) Calls() int64 { return m.calls.Load() }

var (
	errAway    = fault.New(fault.Unavailable, "key hardware is unavailable")
	errDamaged = fault.New(fault.Damaged, "the stored value does not open")
)

// errMissing is what a worker says of a key that is not there.
var errMissing = errors.New("token has no key of this ID")

func (m *Memory) call(ctx context.Context) error {
	m.calls.Add(1)
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.Unavailable, "key hardware is unavailable", err)
	}
	if m.away.Load() {
		return errAway
	}
	return nil
}

func (m *Memory) find(ctx context.Context, id key.ID) (memoryKEK, error) {
	if err := m.call(ctx); err != nil {
		return memoryKEK{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	k, ok := m.keks[id]
	if !ok {
		return memoryKEK{}, fault.Wrap(fault.Unavailable, "key hardware is unavailable", errMissing)
	}
	return k, nil
}

// Generate makes a KEK of spec's format; Auto is format 1.
func (m *Memory) Generate(ctx context.Context, spec key.Spec) (key.Made, error) {
	if err := m.call(ctx); err != nil {
		return key.Made{}, err
	}
	k := memoryKEK{format: spec.Format}
	if k.format == key.Auto {
		k.format = key.A256GCM
	}
	if spec.ID == (key.ID{}) || len(spec.CanaryAAD) == 0 {
		return key.Made{}, errors.New("a new KEK needs an ID and what binds its canary")
	}
	if _, err := rand.Read(k.Enc[:]); err != nil {
		return key.Made{}, err
	}
	if _, err := rand.Read(k.MAC[:]); err != nil {
		return key.Made{}, err
	}
	canary, err := k.Wrap(k.format, blob.CanaryText(), spec.CanaryAAD)
	if err != nil {
		return key.Made{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.keks[spec.ID]; ok {
		return key.Made{}, errors.New("token already has a key of this ID")
	}
	if m.keks == nil {
		m.keks = map[key.ID]memoryKEK{}
	}
	m.keks[spec.ID] = k
	return key.Made{
		Ref:         key.Ref{ID: spec.ID, Format: k.format, Canary: key.Canary{Wrapped: canary, AAD: spec.CanaryAAD}},
		TokenLabel:  "memory",
		TokenSerial: "0",
	}, nil
}

// Wrap encrypts dek under kek.
func (m *Memory) Wrap(ctx context.Context, kek key.Ref, dek sensitive.Bytes, aad []byte) ([]byte, error) {
	k, err := m.find(ctx, kek.ID)
	if err != nil {
		return nil, err
	}
	return k.Wrap(k.format, dek.Reveal(), aad)
}

// Unwrap opens what Wrap returned.
func (m *Memory) Unwrap(ctx context.Context, kek key.Ref, wrapped, aad []byte) (sensitive.Bytes, error) {
	k, err := m.find(ctx, kek.ID)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	dek, err := k.open(wrapped, aad)
	return sensitive.Take(dek), err
}

func (k memoryKEK) open(wrapped, aad []byte) ([]byte, error) {
	w, err := blob.Parse(wrapped)
	if err != nil || w.Format != k.format {
		return nil, errDamaged
	}
	dek, ok := k.Open(w, aad)
	if !ok {
		return nil, errDamaged
	}
	return dek, nil
}

// Rewrap moves DEKs from one KEK to another. It counts as one call.
func (m *Memory) Rewrap(ctx context.Context, from, to key.Ref, items []key.Rewrap) ([]key.Rewrapped, error) {
	old, err := m.find(ctx, from.ID)
	if err != nil {
		return nil, err
	}
	next, err := m.find(ctx, to.ID)
	if err != nil {
		return nil, err
	}
	m.calls.Add(-1)
	out := make([]key.Rewrapped, len(items))
	for i, item := range items {
		dek, err := old.open(item.Wrapped, item.From)
		if err == nil {
			out[i].Wrapped, err = next.Wrap(next.format, dek, item.To)
		}
		out[i].Err = err
	}
	return out, nil
}

// Random returns n random bytes.
func (m *Memory) Random(ctx context.Context, n int) (sensitive.Bytes, error) {
	if err := m.call(ctx); err != nil {
		return sensitive.Bytes{}, err
	}
	if n < 1 || n > key.MaxRandom {
		return sensitive.Bytes{}, errors.New("a token gives no such number of random bytes")
	}
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return sensitive.Bytes{}, err
	}
	return sensitive.Take(b), nil
}

// Check finds out what became of a KEK.
func (m *Memory) Check(ctx context.Context, kek key.Ref) (key.CheckResult, error) {
	if err := m.call(ctx); err != nil {
		return key.CheckUnknown, err
	}
	m.mu.RLock()
	k, ok := m.keks[kek.ID]
	m.mu.RUnlock()
	if !ok {
		return key.Missing, nil
	}
	// That it does not open is the finding, not a failure.
	if text, err := k.open(kek.Canary.Wrapped, kek.Canary.AAD); err == nil && slices.Equal(text, blob.CanaryText()) {
		return key.OK, nil
	}
	return key.WrongKey, nil
}

// Destroy forgets a KEK. One that is not there counts as destroyed.
func (m *Memory) Destroy(ctx context.Context, kek key.Ref) error {
	if err := m.call(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keks, kek.ID)
	return nil
}

// List returns the IDs of all KEKs.
func (m *Memory) List(ctx context.Context) ([]key.ID, error) {
	if err := m.call(ctx); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	ids := make([]key.ID, 0, len(m.keks))
	for id := range m.keks {
		ids = append(ids, id)
	}
	return ids, nil
}

// Status says whether the token is plugged in.
func (m *Memory) Status(context.Context) (key.Status, error) {
	st := key.TokenStatus{Label: "memory", Serial: "0", Model: "memory", Usable: !m.away.Load(), Workers: 1}
	if !st.Usable {
		st.Problem = "unplugged"
	}
	for _, f := range []key.Format{key.A256GCM, key.A256CBCHS256} {
		st.Formats = append(st.Formats, key.FormatReport{Format: f, Passed: true})
	}
	return key.Status{Tokens: []key.TokenStatus{st}}, nil
}
