package secret

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// tries is how often an operation starts over because another one came first:
// the KEK was rotated, or somebody else changed the same secret.
const tries = 32

// MayCreate asks the gate for Create, for dialects that answer a refusal
// before they look at the body.
func (s *Service) MayCreate(ctx context.Context, who auth.Principal) error {
	_, err := s.gate.Admit(ctx, who, policy.SecretCreate, gate.Project(who))
	return err
}

// Create makes a secret in the caller's project, with a first version where in
// has a payload. The token is asked before anything is written, because a
// token may take seconds and a transaction must not wait for it.
func (s *Service) Create(ctx context.Context, who auth.Principal, in New) (Secret, error) {
	ev, err := s.gate.Admit(ctx, who, policy.SecretCreate, gate.Project(who))
	if err != nil {
		return Secret{}, err
	}
	sec, err := s.draft(who, in)
	if err != nil {
		return Secret{}, err
	}
	ev.Target = audit.Target{Kind: "secret", Project: string(sec.Project), ID: string(sec.ID), Name: sec.target().Name}
	if in.ContentType == "" {
		return sec, s.store(ctx, sec, nil, ev)
	}
	under := in.Key
	if under == "" {
		under = envelope.Default
	}
	if err := s.admitKey(ctx, who, policy.DataKeyCreate, under, under == envelope.Default); err != nil {
		return Secret{}, err
	}
	for range tries {
		v, err := s.seal(ctx, sec, 1, under, in.Payload, in.ContentType)
		if errors.Is(err, envelope.ErrNoMasterKey) && !s.deps.StrictKeys && under.IsID() {
			if err = s.makeKey(ctx, who, sec, under); err == nil {
				v, err = s.seal(ctx, sec, 1, under, in.Payload, in.ContentType)
			}
		}
		if err != nil {
			return Secret{}, err
		}
		v.CreatedAt = sec.CreatedAt
		first := sec.holding(v)
		err = s.store(ctx, first, &v, ev)
		if !errors.Is(err, envelope.ErrKEKGone) {
			return first, err
		}
		s.deps.Sealer.Forget(string(sec.Project), under, v.Sealed.KEK.ID)
	}
	return Secret{}, envelope.ErrKEKGone
}

// store writes a new secret. That there was no room for it is on record before
// the caller hears of it. A secret of its name that no job has removed yet goes
// first, with the same record as the job leaves.
func (s *Service) store(ctx context.Context, sec Secret, v *Version, ev audit.Event) error {
	return s.placed(ctx, sec, sec.CreatedAt, ev, func() error { return s.deps.Store.Create(ctx, sec, v, ev) })
}

// placed has write store sec at a moment, once whoever is over does not have its
// name any more.
func (s *Service) placed(ctx context.Context, sec Secret, now time.Time, ev audit.Event, write func() error) error {
	for range tries {
		err := write()
		held, ended := errors.AsType[*NameHeldError](err)
		switch {
		case ended:
			gone := []Purged{{held.By.ID, s.purged(held.By)}}
			if _, err := s.deps.Store.Purge(ctx, sec.Project, gone, now); err != nil {
				return fmt.Errorf("remove secret of the same name: %w", err)
			}
		case errors.Is(err, quota.ErrReached):
			return s.gate.Refuse(ctx, ev.As(audit.Refused), err)
		default:
			return err
		}
	}
	return ErrNameTaken
}

// draft is the secret before its first version.
func (s *Service) draft(who auth.Principal, in New) (Secret, error) {
	now := s.now()
	if in.Payload.Len() > MaxPayload {
		return Secret{}, ErrTooLarge
	}
	if in.Expiration != nil && !in.Expiration.After(now) {
		return Secret{}, ErrExpiresPast
	}
	rotation, err := in.Rotation.schedule(now)
	if err != nil {
		return Secret{}, err
	}
	sec := Secret{
		ID: s.deps.NewID(), Project: who.Project, Family: who.Family, Name: in.Name,
		Type: in.Type, Algorithm: in.Algorithm, Mode: in.Mode, BitLength: in.BitLength,
		Expiration: in.Expiration, Creator: who.User,
		State: Enabled, Description: in.Description, Kind: in.Kind, Rotation: rotation,
		Event: in.Event, EnterpriseProject: in.EnterpriseProject,
		CreatedAt: now, UpdatedAt: now,
	}
	sec.Handle = string(sec.ID)
	if sec.Family == policy.Huawei && sec.Name != nil {
		sec.Handle = *sec.Name
	}
	return sec, nil
}

// holding is s with v as its first version.
func (s Secret) holding(v Version) Secret {
	s.Key = v.Sealed.KEK.MasterKey
	s.Latest, s.LatestAt = v.Number, v.CreatedAt
	s.Current = Mark{v.Number, v.CreatedAt}
	s.ContentType = v.ContentType
	return s
}

// seal makes a version of sec, its payload sealed for just that place.
func (s *Service) seal(ctx context.Context, sec Secret, number int, under envelope.MasterKey, payload sensitive.Bytes, contentType string) (Version, error) {
	sealed, err := s.deps.Sealer.Seal(ctx, payload, under, sec.place(number))
	if err != nil {
		return Version{}, fmt.Errorf("seal payload: %w", err)
	}
	return Version{
		Number: number, ContentType: contentType, Key: sealed.KEK.MasterKey, Sealed: sealed,
	}, nil
}

// admitKey asks whether the caller may use a master key that it named. The
// project's default key needs no permission of its own (csms.md §4.1.1), and
// Barbican's clients know of no others.
func (s *Service) admitKey(ctx context.Context, who auth.Principal, act policy.Action, name envelope.MasterKey, isDefault bool) error {
	if isDefault || who.Family != policy.Huawei {
		return nil
	}
	_, err := s.gate.Admit(ctx, who, act, keyTarget(who, name))
	return err
}

// makeKey makes the master key that a caller named and nobody has. It happens
// before the secret is written and outside its transaction, so a name that is
// taken is found out first.
func (s *Service) makeKey(ctx context.Context, who auth.Principal, sec Secret, id envelope.MasterKey) error {
	ev, err := s.gate.Admit(ctx, who, policy.KeyCreate, keyTarget(who, id))
	if err != nil {
		return err
	}
	if sec.Name != nil {
		switch _, err := s.deps.Store.Find(ctx, Named(sec.Project, *sec.Name), Want{}, s.now()); {
		case err == nil:
			return ErrNameTaken
		case !errors.Is(err, ErrNotFound):
			return err
		}
	}
	if err := s.deps.Recorder.Record(ctx, ev); err != nil {
		return fmt.Errorf("record key creation: %w", err)
	}
	if err := s.deps.Keys.Make(ctx, string(sec.Project), id); err != nil {
		return fmt.Errorf("make master key: %w", err)
	}
	return nil
}

func keyTarget(who auth.Principal, name envelope.MasterKey) policy.Target {
	return policy.Target{Kind: "key", Project: string(who.Project), ID: string(name), Key: string(name)}
}

// after is now, or the first millisecond after prev where now is not later:
// clients take the version with the newest time for the newest one, and see
// milliseconds (csms.md §1.3).
func after(prev, now time.Time) time.Time {
	if now.UnixMilli() > prev.UnixMilli() {
		return now
	}
	return time.UnixMilli(prev.UnixMilli() + 1).UTC()
}
