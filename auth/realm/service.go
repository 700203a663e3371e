package realm

import (
	"context"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
)

// Service is the only way into the realm. Every operation on somebody else's
// things passes the gate, and every change, refusal and failed login leaves a
// record. It may be used concurrently.
type Service struct {
	deps Deps

	tokens  *cache[Digest, Grant]
	keys    *cache[string, auth.AccessKey]
	members *cache[membership, Member]
	guesses *throttle
}

// Deps is what a Service needs. All fields but those of Config are required.
type Deps struct {
	Store      Store
	Sealer     Sealer
	Judge      Judge
	Recorder   Recorder
	Passwords  Passwords
	NewID      func() string // 32 random lower-case hex digits
	NewEventID func() string // UUIDs of version 7
	Now        func() time.Time
	Config     Config
}

// Config is what an operator may choose.
type Config struct {
	TokenTTL time.Duration // how long an access token lives; 0: 24 hours
	// CacheTTL is how long a change on another node may go unnoticed; 0: five
	// seconds, which is also the most.
	CacheTTL time.Duration
	// Regions are names that mean the caller's own project where no project has
	// them: Huawei's clients look their project up by region.
	Regions []string
}

const (
	defaultTokenTTL = 24 * time.Hour
	maxCacheTTL     = 5 * time.Second
	maxCached       = 65536 // entries of each kind
)

// NewService panics on a missing dependency: that is a wiring mistake, and the
// program must not start with it.
func NewService(d Deps) *Service {
	if d.Store == nil || d.Sealer == nil || d.Judge == nil || d.Recorder == nil || d.Passwords == nil ||
		d.NewID == nil || d.NewEventID == nil || d.Now == nil {
		panic("realm.NewService: incomplete Deps")
	}
	if d.Config.TokenTTL <= 0 {
		d.Config.TokenTTL = defaultTokenTTL
	}
	if d.Config.CacheTTL <= 0 || d.Config.CacheTTL > maxCacheTTL {
		d.Config.CacheTTL = maxCacheTTL
	}
	return &Service{
		deps:    d,
		tokens:  newCache[Digest, Grant](d.Config.CacheTTL, maxCached, d.Now),
		keys:    newCache[string, auth.AccessKey](d.Config.CacheTTL, maxCached, d.Now),
		members: newCache[membership, Member](d.Config.CacheTTL, maxCached, d.Now),
		guesses: newThrottle(d.Now),
	}
}

// Operator is who runs a command on the machine itself. The policy has a rule
// for that one.
func Operator() auth.Principal {
	return auth.Principal{UserName: "operator", Method: auth.ByOperator, Family: policy.Operator}
}

// now is the time in the store's precision.
func (s *Service) now() time.Time { return s.deps.Now().UTC().Truncate(time.Microsecond) }

var errDenied = fault.New(fault.Denied, "You are not authorized to perform the requested action.")

// decide asks the judge, after the one rule that no policy may take away. self
// is the user that the target belongs to; empty where it is nobody's.
func (s *Service) decide(who auth.Principal, act policy.Action, t policy.Target, self auth.UserID) policy.Decision {
	if self != "" && self == who.User {
		return policy.Decision{Allowed: true, Rules: []string{"self"}}
	}
	return s.deps.Judge.Decide(who, act, t)
}

// admit asks the gate and records a refusal. The event it returns is for the
// record of the operation itself, which does names.
func (s *Service) admit(ctx context.Context, who auth.Principal, act policy.Action, does string, t policy.Target, self auth.UserID) (audit.Event, error) {
	d := s.decide(who, act, t, self)
	ev := audit.New(s.deps.NewEventID(), s.now(), who, act, t, d)
	ev.Action = does
	if !d.Allowed {
		return ev, s.refuse(ctx, ev, errDenied)
	}
	return ev, nil
}

// manage is admit for a change, read for a look.
func (s *Service) manage(ctx context.Context, who auth.Principal, does string, t policy.Target) (audit.Event, error) {
	return s.admit(ctx, who, policy.IdentityManage, does, t, "")
}

func (s *Service) read(ctx context.Context, who auth.Principal, does string, t policy.Target, self auth.UserID) error {
	_, err := s.admit(ctx, who, policy.IdentityRead, does, t, self)
	return err
}

// refuse records why something was not done, and returns why.
func (s *Service) refuse(ctx context.Context, ev audit.Event, why error) error {
	if err := s.deps.Recorder.Record(ctx, ev); err != nil {
		return fmt.Errorf("record refusal: %w", err)
	}
	return why
}

// changed forgets everything: people and their rights change rarely, and one
// rule that is easy to keep is better than five that save a round trip. It
// runs after a failed change too, which may have been made all the same.
func (s *Service) changed() {
	s.tokens.clear()
	s.keys.clear()
	s.members.clear()
}

// MayReadAll reports whether who may look at everybody's things, for a list
// that shows others their own.
func (s *Service) MayReadAll(who auth.Principal) bool {
	return s.decide(who, policy.IdentityRead, policy.Target{Kind: "user"}, "").Allowed
}
