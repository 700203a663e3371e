package worker

import (
	"context"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// errExists is what Generate returns for an ID that the token already has. Only
// the caller knows whether that key is an orphan of a crash, to be destroyed
// first, or in use.
var errExists = ckr.Found(ckr.Capability, "token already has a key of this ID")

// Generate makes a KEK: its objects with every attribute spelled out and read
// back, and its canary, wrapped and opened again. What does not succeed leaves
// nothing in the token, as far as the token lets us look.
func (t *Token) Generate(ctx context.Context, spec key.Spec) (key.Made, error) {
	f, err := t.chooseFormat(spec.Format)
	if err != nil {
		return key.Made{}, err
	}
	spec.Format = f
	if spec.ID == (key.ID{}) || len(spec.CanaryAAD) == 0 {
		return key.Made{}, ckr.Found(ckr.Capability, "a new KEK needs an ID and what binds its canary")
	}
	made, err := t.generateAlone(ctx, spec)
	if err != nil {
		return key.Made{}, t.settleMaking(ctx, spec.ID, err)
	}
	return made, nil
}

// generateAlone makes the KEK while nobody searches, makes or destroys.
func (t *Token) generateAlone(ctx context.Context, spec key.Spec) (key.Made, error) {
	if err := t.objects.Lock(ctx); err != nil {
		return key.Made{}, err
	}
	defer t.objects.Unlock()
	found, err := t.objectsWith(ctx, spec.ID)
	if worthAnotherTry(err) {
		found, err = t.objectsWith(ctx, spec.ID)
	}
	switch {
	case err != nil:
		return key.Made{}, err
	case len(found) > 0:
		return key.Made{}, errExists
	}
	made, err := t.generate(ctx, spec)
	if worthAnotherTry(err) {
		t.log.Warn("key generation repeated", zap.Error(err))
		made, err = t.generate(ctx, spec)
	}
	return made, err
}

// worthAnotherTry reports whether a generation should be repeated, once the
// orphan it may have left is gone. 0xD1 is among the codes: SoftHSM says it
// when several processes make keys (pkcs11.md §7.1).
func worthAnotherTry(err error) bool {
	if err == nil {
		return false
	}
	class := ckr.ClassOf(err)
	return class == ckr.Ambiguous || class == ckr.Session || class == ckr.Handle || ckr.CodeOf(err) == ckr.TemplateInconsistent
}

// settleMaking sorts what is still ambiguous after the second try: a token that
// serves its other keys and makes no new one is not ill but full, or read-only.
func (t *Token) settleMaking(ctx context.Context, id key.ID, err error) error {
	switch ckr.ClassOf(err) {
	case ckr.Session, ckr.Handle:
		return settled(err, ckr.Module)
	case ckr.Ambiguous:
		if found, sick := t.tryNeighbour(ctx, id, key.Auto); found && sick == nil {
			return settled(err, ckr.Capability)
		}
		return settled(err, ckr.Module)
	}
	return err
}

// generate is one try. It leaves nothing behind when it fails.
func (t *Token) generate(ctx context.Context, spec key.Spec) (key.Made, error) {
	made, h, err := t.makeKEK(ctx, spec)
	if err != nil {
		if orphan := t.destroyObjects(ctx, spec.ID); orphan != nil {
			t.log.Error("an unusable key stays in the token", zap.Stringer("kek", spec.ID), zap.Error(orphan))
		}
		return key.Made{}, err
	}
	t.cache.put(made.Ref, h)
	return made, nil
}

func (t *Token) makeKEK(ctx context.Context, spec key.Spec) (key.Made, handles, error) {
	objects := objectsOf(spec.Format, true)
	for _, o := range objects {
		if err := t.generateObject(o, spec.ID, spec.Label); err != nil {
			return key.Made{}, handles{}, err
		}
	}
	h, err := t.locateLocked(ctx, spec.ID, spec.Format)
	if err != nil {
		return key.Made{}, handles{}, err
	}
	made := key.Made{
		Ref:         key.Ref{ID: spec.ID, Format: spec.Format},
		TokenLabel:  t.info.Label,
		TokenSerial: t.info.Serial,
	}
	err = t.pool.with(ctx, func(s cryptoki.Session) error {
		for _, o := range objects {
			if err := t.verifyAndNote(s, h.of(o), o, spec.ID, spec.Label); err != nil {
				return err
			}
		}
		got, err := t.m.Attributes(s, h.enc, cryptoki.CheckValue)
		if err != nil {
			return err
		}
		made.CheckValue = checkValue(got[cryptoki.CheckValue])
		made.Ref.Canary, err = t.makeCanary(s, spec, h)
		return err
	})
	return made, h, err
}

// checkValue keeps the standard's three bytes and never more: the whole block
// they come from is GCM's hash subkey (pkcs11.md §8.5).
func checkValue(v []byte) []byte { return v[:min(len(v), 3):min(len(v), 3)] }

// generateObject climbs down the ladder until the token takes the template. A
// step that has once been good enough is where the next key begins.
func (t *Token) generateObject(o object, id key.ID, label string) error {
	step := &t.steps[o.kind]
	for {
		n := step.Load()
		err := t.m.GenerateKey(o.kind, o.template(id, label, int(n)))
		proven := t.proven[o.kind].Load()
		if err == nil {
			t.proven[o.kind].Store(true)
			return nil
		}
		if n == ladder || proven || !refusesTemplate(err) {
			return err
		}
		step.Add(1)
	}
}

// verifyAndNote reads a key back; what the token merely did not keep becomes a
// warning.
func (t *Token) verifyAndNote(s cryptoki.Session, h cryptoki.Object, o object, id key.ID, label string) error {
	notes, err := t.verify(s, h, o, id, label)
	for _, n := range notes {
		t.warn(n)
	}
	return err
}

// makeCanary wraps the canary's text and opens it again in the same session.
// It counts as one wrap.
func (t *Token) makeCanary(s cryptoki.Session, spec key.Spec, h handles) (key.Canary, error) {
	w, err := t.encrypt(s, spec.Format, h, canaryText, spec.CanaryAAD)
	if err != nil {
		return key.Canary{}, err
	}
	if err := t.tryCanary(s, w, h, spec.CanaryAAD); err != nil {
		return key.Canary{}, err
	}
	return key.Canary{Wrapped: w.Marshal(), AAD: spec.CanaryAAD}, nil
}

// chooseFormat answers Auto with the first format that passed the self-test,
// and refuses one that did not.
func (t *Token) chooseFormat(f key.Format) (key.Format, error) {
	for _, r := range t.report.Formats {
		if r.Passed && (f == key.Auto || f == r.Format) {
			return r.Format, nil
		}
	}
	return f, ckr.Found(ckr.Capability, "token did not pass the self-test of format "+f.String())
}
