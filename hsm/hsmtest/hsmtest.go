// Package hsmtest says what a token must do, as tests that every
// implementation runs: the worker's token over SoftHSM and over a fake, the
// server's token behind its workers, and Memory, which other packages use in
// their own tests because it has passed them.
package hsmtest

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Token is what the suite exercises. Package kek declares what it needs for
// itself.
type Token interface {
	Generate(ctx context.Context, spec key.Spec) (key.Made, error)
	Wrap(ctx context.Context, kek key.Ref, dek sensitive.Bytes, aad []byte) ([]byte, error)
	Unwrap(ctx context.Context, kek key.Ref, wrapped, aad []byte) (sensitive.Bytes, error)
	Rewrap(ctx context.Context, from, to key.Ref, items []key.Rewrap) ([]key.Rewrapped, error)
	Random(ctx context.Context, n int) (sensitive.Bytes, error)
	Check(ctx context.Context, kek key.Ref) (key.CheckResult, error)
	Destroy(ctx context.Context, kek key.Ref) error
	Status(ctx context.Context) (key.Status, error)
}

// Options says what an implementation is like.
type Options struct {
	Formats []key.Format     // those it has; empty: 1 and 2
	Damaged func(error) bool // the error of a wrapped DEK that does not open
	Missing func(error) bool // the error of a key that is not there; nil: any error will do
	Quick   bool             // leave out the seconds of stress
}

// suite is one implementation under test.
type suite struct {
	Options
	tok Token
	f   key.Format
}

// Run exercises one implementation in every format that it has. open returns
// a token that takes work; it may be the same one each time, since every test
// makes its own keys. Subtests run in parallel.
func Run(t *testing.T, opt Options, open func(t *testing.T) Token) {
	if len(opt.Formats) == 0 {
		opt.Formats = []key.Format{key.A256GCM, key.A256CBCHS256}
	}
	if opt.Missing == nil {
		opt.Missing = func(err error) bool { return err != nil }
	}
	for _, f := range opt.Formats {
		t.Run(f.String(), func(t *testing.T) {
			for name, test := range tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, &suite{Options: opt, tok: open(t), f: f})
				})
			}
		})
	}
}

var tests = map[string]func(*testing.T, *suite){
	"UnwrapsWhatItWrapped":          unwrapsWhatItWrapped,
	"RefusesWhatItDidNotWrap":       refusesWhatItDidNotWrap,
	"NeighboursSurviveDamage":       neighboursSurviveDamage,
	"EveryWrappingDiffers":          everyWrappingDiffers,
	"WrapsDEKsAndNothingElse":       wrapsDEKsAndNothingElse,
	"MadeKeyIsDescribed":            madeKeyIsDescribed,
	"AutoChoosesAFormat":            autoChoosesAFormat,
	"OneIDMakesOneKey":              oneIDMakesOneKey,
	"RandomBytesNeverRepeat":        randomBytesNeverRepeat,
	"RandomHasALimit":               randomHasALimit,
	"CanaryTellsKeysApart":          canaryTellsKeysApart,
	"DestroyedKeyIsMissing":         destroyedKeyIsMissing,
	"UnknownKeyIsMissing":           unknownKeyIsMissing,
	"RewrapKeepsTheDEK":             rewrapKeepsTheDEK,
	"RewrapGoesPastADamagedDEK":     rewrapGoesPastADamagedDEK,
	"RewrapNeedsBothKeys":           rewrapNeedsBothKeys,
	"ManyCallersAtOnce":             manyCallersAtOnce,
	"KeysComeAndGoBesideTraffic":    keysComeAndGoBesideTraffic,
	"SayingNoTakesNoTime":           sayingNoTakesNoTime,
	"StatusSaysThatItWorks":         statusSaysThatItWorks,
	"LargeAssociatedDataIsCovered":  largeAssociatedDataIsCovered,
	"WipingTheDEKChangesNothing":    wipingTheDEKChangesNothing,
	"KeyOfOneFormatOpensNoOther":    keyOfOneFormatOpensNoOther,
	"DamagedCanaryHurtsNoNeighbour": damagedCanaryHurtsNoNeighbour,
}

// NewID returns a random key ID.
func NewID(tb testing.TB) key.ID {
	tb.Helper()
	var id key.ID
	if _, err := rand.Read(id[:]); err != nil {
		tb.Fatal(err)
	}
	id[6], id[8] = id[6]&0x0F|0x40, id[8]&0x3F|0x80 // a version 4 UUID
	return id
}

// NewDEK returns a random DEK and a copy of its bytes to compare with.
func NewDEK(tb testing.TB) (sensitive.Bytes, []byte) {
	tb.Helper()
	dek := make([]byte, 32)
	if _, err := rand.Read(dek); err != nil {
		tb.Fatal(err)
	}
	return sensitive.Take(append([]byte(nil), dek...)), dek
}

// spec asks for a key of the format under test.
func (s *suite) spec(t *testing.T) key.Spec {
	t.Helper()
	id := NewID(t)
	return key.Spec{ID: id, Label: "csms/default@1 hsmtest", Format: s.f, CanaryAAD: []byte("canary of " + id.String())}
}

// kek makes a key that is gone when the test is.
func (s *suite) kek(t *testing.T) key.Ref {
	t.Helper()
	return s.make(t, s.spec(t)).Ref
}

func (s *suite) make(t *testing.T, spec key.Spec) key.Made {
	t.Helper()
	made, err := s.tok.Generate(t.Context(), spec)
	if err != nil {
		t.Fatalf("Generate: %v", err)
	}
	t.Cleanup(func() {
		if err := s.tok.Destroy(context.WithoutCancel(t.Context()), made.Ref); err != nil {
			t.Errorf("Destroy: %v", err)
		}
	})
	return made
}

// wrapped returns a DEK, wrapped and bare.
func (s *suite) wrapped(t *testing.T, kek key.Ref, aad string) (wrapped, dek []byte) {
	t.Helper()
	secret, dek := NewDEK(t)
	wrapped, err := s.tok.Wrap(t.Context(), kek, secret, []byte(aad))
	if err != nil {
		t.Fatalf("Wrap: %v", err)
	}
	return wrapped, dek
}
