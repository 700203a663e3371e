package secretstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
)

// List returns all stores, in the order of the configuration.
func (s *Service) List(ctx context.Context, who auth.Principal) ([]Store, error) {
	if err := s.mayLook(ctx, who, policy.StoreList); err != nil {
		return nil, err
	}
	return slices.Clone(s.deps.Stores), nil
}

// Global returns the store of projects that prefer none.
func (s *Service) Global(ctx context.Context, who auth.Principal) (Store, error) {
	if err := s.mayLook(ctx, who, policy.StoreShowDefault); err != nil {
		return Store{}, err
	}
	return s.deps.Stores[slices.IndexFunc(s.deps.Stores, func(st Store) bool { return st.Global })], nil
}

// Preferred returns the store that the caller's project prefers, or
// ErrNonePreferred.
func (s *Service) Preferred(ctx context.Context, who auth.Principal) (Store, error) {
	if err := s.mayLook(ctx, who, policy.StoreShowPreferred); err != nil {
		return Store{}, err
	}
	name, err := s.deps.Preferences.PreferredGroup(ctx, who.Project)
	if err != nil {
		return Store{}, err
	}
	i := slices.IndexFunc(s.deps.Stores, func(st Store) bool { return st.Name == name })
	if i < 0 {
		return Store{}, fmt.Errorf("token group %s: %w", name, ErrElsewhere)
	}
	return s.deps.Stores[i], nil
}

// mayLook asks the gate. Only who may look hears that there is nothing to see
// (barbican.md §16).
func (s *Service) mayLook(ctx context.Context, who auth.Principal, act policy.Action) error {
	if _, err := s.deps.Gate.Admit(ctx, who, act, gate.Project(who)); err != nil {
		return err
	}
	if !s.deps.Enabled {
		return ErrOff
	}
	return nil
}

const uuidLength = 36

// Located is a store that exists. Holding one proves nothing but that: each of
// its methods asks the gate.
type Located struct {
	s     *Service
	who   auth.Principal
	store Store
}

// Locate finds a store by its id, for an operation that act is the name of. A
// miss is recorded like a refusal.
func (s *Service) Locate(ctx context.Context, who auth.Principal, act policy.Action, id string) (*Located, error) {
	if !s.deps.Enabled {
		return nil, ErrOff
	}
	i := slices.IndexFunc(s.deps.Stores, func(st Store) bool { return st.ID == id })
	if i < 0 {
		t := policy.Target{Kind: "store", Project: string(who.Project)}
		if len(id) == uuidLength { // anything else may be of any length
			t.ID = id
		}
		return nil, s.deps.Gate.Miss(ctx, who, act, t, ErrNotFound)
	}
	return &Located{s: s, who: who, store: s.deps.Stores[i]}, nil
}

func (l *Located) target() policy.Target {
	return policy.Target{Kind: "store", Project: string(l.who.Project), ID: l.store.ID, Name: l.store.Name}
}

// Show returns everything of the store.
func (l *Located) Show(ctx context.Context) (Store, error) {
	if _, err := l.s.deps.Gate.Admit(ctx, l.who, policy.StoreShow, l.target()); err != nil {
		return Store{}, err
	}
	return l.store, nil
}

// Prefer makes it the one that the caller's project prefers. Once it returns,
// nothing new of the project is stored elsewhere, by any node; what is stored
// already stays where it is.
func (l *Located) Prefer(ctx context.Context) error {
	ev, err := l.s.deps.Gate.Admit(ctx, l.who, policy.StorePrefer, l.target())
	if err != nil {
		return err
	}
	return l.s.deps.Preferences.PreferGroup(ctx, l.who.Project, l.store.Name, ev)
}

// Forget removes the preference of the caller's project, whichever store it is
// for: that is how clients know it (barbican.md §16).
func (l *Located) Forget(ctx context.Context) error {
	ev, err := l.s.deps.Gate.Admit(ctx, l.who, policy.StoreForget, l.target())
	if err != nil {
		return err
	}
	return l.s.deps.Preferences.ForgetPreference(ctx, l.who.Project, ev)
}
