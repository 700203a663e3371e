package secret

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
)

// Ended is a secret that is past its expiration or its deletion time, and
// whose rows are still there.
type Ended struct {
	Project auth.ProjectID
	ID      ID
	Name    string // its UUID where it has none
}

// NameHeldError says that a name is that of a secret whose time is over and whose
// rows are still there. It never leaves this package: that secret is removed,
// and the name is free.
type NameHeldError struct{ By Ended }

func (*NameHeldError) Error() string { return ErrNameTaken.Error() }

// Unwrap makes it ErrNameTaken to whoever does not look closer.
func (*NameHeldError) Unwrap() error { return ErrNameTaken }

// Purged is a secret that goes, and the record of that.
type Purged struct {
	ID    ID
	Event audit.Event
}

// Purge removes some secrets whose time was over before then, limit at most,
// with their ciphertext, and says how many. Nobody may still use them, so no
// judge is asked: the program itself is who does it. It may stop anywhere, and
// any number of processes may do so at once.
func (s *Service) Purge(ctx context.Context, before time.Time, limit int) (int, error) {
	ended, err := s.deps.Store.Ended(ctx, before, limit)
	if err != nil {
		return 0, err
	}
	byProject := map[auth.ProjectID][]Purged{}
	for _, e := range ended {
		byProject[e.Project] = append(byProject[e.Project], Purged{e.ID, s.purged(e)})
	}
	var n int
	var errs []error
	for project, gone := range byProject {
		removed, err := s.deps.Store.Purge(ctx, project, gone, before)
		if err != nil {
			errs = append(errs, fmt.Errorf("purge: %w", err))
		}
		n += removed
	}
	return n, errors.Join(errs...)
}

func (s *Service) purged(e Ended) audit.Event {
	who := auth.Principal{UserName: "strongroom", Project: e.Project, Method: auth.ByOperator, Family: policy.Operator}
	t := policy.Target{Kind: "secret", Project: string(e.Project), ID: string(e.ID), Name: e.Name}
	return audit.New(s.deps.NewEventID(), s.now(), who, policy.SecretPurge, t, policy.Decision{Allowed: true})
}
