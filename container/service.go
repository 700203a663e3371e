package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
)

// Service is the only way to a container. Every operation passes the gate
// before it changes or reveals anything. deps is private so that nothing can
// walk around it. It may be used concurrently.
type Service struct {
	deps Deps
}

// Deps is what a Service needs. All fields are required.
type Deps struct {
	Store Store
	Gate  gate.Gate
	NewID func() string // random UUIDs of version 4
}

// NewService panics on a missing dependency: that is a wiring mistake, and the
// program must not start with it.
func NewService(d Deps) *Service {
	if d.Store == nil || d.NewID == nil || !d.Gate.Complete() {
		panic("container.NewService: incomplete Deps")
	}
	return &Service{deps: d}
}

// Located is a container that exists. Holding one proves nothing but that:
// each of its methods asks the gate. It is for one request and one goroutine.
type Located struct {
	s     *Service
	who   auth.Principal
	found Container

	admitted policy.Action // what the gate allowed last,
	event    audit.Event   // and its record
}

// Locate finds a container in one round trip. A miss is recorded like a
// refusal. act is what the caller is about to do.
func (s *Service) Locate(ctx context.Context, who auth.Principal, act policy.Action, h Handle, want Want) (*Located, error) {
	found, err := s.deps.Store.FindContainer(ctx, h, want)
	if errors.Is(err, ErrNotFound) {
		t := policy.Target{Kind: "container", Project: string(who.Project), ID: string(h.ID)}
		return nil, s.deps.Gate.Miss(ctx, who, act, t, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("find container: %w", err)
	}
	return &Located{s: s, who: who, found: found}, nil
}

// May asks the gate for act, for dialects that answer a refusal before they
// look at the rest of a request. The operation asks all the same.
func (l *Located) May(ctx context.Context, act policy.Action) error {
	_, err := l.admit(ctx, act)
	return err
}

// admit asks the gate for act on this container, once per action: the decision
// cannot change within a request.
func (l *Located) admit(ctx context.Context, act policy.Action) (audit.Event, error) {
	if l.admitted != act {
		ev, err := l.s.deps.Gate.Admit(ctx, l.who, act, l.found.target())
		if err != nil {
			return ev, err
		}
		l.admitted, l.event = act, ev
	}
	return l.event, nil
}

// admitOwner is admit for what only the container's own project does, whatever
// the policy says: to others it is not there (barbican.md §12.4).
func (l *Located) admitOwner(ctx context.Context, act policy.Action) (audit.Event, error) {
	ev, err := l.admit(ctx, act)
	if err == nil && l.who.Project != l.found.Project {
		err = l.s.deps.Gate.Refuse(ctx, ev.As(audit.Missing), ErrNotFound)
	}
	return ev, err
}
