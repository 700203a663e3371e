// Package transport has transport keys: keys of a secret store under which
// clients may wrap a payload themselves, so that nobody in between sees it.
//
// No store here unwraps what clients wrapped: a payload is sealed under a data
// key of its own, in this program. So there are no transport keys, and none can
// be made. What remains is who may ask (barbican.md §17), and that each refusal
// and miss is on record.
package transport

import (
	"context"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
)

var (
	// ErrNotFound says that there is no such key, as there is none at all.
	ErrNotFound = fault.New(fault.NotFound, "the transport key does not exist")
	// ErrNone says that no key can be made.
	ErrNone = fault.New(fault.Denied, "no secret store can unwrap what a client wrapped, so transport keys cannot be stored")
)

// Service answers for transport keys. It may be used concurrently.
type Service struct{ gate gate.Gate }

// NewService panics on an incomplete gate: that is a wiring mistake, and the
// program must not start with it.
func NewService(g gate.Gate) *Service {
	if !g.Complete() {
		panic("transport.NewService: incomplete Gate")
	}
	return &Service{g}
}

// List says whether the caller may see that there are none.
func (s *Service) List(ctx context.Context, who auth.Principal) error {
	_, err := s.gate.Admit(ctx, who, policy.TransportKeyList, gate.Project(who))
	return err
}

// Show finds nothing.
func (s *Service) Show(ctx context.Context, who auth.Principal, id string) error {
	return s.miss(ctx, who, policy.TransportKeyShow, id)
}

// MayCreate asks the gate for Create, for dialects that answer a refusal
// before they look at the body.
func (s *Service) MayCreate(ctx context.Context, who auth.Principal) error {
	_, err := s.gate.Admit(ctx, who, policy.TransportKeyCreate, gate.Project(who))
	return err
}

// Create refuses.
func (s *Service) Create(ctx context.Context, who auth.Principal) error {
	ev, err := s.gate.Admit(ctx, who, policy.TransportKeyCreate, gate.Project(who))
	if err != nil {
		return err
	}
	return s.gate.Refuse(ctx, ev.As(audit.Refused), ErrNone)
}

// Delete finds nothing.
func (s *Service) Delete(ctx context.Context, who auth.Principal, id string) error {
	return s.miss(ctx, who, policy.TransportKeyDelete, id)
}

// miss asks first: that there is no such key is for those who may know.
func (s *Service) miss(ctx context.Context, who auth.Principal, act policy.Action, id string) error {
	ev, err := s.gate.Admit(ctx, who, act, policy.Target{Kind: "transport-key", ID: id})
	if err != nil {
		return err
	}
	return s.gate.Refuse(ctx, ev.As(audit.Missing), ErrNotFound)
}
