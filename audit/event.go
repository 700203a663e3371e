// Package audit has the record of what was asked and what was decided. An
// event of a change becomes durable in the change's own transaction; one of a
// read, a refusal or a miss in a local log (package audit/journal) before the
// answer leaves.
package audit

import (
	"encoding/json"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
)

// Outcome is how an event ended.
type Outcome string

const (
	Success Outcome = "success"
	Denied  Outcome = "denied"  // the policy said no
	Missing Outcome = "missing" // no such target, or not visible to the caller
	Refused Outcome = "refused" // allowed, but the target's state or a quota forbids it
)

// Event is one line of the record. It holds no payload, no key and no access
// token, and there is no field to put one in. JSON names follow CADF where it
// has a word.
type Event struct {
	ID        string    `json:"id"` // UUID version 7
	At        time.Time `json:"eventTime"`
	Project   string    `json:"project"`
	Initiator Initiator `json:"initiator"`
	Family    string    `json:"family"`
	Action    string    `json:"action"` // the domain's name
	Rule      string    `json:"rule"`   // the family's name of the action
	Target    Target    `json:"target"`
	Outcome   Outcome   `json:"outcome"`
	Reason    []string  `json:"reason,omitempty"` // rules that decided
	Request   string    `json:"request,omitempty"`
	Removed   []string  `json:"removed,omitempty"` // versions that went to make room for the target
}

// Initiator is who asked.
type Initiator struct {
	User       string   `json:"user,omitempty"`
	Name       string   `json:"name,omitempty"`
	Project    string   `json:"project,omitempty"`
	Roles      []string `json:"roles,omitempty"`
	Method     string   `json:"method"`
	Credential string   `json:"credential,omitempty"`
	From       string   `json:"from,omitempty"`
}

// Target is what it was asked for.
type Target struct {
	Kind    string `json:"kind"`
	Project string `json:"project,omitempty"`
	ID      string `json:"id,omitempty"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	Stage   string `json:"stage,omitempty"`
}

// New starts the event of who asking for act on t, decided as d says. Its
// outcome is Success or Denied; whoever finds out otherwise changes it. The
// identifier is a UUID of version 7, so that events sort by time.
func New(id string, now time.Time, who auth.Principal, act policy.Action, t policy.Target, d policy.Decision) Event {
	outcome := Denied
	if d.Allowed {
		outcome = Success
	}
	project := t.Project
	if project == "" {
		project = string(who.Project)
	}
	return Event{
		ID:      id,
		At:      now.UTC(),
		Project: project,
		Initiator: Initiator{
			User: string(who.User), Name: who.UserName, Project: string(who.Project), Roles: who.Roles,
			Method: string(who.Method), Credential: who.Credential, From: who.From,
		},
		Family: who.Family.String(),
		Action: string(act),
		Rule:   act.In(who.Family),
		Target: Target{
			Kind: t.Kind, Project: t.Project, ID: t.ID, Name: t.Name,
			Version: t.Version, Stage: t.Stage,
		},
		Outcome: outcome,
		Reason:  d.Rules,
		Request: who.Request,
	}
}

// As returns the event with another outcome.
func (e Event) As(o Outcome) Event {
	e.Outcome = o
	return e
}

// JSON is the event as it is kept: one object, no line break.
func (e Event) JSON() ([]byte, error) { return json.Marshal(e) }
