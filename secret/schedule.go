package secret

import (
	"context"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
)

var (
	ErrScheduled    = fault.New(fault.WrongState, "the secret is scheduled for deletion already")
	ErrNotScheduled = fault.New(fault.WrongState, "the secret is not scheduled for deletion")
)

// Schedule plans the secret's deletion after window (csms.md §4.6). Until then
// its payload can neither be read nor changed, and it does not rotate by
// itself; from then on it does not exist, and a job removes it (Purge).
func (l *Located) Schedule(ctx context.Context, window time.Duration) (Secret, error) {
	return l.restate(ctx, policy.SecretSchedule, func(s Secret, now time.Time) (Secret, error) {
		switch s.State {
		case PendingDelete:
			return s, ErrScheduled
		case Frozen:
			return s, ErrNotEnabled
		}
		at := now.Add(window)
		s.State, s.DeleteAt = PendingDelete, &at
		return s, nil
	})
}

// Unschedule takes Schedule back; whatever the secret was before, it is Enabled
// then (csms.md §4.7). A rotation that fell due meanwhile waits a period from
// now on.
func (l *Located) Unschedule(ctx context.Context) (Secret, error) {
	return l.restate(ctx, policy.SecretUnschedule, func(s Secret, now time.Time) (Secret, error) {
		if s.State != PendingDelete {
			return s, ErrNotScheduled
		}
		s.State, s.DeleteAt = Enabled, nil
		if next := s.Rotation.Next; next == nil || next.After(now) {
			return s, nil
		}
		var err error
		s.Rotation, err = s.Rotation.schedule(now)
		return s, err
	})
}

// restate changes the secret's state to what next says. A state from which
// that cannot be is an audited refusal.
func (l *Located) restate(ctx context.Context, act policy.Action, next func(Secret, time.Time) (Secret, error)) (Secret, error) {
	ev, err := l.admit(ctx, act, "", "")
	if err != nil {
		return Secret{}, err
	}
	return retry(ctx, l, func() (Secret, error) {
		now := l.s.now()
		s, err := next(l.found.Secret, now)
		if err != nil {
			return Secret{}, l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
		}
		s.UpdatedAt = after(s.UpdatedAt, now)
		if err := l.s.deps.Store.Apply(ctx, Change{Secret: s}, ev); err != nil {
			return Secret{}, err
		}
		return s, nil
	})
}
