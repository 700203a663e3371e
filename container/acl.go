package container

import (
	"context"
	"slices"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// ACL returns the container's ACL; nil: it has none.
func (l *Located) ACL(ctx context.Context) (*secret.ACL, error) {
	if _, err := l.admit(ctx, policy.ContainerACLRead); err != nil {
		return nil, err
	}
	return l.found.ACL, nil
}

// SetACL replaces the ACL: parts that were not mentioned have their defaults. A
// change that mentions nothing removes it.
func (l *Located) SetACL(ctx context.Context, change secret.ACLChange) error {
	if change.Private == nil && change.Readers == nil {
		return l.dropACL(ctx, policy.ContainerACLWrite, true)
	}
	if change.Private == nil {
		change.Private = new(bool)
	}
	if change.Readers == nil {
		change.Readers = new([]auth.UserID)
	}
	return l.PatchACL(ctx, change)
}

// PatchACL changes the parts of the ACL that were mentioned. Of two at once
// that change different parts, both are kept.
func (l *Located) PatchACL(ctx context.Context, change secret.ACLChange) error {
	ev, err := l.admit(ctx, policy.ContainerACLWrite)
	if err != nil || (change.Private == nil && change.Readers == nil) {
		return err
	}
	if change.Readers != nil {
		once := slices.Compact(slices.Sorted(slices.Values(*change.Readers)))
		change.Readers = &once
	}
	return l.s.deps.Gate.Done(ctx, ev, l.s.deps.Store.PutContainerACL(ctx, l.found, change, ev))
}

// DropACL removes the ACL. It does not count as an update of the container.
func (l *Located) DropACL(ctx context.Context) error {
	return l.dropACL(ctx, policy.ContainerACLDrop, false)
}

func (l *Located) dropACL(ctx context.Context, act policy.Action, touch bool) error {
	ev, err := l.admit(ctx, act)
	if err != nil || l.found.ACL == nil {
		return err
	}
	return l.s.deps.Gate.Done(ctx, ev, l.s.deps.Store.DropContainerACL(ctx, l.found, touch, ev))
}
