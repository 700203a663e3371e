package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

var _ realm.Store = (*Realm)(nil)

// Realm is a realm.Store. Make one with NewRealm.
type Realm struct {
	// Active says which KEK is a master key's active one; it decides whether a
	// sealed access key may be stored. Nil trusts the caller.
	Active func(ctx context.Context, project string, under envelope.MasterKey) (envelope.KEKID, error)

	mu          sync.Mutex
	projects    map[auth.ProjectID]project
	users       map[auth.UserID]realm.Account
	roles       map[auth.RoleID]auth.Role
	assignments map[auth.Assignment]bool
	tokens      map[realm.Digest]realm.Grant
	keys        map[string]realm.SealedKey
	appCreds    map[string]appCred
	events      []audit.Event
}

type project struct {
	auth.Project
	stamp int64
}

type appCred struct {
	auth.ApplicationCredential
	hash string
}

// NewRealm returns a store that has nothing but the domain.
func NewRealm() *Realm {
	return &Realm{
		projects: map[auth.ProjectID]project{auth.InDomain: {Project: auth.Project{
			ID: auth.InDomain, Name: auth.DefaultDomain.Name, Enabled: true,
			CreatedAt: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		}}},
		users:       make(map[auth.UserID]realm.Account),
		roles:       make(map[auth.RoleID]auth.Role),
		assignments: make(map[auth.Assignment]bool),
		tokens:      make(map[realm.Digest]realm.Grant),
		keys:        make(map[string]realm.SealedKey),
		appCreds:    make(map[string]appCred),
	}
}

// Events returns the events of all changes so far.
func (r *Realm) Events() []audit.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// change runs a change under the lock, and keeps its event if it was made.
func (r *Realm) change(ctx context.Context, ev audit.Event, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := f(); err != nil {
		return err
	}
	r.events = append(r.events, ev)
	return nil
}

// byName returns the values of m that keep wants, sorted by name.
func byName[K comparable, V any](m map[K]V, name func(V) string, keep func(V) bool) []V {
	found := slices.Collect(maps.Values(m))
	found = slices.DeleteFunc(found, func(v V) bool { return !keep(v) })
	slices.SortFunc(found, func(a, b V) int { return cmp.Compare(name(a), name(b)) })
	return found
}

func projectName(p project) string { return p.Name }

// CreateProject implements realm.Store.
func (r *Realm) CreateProject(ctx context.Context, p auth.Project, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if r.projectNamed(p.Name, p.ID) {
			return realm.ErrNameTaken
		}
		r.projects[p.ID] = project{Project: p}
		return nil
	})
}

func (r *Realm) projectNamed(name string, but auth.ProjectID) bool {
	for id, p := range r.projects {
		if p.Name == name && id != but && id != auth.InDomain {
			return true
		}
	}
	return false
}

// UpdateProject implements realm.Store.
func (r *Realm) UpdateProject(ctx context.Context, p auth.Project, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		old, ok := r.projects[p.ID]
		switch {
		case !ok || p.ID == auth.InDomain:
			return realm.ErrNoProject
		case r.projectNamed(p.Name, p.ID):
			return realm.ErrNameTaken
		}
		if old.Enabled && !p.Enabled {
			old.stamp++
		}
		p.CreatedAt = old.CreatedAt
		r.projects[p.ID] = project{p, old.stamp}
		return nil
	})
}

// DeleteProject implements realm.Store.
func (r *Realm) DeleteProject(ctx context.Context, id auth.ProjectID, ev audit.Event) error {
	return r.change(ctx, ev, func() error {
		if _, ok := r.projects[id]; !ok || id == auth.InDomain {
			return realm.ErrNoProject
		}
		delete(r.projects, id)
		maps.DeleteFunc(r.assignments, func(a auth.Assignment, _ bool) bool { return a.Project == id })
		maps.DeleteFunc(r.keys, func(_ string, k realm.SealedKey) bool { return k.Project == id })
		maps.DeleteFunc(r.appCreds, func(_ string, c appCred) bool { return c.Project == id })
		for uid, u := range r.users {
			if u.User.DefaultProject == id {
				u.User.DefaultProject = ""
				r.users[uid] = u
			}
		}
		return nil
	})
}

// FindProject implements realm.Store.
func (r *Realm) FindProject(_ context.Context, id auth.ProjectID) (auth.Project, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.projects[id]
	if !ok {
		return auth.Project{}, realm.ErrNoProject
	}
	return p.Project, nil
}

// ListProjects implements realm.Store.
func (r *Realm) ListProjects(_ context.Context, q realm.ProjectQuery) ([]auth.Project, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []auth.Project
	for _, p := range byName(r.projects, projectName, func(p project) bool {
		return p.ID != auth.InDomain &&
			(q.Name == "" || p.Name == q.Name) &&
			(q.Member == "" || len(r.rolesOf(q.Member, p.ID)) > 0) &&
			(q.Enabled == nil || p.Enabled == *q.Enabled)
	}) {
		out = append(out, p.Project)
	}
	return out, nil
}
