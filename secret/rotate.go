package secret

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

var (
	ErrRotating    = fault.New(fault.WrongState, "a rotation of the secret is running")
	ErrNotRotating = fault.New(fault.WrongState, "that rotation of the secret does not run any more")
)

// rotator is who rotates where no caller asked, in the records.
const rotator = "strongroom-rotation"

// LocateToRotate finds a secret for the program itself: no judge is asked, and
// everything is on record. It is for package rotation alone.
func (s *Service) LocateToRotate(ctx context.Context, h Handle, want Want) (*Located, error) {
	who := auth.Principal{UserName: rotator, Project: h.Project, Method: auth.ByOperator, Family: policy.Operator}
	found, err := s.deps.Store.Find(ctx, h, want, s.now())
	if err != nil {
		return nil, fmt.Errorf("find secret to rotate: %w", err)
	}
	return &Located{s: s, who: who, want: want, found: found, own: true}, nil
}

// Secret is what was found, for the program itself; a caller's is zero.
func (l *Located) Secret() Secret {
	if !l.own {
		return Secret{}
	}
	return l.found.Secret
}

// RevealToRotate is Reveal of a secret of the program's own, in any state:
// what a rotation began has to end.
func (l *Located) RevealToRotate(ctx context.Context) (sensitive.Bytes, error) {
	if !l.own {
		return sensitive.Bytes{}, ErrDenied
	}
	v := l.found.Version
	if v.Number == 0 {
		return sensitive.Bytes{}, ErrNoVersion
	}
	ev, err := l.admit(ctx, policy.SecretReveal, v.Label(), l.want.Stage)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return l.open(ctx, ev)
}

// Renewal is what a rotation adds to the rules for versions and stages.
type Renewal struct {
	// May says why the secret cannot be rotated.
	May func(Secret) error
	// Next makes the new payload from the current one.
	Next func(s Secret, current sensitive.Bytes) (sensitive.Bytes, error)
	// Write stores the change together with the rotation's own record, as
	// Store.Apply does.
	Write func(ctx context.Context, c Change, ev audit.Event) error
}

// BeginRotation stores the payload that a rotation is about to put into force,
// as a version with the stage Pending. Locate the secret with Want.Versions and
// Want.Sealed.
func (l *Located) BeginRotation(ctx context.Context, r Renewal) (Version, error) {
	ev, err := l.admit(ctx, policy.SecretRotate, "", "")
	if err != nil {
		return Version{}, err
	}
	return retry(ctx, l, func() (Version, error) {
		sec := l.found.Secret
		if err := l.rotatable(r); err != nil {
			return Version{}, l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
		}
		if err := l.admitRotation(ctx); err != nil {
			return Version{}, err
		}
		v, err := l.renewed(ctx, r)
		if err != nil {
			return Version{}, l.s.gate.Done(ctx, ev, err)
		}
		now := l.s.now()
		v.CreatedAt = after(sec.LatestAt, now)
		c, err := l.found.adding(v, []Stage{Pending}, now)
		if err == nil {
			ev.Removed, err = l.found.removable(c.Purge, v.CreatedAt.Add(-l.s.deps.VersionGrace))
		}
		if err != nil {
			return Version{}, l.s.gate.Done(ctx, ev, err)
		}
		c.Secret.Rotation.Version = v.Number
		v.Stages = []Stage{Pending}
		ev.Target.Version = v.Label()
		err = r.Write(ctx, c, ev)
		if errors.Is(err, envelope.ErrKEKGone) {
			l.s.deps.Sealer.Forget(string(sec.Project), sec.Key, v.Sealed.KEK.ID)
		}
		return v, err
	})
}

func (l *Located) rotatable(r Renewal) error {
	sec := l.found.Secret
	if err := r.May(sec); err != nil {
		return err
	}
	if err := sec.usable(); err != nil {
		return err
	}
	if sec.Rotation.Version != 0 {
		return ErrRotating
	}
	if l.found.Version.Number == 0 {
		return ErrNoPayload
	}
	return nil
}

// admitRotation asks for what a rotation does with the master keys: it opens
// the current payload and seals another (csms.md §7.3).
func (l *Located) admitRotation(ctx context.Context) error {
	v := l.found.Version
	if err := l.s.admitKey(ctx, l.who, policy.DataKeyOpen, v.Key, v.Sealed.KEK.Default); err != nil {
		return err
	}
	own := l.found.Secret.Key == v.Key && v.Sealed.KEK.Default
	return l.s.admitKey(ctx, l.who, policy.DataKeyCreate, l.found.Secret.Key, own)
}

// renewed opens the current payload and seals the next.
func (l *Located) renewed(ctx context.Context, r Renewal) (Version, error) {
	sec, current := l.found.Secret, l.found.Version
	payload, err := l.s.deps.Sealer.Open(ctx, current.Sealed, sec.place(current.Number))
	if err != nil {
		return Version{}, fmt.Errorf("open version %d: %w", current.Number, err)
	}
	defer payload.Wipe()
	fresh, err := r.Next(sec, payload)
	if err != nil {
		return Version{}, err
	}
	defer fresh.Wipe()
	if fresh.Len() > MaxPayload {
		return Version{}, ErrTooLarge
	}
	return l.s.seal(ctx, sec, sec.Latest+1, sec.Key, fresh, current.ContentType)
}

// EndRotation puts the version that a rotation stored into force: it becomes
// Current, Pending goes, and the next rotation is due a period from now. Where
// it did not succeed the version goes with its stage, unless somebody has put
// another stage on it. put off says that the next rotation waits for a period
// then, too. Locate the secret with Want.Versions; it is for the program itself.
func (l *Located) EndRotation(ctx context.Context, version int, e Ending) error {
	if !l.own {
		return ErrDenied
	}
	ev, err := l.admit(ctx, policy.SecretRotate, Version{Number: version}.Label(), "")
	if err != nil {
		return err
	}
	if !e.Succeeded {
		ev = ev.As(audit.Refused)
	}
	_, err = retry(ctx, l, func() (Version, error) {
		if l.found.Secret.Rotation.Version != version {
			return Version{}, ErrNotRotating
		}
		return Version{}, e.Write(ctx, l.found.ending(version, e, l.s), ev)
	})
	return err
}

// Ending says how a rotation ended.
type Ending struct {
	Succeeded bool
	PutOff    bool // the next one waits for a period, though this did not succeed
	Write     func(ctx context.Context, c Change, ev audit.Event) error
}

func (f Found) ending(version int, e Ending, s *Service) Change {
	now := s.now()
	pos := f.positions()
	if e.Succeeded {
		pos.move([]Stage{Current}, version, now)
	}
	pending, marked := pos[Pending]
	delete(pos, Pending)
	c := f.moved(pos, now)
	if marked && pending.Version != 0 {
		c.Drop = []Stage{Pending}
	}
	if !e.Succeeded && len(pos.on(version)) == 0 {
		c.Purge = []int{version}
	}
	c.Secret.Rotation.Version = 0
	c.Tell = event.RotationFailed
	if e.Succeeded {
		c.Tell = event.Rotated
		c.Secret.Rotation.Last = &now
	}
	if e.Succeeded || e.PutOff {
		// A period that is stored is one.
		if r, err := c.Secret.Rotation.schedule(now); err == nil {
			c.Secret.Rotation = r
		}
	}
	return c
}

// PutOffRotation lets a rotation that is due wait for another period: nothing
// can rotate this secret. It is for the program itself.
func (l *Located) PutOffRotation(ctx context.Context, write func(context.Context, Change, audit.Event) error) error {
	if !l.own {
		return ErrDenied
	}
	ev, err := l.admit(ctx, policy.SecretRotate, "", "")
	if err != nil {
		return err
	}
	sec := l.found.Secret
	if sec.Rotation, err = sec.Rotation.schedule(l.s.now()); err != nil {
		return err
	}
	return write(ctx, Change{Secret: sec, Tell: event.RotationFailed}, ev.As(audit.Refused))
}

// pendingFree says why the stage Pending may not be moved now.
func (s Secret) pendingFree(want ...Stage) error {
	if s.Rotation.Version != 0 && slices.Contains(want, Pending) {
		return ErrRotating
	}
	return nil
}
