// Package tenant ends a project: it removes what the project leaves behind once
// whoever manages identities has deleted it. Keystone's announcements do not
// come here, so an operator says so.
package tenant

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
)

// Store removes what a project has.
type Store interface {
	// PurgeProject removes some of it, limit of each kind at most, together with
	// the event, and says how many secrets, containers and orders that were. It
	// keeps audit events and master keys.
	PurgeProject(ctx context.Context, p auth.ProjectID, limit int, ev audit.Event) (int, error)
}

// Service ends projects.
type Service struct {
	gate  gate.Gate
	store Store
}

// NewService returns a Service; all of g's fields are required.
func NewService(g gate.Gate, s Store) *Service {
	if !g.Complete() || s == nil {
		panic("tenant: a dependency is missing")
	}
	return &Service{gate: g, store: s}
}

// perStep bounds what one statement removes, so that each is short.
const perStep = 1000

const maxID = 255 // characters

var errNoID = fault.New(fault.Invalid, "A project's identifier has 1 to 255 characters.")

// Purge removes the secrets, containers and orders of p, and what was set for
// it, step by step, each step on record. It says how many that were, also where
// it fails halfway: then it may be repeated.
func (s *Service) Purge(ctx context.Context, who auth.Principal, p auth.ProjectID) (int, error) {
	removed := 0
	for {
		t := policy.Target{Kind: "project", Project: string(p), ID: string(p)}
		ev, err := s.gate.Admit(ctx, who, policy.IdentityManage, t)
		if err != nil {
			return removed, err
		}
		if p == "" || p.Reserved() || utf8.RuneCountInString(string(p)) > maxID || !utf8.ValidString(string(p)) {
			return removed, s.gate.Refuse(ctx, ev.As(audit.Refused), errNoID)
		}
		ev.Action = "project.purge"
		n, err := s.store.PurgeProject(ctx, p, perStep, ev)
		if err != nil {
			return removed, fmt.Errorf("purge project: %w", err)
		}
		removed += n
		if n == 0 {
			return removed, nil
		}
	}
}
