package quota

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

// Store keeps what was set for projects. A write and its audit event become
// durable together or not at all. Every method is one round trip, but a list's
// page past the end is two.
type Store interface {
	// ProjectQuota returns what was set for p; ErrNotFound where nothing was.
	ProjectQuota(ctx context.Context, p auth.ProjectID) (Limits, error)
	// ProjectQuotas returns a page of all projects for which something was set,
	// the oldest first, and how many there are.
	ProjectQuotas(ctx context.Context, limit, offset int) ([]Project, int, error)
	// ChangeProjectQuota sets what l has and leaves the rest as it was.
	ChangeProjectQuota(ctx context.Context, p auth.ProjectID, l Limits, now time.Time, ev audit.Event) error
	// DeleteProjectQuota takes p back to the defaults; ErrNotFound where it is
	// there already.
	DeleteProjectQuota(ctx context.Context, p auth.ProjectID, ev audit.Event) error
}

// Service is the only way to the limits. Every operation passes the gate before
// it changes or reveals anything. It may be used concurrently.
type Service struct {
	deps Deps
	gate gate.Gate
}

// Deps is what a Service needs. All fields but Defaults are required.
type Deps struct {
	Store      Store
	Judge      gate.Judge
	Recorder   gate.Recorder
	NewEventID func() string // UUIDs of version 7
	Now        func() time.Time
	// Defaults are the operator's, for projects without limits of their own.
	// The store that keeps the limits must have the same.
	Defaults Limits
}

// NewService panics on a missing dependency: that is a wiring mistake, and the
// program must not start with it.
func NewService(d Deps) *Service {
	g := gate.Gate{Judge: d.Judge, Recorder: d.Recorder, NewEventID: d.NewEventID, Now: d.Now}
	if d.Store == nil || !g.Complete() {
		panic("quota.NewService: incomplete Deps")
	}
	return &Service{deps: d, gate: g}
}

// Show returns the limits that count for the caller's project.
func (s *Service) Show(ctx context.Context, who auth.Principal) (Limits, error) {
	if _, err := s.gate.Admit(ctx, who, policy.QuotaShow, gate.Project(who)); err != nil {
		return nil, err
	}
	own, err := s.deps.Store.ProjectQuota(ctx, who.Project)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("read quotas: %w", err)
	}
	return own.Or(s.deps.Defaults), nil
}

// Project returns what was set for p.
func (s *Service) Project(ctx context.Context, who auth.Principal, p auth.ProjectID) (Limits, error) {
	if _, err := s.gate.Admit(ctx, who, policy.ProjectQuotaShow, target(p)); err != nil {
		return nil, err
	}
	set, err := s.deps.Store.ProjectQuota(ctx, p)
	if errors.Is(err, ErrNotFound) {
		return nil, s.gate.Miss(ctx, who, policy.ProjectQuotaShow, target(p), ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read quotas: %w", err)
	}
	return set, nil
}

// MayList asks the gate for List, for dialects that answer a refusal before
// they look at anything else.
func (s *Service) MayList(ctx context.Context, who auth.Principal) error {
	_, err := s.gate.Admit(ctx, who, policy.ProjectQuotaShow, gate.Project(who))
	return err
}

// List returns a page of the projects for which something was set, and how
// many there are.
func (s *Service) List(ctx context.Context, who auth.Principal, limit, offset int) ([]Project, int, error) {
	if err := s.MayList(ctx, who); err != nil {
		return nil, 0, err
	}
	return s.deps.Store.ProjectQuotas(ctx, limit, offset)
}

// MayChange asks the gate for Change, for dialects that answer a refusal
// before they look at the body.
func (s *Service) MayChange(ctx context.Context, who auth.Principal, p auth.ProjectID) error {
	_, err := s.gate.Admit(ctx, who, policy.ProjectQuotaChange, target(p))
	return err
}

// Change sets the limits of p that l has. The project need not exist.
func (s *Service) Change(ctx context.Context, who auth.Principal, p auth.ProjectID, l Limits) error {
	ev, err := s.gate.Admit(ctx, who, policy.ProjectQuotaChange, target(p))
	if err != nil {
		return err
	}
	return s.deps.Store.ChangeProjectQuota(ctx, p, l, s.gate.Time(), ev)
}

// Delete takes p back to the defaults.
func (s *Service) Delete(ctx context.Context, who auth.Principal, p auth.ProjectID) error {
	ev, err := s.gate.Admit(ctx, who, policy.ProjectQuotaDelete, target(p))
	if err != nil {
		return err
	}
	return s.gate.Done(ctx, ev, s.deps.Store.DeleteProjectQuota(ctx, p, ev))
}
