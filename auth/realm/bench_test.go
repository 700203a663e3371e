package realm_test

import (
	"testing"

	"github.com/strongroom-kms/strongroom/auth"
)

// What every request pays for knowing who asks.
func BenchmarkWarmProofs(b *testing.B) {
	w := build(b)
	token, _ := w.as("alice", w.red)
	key, err := w.AccessKey(b.Context(), "AKALICE1")
	w.must(err)
	for name, prove := range map[string]func() (auth.Principal, error){
		"token":   func() (auth.Principal, error) { return w.ByToken(b.Context(), token) },
		"project": func() (auth.Principal, error) { return w.InProject(b.Context(), key, w.red.ID) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := prove(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
