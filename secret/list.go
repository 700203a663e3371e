package secret

import (
	"context"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
)

// Query selects secrets the way Barbican does. Zero fields select nothing
// away.
type Query struct {
	Limit, Offset         int
	Name, Algorithm, Mode string // SQL LIKE patterns, case-sensitive
	BitLength             int
	Type                  string
	Created               []Bound
	Updated               []Bound
	Expiration            []Bound
	Sort                  []Order // then by creation and UUID, in the direction of the first
	Consumers             bool    // also read the consumers of each secret on the page
}

// Bound is one condition on a time.
type Bound struct {
	Op Comparison
	At time.Time
}

// Comparison is how a time is compared with a bound.
type Comparison string

const (
	Equal     Comparison = "="
	After     Comparison = ">"
	NotBefore Comparison = ">="
	Before    Comparison = "<"
	NotAfter  Comparison = "<="
)

// Order sorts by one attribute.
type Order struct {
	By         SortKey
	Descending bool
}

// SortKey is an attribute that a list may be sorted by.
type SortKey string

const (
	ByAlgorithm  SortKey = "algorithm"
	ByBitLength  SortKey = "bit_length"
	ByCreated    SortKey = "created"
	ByExpiration SortKey = "expiration"
	ByMode       SortKey = "mode"
	ByName       SortKey = "name"
	ByType       SortKey = "secret_type"
	ByStatus     SortKey = "status"
	ByUpdated    SortKey = "updated"
)

// NamedQuery selects secrets the way CSMS does.
type NamedQuery struct {
	After string // a handle; empty: from the start
	Limit int
	Event string // only secrets that subscribed to it
}

// MayList asks the gate for List, for dialects that answer a refusal before
// they look at anything else.
func (s *Service) MayList(ctx context.Context, who auth.Principal) error {
	_, err := s.gate.Admit(ctx, who, policy.SecretList, gate.Project(who))
	return err
}

// List returns one page of the caller's project, and how many secrets match.
func (s *Service) List(ctx context.Context, who auth.Principal, q Query) ([]Secret, int, error) {
	if err := s.MayList(ctx, who); err != nil {
		return nil, 0, err
	}
	return s.deps.Store.List(ctx, who.Project, q, s.now())
}

// ListNamed returns a page of the caller's project by handle, and whether more
// secrets follow.
func (s *Service) ListNamed(ctx context.Context, who auth.Principal, q NamedQuery) (page []Secret, more bool, err error) {
	if err := s.MayList(ctx, who); err != nil {
		return nil, false, err
	}
	page, err = s.deps.Store.ListNamed(ctx, who.Project, q, s.now())
	if err != nil {
		return nil, false, err
	}
	if len(page) > q.Limit {
		return page[:q.Limit], true, nil
	}
	return page, false, nil
}
