package hsmtest

import (
	"testing"

	"github.com/strongroom-kms/strongroom/hsm/key"
)

func randomBytesNeverRepeat(t *testing.T, s *suite) {
	seen := map[string]bool{}
	var ones [16]int // how often each bit of the first two bytes was set
	const times = 200
	for range times {
		b, err := s.tok.Random(t.Context(), 32)
		if err != nil {
			t.Fatalf("Random: %v", err)
		}
		got := b.Reveal()
		if len(got) != 32 {
			t.Fatalf("%d bytes, want 32", len(got))
		}
		if seen[string(got)] {
			t.Fatal("the same bytes came twice")
		}
		seen[string(got)] = true
		for i := range ones {
			ones[i] += int(got[i/8] >> (i % 8) & 1)
		}
		b.Wipe()
	}
	// A fair bit is outside of these once in some ten thousand million runs.
	for i, n := range ones {
		if n < times/4 || n > times*3/4 {
			t.Errorf("bit %d was set %d times of %d", i, n, times)
		}
	}
}

func randomHasALimit(t *testing.T, s *suite) {
	for _, n := range []int{1, 8, 64, key.MaxRandom} {
		b, err := s.tok.Random(t.Context(), n)
		if err != nil || b.Len() != n {
			t.Errorf("%d bytes: got %d, %v", n, b.Len(), err)
		}
	}
	for _, n := range []int{-1, 0, key.MaxRandom + 1} {
		if b, err := s.tok.Random(t.Context(), n); err == nil || b.Len() != 0 {
			t.Errorf("%d bytes were given where %d were asked for", b.Len(), n)
		}
	}
	// Saying no harms nobody.
	if _, err := s.tok.Random(t.Context(), 32); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}
