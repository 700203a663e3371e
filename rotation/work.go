package rotation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/secret"
)

// trouble is why an attempt did not end a task.
type trouble struct {
	err error
	// unchanged: the instance has the old password for sure.
	unchanged bool
	// final: another attempt would come to the same.
	final bool
}

func (t *trouble) Error() string { return t.err.Error() }
func (t *trouble) Unwrap() error { return t.err }

// Work claims tasks, limit at most, does of each what can be done now, and says
// how many it had. It may stop anywhere: whoever claims the task next goes on.
func (s *Service) Work(ctx context.Context, limit int) (int, error) {
	tasks, err := s.deps.Store.ClaimRotations(ctx, s.deps.Holder, s.deps.Pace.Lapse, limit)
	if err != nil {
		return 0, err
	}
	errs := make([]error, len(tasks))
	var wait sync.WaitGroup
	for i, t := range tasks {
		wait.Go(func() {
			if err := s.attempt(ctx, t); err != nil {
				errs[i] = fmt.Errorf("rotation %s: %w", t.ID, err)
			}
		})
	}
	wait.Wait()
	return len(tasks), errors.Join(errs...)
}

// attempt does what can be done of a task in half the time of the claim: what
// is late then has not begun when somebody else may claim the task.
func (s *Service) attempt(ctx context.Context, t Task) error {
	ctx, cancel := context.WithTimeout(ctx, s.deps.Pace.Lapse/2)
	defer cancel()
	err := s.goOn(ctx, &t)
	tr, isTrouble := errors.AsType[*trouble](err)
	switch {
	case err == nil, errors.Is(err, secret.ErrNotRotating), errors.Is(err, ErrClaimLost):
		return nil
	case errors.Is(err, secret.ErrNotFound):
		t.Status, t.ErrorCode, t.ErrorText = Failed, CodeBackEnd, "The secret was deleted."
		return s.deps.Store.OrphanRotation(ctx, t)
	case !isTrouble || ctx.Err() != nil:
		return err // the claim lapses
	}
	t.ErrorCode, t.ErrorText = CodeBackEnd, told(tr.err)
	if tr.unchanged && (tr.final || t.Attempts >= s.deps.Pace.Attempts) {
		return errors.Join(tr, s.end(ctx, t, false))
	}
	return errors.Join(tr, s.deps.Store.DelayRotation(ctx, s.deps.Holder, t, s.pause(t.Attempts)))
}

func (s *Service) pause(attempts int) time.Duration {
	d := s.deps.Pace.Pause
	for range attempts - 1 {
		if d *= 2; d >= s.deps.Pace.MaxPause {
			return s.deps.Pace.MaxPause
		}
	}
	return d
}

// told is what a task's record says of an error: no more than a client may
// read.
func told(err error) string {
	if text := fault.PublicText(err); text != "" {
		return text
	}
	return "internal error"
}

// end ends a task and its secret's rotation together.
func (s *Service) end(ctx context.Context, t Task, succeeded bool) error {
	t.Status = Failed
	if succeeded {
		t.Status, t.ErrorCode, t.ErrorText = Succeeded, "", ""
	}
	l, err := s.deps.Secrets.LocateToRotate(ctx, secret.Within(t.Project, t.Secret), secret.Want{Versions: true})
	if err != nil {
		return err
	}
	return l.EndRotation(ctx, t.Version, secret.Ending{
		Succeeded: succeeded,
		PutOff:    t.Auto,
		Write: func(ctx context.Context, c secret.Change, ev audit.Event) error {
			return s.deps.Store.EndRotation(ctx, c, t, ev)
		},
	})
}

// advance records a step before what it names is done.
func (s *Service) advance(ctx context.Context, t *Task, to Step) error {
	t.Step = to
	return s.deps.Store.AdvanceRotation(ctx, s.deps.Holder, *t)
}
