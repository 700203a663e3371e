package rotation

import (
	"context"
	"errors"

	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// place is a task at its instance.
type place struct {
	s     *Service
	task  *Task
	at    Instance
	fresh Account // with the new password
}

// goOn does the steps of a task that are left.
func (s *Service) goOn(ctx context.Context, t *Task) error {
	handle := secret.Within(t.Project, t.Secret)
	l, err := s.deps.Secrets.LocateToRotate(ctx, handle, secret.Want{Sealed: true, Number: t.Version})
	if err != nil {
		return err
	}
	sec := l.Secret()
	if sec.Rotation.Version != t.Version {
		return secret.ErrNotRotating
	}
	untouched := t.Step == Created
	if untouched && sec.State != secret.Enabled {
		return &trouble{err: secret.ErrNotEnabled, unchanged: true, final: true}
	}
	// Whoever gave the secret its configuration, it was read when this began.
	c, err := ParseConfig(sec.Rotation.Config)
	if err != nil {
		return &trouble{err: err, unchanged: untouched, final: true}
	}
	at, ok := s.deps.Instances[c.Instance]
	if !ok {
		return &trouble{err: ErrNoInstance, unchanged: untouched, final: true}
	}
	payload, err := l.RevealToRotate(ctx)
	if err != nil {
		return &trouble{err: err, unchanged: untouched}
	}
	defer payload.Wipe()
	fresh, err := first(payload)
	if err != nil {
		return &trouble{err: err, unchanged: untouched, final: true}
	}
	defer fresh.Wipe()
	p := place{s, t, at, fresh}
	switch t.Step {
	case Created, Setting:
		return p.set(ctx)
	case Testing:
		return p.test(ctx)
	}
	return p.revert(ctx)
}

// set gives the account its new password.
func (p place) set(ctx context.Context) error {
	untouched := p.task.Step == Created
	admin, err := p.admin(ctx)
	if err != nil && untouched {
		return &trouble{err: err, unchanged: true}
	}
	if err != nil {
		return p.resolve(ctx, err)
	}
	defer admin.Wipe()
	if untouched {
		if err := p.s.advance(ctx, p.task, Setting); err != nil {
			return err
		}
	}
	err = p.at.Target.SetPassword(ctx, admin, p.fresh)
	switch {
	case err == nil:
		if err := p.s.advance(ctx, p.task, Testing); err != nil {
			return err
		}
		return p.test(ctx)
	case !errors.Is(err, ErrAway) && !errors.Is(err, ErrLogin) && !errors.Is(err, ErrRejected):
		return &trouble{err: err} // it may have been set
	case untouched:
		p.task.Step = Created
		return &trouble{err: err, unchanged: true, final: errors.Is(err, ErrRejected)}
	}
	return p.resolve(ctx, err)
}

// resolve finds out whether an earlier attempt set the password, where this one
// could not because of why: the account itself knows.
func (p place) resolve(ctx context.Context, why error) error {
	err := p.at.Target.Login(ctx, p.fresh)
	if err == nil {
		return p.s.end(ctx, *p.task, true)
	}
	if !errors.Is(err, ErrLogin) {
		return &trouble{err: why}
	}
	old, err := p.old(ctx)
	if err != nil {
		return &trouble{err: err}
	}
	defer old.Wipe()
	err = p.at.Target.Login(ctx, old)
	switch {
	case err == nil:
		p.task.Step = Created
		return &trouble{err: why, unchanged: true, final: errors.Is(why, ErrRejected)}
	case !errors.Is(err, ErrLogin):
		return &trouble{err: why}
	}
	if err := p.s.advance(ctx, p.task, Reverting); err != nil {
		return err
	}
	return p.revert(ctx)
}

// test logs in with the new password, and only then puts it into force.
func (p place) test(ctx context.Context) error {
	err := p.at.Target.Login(ctx, p.fresh)
	switch {
	case err == nil:
		return p.s.end(ctx, *p.task, true)
	case !errors.Is(err, ErrLogin):
		return &trouble{err: err}
	}
	if err := p.s.advance(ctx, p.task, Reverting); err != nil {
		return err
	}
	return p.revert(ctx)
}

// revert gives the account its old password back.
func (p place) revert(ctx context.Context) error {
	old, err := p.old(ctx)
	if err != nil {
		return &trouble{err: err, unchanged: errors.Is(err, ErrValue), final: true}
	}
	defer old.Wipe()
	admin, err := p.admin(ctx)
	if err != nil {
		return &trouble{err: err}
	}
	defer admin.Wipe()
	if err := p.at.Target.SetPassword(ctx, admin, old); err != nil {
		return &trouble{err: err}
	}
	return &trouble{err: ErrLogin, unchanged: true, final: true}
}

// old is the account as the current version has it, which stays in force until
// the new one is.
func (p place) old(ctx context.Context) (Account, error) {
	text, err := p.read(ctx, secret.Within(p.task.Project, p.task.Secret))
	if err != nil {
		return Account{}, err
	}
	defer text.Wipe()
	return named(text, p.fresh.Name)
}

// admin is the instance's administrator, of whom a secret knows.
func (p place) admin(ctx context.Context) (Account, error) {
	text, err := p.read(ctx, p.at.Admin)
	if errors.Is(err, secret.ErrNotFound) {
		return Account{}, errNoAdmin
	}
	if err != nil {
		return Account{}, err
	}
	defer text.Wipe()
	a, err := first(text)
	if err != nil {
		return Account{}, errNoAdmin
	}
	return a, nil
}

func (p place) read(ctx context.Context, h secret.Handle) (sensitive.Bytes, error) {
	l, err := p.s.deps.Secrets.LocateToRotate(ctx, h, secret.Want{Sealed: true, Stage: secret.Current})
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return l.RevealToRotate(ctx)
}
