package secret

import (
	"context"
	"errors"
	"fmt"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// restoring is the family that brings secrets back; Barbican has no backups. A
// restored secret is CSMS's also where Barbican's was backed up, for it has to
// have its name alone.
const restoring = policy.Huawei

// Backup returns the secret with all its values as a blob that this
// installation alone can open (csms.md §4.8). It reveals every version, so it
// asks for what that takes, and the event is recorded before anything is
// opened. Locate the secret with Want.Every, Want.Metadata and Want.Tags.
func (l *Located) Backup(ctx context.Context) (string, error) {
	ev, err := l.admit(ctx, policy.SecretBackup, "", "")
	if err != nil {
		return "", err
	}
	sec := l.found.Secret
	if len(l.found.Versions) == 0 {
		return "", l.s.gate.Refuse(ctx, ev.As(audit.Missing), ErrNoPayload)
	}
	if err := sec.usable(); err != nil {
		return "", l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
	}
	asked := map[envelope.MasterKey]bool{}
	for _, v := range l.found.Versions {
		if asked[v.Key] {
			continue
		}
		asked[v.Key] = true
		if err := l.s.admitKey(ctx, l.who, policy.DataKeyOpen, v.Key, v.Sealed.KEK.Default); err != nil {
			return "", err
		}
	}
	if err := l.s.deps.Recorder.Record(ctx, ev); err != nil {
		return "", fmt.Errorf("record access: %w", err)
	}
	return l.pack(ctx)
}

// pack opens all values and seals them as one.
func (l *Located) pack(ctx context.Context) (string, error) {
	values := make([]sensitive.Bytes, 0, len(l.found.Versions))
	defer func() {
		for _, v := range values {
			v.Wipe()
		}
	}()
	for _, v := range l.found.Versions {
		value, err := l.s.deps.Sealer.Open(ctx, v.Sealed, l.found.Secret.place(v.Number))
		if err != nil {
			return "", fmt.Errorf("open version %d: %w", v.Number, err)
		}
		values = append(values, value)
	}
	whole, err := contentOf(l.found, l.who.ProjectDomain, values).encode(values)
	if err != nil {
		return "", err
	}
	defer whole.Wipe()
	blob, err := l.s.deps.Sealer.SealBackup(ctx, whole)
	if err != nil {
		return "", fmt.Errorf("seal backup: %w", err)
	}
	if len(blob) > envelope.MaxBlob { // 20 values cannot be; user metadata can
		return "", ErrTooLarge
	}
	return blob, nil
}

// Restore makes a secret of a backup in the caller's project, which may be
// another one of the same domain (csms.md §4.9). It has a new UUID, and is as
// it was but for its state. The rule is that of creating a secret, the record
// says what it was.
func (s *Service) Restore(ctx context.Context, who auth.Principal, blob string) (Secret, error) {
	ev, err := s.gate.Admit(ctx, who, policy.SecretCreate, gate.Project(who))
	if err != nil {
		return Secret{}, err
	}
	ev.Action = "secret.restore"
	whole, err := s.deps.Sealer.OpenBackup(ctx, blob)
	if errors.Is(err, envelope.ErrBlob) {
		return Secret{}, s.gate.Refuse(ctx, ev.As(audit.Refused), err)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("open backup: %w", err)
	}
	defer whole.Wipe() // and with it the values, which are parts of it

	c, values, err := readContent(whole)
	if err == nil && c.Domain != who.ProjectDomain {
		err = envelope.ErrBlob
	}
	if err != nil {
		return Secret{}, s.gate.Refuse(ctx, ev.As(audit.Refused), err)
	}
	f, err := c.restored(s.deps.NewID(), who.Project, s.now())
	if err != nil {
		return Secret{}, err
	}
	under := c.Key
	if c.KeyIsDefault && c.Project != who.Project {
		under = envelope.Default // the default one of one project is no key of another
	}
	for _, act := range []policy.Action{policy.DataKeyOpen, policy.DataKeyCreate} {
		if err := s.admitKey(ctx, who, act, under, c.KeyIsDefault); err != nil {
			return Secret{}, err
		}
	}
	ev.Target = audit.Target{Kind: "secret", Project: string(f.Secret.Project), ID: string(f.Secret.ID), Name: f.Secret.Handle}
	return s.bringBack(ctx, f, values, under, ev)
}

// bringBack seals all values anew and stores them, again where the key changed
// meanwhile.
func (s *Service) bringBack(ctx context.Context, f Found, values []sensitive.Bytes, under envelope.MasterKey, ev audit.Event) (Secret, error) {
	for range tries {
		one := true // all under the same KEK
		for i, v := range f.Versions {
			sealed, err := s.seal(ctx, f.Secret, v.Number, under, values[i], v.ContentType)
			if err != nil {
				return Secret{}, err
			}
			sealed.CreatedAt, sealed.ExpiresAt = v.CreatedAt, v.ExpiresAt
			f.Versions[i] = sealed
			one = one && sealed.Sealed.KEK.ID == f.Versions[0].Sealed.KEK.ID
		}
		if !one {
			continue
		}
		f.Secret.Key = f.Versions[0].Key
		var kept string
		err := s.placed(ctx, f.Secret, ev.At, ev, func() (err error) {
			kept, err = s.deps.Store.Restore(ctx, f, ev)
			return err
		})
		switch {
		case errors.Is(err, envelope.ErrKEKGone):
			s.deps.Sealer.Forget(string(f.Secret.Project), under, f.Versions[0].Sealed.KEK.ID)
			continue
		case err != nil:
			return Secret{}, err
		}
		f.Secret.Event = kept
		return f.Secret, nil
	}
	return Secret{}, envelope.ErrKEKGone
}
