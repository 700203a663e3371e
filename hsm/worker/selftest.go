package worker

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/strongroom-kms/strongroom/hsm/internal/blob"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// SelfTest is what the worker found out about the token by trying. Mechanism
// lists are not asked: they lie, and one number has two meanings
// (pkcs11.md §3.1, §4.1).
type SelfTest struct {
	Formats []key.FormatReport // in order of preference
	// BadTag has the code for a ciphertext that does not open, per format that
	// passed. 0x5 there means that tampering looks like a sick token, and only
	// canaries tell.
	BadTag map[key.Format]ckr.Code
}

// preferred is the order of pkcs11.md §4.2.
var preferred = []key.Format{key.A256GCM, key.A256CBCHS256}

const selfTestLabel = "strongroom-selftest"

// selfTest tries every format, so that an operator sees all there is. It fails
// when no format is left to work with, or not the one that was asked for, or
// when the token went away meanwhile.
func (t *Token) selfTest(ctx context.Context) error {
	t.report.BadTag = map[key.Format]ckr.Code{}
	for _, f := range preferred {
		badTag, err := t.testFormat(ctx, f)
		switch ckr.ClassOf(err) {
		case ckr.Module, ckr.Login, ckr.Busy:
			return fmt.Errorf("format %v: %w", f, err)
		}
		r := key.FormatReport{Format: f, Passed: err == nil}
		if err != nil {
			r.Problem = err.Error()
		} else {
			t.report.BadTag[f] = badTag
		}
		t.report.Formats = append(t.report.Formats, r)
	}
	if _, err := t.chooseFormat(t.cfg.Format); err != nil {
		return fmt.Errorf("%w (%s)", err, t.problems())
	}
	return nil
}

func (t *Token) problems() string {
	var out []string
	for _, r := range t.report.Formats {
		if !r.Passed {
			out = append(out, fmt.Sprintf("%v: %s", r.Format, r.Problem))
		}
	}
	return strings.Join(out, "; ")
}

// testFormat runs steps 1 to 5 of pkcs11.md §3.3 for one format and returns the
// code for a bad tag. Each step has a session of its own: a failure is what
// some of them want, and it may spoil a session.
func (t *Token) testFormat(ctx context.Context, f key.Format) (badTag ckr.Code, err error) {
	err = t.withThrowaway(ctx, f, func(h handles, id key.ID) error {
		for _, o := range objectsOf(f, t.throwawayOnToken) {
			err := t.pool.with(ctx, func(s cryptoki.Session) error {
				return t.verifyAndNote(s, h.of(o), o, id, selfTestLabel)
			})
			if err == nil {
				err = t.testProtection(ctx, h.of(o))
			}
			if err != nil {
				return err
			}
		}
		err := t.pool.with(ctx, func(s cryptoki.Session) error { return t.testIVs(s, f, h) })
		if err == nil {
			badTag, err = t.testTampering(ctx, f, h)
		}
		return err
	})
	if err == nil {
		err = t.crossCheck(ctx, f)
	}
	return badTag, err
}

// withThrowaway lends f a KEK that is gone afterwards: session objects, or
// token objects where the token makes no others.
func (t *Token) withThrowaway(ctx context.Context, f key.Format, use func(handles, key.ID) error) (err error) {
	if err := t.objects.Lock(ctx); err != nil {
		return err
	}
	defer t.objects.Unlock()
	var id key.ID
	if _, err := rand.Read(id[:]); err != nil {
		return errRandom
	}
	defer func() { err = errors.Join(err, t.destroyObjects(ctx, id)) }()
	if err := t.makeThrowaway(f, id); err != nil {
		return err
	}
	h, err := t.locateLocked(ctx, id, f)
	if err != nil {
		return err
	}
	return use(h, id)
}

func (t *Token) makeThrowaway(f key.Format, id key.ID) error {
	for _, o := range objectsOf(f, t.throwawayOnToken) {
		err := t.generateObject(o, id, selfTestLabel)
		if err != nil && !t.throwawayOnToken && ckr.ClassOf(err) == ckr.Capability {
			o.persistent = true
			if err = t.generateObject(o, id, selfTestLabel); err == nil {
				t.throwawayOnToken = true
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// testIVs wraps the same DEK twice and wants two different ciphertexts that
// both open: the IV is not the same one each time, and the one we store is the
// one that was used. What fits the configured convention is decided by ivs.
func (t *Token) testIVs(s cryptoki.Session, f key.Format, h handles) error {
	aad := []byte(selfTestLabel)
	var ivs, bodies [2][]byte
	for i := range 2 {
		w, err := t.encrypt(s, f, h, canaryText, aad)
		if err != nil {
			return err
		}
		if err := t.tryCanary(s, w, h, aad); err != nil {
			return err
		}
		ivs[i], bodies[i] = w.IV, w.Body
	}
	if bytes.Equal(ivs[0], ivs[1]) || bytes.Equal(bodies[0], bodies[1]) {
		return ckr.Found(ckr.Capability, "token uses the same IV each time")
	}
	return nil
}

// testTampering wants every change to be noticed, and the session to be as
// good as before.
func (t *Token) testTampering(ctx context.Context, f key.Format, h handles) (badTag ckr.Code, err error) {
	aad := []byte(selfTestLabel)
	var w blob.Wrapped
	err = t.pool.with(ctx, func(s cryptoki.Session) (err error) {
		w, err = t.encrypt(s, f, h, canaryText, aad)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, c := range []struct {
		what string
		w    blob.Wrapped
		aad  []byte
	}{
		{"other associated data", w, []byte("elsewhere")},
		{"a flipped bit in the ciphertext", flip(w, 0), aad},
		{"a flipped bit in the tag", flip(w, len(w.Body)-1), aad},
		{"another IV", blob.Wrapped{Format: f, IV: flipped(w.IV, 0), Body: w.Body}, aad},
		{"a ciphertext cut short", blob.Wrapped{Format: f, IV: w.IV, Body: w.Body[:len(w.Body)-1]}, aad},
	} {
		err := t.pool.with(ctx, func(s cryptoki.Session) error {
			bad := t.tryCanary(s, c.w, h, c.aad)
			if good := t.tryCanary(s, w, h, aad); good != nil && bad != nil {
				t.warn("a failed operation spoils its session")
			}
			return bad
		})
		switch {
		case err == nil:
			return 0, ckr.Found(ckr.Capability, "token does not notice "+c.what)
		case ckr.ClassOf(err) != ckr.Data && ckr.ClassOf(err) != ckr.Ambiguous:
			return 0, err
		}
		badTag = cmp.Or(badTag, ckr.CodeOf(err))
	}
	return badTag, nil
}

func flip(w blob.Wrapped, i int) blob.Wrapped {
	w.Body = flipped(w.Body, i)
	return w
}

func flipped(b []byte, i int) []byte {
	out := bytes.Clone(b)
	out[i] ^= 1
	return out
}

// probe shows whether format f works at all, with a key made for the question.
func (t *Token) probe(ctx context.Context, f key.Format) error {
	return t.withThrowaway(ctx, f, func(h handles, _ key.ID) error {
		return t.pool.with(ctx, func(s cryptoki.Session) error { return t.testIVs(s, f, h) })
	})
}

// of returns the handle of one of the KEK's objects.
func (h handles) of(o object) cryptoki.Object {
	if o.encrypts {
		return h.enc
	}
	return h.mac
}
