package hsmtest

import (
	"bytes"
	"testing"

	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/sensitive"
)

func unwrapsWhatItWrapped(t *testing.T, s *suite) {
	kek := s.kek(t)
	for range 3 {
		wrapped, dek := s.wrapped(t, kek, "here")
		got, err := s.tok.Unwrap(t.Context(), kek, wrapped, []byte("here"))
		if err != nil {
			t.Fatalf("Unwrap: %v", err)
		}
		if !bytes.Equal(got.Reveal(), dek) {
			t.Error("another DEK came back")
		}
		if key.Format(wrapped[0]) != s.f {
			t.Errorf("format byte %d, want %d", wrapped[0], s.f)
		}
	}
}

func refusesWhatItDidNotWrap(t *testing.T, s *suite) {
	kek, other := s.kek(t), s.kek(t)
	missing := key.Ref{ID: NewID(t), Format: s.f, Canary: kek.Canary}
	wrapped, _ := s.wrapped(t, kek, "here")
	for _, tc := range []struct {
		name string
		kek  key.Ref
		aad  string
		in   []byte
		is   func(error) bool
	}{
		{"under another KEK", other, "here", wrapped, s.Damaged},
		{"in another place", kek, "there", wrapped, s.Damaged},
		{"in no place", kek, "", wrapped, s.Damaged},
		{"under no KEK", missing, "here", wrapped, s.Missing},
		{"with a bit of the format flipped", kek, "here", flip(wrapped, 0), s.Damaged},
		{"with a bit of the length flipped", kek, "here", flip(wrapped, 1), s.Damaged},
		{"with a bit of the IV flipped", kek, "here", flip(wrapped, 2), s.Damaged},
		{"with a bit of the ciphertext flipped", kek, "here", flip(wrapped, len(wrapped)/2), s.Damaged},
		{"with the last bit flipped", kek, "here", flip(wrapped, len(wrapped)-1), s.Damaged},
		{"cut short", kek, "here", wrapped[:20], s.Damaged},
		{"one byte short", kek, "here", wrapped[:len(wrapped)-1], s.Damaged},
		{"one byte long", kek, "here", append(bytes.Clone(wrapped), 0), s.Damaged},
		{"empty", kek, "here", nil, s.Damaged},
		{"of a format nobody knows", kek, "here", append([]byte{200}, wrapped[1:]...), s.Damaged},
	} {
		dek, err := s.tok.Unwrap(t.Context(), tc.kek, tc.in, []byte(tc.aad))
		switch {
		case err == nil:
			t.Errorf("unwraps %s", tc.name)
		case !tc.is(err):
			t.Errorf("%s: an error of the wrong kind: %v", tc.name, err)
		case dek.Len() != 0:
			t.Errorf("%s: a DEK beside the error", tc.name)
		}
	}
}

// neighboursSurviveDamage: after each failure the next good request works.
func neighboursSurviveDamage(t *testing.T, s *suite) {
	kek := s.kek(t)
	wrapped, dek := s.wrapped(t, kek, "here")
	for i := range 200 {
		if _, err := s.tok.Unwrap(t.Context(), kek, flip(wrapped, len(wrapped)-1-i%16), []byte("here")); !s.Damaged(err) {
			t.Fatalf("damaged DEK: %v", err)
		}
		got, err := s.tok.Unwrap(t.Context(), kek, wrapped, []byte("here"))
		if err != nil || !bytes.Equal(got.Reveal(), dek) {
			t.Fatalf("good DEK after %d damaged ones: %v", i+1, err)
		}
	}
}

func everyWrappingDiffers(t *testing.T, s *suite) {
	kek := s.kek(t)
	secret, _ := NewDEK(t)
	seen := map[string]bool{}
	for range 50 {
		wrapped, err := s.tok.Wrap(t.Context(), kek, secret, []byte("here"))
		if err != nil {
			t.Fatal(err)
		}
		iv := string(wrapped[2 : 2+wrapped[1]])
		if seen[iv] {
			t.Fatal("an IV came twice")
		}
		seen[iv] = true
	}
}

func wrapsDEKsAndNothingElse(t *testing.T, s *suite) {
	kek := s.kek(t)
	for _, n := range []int{0, 1, 16, 31, 33, 64} {
		if _, err := s.tok.Wrap(t.Context(), kek, sensitive.Take(make([]byte, n)), []byte("here")); err == nil {
			t.Errorf("wrapped %d bytes", n)
		}
	}
}

func wipingTheDEKChangesNothing(t *testing.T, s *suite) {
	kek := s.kek(t)
	wrapped, dek := s.wrapped(t, kek, "here")
	before := bytes.Clone(wrapped)
	got, err := s.tok.Unwrap(t.Context(), kek, wrapped, []byte("here"))
	if err != nil {
		t.Fatal(err)
	}
	got.Wipe()
	if !bytes.Equal(wrapped, before) {
		t.Error("wiping the DEK changed the wrapped DEK")
	}
	again, err := s.tok.Unwrap(t.Context(), kek, wrapped, []byte("here"))
	if err != nil || !bytes.Equal(again.Reveal(), dek) {
		t.Errorf("second Unwrap: %v", err)
	}
}

func largeAssociatedDataIsCovered(t *testing.T, s *suite) {
	kek := s.kek(t)
	aad := bytes.Repeat([]byte("a"), 4096)
	secret, dek := NewDEK(t)
	wrapped, err := s.tok.Wrap(t.Context(), kek, secret, aad)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.tok.Unwrap(t.Context(), kek, wrapped, aad)
	if err != nil || !bytes.Equal(got.Reveal(), dek) {
		t.Fatalf("Unwrap: %v", err)
	}
	for _, other := range [][]byte{aad[1:], append(bytes.Clone(aad), 'a'), flip(aad, len(aad)-1)} {
		if _, err := s.tok.Unwrap(t.Context(), kek, wrapped, other); !s.Damaged(err) {
			t.Errorf("other associated data: %v", err)
		}
	}
}

// keyOfOneFormatOpensNoOther: the format of a KEK is fixed when it is made.
func keyOfOneFormatOpensNoOther(t *testing.T, s *suite) {
	if len(s.Formats) < 2 {
		return // there is no other format to confuse this one with
	}
	kek := s.kek(t)
	for _, f := range s.Formats {
		if f == s.f {
			continue
		}
		spec := s.spec(t)
		spec.Format = f
		other := s.make(t, spec).Ref
		wrapped, _ := s.wrapped(t, other, "here")
		if _, err := s.tok.Unwrap(t.Context(), kek, wrapped, []byte("here")); !s.Damaged(err) {
			t.Errorf("blob of format %v under a KEK of format %v: %v", f, s.f, err)
		}
	}
}

func rewrapKeepsTheDEK(t *testing.T, s *suite) {
	from, to := s.kek(t), s.kek(t)
	var items []key.Rewrap
	var deks [][]byte
	for range 20 {
		wrapped, dek := s.wrapped(t, from, "here")
		items = append(items, key.Rewrap{Wrapped: wrapped, From: key.AAD("here"), To: key.AAD("there")})
		deks = append(deks, dek)
	}
	moved, err := s.tok.Rewrap(t.Context(), from, to, items)
	if err != nil || len(moved) != len(items) {
		t.Fatalf("Rewrap = %d, %v", len(moved), err)
	}
	for i, m := range moved {
		if m.Err != nil {
			t.Fatalf("DEK %d: %v", i, m.Err)
		}
		got, err := s.tok.Unwrap(t.Context(), to, m.Wrapped, []byte("there"))
		if err != nil || !bytes.Equal(got.Reveal(), deks[i]) {
			t.Errorf("DEK %d under the new KEK: %v", i, err)
		}
		if _, err := s.tok.Unwrap(t.Context(), from, m.Wrapped, []byte("there")); !s.Damaged(err) {
			t.Errorf("DEK %d still opens under the old KEK: %v", i, err)
		}
	}
}

func rewrapGoesPastADamagedDEK(t *testing.T, s *suite) {
	from, to := s.kek(t), s.kek(t)
	var items []key.Rewrap
	for range 5 {
		wrapped, _ := s.wrapped(t, from, "here")
		items = append(items, key.Rewrap{Wrapped: wrapped, From: key.AAD("here"), To: key.AAD("there")})
	}
	items[1].Wrapped = flip(items[1].Wrapped, 30)
	items[2].From = key.AAD("elsewhere")
	items[3].Wrapped = nil
	moved, err := s.tok.Rewrap(t.Context(), from, to, items)
	if err != nil || len(moved) != len(items) {
		t.Fatalf("Rewrap = %d, %v", len(moved), err)
	}
	for i, m := range moved {
		damaged := i == 1 || i == 2 || i == 3
		switch {
		case damaged && (!s.Damaged(m.Err) || m.Wrapped != nil):
			t.Errorf("damaged DEK %d: %v", i, m.Err)
		case !damaged && m.Err != nil:
			t.Errorf("good DEK %d: %v", i, m.Err)
		}
	}
}

func rewrapNeedsBothKeys(t *testing.T, s *suite) {
	kek := s.kek(t)
	missing := key.Ref{ID: NewID(t), Format: s.f, Canary: kek.Canary}
	wrapped, _ := s.wrapped(t, kek, "here")
	items := []key.Rewrap{{Wrapped: wrapped, From: key.AAD("here"), To: key.AAD("there")}}
	if _, err := s.tok.Rewrap(t.Context(), missing, kek, items); !s.Missing(err) {
		t.Errorf("without the old KEK: %v", err)
	}
	if _, err := s.tok.Rewrap(t.Context(), kek, missing, items); !s.Missing(err) {
		t.Errorf("without the new KEK: %v", err)
	}
	if moved, err := s.tok.Rewrap(t.Context(), kek, kek, nil); err != nil || len(moved) != 0 {
		t.Errorf("nothing to move: %d, %v", len(moved), err)
	}
}

// flip returns b with the lowest bit of byte i flipped.
func flip(b []byte, i int) []byte {
	out := bytes.Clone(b)
	out[i] ^= 1
	return out
}
