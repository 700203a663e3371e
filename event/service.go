package event

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
)

// Service is the only way to events and records for callers. Every operation
// passes the gate before it changes or reveals anything. It may be used
// concurrently.
type Service struct{ deps Deps }

// Deps is what a Service needs. All fields are required.
type Deps struct {
	Store Store
	Gate  gate.Gate
	NewID func() string // random UUIDs of version 4
	// Most is how many events a project may have; negative: any number.
	Most int64
}

// NewService panics on a missing dependency: that is a wiring mistake, and the
// program must not start with it.
func NewService(d Deps) *Service {
	if d.Store == nil || d.NewID == nil || !d.Gate.Complete() {
		panic("event.NewService: incomplete Deps")
	}
	return &Service{deps: d}
}

// Kept says from when on a notification is on record: for three months (csms.md
// §8.4).
func Kept(now time.Time) time.Time { return now.AddDate(0, -3, 0) }

// MayCreate asks the gate for Create, so that a refusal comes before anything
// that is wrong with a body.
func (s *Service) MayCreate(ctx context.Context, who auth.Principal) error {
	_, err := s.deps.Gate.Admit(ctx, who, policy.EventCreate, gate.Project(who))
	return err
}

// Create makes an event in the caller's project.
func (s *Service) Create(ctx context.Context, who auth.Principal, in New) (Event, error) {
	ev, err := s.deps.Gate.Admit(ctx, who, policy.EventCreate, gate.Project(who))
	if err != nil {
		return Event{}, err
	}
	e := Event{
		Project: who.Project, Name: in.Name, ID: s.deps.NewID(), Types: in.Types, State: in.State, Target: in.Target,
		CreatedAt: ev.At, UpdatedAt: ev.At,
	}
	ev.Target = audit.Target{Kind: "event", Project: string(e.Project), ID: e.ID, Name: e.Name}
	err = s.deps.Store.CreateEvent(ctx, e, s.deps.Most, ev)
	if errors.Is(err, ErrFull) {
		err = s.deps.Gate.Refuse(ctx, ev.As(audit.Refused), err)
	}
	return e, err
}

// MayList asks the gate for List.
func (s *Service) MayList(ctx context.Context, who auth.Principal) error {
	_, err := s.deps.Gate.Admit(ctx, who, policy.EventList, gate.Project(who))
	return err
}

// List returns events in byte order of their names, from the first after the
// named one on, and whether more follow.
func (s *Service) List(ctx context.Context, who auth.Principal, after string, limit int) ([]Event, bool, error) {
	if err := s.MayList(ctx, who); err != nil {
		return nil, false, err
	}
	found, err := s.deps.Store.ListEvents(ctx, who.Project, after, limit+1)
	if err != nil {
		return nil, false, err
	}
	return found[:min(len(found), limit)], len(found) > limit, nil
}

// Show returns one event.
func (s *Service) Show(ctx context.Context, who auth.Principal, name string) (Event, error) {
	e, _, err := s.locate(ctx, who, policy.EventShow, name)
	return e, err
}

// MayUpdate asks the gate for Update of an event that must exist.
func (s *Service) MayUpdate(ctx context.Context, who auth.Principal, name string) error {
	_, _, err := s.locate(ctx, who, policy.EventUpdate, name)
	return err
}

// Update changes an event. One that changes nothing leaves it as it is.
func (s *Service) Update(ctx context.Context, who auth.Principal, name string, u Update) (Event, error) {
	e, ev, err := s.locate(ctx, who, policy.EventUpdate, name)
	if err != nil || u.Types == nil && u.State == nil && u.Target == nil {
		return e, err
	}
	e, err = s.deps.Store.UpdateEvent(ctx, e, u, ev)
	return e, s.done(ctx, ev, err)
}

// Delete removes an event that no secret is subscribed to.
func (s *Service) Delete(ctx context.Context, who auth.Principal, name string) error {
	e, ev, err := s.locate(ctx, who, policy.EventDelete, name)
	if err != nil {
		return err
	}
	return s.done(ctx, ev, s.deps.Store.DeleteEvent(ctx, e, ev))
}

// locate finds an event and asks the gate for act on it.
func (s *Service) locate(ctx context.Context, who auth.Principal, act policy.Action, name string) (Event, audit.Event, error) {
	e, err := s.deps.Store.FindEvent(ctx, who.Project, name)
	if errors.Is(err, ErrNotFound) {
		t := policy.Target{Kind: "event", Project: string(who.Project), Name: name}
		return e, audit.Event{}, s.deps.Gate.Miss(ctx, who, act, t, ErrNotFound)
	}
	if err != nil {
		return e, audit.Event{}, fmt.Errorf("find event: %w", err)
	}
	ev, err := s.deps.Gate.Admit(ctx, who, act, e.target())
	if err != nil {
		return Event{}, ev, err
	}
	return e, ev, nil
}

// done returns err, and records first that something which the gate allowed
// was not done because of it.
func (s *Service) done(ctx context.Context, ev audit.Event, err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return s.deps.Gate.Refuse(ctx, ev.As(audit.Missing), err)
	case errors.Is(err, ErrInUse):
		return s.deps.Gate.Refuse(ctx, ev.As(audit.Refused), err)
	}
	return err
}

// MayListNotifications asks the gate for Notifications.
func (s *Service) MayListNotifications(ctx context.Context, who auth.Principal) error {
	_, err := s.deps.Gate.Admit(ctx, who, policy.RecordList, gate.Project(who))
	return err
}

// Notifications returns what was fired in the caller's project, newest first,
// from the first that is older than the identified one on, and whether more
// follow.
func (s *Service) Notifications(ctx context.Context, who auth.Principal, before string, limit int) ([]Notification, bool, error) {
	if err := s.MayListNotifications(ctx, who); err != nil {
		return nil, false, err
	}
	found, err := s.deps.Store.ListNotifications(ctx, who.Project, Kept(s.deps.Gate.Time()), before, limit+1)
	if err != nil {
		return nil, false, err
	}
	return found[:min(len(found), limit)], len(found) > limit, nil
}
