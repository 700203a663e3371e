package hsmtest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/sensitive"
)

func madeKeyIsDescribed(t *testing.T, s *suite) {
	spec := s.spec(t)
	made := s.make(t, spec)
	if made.Ref.ID != spec.ID || made.Ref.Format != s.f {
		t.Errorf("asked for %v in format %v, got %v in %v", spec.ID, s.f, made.Ref.ID, made.Ref.Format)
	}
	if !bytes.Equal(made.Ref.Canary.AAD, spec.CanaryAAD) || len(made.Ref.Canary.Wrapped) == 0 {
		t.Errorf("canary of %d bytes bound to %q", len(made.Ref.Canary.Wrapped), made.Ref.Canary.AAD)
	}
	if made.TokenSerial == "" || made.TokenLabel == "" {
		t.Errorf("token %q, serial %q", made.TokenLabel, made.TokenSerial)
	}
	// Three bytes or nothing: a longer one would be part of GCM's hash subkey.
	if n := len(made.CheckValue); n != 0 && n != 3 {
		t.Errorf("check value of %d bytes", n)
	}
}

func autoChoosesAFormat(t *testing.T, s *suite) {
	spec := s.spec(t)
	spec.Format = key.Auto
	made := s.make(t, spec)
	if made.Ref.Format == key.Auto {
		t.Error("the key has no format")
	}
	s.wrapped(t, made.Ref, "here")
}

func oneIDMakesOneKey(t *testing.T, s *suite) {
	spec := s.spec(t)
	first := s.make(t, spec).Ref
	wrapped, dek := s.wrapped(t, first, "here")
	if _, err := s.tok.Generate(t.Context(), spec); err == nil {
		t.Error("a second key of the same ID")
	}
	got, err := s.tok.Unwrap(t.Context(), first, wrapped, []byte("here"))
	if err != nil || !bytes.Equal(got.Reveal(), dek) {
		t.Errorf("the first key is harmed: %v", err)
	}
}

func canaryTellsKeysApart(t *testing.T, s *suite) {
	kek, other := s.kek(t), s.kek(t)
	if got, err := s.tok.Check(t.Context(), kek); got != key.OK || err != nil {
		t.Errorf("Check = %v, %v", got, err)
	}
	swapped := key.Ref{ID: kek.ID, Format: kek.Format, Canary: other.Canary}
	if got, err := s.tok.Check(t.Context(), swapped); got != key.WrongKey || err != nil {
		t.Errorf("Check with another key's canary = %v, %v", got, err)
	}
	moved := key.Ref{ID: kek.ID, Format: kek.Format, Canary: key.Canary{Wrapped: kek.Canary.Wrapped, AAD: other.Canary.AAD}}
	if got, err := s.tok.Check(t.Context(), moved); got != key.WrongKey || err != nil {
		t.Errorf("Check with a canary bound elsewhere = %v, %v", got, err)
	}
}

func destroyedKeyIsMissing(t *testing.T, s *suite) {
	witness := s.kek(t) // shows that the token is there all the same
	s.wrapped(t, witness, "here")
	kek := s.kek(t)
	wrapped, _ := s.wrapped(t, kek, "here")
	if err := s.tok.Destroy(t.Context(), kek); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	if got, err := s.tok.Check(t.Context(), kek); got != key.Missing || err != nil {
		t.Errorf("Check = %v, %v", got, err)
	}
	if _, err := s.tok.Unwrap(t.Context(), kek, wrapped, []byte("here")); !s.Missing(err) {
		t.Errorf("Unwrap = %v", err)
	}
	secret, _ := NewDEK(t)
	if _, err := s.tok.Wrap(t.Context(), kek, secret, []byte("here")); !s.Missing(err) {
		t.Errorf("Wrap = %v", err)
	}
	if err := s.tok.Destroy(t.Context(), kek); err != nil {
		t.Errorf("second Destroy: %v", err)
	}
	s.wrapped(t, witness, "here")
}

func unknownKeyIsMissing(t *testing.T, s *suite) {
	witness := s.kek(t)
	s.wrapped(t, witness, "here")
	unknown := key.Ref{ID: NewID(t), Format: s.f, Canary: witness.Canary}
	if got, err := s.tok.Check(t.Context(), unknown); got != key.Missing || err != nil {
		t.Errorf("Check = %v, %v", got, err)
	}
	if err := s.tok.Destroy(t.Context(), unknown); err != nil {
		t.Errorf("Destroy = %v", err)
	}
}

// damagedCanaryHurtsNoNeighbour: a canary is stored beside the wrapped DEKs, so
// whoever damages both must not make a healthy token look sick.
func damagedCanaryHurtsNoNeighbour(t *testing.T, s *suite) {
	neighbour := s.kek(t)
	kek := s.kek(t)
	wrapped, dek := s.wrapped(t, neighbour, "here")
	bad := kek
	bad.Canary.Wrapped = flip(kek.Canary.Wrapped, 30)
	theirs, _ := s.wrapped(t, kek, "here")
	if _, err := s.tok.Unwrap(t.Context(), bad, flip(theirs, 30), []byte("here")); !s.Damaged(err) {
		t.Errorf("damaged DEK beside a damaged canary: %v", err)
	}
	got, err := s.tok.Unwrap(t.Context(), neighbour, wrapped, []byte("here"))
	if err != nil || !bytes.Equal(got.Reveal(), dek) {
		t.Errorf("the neighbour: %v", err)
	}
}

func statusSaysThatItWorks(t *testing.T, s *suite) {
	st, err := s.tok.Status(t.Context())
	if err != nil || !st.Usable() {
		t.Fatalf("Status = %+v, %v", st, err)
	}
	for _, tok := range st.Tokens {
		if tok.Serial == "" || tok.Label == "" {
			t.Errorf("token %q, serial %q", tok.Label, tok.Serial)
		}
		for _, f := range s.Formats {
			if !passed(tok.Formats, f) {
				t.Errorf("format %v is not reported as passed: %+v", f, tok.Formats)
			}
		}
	}
}

func passed(reports []key.FormatReport, f key.Format) bool {
	for _, r := range reports {
		if r.Format == f && r.Passed {
			return true
		}
	}
	return false
}

// sayingNoTakesNoTime: who has no time left gets an answer, not a wait.
func sayingNoTakesNoTime(t *testing.T, s *suite) {
	kek := s.kek(t)
	wrapped, _ := s.wrapped(t, kek, "here")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	dek, err := s.tok.Unwrap(ctx, kek, wrapped, []byte("here"))
	if took := time.Since(start); took > time.Second {
		t.Errorf("Unwrap took %v", took)
	}
	if err == nil && dek.Len() == 0 {
		t.Error("neither a DEK nor an error")
	}
}

func manyCallersAtOnce(t *testing.T, s *suite) {
	keks := []key.Ref{s.kek(t), s.kek(t), s.kek(t)}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			kek := keks[g%len(keks)]
			for range 40 {
				secret, dek := NewDEK(t)
				wrapped, err := s.tok.Wrap(t.Context(), kek, secret, []byte("here"))
				if err != nil {
					t.Errorf("Wrap: %v", err)
					return
				}
				got, err := s.tok.Unwrap(t.Context(), kek, wrapped, []byte("here"))
				if err != nil || !bytes.Equal(got.Reveal(), dek) {
					t.Errorf("Unwrap: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// keysComeAndGoBesideTraffic is pkcs11.md §11 row 23 in a short form: SoftHSM
// loses keys under this load unless making and searching exclude each other.
func keysComeAndGoBesideTraffic(t *testing.T, s *suite) {
	d := 2 * time.Second
	if s.Quick {
		d = 200 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	steady := s.kek(t)
	var wg sync.WaitGroup
	var made, moved atomic.Int64
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := s.oneLife(t); err != nil {
					t.Error(err)
					return
				}
				made.Add(1)
			}
		})
		wg.Go(func() {
			for ctx.Err() == nil {
				wrapped, err := s.tok.Wrap(t.Context(), steady, sensitive.Take(make([]byte, 32)), nil)
				if err == nil {
					_, err = s.tok.Unwrap(t.Context(), steady, wrapped, nil)
				}
				if err != nil {
					t.Errorf("steady traffic: %v", err)
					return
				}
				moved.Add(1)
			}
		})
	}
	wg.Wait()
	if made.Load() == 0 || moved.Load() == 0 {
		t.Errorf("%d keys made beside %d wraps", made.Load(), moved.Load())
	}
}

// oneLife makes a key, uses it and destroys it.
func (s *suite) oneLife(t *testing.T) error {
	spec := s.spec(t)
	made, err := s.tok.Generate(t.Context(), spec)
	if err != nil {
		return err
	}
	secret, _ := NewDEK(t)
	if _, err := s.tok.Wrap(t.Context(), made.Ref, secret, nil); err != nil {
		return errors.Join(err, s.tok.Destroy(t.Context(), made.Ref))
	}
	if got, err := s.tok.Check(t.Context(), made.Ref); err != nil || got != key.OK {
		return errors.Join(errors.New("a new key does not open its canary: "+got.String()), err)
	}
	return s.tok.Destroy(t.Context(), made.Ref)
}
