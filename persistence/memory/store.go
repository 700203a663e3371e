// Package memory is a store without a database, for tests. Package storetest
// says that it behaves as the real one does; nothing else may use it.
//
// # Where things are
//
//	store.go       Store: making and finding secrets
//	change.go      changing and deleting them
//	purge.go       removing those whose time is over
//	consumers.go   who needs them
//	tags.go        their tags, and finding them by those
//	list.go        listing, in either dialect's way
//	keks.go        master keys, leases, and what becomes of a KEK
//	identity*.go   Realm: users, projects, roles and what they show
//	loginblock.go  what nodes tell each other about logging in at a token
//	doors.go       states that the domain cannot reach yet
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
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
)

var (
	_ secret.Store = (*Store)(nil)
	_ kek.Store    = (*Store)(nil)
)

// Store keeps everything in maps behind one lock. The zero value is empty and
// ready; it must not be copied.
type Store struct {
	// Quotas are the operator's defaults, and here those of every project. They
	// are set before first use.
	Quotas quota.Limits

	mu         sync.Mutex
	secrets    map[place]*record
	projects   map[secret.ID]auth.ProjectID
	events     map[place]bool // CSMS events, by name
	masterKeys map[place]*masterKey
	directory  map[envelope.MasterKey]entry
	keks       map[place]*kekRow
	preferred  map[string]string // token groups, by project
	log        []audit.Event
}

// place is a key that leads with the project.
type place struct{ project, id string }

// record is one secret with everything that belongs to it.
type record struct {
	secret   secret.Secret
	versions map[int]*secret.Version
	stages   map[secret.Stage]secret.Mark
	metadata map[string]string
	tags     map[string]string
	// consumers are in the order of their creation.
	consumers []secret.Consumer
}

func (st *Store) init() {
	if st.secrets == nil {
		st.secrets, st.projects = map[place]*record{}, map[secret.ID]auth.ProjectID{}
		st.events, st.masterKeys = map[place]bool{}, map[place]*masterKey{}
		st.directory, st.keks = map[envelope.MasterKey]entry{}, map[place]*kekRow{}
		st.preferred = map[string]string{}
	}
}

// lock returns the unlock, for one line at the top of each method.
func (st *Store) lock() func() {
	st.mu.Lock()
	st.init()
	return st.mu.Unlock
}

func alive(s secret.Secret, now time.Time) bool {
	return !s.Expired(now) && (s.DeleteAt == nil || s.DeleteAt.After(now))
}

// at returns the living secret at a place.
func (st *Store) at(p auth.ProjectID, id secret.ID, now time.Time) (*record, error) {
	r := st.secrets[place{string(p), string(id)}]
	if r == nil || !alive(r.secret, now) {
		return nil, secret.ErrNotFound
	}
	return r, nil
}

// Create implements secret.Store.
func (st *Store) Create(ctx context.Context, s secret.Secret, v *secret.Version, ev audit.Event) error {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return err
	}
	if v != nil && !st.seals(s.Project, v.Sealed) {
		return envelope.ErrKEKGone
	}
	if s.Event != "" && !st.events[place{string(s.Project), s.Event}] {
		return secret.ErrNoEvent
	}
	if s.Family == policy.Huawei {
		if other := st.namesake(s.Project, *s.Name); other != nil {
			if alive(other.secret, s.CreatedAt) {
				return secret.ErrNameTaken
			}
			return &secret.NameHeldError{By: secret.Ended{Project: s.Project, ID: other.secret.ID, Name: *s.Name}}
		}
	}
	if most := st.Quotas.Of(quota.Secrets); most >= 0 && st.having(s.Project, s.CreatedAt) >= most {
		return quota.Reached(quota.Secrets)
	}
	if _, ok := st.projects[s.ID]; ok {
		return fault.New(fault.Internal, "a secret has that UUID")
	}
	s.Revision = 0
	r := &record{
		secret: copied(s), versions: map[int]*secret.Version{},
		stages: map[secret.Stage]secret.Mark{}, metadata: map[string]string{}, tags: map[string]string{},
	}
	if v != nil {
		r.versions[v.Number] = stored(*v)
	}
	st.secrets[place{string(s.Project), string(s.ID)}] = r
	st.projects[s.ID] = s.Project
	st.log = append(st.log, ev)
	return nil
}

// Restore implements secret.Store.
func (st *Store) Restore(ctx context.Context, f secret.Found, ev audit.Event) (string, error) {
	s := f.Secret
	if !st.hasEvent(s.Project, s.Event) {
		s.Event = ""
	}
	for _, v := range f.Versions {
		if v.Sealed.KEK.ID != f.Versions[0].Sealed.KEK.ID {
			return "", fault.New(fault.Internal, "the versions are under two KEKs")
		}
	}
	// Its own times are of long ago; the store's checks are of now.
	made := s
	made.CreatedAt = ev.At
	if err := st.Create(ctx, made, &f.Versions[0], ev); err != nil {
		return "", err
	}
	defer st.lock()()
	r := st.secrets[place{string(s.Project), string(s.ID)}]
	r.secret = copied(s)
	r.secret.Revision = 0
	for _, v := range f.Versions {
		r.versions[v.Number] = stored(v)
	}
	maps.Copy(r.stages, f.Stages)
	maps.Copy(r.metadata, f.Metadata)
	for _, tag := range f.Tags {
		r.tags[tag.Key] = tag.Value
	}
	return s.Event, nil
}

func (st *Store) hasEvent(p auth.ProjectID, name string) bool {
	defer st.lock()()
	return st.events[place{string(p), name}]
}

// having counts the secrets that a project has at a moment.
func (st *Store) having(p auth.ProjectID, now time.Time) (n int64) {
	for _, r := range st.secrets {
		if r.secret.Project == p && alive(r.secret, now) {
			n++
		}
	}
	return n
}

// check is what a database does with a caller that left.
func check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.Unavailable, "the database is unavailable", err)
	}
	return nil
}

// namesake returns CSMS's own secret of that name, dead or alive.
func (st *Store) namesake(p auth.ProjectID, name string) *record {
	for _, r := range st.secrets {
		if r.secret.Project == p && r.secret.Family == policy.Huawei && *r.secret.Name == name {
			return r
		}
	}
	return nil
}

func (st *Store) remove(s secret.Secret) {
	delete(st.secrets, place{string(s.Project), string(s.ID)})
	delete(st.projects, s.ID)
}

// Find implements secret.Store.
func (st *Store) Find(ctx context.Context, h secret.Handle, want secret.Want, now time.Time) (secret.Found, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return secret.Found{}, err
	}
	project, id := h.Project, h.ID
	switch {
	case id == "" && project == "":
		return secret.Found{}, secret.ErrNotFound
	case id == "":
		id = st.byHandle(project, h.Name, now)
	case project == "":
		project = st.projects[id]
	}
	r, err := st.at(project, id, now)
	if err != nil {
		return secret.Found{}, err
	}
	f := secret.Found{Secret: copied(r.secret)}
	f.Secret.Handle = ownHandle(r.secret)
	if h.ID == "" {
		f.Secret.Handle = st.handle(r.secret, now)
	}
	if want.Sealed {
		if v := r.versions[r.wanted(want)]; v != nil {
			f.Version = *stored(*v)
			f.Version.Sealed.KEK = st.opened(f.Secret.Project, v.Sealed.KEK.ID)
		}
	}
	if want.Versions || want.Every {
		for _, n := range slices.Sorted(maps.Keys(r.versions)) {
			v := *stored(*r.versions[n])
			if want.Every {
				v.Sealed.KEK = st.opened(f.Secret.Project, v.Sealed.KEK.ID)
			} else {
				v.Sealed = envelope.Sealed{}
			}
			f.Versions = append(f.Versions, v)
		}
		f.Stages = maps.Clone(r.stages)
	}
	if want.Metadata {
		f.Metadata = maps.Clone(r.metadata)
	}
	if want.Tags {
		f.Tags = r.sortedTags()
	}
	if want.Consumers {
		f.Secret.Consumers = r.copiedConsumers()
	}
	return f, nil
}

// wanted is the number of the version that want asks for.
func (r *record) wanted(want secret.Want) int {
	switch {
	case want.Number != 0:
		return want.Number
	case want.Stage == "" || want.Stage == secret.Current:
		return r.secret.Current.Version
	case want.Stage == secret.Previous:
		return r.secret.Previous.Version
	}
	return r.stages[want.Stage].Version
}

// copied is s, sharing nothing that can be changed.
func copied(s secret.Secret) secret.Secret {
	s.Name, s.Algorithm, s.Mode, s.BitLength = clone(s.Name), clone(s.Algorithm), clone(s.Mode), clone(s.BitLength)
	s.Expiration, s.DeleteAt = clone(s.Expiration), clone(s.DeleteAt)
	s.Rotation.Last, s.Rotation.Next = clone(s.Rotation.Last), clone(s.Rotation.Next)
	if s.ACL = clone(s.ACL); s.ACL != nil {
		s.ACL.Readers = append([]auth.UserID{}, s.ACL.Readers...)
	}
	s.Consumers = nil // are kept beside the secret
	return s
}

// stored is v as a row has it: where its stages are is kept elsewhere, and of
// its KEK only which one it is.
func stored(v secret.Version) *secret.Version {
	v.ExpiresAt, v.Stages = clone(v.ExpiresAt), nil
	v.Sealed = envelope.Sealed{
		KEK:        envelope.KEK{ID: v.Sealed.KEK.ID},
		WrappedDEK: slices.Clone(v.Sealed.WrappedDEK),
		Body:       slices.Clone(v.Sealed.Body),
	}
	return &v
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// living lists a project's secrets in the order that compare gives.
func (st *Store) living(p auth.ProjectID, now time.Time, compare func(a, b secret.Secret) int) []secret.Secret {
	return st.chosen(now, compare, func(s secret.Secret) bool { return s.Project == p })
}

// chosen lists the secrets that choose wants, in the order that compare gives.
func (st *Store) chosen(now time.Time, compare func(a, b secret.Secret) int, choose func(secret.Secret) bool) []secret.Secret {
	var out []secret.Secret
	for _, r := range st.secrets {
		if choose(r.secret) && alive(r.secret, now) {
			out = append(out, copied(r.secret))
		}
	}
	slices.SortFunc(out, compare)
	return out
}

func byCreation(a, b secret.Secret) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}
