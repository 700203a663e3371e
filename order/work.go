package order

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
)

// maxLapses is how many workers an order may lose in a row before it is taken
// for what kills them.
const maxLapses = 5

// slowest is the longest an order rests after something failed that may pass.
const slowest = 30 * time.Second

// longest is how long one attempt may take: a large RSA key on a slow machine.
const longest = time.Minute

// beats is how often a worker says that it is alive, in the time of a claim.
const beats = 5

// lastWords is how long giving a claim back may take while the server ends.
const lastWords = 2 * time.Second

// Resume begins work on orders that are due and that nobody works on, as many
// as this process has places for, and does not wait for them. Each place then
// goes on with the next order that is due, until there is none.
func (s *Service) Resume(ctx context.Context) error {
	for {
		places := map[Kind]*place{}
		for kind := range s.places {
			if p := s.tryPlace(kind); p != nil {
				places[kind] = p
			}
		}
		c, ok, err := s.claim(ctx, places)
		if ok {
			s.begin(places[c.Kind], c, true)
			delete(places, c.Kind)
		}
		for _, p := range places {
			p.free()
		}
		if !ok || err != nil {
			return err
		}
	}
}

// claim takes the next order that there is a place for.
func (s *Service) claim(ctx context.Context, places map[Kind]*place) (Claimed, bool, error) {
	var kinds []Kind
	for kind := range places {
		kinds = append(kinds, kind)
	}
	if len(kinds) == 0 {
		return Claimed{}, false, nil
	}
	now := s.gate.Time()
	c, ok, err := s.deps.Store.ClaimOrder(ctx, kinds, now, now.Add(s.deps.Claim))
	if err != nil {
		return Claimed{}, false, fmt.Errorf("claim an order: %w", err)
	}
	return c, ok, nil
}

// place is room for one order to be worked on. A nil one is none.
type place struct {
	kind Kind
	back chan struct{}
}

func (p *place) free() {
	if p != nil {
		<-p.back
	}
}

// takePlace waits for a place until ctx ends.
func (s *Service) takePlace(ctx context.Context, kind Kind) *place {
	select {
	case s.places[kind] <- struct{}{}:
		return &place{kind, s.places[kind]}
	case <-ctx.Done():
	case <-s.life.Done():
	}
	return nil
}

func (s *Service) tryPlace(kind Kind) *place {
	select {
	case s.places[kind] <- struct{}{}:
		return &place{kind, s.places[kind]}
	default:
		return nil
	}
}

// begin works on c in the background, then gives the place back. With more set
// it first goes on with whatever is due of the same kind. The order as it is
// afterwards comes out of ended.
func (s *Service) begin(p *place, c Claimed, more bool) (ended <-chan Order) {
	out := make(chan Order, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut { // the claim lapses by itself
		p.free()
		out <- c.Order
		return out
	}
	s.work.Go(func() {
		defer p.free()
		out <- s.do(c)
		for more && s.life.Err() == nil {
			next, ok, err := s.claim(s.life, map[Kind]*place{p.kind: p})
			if err != nil || !ok {
				return // the timer comes back to it
			}
			s.do(next)
		}
	})
	return out
}

// do works on one order, as long as nobody else claims it, and returns the
// order as it is then.
func (s *Service) do(c Claimed) Order {
	ctx, cancel := context.WithTimeout(s.life, longest)
	defer cancel()
	began := time.Now()
	ctx, stop := s.keep(ctx, c)
	o, err := s.finish(ctx, c)
	if lost := stop(); lost && o.Status == Pending {
		err = ErrLost
	}
	if o.Status == Pending && !errors.Is(err, ErrLost) {
		if back := s.release(c); back != nil {
			err = errors.Join(err, fmt.Errorf("give the claim back: %w", back))
		}
	}
	s.deps.Ended(o, time.Since(began), err)
	return o
}

// keep moves the end of the claim until stop is called, which waits for the
// last of it. When the order is gone, final or somebody else's, the context ends
// and stop returns true.
func (s *Service) keep(ctx context.Context, c Claimed) (_ context.Context, stop func() (lost bool)) {
	ctx, end := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		beat := time.NewTicker(s.deps.Claim / beats)
		defer beat.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-beat.C:
			}
			// Another failure may pass before the claim lapses.
			if err := s.deps.Store.KeepOrder(ctx, c, s.gate.Time().Add(s.deps.Claim)); errors.Is(err, ErrLost) {
				end(err)
			}
		}
	}()
	return ctx, func() bool {
		end(nil)
		<-done
		return errors.Is(context.Cause(ctx), ErrLost)
	}
}

// finish makes an order final. One that still is PENDING afterwards has an error
// that may pass. An error beside another status is why the order failed, where
// its caller is not told.
func (s *Service) finish(ctx context.Context, c Claimed) (Order, error) {
	err := errDied
	if c.Lapses <= maxLapses {
		err = s.carryOut(ctx, &c)
	}
	if err == nil || errors.Is(err, ErrLost) || mayPass(ctx, err) {
		return c.Order, err
	}
	failure := Failure{"500", "The order could not be carried out because of an internal error."}
	known, ok := errors.AsType[*failureError](err)
	if ok {
		failure = known.Failure
	} else if text := fault.PublicText(err); text != "" {
		failure.Reason = "The order could not be carried out: " + text + "."
	}
	failure.Reason = failure.Reason[:min(len(failure.Reason), maxReason)]
	ev := s.event(c, policy.OrderCreate, c.target()).As(audit.Refused)
	if stored := s.deps.Store.FailOrder(ctx, c, failure, ev); stored != nil {
		return c.Order, errors.Join(stored, err)
	}
	c.Status, c.Failure, c.UpdatedAt = Failed, &failure, ev.At
	if ok {
		return c.Order, nil
	}
	return c.Order, err
}

// mayPass reports whether an order that met err may do better later.
func mayPass(ctx context.Context, err error) bool {
	return ctx.Err() != nil || fault.KindOf(err) == fault.Unavailable
}

// release gives the claim back: to anybody, at once, where this process ends;
// else after a rest that grows with each attempt.
func (s *Service) release(c Claimed) error {
	due := s.gate.Time()
	if s.life.Err() == nil {
		due = due.Add(min(time.Second<<min(c.Attempt-1, 5), slowest))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.life), lastWords)
	defer cancel()
	return s.deps.Store.ReleaseOrder(ctx, c, due)
}

// event is the record of what the server does for an order. Its request is the
// one that made the order, and it was allowed then.
func (s *Service) event(c Claimed, act policy.Action, t policy.Target) audit.Event {
	who := auth.Principal{
		User: c.Creator, Project: c.Project, Method: auth.ByOrder, Credential: string(c.ID),
		Family: policy.KeyManager, Request: c.Request,
	}
	return audit.New(s.deps.NewEventID(), s.gate.Time(), who, act, t, policy.Decision{Allowed: true})
}
