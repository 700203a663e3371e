// Package gate is what every operation of the domain passes before it changes
// or reveals anything: the policy is asked, and a refusal or a miss is on
// record before the caller hears of it. Each domain service has one Gate and
// no other way to ask.
package gate

import (
	"context"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
)

// Judge decides whether who may do act on t, and names the rule that decided.
type Judge interface {
	Decide(who auth.Principal, act policy.Action, t policy.Target) policy.Decision
}

// Recorder makes the record of a read or a refusal durable before the answer
// leaves, in a local log with group commit. A change needs none: its event is
// an argument of the store, so that both become durable together.
type Recorder interface {
	Record(ctx context.Context, ev audit.Event) error
}

// Gate asks and records. All fields are required. It may be used concurrently.
type Gate struct {
	Judge      Judge
	Recorder   Recorder
	NewEventID func() string // UUIDs of version 7
	Now        func() time.Time
}

// Complete reports whether every field is set.
func (g Gate) Complete() bool {
	return g.Judge != nil && g.Recorder != nil && g.NewEventID != nil && g.Now != nil
}

// Time is now in the store's precision.
func (g Gate) Time() time.Time { return g.Now().UTC().Truncate(time.Microsecond) }

// Admit asks the judge. Where the answer is no that is recorded, and the error
// wraps policy.ErrDenied; else the event is for the record of the operation
// itself.
func (g Gate) Admit(ctx context.Context, who auth.Principal, act policy.Action, t policy.Target) (audit.Event, error) {
	d := g.Judge.Decide(who, act, t)
	ev := audit.New(g.NewEventID(), g.Time(), who, act, t, d)
	if !d.Allowed {
		return ev, g.Refuse(ctx, ev, policy.Denied(who.Family, act))
	}
	return ev, nil
}

// Refuse records why something was not done, and returns why.
func (g Gate) Refuse(ctx context.Context, ev audit.Event, why error) error {
	if err := g.Recorder.Record(ctx, ev); err != nil {
		return fmt.Errorf("record refusal: %w", err)
	}
	return why
}

// Done returns err, and records first that what was allowed is not done because
// of it: there is no such thing, or its state or a quota forbids it. What is a
// fault of ours is for the log.
func (g Gate) Done(ctx context.Context, ev audit.Event, err error) error {
	switch fault.KindOf(err) {
	case fault.NotFound:
		return g.Refuse(ctx, ev.As(audit.Missing), err)
	case fault.Invalid, fault.Denied, fault.Exists, fault.WrongState:
		return g.Refuse(ctx, ev.As(audit.Refused), err)
	}
	return err
}

// Miss records that t, which who named for act, does not exist, and returns
// notFound: guessing identifiers is how an attack begins.
//
// For Huawei's clients authorisation is decided before existence is disclosed
// (csms.md §10), so there act is asked first; Barbican tells a miss first
// (barbican.md §6.2).
func (g Gate) Miss(ctx context.Context, who auth.Principal, act policy.Action, t policy.Target, notFound error) error {
	d := policy.Decision{Allowed: true}
	if who.Family == policy.Huawei {
		d = g.Judge.Decide(who, act, t)
	}
	ev := audit.New(g.NewEventID(), g.Time(), who, act, t, d)
	if !d.Allowed {
		return g.Refuse(ctx, ev, policy.Denied(who.Family, act))
	}
	return g.Refuse(ctx, ev.As(audit.Missing), notFound)
}

// Trespass records that who asked for what is in another project's path, and
// returns why the answer is no. Such a request never reaches an operation.
func (g Gate) Trespass(ctx context.Context, who auth.Principal, p auth.ProjectID, why error) error {
	t := policy.Target{Kind: "project", Project: string(p), ID: string(p)}
	return g.Refuse(ctx, audit.New(g.NewEventID(), g.Time(), who, policy.ProjectEnter, t, policy.Decision{}), why)
}

// Project is the target of an action on the caller's whole project.
func Project(who auth.Principal) policy.Target {
	return policy.Target{Kind: "project", Project: string(who.Project), ID: string(who.Project)}
}
