package kek_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/sensitive"
)

func TestSealedPayloadsOpen(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	for version, text := range []string{"", "x", "a password", string(make([]byte, 64<<10))} {
		sealed := seal(t, r.Sealer, text, place(version+1))
		if len(text) > 1 && bytes.Contains(sealed.Body, []byte(text)) {
			t.Errorf("the body holds the payload of %d bytes", len(text))
		}
		opens(t, r.Sealer, sealed, place(version+1), text)
	}
}

func TestMovedEnvelopeDoesNotOpen(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	here := place(2)
	sealed, other := seal(t, r.Sealer, "payload", here), seal(t, r.Sealer, "another", place(3))
	if err := r.Make(t.Context(), "p", envelope.MasterKey(uuid.NewString())); err != nil {
		t.Fatal(err)
	}
	foreign := seal(t, r.Sealer, "foreign", envelope.Binding{Project: "q", Secret: "s", Version: 2})
	with := func(change func(*envelope.Sealed)) envelope.Sealed {
		s := sealed
		s.WrappedDEK, s.Body = slices.Clone(s.WrappedDEK), slices.Clone(s.Body)
		change(&s)
		return s
	}
	for _, tc := range []struct {
		name   string
		sealed envelope.Sealed
		at     envelope.Binding
	}{
		{"in another project", sealed, envelope.Binding{Project: "q", Secret: "s", Version: 2}},
		{"in another secret", sealed, envelope.Binding{Project: "p", Secret: "t", Version: 2}},
		{"as another version", sealed, place(3)},
		{"nowhere", sealed, envelope.Binding{}},
		{"with project and secret run together", sealed, envelope.Binding{Project: "ps", Version: 2}},
		{"under another KEK", with(func(s *envelope.Sealed) { s.KEK = foreign.KEK }), here},
		{"with another's body", with(func(s *envelope.Sealed) { s.Body = other.Body }), here},
		{"with another's wrapped DEK", with(func(s *envelope.Sealed) { s.WrappedDEK = other.WrappedDEK }), here},
		{"with another's body and wrapped DEK", other, here},
		{"without a body", with(func(s *envelope.Sealed) { s.Body = nil }), here},
		{"without a wrapped DEK", with(func(s *envelope.Sealed) { s.WrappedDEK = nil }), here},
		{"with a body shorter than nonce and tag", with(func(s *envelope.Sealed) { s.Body = s.Body[:27] }), here},
		{"with a byte of the body cut off", with(func(s *envelope.Sealed) { s.Body = s.Body[:len(s.Body)-1] }), here},
		{"with a byte added to the body", with(func(s *envelope.Sealed) { s.Body = append(s.Body, 0) }), here},
		{"with a byte of the wrapped DEK cut off", with(func(s *envelope.Sealed) { s.WrappedDEK = s.WrappedDEK[:len(s.WrappedDEK)-1] }), here},
		{"with a byte added to the wrapped DEK", with(func(s *envelope.Sealed) { s.WrappedDEK = append(s.WrappedDEK, 0) }), here},
		{"with another format", with(func(s *envelope.Sealed) { s.WrappedDEK[0] = byte(key.A256CBCHS256) }), here},
	} {
		t.Run("does not open "+tc.name, func(t *testing.T) { damaged(t, r.Sealer, tc.sealed, tc.at) })
	}
	for i := range sealed.Body {
		damaged(t, r.Sealer, with(func(s *envelope.Sealed) { s.Body[i] ^= 0x20 }), here)
	}
	for i := range sealed.WrappedDEK {
		damaged(t, r.Sealer, with(func(s *envelope.Sealed) { s.WrappedDEK[i] ^= 0x01 }), here)
	}
	opens(t, r.Sealer, sealed, here, "payload")
}

// damaged fails the test unless the envelope stays closed, and says so of
// itself alone: not of the token.
func damaged(t *testing.T, s *kek.Sealer, sealed envelope.Sealed, at envelope.Binding) {
	t.Helper()
	got, err := s.Open(t.Context(), sealed, at)
	if fault.KindOf(err) != fault.Damaged || got.Len() != 0 {
		t.Errorf("Open = %d bytes, %v, want a Damaged fault", got.Len(), err)
	}
}

// A row that names no key is damaged, and the token never hears of it: its
// breaker must not open because of a row.
func TestDamagedKEKReferenceIsNotTheTokensFault(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	sealed := seal(t, r.Sealer, "payload", place(1))
	for _, id := range []envelope.KEKID{"", "not a UUID", envelope.KEKID(uuid.NewString()[:35])} {
		broken := sealed
		broken.KEK.ID = id
		damaged(t, r.Sealer, broken, place(1))
	}
	if calls := r.token.Calls(); calls != 2 { // generate, wrap
		t.Errorf("%d token calls, want 2: a broken reference reached the token", calls)
	}
}

// seeing notes the DEKs that go into a token.
type seeing struct {
	*hsmtest.Memory
	deks [][]byte
}

func (s *seeing) Wrap(ctx context.Context, k key.Ref, dek sensitive.Bytes, aad []byte) ([]byte, error) {
	s.deks = append(s.deks, slices.Clone(dek.Reveal()))
	return s.Memory.Wrap(ctx, k, dek, aad)
}

func TestEveryVersionHasAFreshDEK(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	tok := &seeing{Memory: r.token}
	s := r.node(tok, r.store)
	seen := map[string]string{}
	differ := func(what string, b []byte) {
		t.Helper()
		if other, ok := seen[string(b)]; ok {
			t.Errorf("%s is the same as %s", what, other)
		}
		seen[string(b)] = what
	}
	for i := range 50 {
		sealed := seal(t, s, "the same payload", place(1)) // even in the same place
		differ(fmt.Sprintf("body %d", i), sealed.Body)
		differ(fmt.Sprintf("nonce %d", i), sealed.Body[:12])
		differ(fmt.Sprintf("wrapped DEK %d", i), sealed.WrappedDEK)
		differ(fmt.Sprintf("DEK %d", i), tok.deks[i])
		if len(tok.deks[i]) != 32 || bytes.Equal(tok.deks[i], make([]byte, 32)) {
			t.Errorf("DEK %d has %d bytes, or is zero", i, len(tok.deks[i]))
		}
	}
}

// keeping keeps the DEKs that go into a token and come out of it.
type keeping struct {
	*hsmtest.Memory
	kept []sensitive.Bytes
}

func (k *keeping) Wrap(ctx context.Context, r key.Ref, dek sensitive.Bytes, aad []byte) ([]byte, error) {
	k.kept = append(k.kept, dek)
	return k.Memory.Wrap(ctx, r, dek, aad)
}

func (k *keeping) Unwrap(ctx context.Context, r key.Ref, wrapped, aad []byte) (sensitive.Bytes, error) {
	dek, err := k.Memory.Unwrap(ctx, r, wrapped, aad)
	k.kept = append(k.kept, dek)
	return dek, err
}

func TestDEKsAreWiped(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	tok := &keeping{Memory: r.token}
	s := r.node(tok, r.store)
	sealed := seal(t, s, "payload", place(1))
	opens(t, s, sealed, place(1), "payload")
	sealed.Body = sealed.Body[:3]
	damaged(t, s, sealed, place(1))
	r.token.SetAway(true)
	if _, err := s.Seal(t.Context(), payload("x"), envelope.Default, place(2)); err == nil {
		t.Error("sealed without a token")
	}
	if len(tok.kept) != 4 {
		t.Fatalf("%d DEKs, want 4", len(tok.kept))
	}
	for i, dek := range tok.kept {
		if !bytes.Equal(dek.Reveal(), make([]byte, 32)) {
			t.Errorf("DEK %d was not wiped", i)
		}
	}
}

// A payload belongs to whoever asked: sealing neither changes nor wipes it.
func TestSealLeavesThePayloadAlone(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	p := payload("payload")
	if _, err := r.Seal(t.Context(), p, envelope.Default, place(1)); err != nil || string(p.Reveal()) != "payload" {
		t.Errorf("payload is %q afterwards, %v", p.Reveal(), err)
	}
}

func TestUnusableKeysNeitherSealNorOpen(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		spoil func(r *room, k envelope.KEK) error
	}{
		{"a disabled KEK", func(r *room, k envelope.KEK) error { return r.store.SetKEK("p", k.ID, kek.Active, true) }},
		{"a disabled master key", func(r *room, k envelope.KEK) error { return r.store.SetMasterKey("p", k.MasterKey, "disabled") }},
		{"a master key that is going", func(r *room, k envelope.KEK) error {
			return r.store.SetMasterKey("p", k.MasterKey, "pending_deletion")
		}},
		{"a destroyed KEK", func(r *room, k envelope.KEK) error { return r.store.SetKEK("p", k.ID, kek.Destroyed, false) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			sealed := seal(t, r.Sealer, "payload", place(1))
			if err := tc.spoil(r, sealed.KEK); err != nil {
				t.Fatal(err)
			}
			calls := r.token.Calls()
			sealed.KEK.Usable = false // as the store now reads it
			if _, err := r.Open(t.Context(), sealed, place(1)); !errors.Is(err, envelope.ErrKeyUnusable) {
				t.Errorf("Open: %v", err)
			}
			r.Forget("p", envelope.Default, sealed.KEK.ID) // what follows the store's ErrKEKGone
			if _, err := r.Seal(t.Context(), payload("x"), envelope.Default, place(2)); !errors.Is(err, envelope.ErrKeyUnusable) {
				t.Errorf("Seal: %v", err)
			}
			if _, err := r.Resolve(t.Context(), "p", envelope.Default); !errors.Is(err, envelope.ErrKeyUnusable) {
				t.Errorf("Resolve: %v", err)
			}
			if n := len(keys(t, r.token)); n != 1 || r.token.Calls() != calls+1 { // the list itself
				t.Errorf("%d keys, and %d token calls for what was refused", n, r.token.Calls()-calls-1)
			}
		})
	}
}

func TestKeysOfOthersDoNotExist(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	id := envelope.MasterKey(uuid.NewString())
	if err := r.Make(t.Context(), "p", id); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Seal(t.Context(), payload("x"), id, envelope.Binding{Project: "q", Secret: "s", Version: 1}); !errors.Is(err, envelope.ErrKeyUnusable) {
		t.Errorf("Seal under another project's key: %v", err)
	}
	if err := r.Make(t.Context(), "q", id); !errors.Is(err, envelope.ErrKeyUnusable) {
		t.Errorf("Make of another project's key: %v", err)
	}
	for _, name := range []envelope.MasterKey{"alias", envelope.MasterKey(uuid.NewString())} {
		if _, err := r.Seal(t.Context(), payload("x"), name, place(1)); !errors.Is(err, envelope.ErrNoMasterKey) {
			t.Errorf("Seal under %s, which nobody has: %v", name, err)
		}
	}
	if n := len(keys(t, r.token)); n != 1 {
		t.Errorf("%d keys in the token, want 1", n)
	}
}

func TestTokenAwaySealsAndOpensNothing(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	sealed := seal(t, r.Sealer, "payload", place(1))
	r.token.SetAway(true)
	if _, err := r.Open(t.Context(), sealed, place(1)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Open: %v", err)
	}
	if got, err := r.Seal(t.Context(), payload("x"), envelope.Default, place(2)); fault.KindOf(err) != fault.Unavailable || got.Body != nil {
		t.Errorf("Seal: %v", err)
	}
	// A project's first use makes a pending row and nothing else: that is
	// no key yet, and the next maker takes it away.
	elsewhere := envelope.Binding{Project: "q", Secret: "s", Version: 1}
	if _, err := r.Seal(t.Context(), payload("x"), envelope.Default, elsewhere); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("first Seal: %v", err)
	}
	if _, err := r.store.Resolve(t.Context(), "q", envelope.Default); !errors.Is(err, envelope.ErrNoMasterKey) {
		t.Errorf("a key that was not made: %v", err)
	}
	r.token.SetAway(false)
	opens(t, r.Sealer, sealed, place(1), "payload")
	opens(t, r.Sealer, seal(t, r.Sealer, "x", elsewhere), elsewhere, "x")
	if n := len(keys(t, r.token)); n != 2 {
		t.Errorf("%d keys in the token, want 2", n)
	}
}

func TestCancelledCallerGetsUnavailable(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	sealed := seal(t, r.Sealer, "payload", place(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Open(ctx, sealed, place(1)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Open: %v", err)
	}
	for _, project := range []string{"p", "q"} { // with a lease, and at first use
		_, err := r.Seal(ctx, payload("x"), envelope.Default, envelope.Binding{Project: project, Secret: "s", Version: 2})
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("Seal in %s: %v", project, err)
		}
	}
	if rows, n := pendingRows(t, r, "q"), len(keys(t, r.token)); len(rows) != 0 || n != 1 {
		t.Errorf("%d pending rows and %d keys are left", len(rows), n)
	}
}
