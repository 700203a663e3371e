package soak_test

import (
	"context"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// rotate begins a rotation as package rotation does, without a database whose
// password changes.
func (m *machine) rotate(ctx context.Context, t *rapid.T) {
	name := m.name(t)
	l := m.own(ctx, t, name)
	if l == nil {
		return
	}
	k, value, now := m.secrets[name], uuid.NewString(), m.clock.now()
	v, err := l.BeginRotation(ctx, secret.Renewal{
		May:   func(secret.Secret) error { return nil },
		Next:  func(secret.Secret, sensitive.Bytes) (sensitive.Bytes, error) { return text(value), nil },
		Write: m.store.Apply,
	})
	m.told(err, k.begin(keptVersion{value: value, made: now}), "rotate "+name)
	if err == nil && v.Number != k.rotating {
		m.fatal("a rotation of %s made v%d, want v%d", name, v.Number, k.rotating)
	}
}

func (m *machine) endRotation(ctx context.Context, t *rapid.T) {
	name := m.name(t)
	l := m.own(ctx, t, name)
	if l == nil {
		return
	}
	k, version := m.secrets[name], m.secrets[name].rotating
	if version == 0 {
		version = k.latest // of no rotation
	}
	succeeded := rapid.Bool().Draw(t, "succeeded")
	err := l.EndRotation(ctx, version, secret.Ending{Succeeded: succeeded, Write: m.store.Apply})
	m.told(err, k.end(succeeded), "end a rotation of "+name)
}

// own is locate for the program itself.
func (m *machine) own(ctx context.Context, t *rapid.T, name string) *secret.Located {
	l, err := m.node(t).LocateToRotate(ctx, secret.Named(m.who.Project, name), all(m.current(name)))
	if m.secrets[name] == nil {
		m.told(err, secret.ErrNotFound, "locate "+name)
		return nil
	}
	m.told(err, nil, "locate "+name)
	return l
}

func (m *machine) current(name string) int {
	if k := m.secrets[name]; k != nil {
		return k.on[secret.Current]
	}
	return 0
}

// backup is a blob, and the secret as it was then.
type backup struct {
	blob, name string
	kept       *kept
}

func (m *machine) backUp(ctx context.Context, t *rapid.T) {
	seldom(t)
	name := m.name(t)
	l, err := m.node(t).Locate(ctx, m.who, policy.SecretBackup, secret.Named(m.who.Project, name), secret.Want{Every: true, Versions: true, Metadata: true, Tags: true})
	k := m.secrets[name]
	if k == nil {
		m.told(err, secret.ErrNotFound, "locate "+name)
		return
	}
	m.told(err, nil, "locate "+name)
	blob, err := l.Backup(ctx)
	m.told(err, k.can(), "back up "+name)
	if err == nil {
		m.backups = append(m.backups, backup{blob, name, k.copied()})
	}
}

// restore brings back what a backup holds under a UUID of its own, unless the
// name is taken. A rotation that ran then does not run here.
func (m *machine) restore(ctx context.Context, t *rapid.T) {
	if len(m.backups) == 0 {
		t.Skip("nothing to restore")
	}
	b := rapid.SampledFrom(m.backups).Draw(t, "backup")
	m.touched = b.name
	sec, err := m.node(t).Restore(ctx, m.who, b.blob)
	if m.secrets[b.name] != nil {
		m.told(err, secret.ErrNameTaken, "restore "+b.name)
		return
	}
	m.told(err, nil, "restore "+b.name)
	delete(m.dead, b.name)
	k := b.kept.copied()
	k.id, k.due, k.rotating = sec.ID, time.Time{}, 0
	m.secrets[b.name] = k
}
