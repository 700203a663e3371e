package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

type masterKey struct {
	made  kek.NewMasterKey
	group string // of tokens
	state string
}

// entry is a master key's place in the directory.
type entry struct {
	project   string
	destroyed bool
}

type kekRow struct {
	kek.Version
	disabled  bool
	made      key.Made
	leased    int64
	handedOut bool
	createdAt time.Time
}

const enabled = "enabled"

// usable reports whether a KEK may open what it has wrapped.
func (st *Store) usable(k *kekRow) bool {
	mk := st.masterKeys[place{k.Project, string(k.MasterKey)}]
	return (k.State == kek.Active || k.State == kek.DecryptOnly) && !k.disabled && mk.state == enabled
}

// ownGroup is the token group that a project's new secrets go to.
func (st *Store) ownGroup(project string) string {
	return cmp.Or(st.preferred[project], key.DefaultGroup)
}

// seals reports whether what was sealed may be stored: its KEK still wraps, and
// is one of the default master key if it was meant to be.
func (st *Store) seals(p auth.ProjectID, sealed envelope.Sealed) bool {
	k := st.keks[place{string(p), string(sealed.KEK.ID)}]
	if k == nil || k.State != kek.Active || !st.usable(k) {
		return false
	}
	mk := st.masterKeys[place{k.Project, string(k.MasterKey)}]
	return !sealed.AsDefault || mk.made.Default && mk.group == st.ownGroup(k.Project)
}

// opened is what opening a version must know of its KEK.
func (st *Store) opened(p auth.ProjectID, id envelope.KEKID) envelope.KEK {
	k := st.keks[place{string(p), string(id)}]
	return envelope.KEK{
		ID: id, MasterKey: k.MasterKey, Group: k.Group, Format: uint8(k.made.Ref.Format),
		Default: st.masterKeys[place{k.Project, string(k.MasterKey)}].made.Default,
		Canary:  slices.Clone(k.made.Ref.Canary.Wrapped), Usable: st.usable(k),
	}
}

// of lists the KEKs of a master key.
func (st *Store) of(project string, mk envelope.MasterKey) []*kekRow {
	var out []*kekRow
	for _, k := range st.keks {
		if k.Project == project && k.MasterKey == mk {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b *kekRow) int { return cmp.Or(a.createdAt.Compare(b.createdAt), cmp.Compare(a.ID, b.ID)) })
	return out
}

func (st *Store) active(project string, mk envelope.MasterKey) *kekRow {
	for _, k := range st.of(project, mk) {
		if k.State == kek.Active {
			return k
		}
	}
	return nil
}

// named returns a master key by UUID, else by alias; or the default one of the
// project's own group.
func (st *Store) named(project string, name envelope.MasterKey) *masterKey {
	if name == envelope.Default {
		for p, mk := range st.masterKeys {
			if p.project == project && mk.made.Default && mk.group == st.ownGroup(project) {
				return mk
			}
		}
		return nil
	}
	if mk := st.masterKeys[place{project, string(name)}]; mk != nil {
		return mk
	}
	for p, mk := range st.masterKeys {
		if p.project == project && mk.made.Alias == string(name) {
			return mk
		}
	}
	return nil
}

func (st *Store) hasAlias(project, alias string) bool {
	for p, mk := range st.masterKeys {
		if p.project == project && mk.made.Alias == alias {
			return true
		}
	}
	return false
}

// able returns the KEK that may protect something new under a master key. One
// whose first KEK was never active is still being made.
func (st *Store) able(project string, name envelope.MasterKey) (*kekRow, error) {
	mk := st.named(project, name)
	if mk == nil {
		if e, ok := st.directory[name]; ok && (e.destroyed || e.project != project) {
			return nil, envelope.ErrKeyUnusable
		}
		return nil, envelope.ErrNoMasterKey
	}
	all := st.of(project, mk.made.ID)
	if !slices.ContainsFunc(all, func(k *kekRow) bool { return k.State != kek.Pending }) {
		return nil, envelope.ErrNoMasterKey
	}
	k := st.active(project, mk.made.ID)
	if k == nil || !st.usable(k) {
		return nil, envelope.ErrKeyUnusable
	}
	return k, nil
}

// Resolve implements kek.Store.
func (st *Store) Resolve(ctx context.Context, project string, name envelope.MasterKey) (envelope.MasterKey, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return "", err
	}
	k, err := st.able(project, name)
	if err != nil {
		return "", err
	}
	return k.MasterKey, nil
}

// Lease implements kek.Store.
func (st *Store) Lease(ctx context.Context, project string, under envelope.MasterKey, n int64) (kek.Lease, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return kek.Lease{}, err
	}
	k, err := st.able(project, under)
	if err != nil {
		return kek.Lease{}, err
	}
	if k.leased+n > kek.HardLimit {
		return kek.Lease{}, kek.ErrExhausted
	}
	k.leased += n
	return kek.Lease{KEK: st.opened(auth.ProjectID(project), k.ID), Wraps: n, Leased: k.leased}, nil
}

// KEK implements kek.Store.
func (st *Store) KEK(ctx context.Context, project string, id envelope.KEKID) (envelope.KEK, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return envelope.KEK{}, err
	}
	if k := st.keks[place{project, string(id)}]; k == nil || k.State == kek.Pending {
		return envelope.KEK{}, kek.ErrNoKEK
	}
	return st.opened(auth.ProjectID(project), id), nil
}

// Prepare implements kek.Store.
func (st *Store) Prepare(ctx context.Context, mk kek.NewMasterKey, id envelope.KEKID, expires time.Time) (kek.Version, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return kek.Version{}, err
	}
	if _, err := key.ParseID(string(mk.ID)); err != nil {
		return kek.Version{}, fault.New(fault.Invalid, "a master key's identifier is a UUID")
	}
	found := st.named(mk.Project, envelope.MasterKey(mk.Alias))
	if found == nil && !mk.Default {
		found = st.masterKeys[place{mk.Project, string(mk.ID)}]
	}
	if found == nil {
		if e, ok := st.directory[mk.ID]; ok && (e.destroyed || e.project != mk.Project) {
			return kek.Version{}, envelope.ErrKeyUnusable
		}
		found = &masterKey{made: mk, state: enabled, group: st.ownGroup(mk.Project)}
		if mk.Default && (found.group != key.DefaultGroup || st.hasAlias(mk.Project, mk.Alias)) {
			found.made.Alias = found.group + "/default"
		}
		st.masterKeys[place{mk.Project, string(mk.ID)}] = found
		st.directory[mk.ID] = entry{project: mk.Project}
	}
	number := 1
	for _, k := range st.of(mk.Project, found.made.ID) {
		if k.State == kek.Active {
			return kek.Version{}, kek.ErrLostRace
		}
		if k.State != kek.Pending {
			number = max(number, k.Number+1)
		}
	}
	v := kek.Version{
		Project: mk.Project, ID: id, MasterKey: found.made.ID, Group: found.group, Alias: found.made.Alias, Number: number, State: kek.Pending,
		Until: expires,
	}
	st.keks[place{mk.Project, string(id)}] = &kekRow{Version: v, createdAt: mk.CreatedAt, handedOut: mk.HandedOut}
	return v, nil
}

// Activate implements kek.Store.
func (st *Store) Activate(ctx context.Context, v kek.Version, made key.Made) error {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return err
	}
	k := st.keks[place{v.Project, string(v.ID)}]
	if k == nil || k.State != kek.Pending || !k.Until.Equal(v.Until) || st.active(v.Project, k.MasterKey) != nil {
		return kek.ErrLostRace
	}
	k.State, k.Until, k.made = kek.Active, time.Time{}, made
	k.leased = 1 // the canary
	return nil
}

// Discard implements kek.Store.
func (st *Store) Discard(ctx context.Context, v kek.Version) error {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return err
	}
	if k := st.keks[place{v.Project, string(v.ID)}]; k != nil && k.State == kek.Pending {
		delete(st.keks, place{v.Project, string(v.ID)})
	}
	return nil
}

// Abandoned implements kek.Store.
func (st *Store) Abandoned(ctx context.Context, project, alias string, now, until time.Time) ([]kek.Version, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return nil, err
	}
	var left []kek.Version
	if mk := st.named(project, envelope.MasterKey(alias)); mk != nil {
		for _, k := range st.of(project, mk.made.ID) {
			if k.State == kek.Pending && k.Until.Before(now) {
				k.Until = until
				left = append(left, k.Version)
			}
		}
	}
	return left, nil
}

// Retire retires a KEK that nothing depends on.
func (st *Store) Retire(ctx context.Context, v kek.Version) error {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return err
	}
	inUse := fault.New(fault.WrongState, "the KEK is not decrypt-only or is still in use")
	k := st.keks[place{v.Project, string(v.ID)}]
	if k == nil || k.State != kek.DecryptOnly || k.handedOut {
		return inUse
	}
	for _, r := range st.secrets {
		for _, held := range r.versions {
			if held.Sealed.KEK.ID == v.ID && string(r.secret.Project) == v.Project {
				return inUse
			}
		}
	}
	k.State = kek.Retired
	return nil
}
