package secret

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
)

// StorePayload is Barbican's second step: the payload of a secret that has
// none yet. It cannot be repeated.
func (l *Located) StorePayload(ctx context.Context, in NewVersion) error {
	ev, err := l.admit(ctx, policy.SecretStore, "", "")
	if err != nil {
		return err
	}
	_, err = l.add(ctx, ev, in, func(f Found) error {
		if f.Secret.Latest != 0 {
			return ErrHasPayload
		}
		return f.Secret.usable()
	})
	return err
}

// AddVersion adds a payload and moves the stages that in names to it (csms.md
// §5.1). Locate the secret with Want.Versions.
func (l *Located) AddVersion(ctx context.Context, in NewVersion) (Version, error) {
	ev, err := l.admit(ctx, policy.VersionAdd, "", "")
	if err != nil {
		return Version{}, err
	}
	if in.ExpiresAt != nil && !in.ExpiresAt.After(l.s.now()) {
		return Version{}, ErrExpiresPast
	}
	if in.Fits != nil {
		if err := in.Fits(l.found.Secret.Kind, l.found.Secret.Rotation); err != nil {
			return Version{}, err
		}
	}
	return l.add(ctx, ev, in, func(f Found) error { return f.Secret.usable() })
}

// add seals a payload and stores it as the next version, if may still agrees.
// Number and key are read, the value is sealed with no transaction open, and
// one statement does the rest if the secret is still as it was read; who loses
// that race starts over.
func (l *Located) add(ctx context.Context, ev audit.Event, in NewVersion, may func(Found) error) (Version, error) {
	if in.Payload.Len() > MaxPayload {
		return Version{}, ErrTooLarge
	}
	return retry(ctx, l, func() (Version, error) {
		if err := may(l.found); err != nil {
			return Version{}, l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
		}
		sec := l.found.Secret
		if err := sec.pendingFree(in.Stages...); err != nil {
			return Version{}, l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
		}
		now := l.s.now()
		under := sec.Key
		if under == "" {
			under = envelope.Default
		}
		v, err := l.s.seal(ctx, sec, sec.Latest+1, under, in.Payload, in.ContentType)
		if err != nil {
			return Version{}, err
		}
		// Whether the key is the project's default is known once it sealed.
		if err := l.s.admitKey(ctx, l.who, policy.DataKeyCreate, v.Key, v.Sealed.KEK.Default); err != nil {
			return Version{}, err
		}
		v.CreatedAt, v.ExpiresAt = after(sec.LatestAt, now), in.ExpiresAt
		c, err := l.found.adding(v, in.Stages, now)
		if err == nil {
			ev.Removed, err = l.found.removable(c.Purge, v.CreatedAt.Add(-l.s.deps.VersionGrace))
		}
		if err != nil {
			return Version{}, l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
		}
		v.Stages = Found{Secret: c.Secret, Stages: c.Put}.positions().on(v.Number)
		ev.Target.Version = v.Label()
		err = l.s.deps.Store.Apply(ctx, c, ev)
		if errors.Is(err, envelope.ErrKEKGone) {
			l.s.deps.Sealer.Forget(string(sec.Project), under, v.Sealed.KEK.ID)
		}
		return v, err
	})
}

// adding is the change that stores v with its stages.
func (f Found) adding(v Version, want []Stage, now time.Time) (Change, error) {
	want = slices.Compact(slices.Sorted(slices.Values(want)))
	if (len(want) == 0 || f.Secret.Latest == 0) && !slices.Contains(want, Current) {
		want = append(want, Current) // a secret with versions always has a current one
	}
	pos := f.positions()
	pos.move(want, v.Number, now)
	if pos.own() > MaxStages {
		return Change{}, ErrManyStages
	}
	c := f.moved(pos, now)
	c.Add, c.Tell = &v, event.VersionCreated
	c.Secret.Latest, c.Secret.LatestAt = v.Number, v.CreatedAt
	c.Secret.Key = v.Key
	if c.Secret.Current.Version == v.Number {
		c.Secret.ContentType = v.ContentType
	}
	c.Purge = pos.purge(append(slices.Clone(f.Versions), v), v.Number)
	return c, nil
}

// removable names versions that are to be purged; ErrManyVersions where one of
// them was made after young. They are the oldest that could go, so no other
// could instead.
func (f Found) removable(gone []int, young time.Time) ([]string, error) {
	var labels []string
	for _, v := range f.Versions {
		if !slices.Contains(gone, v.Number) {
			continue
		}
		if v.CreatedAt.After(young) {
			return nil, ErrManyVersions
		}
		labels = append(labels, v.Label())
	}
	return labels, nil
}

// moved is the change from the stages that f has to pos.
func (f Found) moved(pos stages, now time.Time) Change {
	c := Change{Secret: f.Secret, Put: map[Stage]Mark{}}
	c.Secret.UpdatedAt = now
	c.Secret.Current, c.Secret.Previous = pos[Current], pos[Previous]
	for s, mark := range pos {
		if s != Current && s != Previous && f.Stages[s] != mark {
			c.Put[s] = mark
		}
	}
	for _, v := range f.Versions {
		if v.Number == c.Secret.Current.Version {
			c.Secret.ContentType = v.ContentType
		}
	}
	return c
}

// SetStage puts a stage on a version, wherever it was (csms.md §6.2). Locate
// the secret with Want.Versions.
func (l *Located) SetStage(ctx context.Context, name Stage, version int) (Mark, error) {
	ev, err := l.admit(ctx, policy.StageUpdate, "", name)
	if err != nil {
		return Mark{}, err
	}
	return retry(ctx, l, func() (Mark, error) {
		if err := firstOf(l.found.Secret.usable(), l.found.Secret.pendingFree(name)); err != nil {
			return Mark{}, l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
		}
		if !slices.ContainsFunc(l.found.Versions, func(v Version) bool { return v.Number == version }) {
			return Mark{}, ErrNoVersion
		}
		now := l.s.now()
		pos := l.found.positions()
		if pos[name].Version == version {
			return pos[name], nil
		}
		pos.move([]Stage{name}, version, now)
		if pos.own() > MaxStages {
			return Mark{}, l.s.gate.Refuse(ctx, ev.As(audit.Refused), ErrManyStages)
		}
		return pos[name], l.s.deps.Store.Apply(ctx, l.found.moved(pos, now), ev)
	})
}

// DropStage removes a stage that is not built in. Locate the secret with
// Want.Versions.
func (l *Located) DropStage(ctx context.Context, name Stage) error {
	ev, err := l.admit(ctx, policy.StageDelete, "", name)
	if err != nil {
		return err
	}
	_, err = retry(ctx, l, func() (Mark, error) {
		if err := l.found.Secret.usable(); err != nil {
			return Mark{}, l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
		}
		if name == Current || name == Previous || l.found.Secret.pendingFree(name) != nil {
			return Mark{}, ErrBuiltInStage
		}
		pos := l.found.positions()
		if _, ok := pos[name]; !ok {
			return Mark{}, ErrNoStage
		}
		c := l.found.moved(pos, l.s.now())
		c.Drop = []Stage{name}
		return Mark{}, l.s.deps.Store.Apply(ctx, c, ev)
	})
	return err
}

// CurrentVersion in place of a version's number means the current one.
const CurrentVersion = -1

// number is version, or that of the current one as it was read last: another
// may be current after a race.
func (f Found) number(version int) int {
	if version == CurrentVersion {
		return f.Secret.Current.Version
	}
	return version
}

// SetExpiry changes when a version expires; nil clears it. Locate the secret
// with Want.Versions.
func (l *Located) SetExpiry(ctx context.Context, version int, at *time.Time) (Version, error) {
	ev, err := l.admit(ctx, policy.VersionUpdate, Version{Number: l.found.number(version)}.Label(), "")
	if err != nil {
		return Version{}, err
	}
	if at != nil && !at.After(l.s.now()) {
		return Version{}, ErrExpiresPast
	}
	return retry(ctx, l, func() (Version, error) {
		if err := l.found.Secret.usable(); err != nil {
			return Version{}, l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
		}
		for _, v := range l.found.Versions {
			if v.Number != l.found.number(version) {
				continue
			}
			c := Change{Secret: l.found.Secret, Expires: &VersionExpiry{v.Number, at}}
			v.ExpiresAt = at
			v.Stages = l.found.positions().on(v.Number)
			ev.Target.Version = v.Label()
			return v, l.s.deps.Store.Apply(ctx, c, ev)
		}
		return Version{}, ErrNoVersion
	})
}

// Update says which attributes to change; nil leaves one as it is.
type Update struct {
	Key         *envelope.MasterKey // protects later versions; UUID or alias
	Description *string
	Auto        *bool
	Period      *string
	FuncURN     *string
	Event       *string // empty: none
}

func (u Update) empty() bool { return u == Update{} }

// Update changes attributes (csms.md §4.4). An empty one changes nothing, not
// even the time of the last change.
func (l *Located) Update(ctx context.Context, u Update) (Secret, error) {
	ev, err := l.admit(ctx, policy.SecretUpdate, "", "")
	if err != nil {
		return Secret{}, err
	}
	var keyID envelope.MasterKey
	if u.Key != nil {
		if err := l.s.admitKey(ctx, l.who, policy.DataKeyCreate, *u.Key, *u.Key == envelope.Default); err != nil {
			return Secret{}, err
		}
		keyID, err = l.s.deps.Keys.Resolve(ctx, string(l.found.Secret.Project), *u.Key)
		if err != nil {
			return Secret{}, fmt.Errorf("resolve master key: %w", err)
		}
	}
	return retry(ctx, l, func() (Secret, error) {
		if err := l.found.Secret.changeable(); err != nil {
			return Secret{}, l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
		}
		if u.empty() {
			return l.found.Secret, nil
		}
		next, err := l.found.Secret.with(u, keyID, l.s.now())
		if err != nil {
			return Secret{}, err
		}
		return next, l.s.deps.Store.Apply(ctx, Change{Secret: next}, ev)
	})
}

// with is s after the update.
func (s Secret) with(u Update, keyID envelope.MasterKey, now time.Time) (Secret, error) {
	set(&s.Description, u.Description)
	set(&s.Rotation.FuncURN, u.FuncURN)
	set(&s.Event, u.Event)
	if keyID != "" {
		s.Key = keyID
	}
	s.UpdatedAt = after(s.UpdatedAt, now)
	if u.Auto == nil && u.Period == nil {
		return s, nil
	}
	set(&s.Rotation.Auto, u.Auto)
	set(&s.Rotation.Period, u.Period)
	var err error
	s.Rotation, err = s.Rotation.schedule(now)
	return s, err
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// Delete removes the secret with all its versions at once: with the wrapped
// DEKs gone, nothing can open what backups may hold of the payloads but the
// KEK and those backups together.
func (l *Located) Delete(ctx context.Context) error {
	ev, err := l.admit(ctx, policy.SecretDelete, "", "")
	if err != nil {
		return err
	}
	_, err = retry(ctx, l, func() (struct{}, error) {
		return struct{}{}, l.s.deps.Store.Delete(ctx, l.found.Secret, ev)
	})
	return err
}

// retry runs change until no other change comes first. After a race it reads
// the secret anew, and change decides again from what it finds.
func retry[T any](ctx context.Context, l *Located, change func() (T, error)) (T, error) {
	for lost := range tries {
		out, err := change()
		if !errors.Is(err, ErrStale) && !errors.Is(err, envelope.ErrKEKGone) {
			return out, err
		}
		if err := giveWay(ctx, lost); err != nil {
			return out, err
		}
		if err := l.again(ctx); err != nil {
			return out, err
		}
	}
	var none T
	return none, ErrStale
}

// giveWay lets others go first, for a time that grows with the races that were
// lost. A crowd at one secret would lose against each other forever.
func giveWay(ctx context.Context, lost int) error {
	longest := time.Duration(lost+1) * 2 * time.Millisecond
	pause, err := rand.Int(rand.Reader, big.NewInt(int64(longest)))
	if err != nil {
		return fmt.Errorf("choose a pause: %w", err)
	}
	select {
	case <-time.After(time.Duration(pause.Int64())):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
