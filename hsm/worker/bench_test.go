package worker_test

import (
	"testing"

	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker"
)

// What the module costs in this process, without the socket: pkcs11.md §5.1
// measured 10.4 to 10.9 µs of CPU for one unwrap.

func benchKEK(b *testing.B, tok *worker.Token, f key.Format) key.Ref {
	b.Helper()
	made, err := tok.Generate(b.Context(), key.Spec{ID: hsmtest.NewID(b), Label: "bench", Format: f, CanaryAAD: []byte("canary")})
	if err != nil {
		b.Fatal(err)
	}
	return made.Ref
}

var benchAAD = make([]byte, 170) // about what kek/envelope makes

func BenchmarkUnwrap(b *testing.B) {
	tok, _ := soft(b, nil)
	for _, f := range []key.Format{key.A256GCM, key.A256CBCHS256} {
		b.Run(f.String(), func(b *testing.B) {
			kek := benchKEK(b, tok, f)
			dek, _ := hsmtest.NewDEK(b)
			wrapped, err := tok.Wrap(b.Context(), kek, dek, benchAAD)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					dek, err := tok.Unwrap(b.Context(), kek, wrapped, benchAAD)
					if err != nil {
						b.Error(err)
						return
					}
					dek.Wipe()
				}
			})
		})
	}
}

func BenchmarkWrap(b *testing.B) {
	tok, _ := soft(b, nil)
	for _, f := range []key.Format{key.A256GCM, key.A256CBCHS256} {
		b.Run(f.String(), func(b *testing.B) {
			kek := benchKEK(b, tok, f)
			dek, _ := hsmtest.NewDEK(b)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := tok.Wrap(b.Context(), kek, dek, benchAAD); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
