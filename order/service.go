package order

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// Service is the only way to an order. Every operation passes the gate before
// it changes or reveals anything. It may be used concurrently, and Close ends
// the work that it does in the background.
type Service struct {
	deps   Deps
	gate   gate.Gate
	places map[Kind]chan struct{}

	life context.Context //nolint:containedctx // of the workers, which outlive the requests that start them
	end  context.CancelFunc
	mu   sync.Mutex // closed and the first Add of a worker exclude each other
	work sync.WaitGroup
	shut bool
}

// Deps is what a Service needs. All fields but the last five are required.
type Deps struct {
	Store          Store
	Sealer         Sealer
	Random         Random
	Pairs          Pairs
	Judge          gate.Judge
	Recorder       gate.Recorder
	NewID          func() ID // random UUIDs of version 4, as the next two
	NewSecretID    func() secret.ID
	NewContainerID func() container.ID
	NewEventID     func() string // UUIDs of version 7
	Now            func() time.Time

	// Places is how many orders of a kind this process works on at once: 16 for
	// keys, which wait for the token, and 2 for pairs.
	Places map[Kind]int
	// Claim is how long a worker that is not heard of is taken to be alive
	// (5 s). Those that are alive are heard of several times meanwhile.
	Claim time.Duration
	// Patience is how long Create waits for the order to be finished (10 s).
	// Clients may ask for what an order made right away.
	Patience time.Duration
	// Fill makes n random bytes of the server's own (crypto/rand).
	Fill func([]byte)
	// Ended hears of each piece of work: the order after it, and what went wrong
	// in the server. It must not block.
	Ended func(o Order, took time.Duration, err error)
}

// NewService panics on a missing dependency: that is a wiring mistake, and the
// program must not start with it.
func NewService(d Deps) *Service {
	if d.Store == nil || d.Sealer == nil || d.Random == nil || d.Pairs == nil || d.Judge == nil || d.Recorder == nil ||
		d.NewID == nil || d.NewSecretID == nil || d.NewContainerID == nil || d.NewEventID == nil || d.Now == nil {
		panic("order.NewService: incomplete Deps")
	}
	d.Claim = cmp.Or(d.Claim, 5*time.Second)
	d.Patience = cmp.Or(d.Patience, 10*time.Second)
	if d.Fill == nil {
		d.Fill = fill
	}
	if d.Ended == nil {
		d.Ended = func(Order, time.Duration, error) {}
	}
	s := &Service{
		deps: d,
		gate: gate.Gate{Judge: d.Judge, Recorder: d.Recorder, NewEventID: d.NewEventID, Now: d.Now},
		places: map[Kind]chan struct{}{
			Key:        make(chan struct{}, cmp.Or(d.Places[Key], 16)),
			Asymmetric: make(chan struct{}, cmp.Or(d.Places[Asymmetric], 2)),
		},
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// Close ends the workers and waits for them. What they were working on is for
// other nodes, at once, or for the next start.
func (s *Service) Close() error {
	s.mu.Lock()
	s.shut = true
	s.mu.Unlock()
	s.end()
	s.work.Wait()
	return nil
}

// May asks the gate for an action on all orders of the caller's project, for
// dialects that answer a refusal before they look at the rest of a request.
func (s *Service) May(ctx context.Context, who auth.Principal, act policy.Action) error {
	_, err := s.gate.Admit(ctx, who, act, gate.Project(who))
	return err
}

// List returns one page of the caller's project, and how many orders match.
func (s *Service) List(ctx context.Context, who auth.Principal, q Query) ([]Order, int, error) {
	if err := s.May(ctx, who, policy.OrderList); err != nil {
		return nil, 0, err
	}
	return s.deps.Store.ListOrders(ctx, who.Project, q)
}

// Located is an order of the caller's project that exists. Holding one proves
// nothing but that: its methods ask the gate.
type Located struct {
	s     *Service
	who   auth.Principal
	order Order
}

// Locate finds an order in the caller's project; those of others do not exist
// for it (barbican.md §6.4). A miss is recorded. act is what the caller is
// about to do.
func (s *Service) Locate(ctx context.Context, who auth.Principal, act policy.Action, id ID) (*Located, error) {
	o, err := s.deps.Store.FindOrder(ctx, who.Project, id)
	if errors.Is(err, ErrNotFound) {
		t := policy.Target{Kind: "order", Project: string(who.Project), ID: string(id)}
		return nil, s.gate.Miss(ctx, who, act, t, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("find order: %w", err)
	}
	return &Located{s, who, o}, nil
}

// May asks the gate for act, for dialects that answer a refusal before they
// look at the rest of a request.
func (l *Located) May(ctx context.Context, act policy.Action) error {
	_, err := l.s.gate.Admit(ctx, l.who, act, l.order.target())
	return err
}

// Show returns the order.
func (l *Located) Show(ctx context.Context) (Order, error) {
	if err := l.May(ctx, policy.OrderShow); err != nil {
		return Order{}, err
	}
	return l.order, nil
}

// Delete removes the order and leaves what it made. One that is PENDING makes
// nothing any more.
func (l *Located) Delete(ctx context.Context) error {
	ev, err := l.s.gate.Admit(ctx, l.who, policy.OrderDelete, l.order.target())
	if err != nil {
		return err
	}
	return l.s.deps.Store.DeleteOrder(ctx, l.order, ev)
}
