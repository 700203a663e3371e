package hsm

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
)

// attempts is how many workers one request may lose before it gives up: the
// request itself may be what kills them.
const attempts = 3

// plan is how an operation may be repeated, and how long it may take.
type plan struct {
	attempts int
	limits
	total time.Duration // where the context has no deadline
}

// repeatable is for what may be done twice: a second wrapping has a fresh IV,
// and everything else changes nothing.
func (t *Token) repeatable() plan {
	return plan{attempts, limits{t.cfg.OpTimeout, t.cfg.HardDeadline}, t.cfg.RequestTimeout}
}

// lengthy is for making, destroying and listing token objects: slow on real
// hardware, and one after another.
func (t *Token) lengthy(attempts int) plan {
	return plan{attempts, limits{t.cfg.GenerateTimeout, t.cfg.GenerateTimeout}, t.cfg.GenerateTimeout + t.cfg.RequestTimeout}
}

// ask does what c asks for, on one worker or another (pkcs11.md §7.3). It
// returns a *ckr.Error, or a fault.
func (t *Token) ask(ctx context.Context, c *call, p plan) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(p.total)
	}
	var (
		tried [attempts]*worker
		last  error // of the attempt before
	)
	for n := 0; n < p.attempts; {
		s, err := t.pool.pick(ctx, deadline, tried[:n], t.hopeless)
		if err != nil {
			return unavailable(errors.Join(err, last))
		}
		began := time.Now()
		left := deadline.Sub(began)
		if left <= 0 {
			return unavailable(errors.Join(context.DeadlineExceeded, last))
		}
		err = s.do(ctx, c, limits{soft: min(p.soft, left), hard: p.hard})
		t.observe(s, c, began, err)
		last = err
		switch next(ctx, err) {
		case answer:
			return err
		case wait:
			if err := pause(ctx, deadline); err != nil {
				return unavailable(errors.Join(err, last))
			}
		case replace:
			s.fail(err)
			fallthrough
		case another:
			tried[n] = s.worker
			n++
		}
	}
	return last
}

// verdict is what becomes of a request after one attempt.
type verdict uint8

const (
	answer  verdict = iota // that is it, good or bad
	wait                   // for a session, then again
	another                // worker; this one may still be busy with it
	replace                // the worker, then another
)

func next(ctx context.Context, err error) verdict {
	if err == nil || ctx.Err() != nil {
		return answer
	}
	if errors.Is(err, errSlow) {
		return another
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return answer
	}
	switch ckr.ClassOf(err) {
	case ckr.Data, ckr.Capability, ckr.Handle:
		return answer
	case ckr.Busy:
		return wait
	}
	return replace // also PIN: the supervisor sees to it that there is no next login
}

// pause is for a token with no session to spare.
func pause(ctx context.Context, deadline time.Time) error {
	d := time.Duration(float64(10*time.Millisecond) * (0.5 + rand.Float64()))
	if time.Until(deadline) < d {
		return context.DeadlineExceeded
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// observe counts one operation that was sent to a worker, and remembers what
// its outcome tells about token and key.
func (t *Token) observe(s seated, c *call, began time.Time, err error) {
	t.calls.Add(1)
	took := time.Since(began)
	if f := t.cfg.Observer.Operation; f != nil {
		f(c.request.Op.String(), className(err), took)
	}
	if err != nil {
		return
	}
	s.member.breaker.answered()
	if op := c.request.Op; op == frame.Wrap || op == frame.Unwrap {
		s.member.recent.touch(began.Add(took), c.request.Ref)
	}
}

// hopeless says why no token will take a request before deadline.
func (t *Token) hopeless(deadline time.Time) error {
	select {
	case <-t.ended:
		return errClosed
	default:
	}
	var whys []error
	for _, m := range t.members {
		why := m.hopeless(deadline)
		if why == nil {
			return nil
		}
		whys = append(whys, why)
	}
	return errors.Join(whys...)
}
