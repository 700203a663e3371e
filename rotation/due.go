package rotation

import (
	"context"
	"errors"
	"fmt"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/secret"
)

var errNotDue = fault.New(fault.WrongState, "the rotation of the secret is not due")

// BeginDue begins rotations that are due, limit at most, and says how many. Any
// number of processes may do so at once: each rotation begins once.
func (s *Service) BeginDue(ctx context.Context, limit int) (int, error) {
	due, err := s.deps.Store.DueRotations(ctx, s.deps.Gate.Time(), limit)
	if err != nil {
		return 0, err
	}
	n := 0
	var errs []error
	for _, d := range due {
		switch err := s.beginDue(ctx, d); {
		case err == nil:
			n++
		case others(err):
		default:
			errs = append(errs, fmt.Errorf("rotate secret %s: %w", d.Secret, err))
		}
	}
	return n, errors.Join(errs...)
}

// others tells what it looks like when somebody else was faster.
func others(err error) bool {
	for _, e := range []error{errNotDue, secret.ErrRotating, secret.ErrNotFound, secret.ErrNotEnabled, secret.ErrPendingDelete} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Service) beginDue(ctx context.Context, d Due) error {
	l, err := s.deps.Secrets.LocateToRotate(ctx, secret.Within(d.Project, d.Secret), Wanted)
	if err != nil {
		return err
	}
	if sec := l.Secret(); !s.isDue(sec) {
		return errNotDue
	} else if err := s.may(sec); err != nil {
		return s.putOff(ctx, l, err)
	}
	_, err = s.begin(ctx, l, true)
	if errors.Is(err, ErrValue) || errors.Is(err, secret.ErrNoPayload) || errors.Is(err, secret.ErrTooLarge) {
		return s.putOff(ctx, l, err)
	}
	return err
}

func (s *Service) isDue(sec secret.Secret) bool {
	next := sec.Rotation.Next
	return sec.Rotation.Auto && next != nil && !next.After(s.deps.Gate.Time())
}

// putOff records that a rotation which is due cannot be done, and lets it wait
// for another period (csms.md §7.1).
func (s *Service) putOff(ctx context.Context, l *secret.Located, why error) error {
	sec := l.Secret()
	t := Task{
		ID: s.deps.NewID(), Project: sec.Project, Secret: sec.ID, Name: l.Handle(), FuncURN: sec.Rotation.FuncURN, Auto: true,
		Status: Failed, Step: Created, Attempts: 1, StartedAt: s.deps.Gate.Time(), ErrorCode: CodeBackEnd, ErrorText: told(why),
	}
	err := l.PutOffRotation(ctx, func(ctx context.Context, c secret.Change, ev audit.Event) error {
		return s.deps.Store.BeginRotation(ctx, c, t, ev)
	})
	if errors.Is(err, secret.ErrStale) { // the next round looks again
		return errNotDue
	}
	return err
}
