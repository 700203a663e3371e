package secret

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

// Service is the only way to a secret. Every operation passes admit before it
// changes or reveals anything, so no transport can forget to check or to
// record. deps is private for the same reason. It may be used concurrently.
type Service struct {
	deps Deps
	gate gate.Gate
}

// Deps is what a Service needs. All fields but the last two are required.
type Deps struct {
	Store      Store
	Sealer     BackupSealer
	Keys       Keys
	Judge      gate.Judge
	Recorder   gate.Recorder
	NewID      func() ID     // random UUIDs of version 4
	NewEventID func() string // UUIDs of version 7
	Now        func() time.Time
	// StrictKeys refuses a secret whose caller names a master key that nobody
	// has. Without it the key is made, with that UUID (csms.md §4.1.1).
	StrictKeys bool
	// VersionGrace keeps a version without a stage from being purged while it
	// is younger: somebody may still read it by its number. Zero keeps none.
	VersionGrace time.Duration
}

// NewService panics on a missing dependency: that is a wiring mistake, and the
// program must not start with it.
func NewService(d Deps) *Service {
	if d.Store == nil || d.Sealer == nil || d.Keys == nil || d.Judge == nil || d.Recorder == nil ||
		d.NewID == nil || d.NewEventID == nil || d.Now == nil {
		panic("secret.NewService: incomplete Deps")
	}
	return &Service{deps: d, gate: gate.Gate{Judge: d.Judge, Recorder: d.Recorder, NewEventID: d.NewEventID, Now: d.Now}}
}

// now is the time in the store's precision.
func (s *Service) now() time.Time { return s.gate.Time() }

// Located is a secret that exists. Holding one proves nothing but that: each
// of its methods asks the gate. It is for one request and one goroutine.
type Located struct {
	s     *Service
	who   auth.Principal
	want  Want
	found Found
	own   bool // the program itself is who acts, and no judge is asked

	admitted policy.Action // what the gate allowed last,
	event    audit.Event   // and its record
}

// Locate finds a secret, with what want asks for, in one round trip. A miss is
// recorded like a refusal, since guessing identifiers is how an attack begins.
// act is what the caller is about to do.
func (s *Service) Locate(ctx context.Context, who auth.Principal, act policy.Action, h Handle, want Want) (*Located, error) {
	found, err := s.deps.Store.Find(ctx, h, want, s.now())
	if errors.Is(err, ErrNotFound) {
		return nil, s.miss(ctx, who, act, h)
	}
	if err != nil {
		return nil, fmt.Errorf("find secret: %w", err)
	}
	return &Located{s: s, who: who, want: want, found: found}, nil
}

func (s *Service) miss(ctx context.Context, who auth.Principal, act policy.Action, h Handle) error {
	t := policy.Target{Kind: "secret", Project: string(who.Project), ID: string(h.ID), Name: h.Name}
	return s.gate.Miss(ctx, who, act, t, ErrNotFound)
}

// Handle is what CSMS calls the secret. It is part of most answers, and says
// no more than what the caller named.
func (l *Located) Handle() string { return l.found.Secret.Handle }

// May asks the gate for act, for dialects that answer a refusal before they
// look at the rest of a request. The operation asks all the same.
func (l *Located) May(ctx context.Context, act policy.Action) error {
	_, err := l.admit(ctx, act, "", "")
	return err
}

// admit asks the gate for act on this secret, once per action: the decision
// cannot change within a request.
func (l *Located) admit(ctx context.Context, act policy.Action, version string, stage Stage) (audit.Event, error) {
	if l.admitted != act || version != "" || stage != "" {
		t := l.found.Secret.target()
		t.Version, t.Stage = version, string(stage)
		if l.own {
			return audit.New(l.s.deps.NewEventID(), l.s.now(), l.who, act, t, policy.Decision{Allowed: true}), nil
		}
		ev, err := l.s.gate.Admit(ctx, l.who, act, t)
		if err != nil {
			return ev, err
		}
		l.admitted, l.event = act, ev
	}
	return l.event, nil
}

// again reads the secret anew after another change came first.
func (l *Located) again(ctx context.Context) error {
	sec := l.found.Secret
	found, err := l.s.deps.Store.Find(ctx, Within(sec.Project, sec.ID), l.want, l.s.now())
	if err != nil {
		return err
	}
	found.Secret.Handle = sec.Handle
	l.found = found
	return nil
}

// Trespass records that a caller asked for what is in another project's path,
// and returns why the answer is no. Such a request never reaches an operation.
func (s *Service) Trespass(ctx context.Context, who auth.Principal, p auth.ProjectID, why error) error {
	return s.gate.Trespass(ctx, who, p, why)
}
