package kek

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// pendingFor is how long a pending row belongs to whoever made it. Generating
// a key takes 30 seconds at most (pkcs11.md §7.3); after this its maker is
// most likely dead, and the next one takes the row over and cleans up.
const pendingFor = 2 * time.Minute

func (s *Sealer) makeDefault(ctx context.Context, project string) error {
	return s.MakeMasterKey(ctx, NewMasterKey{
		Project:     project,
		ID:          envelope.MasterKey(s.deps.NewID()),
		Alias:       string(envelope.Default), // or the store's choice
		Description: "default master key, made on first use",
		Default:     true,
	})
}

// Make makes a master key of project with exactly that UUID, for a caller that
// named one nobody has (csms.md §4.1.1).
func (s *Sealer) Make(ctx context.Context, project string, id envelope.MasterKey) error {
	return s.MakeMasterKey(ctx, NewMasterKey{
		Project:     project,
		ID:          id,
		Alias:       "csms-auto-" + string(id),
		Description: "made because a secret named it as its key",
	})
}

// Resolve returns the UUID of a project's master key that may protect
// something new. The default one is made where it is missing.
func (s *Sealer) Resolve(ctx context.Context, project string, name envelope.MasterKey) (envelope.MasterKey, error) {
	var id envelope.MasterKey
	err := s.withDefault(ctx, project, name, func() (err error) {
		id, err = s.deps.Store.Resolve(ctx, project, name)
		return err
	})
	return id, err
}

// withDefault asks for a master key, and once more after the default one was
// made, if that is what is missing. It is again only where the project came to
// prefer yet another group meanwhile.
func (s *Sealer) withDefault(ctx context.Context, project string, name envelope.MasterKey, ask func() error) error {
	err := ask()
	for range makings {
		if !errors.Is(err, envelope.ErrNoMasterKey) || name != envelope.Default {
			return err
		}
		if err = s.makeDefault(ctx, project); err == nil {
			err = ask()
		}
	}
	return err
}

// MakeMasterKey makes a master key with its first KEK. However many callers
// and processes race for one alias, one KEK ends up active; the others destroy
// their key objects. All of them succeed.
//
// It may stop anywhere. What a dead maker left behind is a pending row, and
// perhaps a key object that nothing depends on; the next maker removes both.
func (s *Sealer) MakeMasterKey(ctx context.Context, mk NewMasterKey) error {
	for range makings {
		err := s.makeOnce(ctx, mk)
		if !errors.Is(err, ErrLostRace) {
			return err
		}
		// Another KEK is active, which the next round sees at once; or we were
		// slow and taken for dead, by a maker that has yet to finish.
	}
	return errRacing
}

// makings is how often a maker starts over. It takes two minutes to lose a
// second race, so more would not help.
const makings = 3

var errRacing = fault.New(fault.Unavailable, "the master key is being made")

// makeOnce answers ErrLostRace after it has cleaned up behind itself.
func (s *Sealer) makeOnce(ctx context.Context, mk NewMasterKey) error {
	mk.CreatedAt = s.deps.Now().Truncate(time.Microsecond) // the store's precision
	until := mk.CreatedAt.Add(pendingFor)
	if err := s.cleanUp(ctx, mk, until); err != nil {
		return err
	}
	v, err := s.deps.Store.Prepare(ctx, mk, envelope.KEKID(s.deps.NewID()), until)
	if errors.Is(err, ErrLostRace) {
		return nil // somebody else's is active
	}
	if err != nil {
		return fmt.Errorf("prepare KEK of %s: %w", mk.Alias, err)
	}
	id, err := key.ParseID(string(v.ID))
	if err != nil {
		return fmt.Errorf("prepare KEK of %s: %w", mk.Alias, err)
	}
	token, err := s.deps.Tokens.Group(v.Group)
	if err != nil {
		return errors.Join(fmt.Errorf("token of KEK %s: %w", v.ID, err), s.deps.Store.Discard(ctx, v))
	}
	made, err := token.Generate(ctx, key.Spec{
		ID:        id,
		Label:     v.label(),
		CanaryAAD: envelope.ForCanary(v.ID),
	})
	if err != nil {
		return fmt.Errorf("generate KEK %s: %w", v.ID, err)
	}
	err = s.deps.Store.Activate(ctx, v, made)
	if errors.Is(err, ErrLostRace) {
		if err := s.discard(ctx, v, made.Ref); err != nil {
			return err
		}
		return ErrLostRace
	}
	if err != nil {
		return fmt.Errorf("activate KEK %s: %w", v.ID, err)
	}
	if mk.Default || mk.HandedOut { // nobody named it
		mk.ID, mk.Alias = v.MasterKey, v.Alias
		return s.deps.OnDefault(ctx, mk)
	}
	return nil
}

// cleanUp removes what dead makers of the same master key left behind. Their
// rows become ours first: a maker that was only slow loses the race then, and
// never activates a key object that we destroy.
func (s *Sealer) cleanUp(ctx context.Context, mk NewMasterKey, until time.Time) error {
	left, err := s.deps.Store.Abandoned(ctx, mk.Project, mk.Alias, mk.CreatedAt, until)
	if err != nil {
		return fmt.Errorf("take over abandoned KEKs of %s: %w", mk.Alias, err)
	}
	for _, v := range left {
		id, err := key.ParseID(string(v.ID))
		if err != nil {
			return fmt.Errorf("abandoned KEK of %s: %w", mk.Alias, err)
		}
		if err := s.discard(ctx, v, key.Ref{ID: id}); err != nil {
			return err
		}
	}
	return nil
}

// discard destroys a key object that nothing depends on, then its row: in the
// other order a crash in between would leave an object that no row names.
func (s *Sealer) discard(ctx context.Context, v Version, r key.Ref) error {
	token, err := s.deps.Tokens.Group(v.Group)
	if err != nil {
		return fmt.Errorf("token of unused KEK %s: %w", v.ID, err)
	}
	if err := token.Destroy(ctx, r); err != nil {
		return fmt.Errorf("destroy unused KEK %s: %w", v.ID, err)
	}
	if err := s.deps.Store.Discard(ctx, v); err != nil {
		return fmt.Errorf("discard KEK %s: %w", v.ID, err)
	}
	return nil
}
