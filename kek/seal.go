package kek

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/sensitive"
)

const dekSize = 32 // bytes: AES-256

// Sealer encrypts and decrypts payloads. It may be used concurrently; two
// Sealers, in one process or in many, may share a store and tokens.
type Sealer struct{ deps Deps }

// Deps is what a Sealer needs. All fields but the two that hear are required.
type Deps struct {
	Tokens Tokens
	Store  Store
	NewID  func() string // random UUIDs of version 4
	Now    func() time.Time
	// OnSoftLimit hears of each lease under a KEK that should be rotated. It
	// must not block.
	OnSoftLimit func(id envelope.KEKID, leased int64)
	// OnDefault hears of each master key that was made though nobody named it,
	// a project's default one or that of backups, before it protects anything: it is for the record, and its error is the caller's.
	OnDefault func(ctx context.Context, mk NewMasterKey) error

	leases *leases
	making *flights
}

// NewSealer panics on a missing dependency: that is a wiring mistake, and the
// program must not start with it.
func NewSealer(d Deps) *Sealer {
	if d.Tokens == nil || d.Store == nil || d.NewID == nil || d.Now == nil {
		panic("kek.NewSealer: incomplete Deps")
	}
	if d.OnSoftLimit == nil {
		d.OnSoftLimit = func(envelope.KEKID, int64) {}
	}
	if d.OnDefault == nil {
		d.OnDefault = func(context.Context, NewMasterKey) error { return nil }
	}
	d.leases = newLeases(maxLeases)
	d.making = newFlights()
	return &Sealer{deps: d}
}

// Seal encrypts payload under a fresh DEK and has the token wrap that DEK
// under the active KEK of a master key. The project's default master key is
// made here, on first use; any other unknown key is envelope.ErrNoMasterKey.
//
// The KEK may stop being active before the envelope is stored, and the project
// may prefer another token group by then: the store answers envelope.ErrKEKGone,
// and the caller seals again after Forget.
func (s *Sealer) Seal(ctx context.Context, payload sensitive.Bytes, under envelope.MasterKey, at envelope.Binding) (sealed envelope.Sealed, err error) {
	err = s.withActive(ctx, at.Project, under, func(active envelope.KEK, token Token) error {
		r, err := ref(active)
		if err != nil {
			return err
		}
		dek := newDEK()
		defer dek.Wipe()
		wrapped, err := token.Wrap(ctx, r, dek, at.ForDEK(active.ID))
		if err != nil {
			return fmt.Errorf("wrap DEK under KEK %s: %w", active.ID, err)
		}
		aead, err := newAEAD(dek)
		if err != nil {
			return err
		}
		sealed = envelope.Sealed{
			KEK: active, AsDefault: under == envelope.Default,
			WrappedDEK: wrapped, Body: aead.Seal(nil, nil, payload.Reveal(), at.ForBody()),
		}
		return nil
	})
	return sealed, err
}

// Random returns n random bytes of the token that protects what is new in a
// project, so that a project depends on no other token. It uses up one wrap.
// The caller wipes them.
func (s *Sealer) Random(ctx context.Context, project string, n int) (random sensitive.Bytes, err error) {
	err = s.withActive(ctx, project, envelope.Default, func(active envelope.KEK, token Token) error {
		if random, err = token.Random(ctx, n); err != nil {
			return fmt.Errorf("random bytes of the token of KEK %s: %w", active.ID, err)
		}
		return nil
	})
	return random, err
}

// withActive does something with the active KEK of a master key and its token,
// and once more where that token did not answer and the project's default is
// another by now.
func (s *Sealer) withActive(ctx context.Context, project string, under envelope.MasterKey, do func(envelope.KEK, Token) error) error {
	for again := false; ; again = true {
		active, err := s.take(ctx, project, under)
		if err != nil {
			return fmt.Errorf("find active KEK of %s: %w", under, err)
		}
		token, err := s.deps.Tokens.Group(active.Group)
		if err != nil {
			err = fmt.Errorf("token of KEK %s: %w", active.ID, err)
		} else {
			err = do(active, token)
		}
		if again || fault.KindOf(err) != fault.Unavailable || !s.moved(ctx, project, under, active) {
			return err
		}
	}
}

// Open decrypts what Seal made, at the place it was made for and nowhere else:
// an envelope that was moved, mixed or altered is a Damaged fault. The caller
// wipes the payload.
func (s *Sealer) Open(ctx context.Context, sealed envelope.Sealed, at envelope.Binding) (sensitive.Bytes, error) {
	if !sealed.KEK.Usable {
		return sensitive.Bytes{}, envelope.ErrKeyUnusable
	}
	r, err := ref(sealed.KEK)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	token, err := s.deps.Tokens.Group(sealed.KEK.Group)
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("token of KEK %s: %w", sealed.KEK.ID, err)
	}
	dek, err := token.Unwrap(ctx, r, sealed.WrappedDEK, at.ForDEK(sealed.KEK.ID))
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("unwrap DEK under KEK %s: %w", sealed.KEK.ID, err)
	}
	defer dek.Wipe()
	aead, err := newAEAD(dek)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	if len(sealed.Body) < aead.Overhead() {
		return sensitive.Bytes{}, errBody
	}
	payload, err := aead.Open(nil, nil, sealed.Body, at.ForBody())
	if err != nil {
		return sensitive.Bytes{}, fault.Wrap(fault.Damaged, errBody.Public, err)
	}
	return sensitive.Take(payload), nil
}

var errBody = fault.New(fault.Damaged, "the stored value does not open")

func newDEK() sensitive.Bytes {
	b := make([]byte, dekSize)
	_, _ = rand.Read(b) // never fails since Go 1.24: it ends the process instead
	return sensitive.Take(b)
}

// newAEAD picks a fresh random nonce per message. That is safe here because a
// DEK encrypts exactly one message. It is the one GCM constructor that strict
// FIPS mode allows.
func newAEAD(dek sensitive.Bytes) (cipher.AEAD, error) {
	block, err := aes.NewCipher(dek.Reveal())
	if err != nil {
		return nil, fault.Wrap(fault.Damaged, errBody.Public, err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
