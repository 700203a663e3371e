package order

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// tries is how often sealing starts over because the KEK was rotated.
const tries = 32

// Create stores an order and waits a while for it to be finished: clients may
// ask for what it made right after the answer (barbican.md §14.3). What it
// returns may still be PENDING. That the caller leaves ends the wait and not
// the work.
func (s *Service) Create(ctx context.Context, who auth.Principal, in New) (Order, error) {
	ev, err := s.gate.Admit(ctx, who, policy.OrderCreate, gate.Project(who))
	if err != nil {
		return Order{}, err
	}
	c := Claimed{Order: Order{
		ID: s.deps.NewID(), Project: who.Project, Kind: in.Kind, Status: Pending, Meta: in.Meta,
		Creator: who.User, Request: who.Request, CreatedAt: ev.At, UpdatedAt: ev.At,
	}}
	ev.Target = audit.Target{Kind: "order", Project: string(c.Project), ID: string(c.ID), Name: c.target().Name}

	patient, cancel := context.WithTimeout(ctx, s.deps.Patience)
	defer cancel()
	due := ev.At
	place := s.takePlace(patient, c.Kind)
	if place != nil {
		c.Attempt, c.Lapses = 1, 1
		due = due.Add(s.deps.Claim)
	}
	if err := s.store(ctx, &c, in.Passphrase, due, ev); err != nil {
		place.free()
		return Order{}, err
	}
	if place == nil {
		return c.Order, nil
	}
	ended := s.begin(place, c, false)
	select {
	case o := <-ended:
		return o, nil
	case <-patient.Done():
		return c.Order, nil
	}
}

// store seals the passphrase and stores the order with it. A passphrase that
// cannot be sealed now is not kept in any other way: the request fails.
func (s *Service) store(ctx context.Context, c *Claimed, passphrase sensitive.Bytes, due time.Time, ev audit.Event) error {
	if passphrase.Len() == 0 {
		return s.deps.Store.CreateOrder(ctx, *c, due, ev)
	}
	for range tries {
		sealed, err := s.deps.Sealer.Seal(ctx, passphrase, envelope.Default, c.place())
		if err != nil {
			return fmt.Errorf("seal passphrase: %w", err)
		}
		c.Passphrase = &sealed
		err = s.deps.Store.CreateOrder(ctx, *c, due, ev)
		if !errors.Is(err, envelope.ErrKEKGone) {
			return err
		}
		s.deps.Sealer.Forget(string(c.Project), envelope.Default, sealed.KEK.ID)
	}
	return envelope.ErrKEKGone
}
