package secret

import (
	"context"
	"slices"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
)

// ACL says who may read a secret or a container beside, or instead of, those
// whom the project's roles let (barbican.md §11). No ACL is the same as one
// that is not private and lists nobody.
type ACL struct {
	// Private takes the project's readers away: administrators, the creator and
	// Readers are left.
	Private bool
	// Readers are user IDs of any project, sorted, each once. They need no role.
	Readers   []auth.UserID
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Guards is t with what the ACL says of it; a may be nil.
func (a *ACL) Guards(t policy.Target) policy.Target {
	if a == nil {
		return t
	}
	t.Private = a.Private
	t.Readers = make([]string, len(a.Readers))
	for i, id := range a.Readers {
		t.Readers[i] = string(id)
	}
	return t
}

// ACLChange is what a caller says of an ACL; nil parts were not mentioned.
type ACLChange struct {
	Private *bool
	Readers *[]auth.UserID
}

// Replace is the ACL that stands in place of old: parts that were not
// mentioned have their defaults, and a change that mentions none leaves no ACL.
func (c ACLChange) Replace(old *ACL, now time.Time) *ACL {
	if c.Private == nil && c.Readers == nil {
		return nil
	}
	next := &ACL{Readers: []auth.UserID{}, CreatedAt: now, UpdatedAt: now}
	if old != nil {
		next.CreatedAt = old.CreatedAt
	}
	return c.over(next)
}

// Amend is old with the parts that were mentioned.
func (c ACLChange) Amend(old *ACL, now time.Time) *ACL {
	if c.Private == nil && c.Readers == nil {
		return old
	}
	next := &ACL{Readers: []auth.UserID{}, CreatedAt: now}
	if old != nil {
		*next = *old
	}
	next.UpdatedAt = now
	return c.over(next)
}

func (c ACLChange) over(a *ACL) *ACL {
	set(&a.Private, c.Private)
	if c.Readers != nil {
		a.Readers = slices.Compact(slices.Sorted(slices.Values(*c.Readers)))
		if a.Readers == nil {
			a.Readers = []auth.UserID{} // nobody is not the same as not known
		}
	}
	return a
}

// ACL returns the secret's ACL; nil: it has none.
func (l *Located) ACL(ctx context.Context) (*ACL, error) {
	if _, err := l.admit(ctx, policy.SecretACLRead, "", ""); err != nil {
		return nil, err
	}
	return l.found.Secret.ACL, nil
}

// SetACL replaces the ACL. A change that mentions nothing removes it.
func (l *Located) SetACL(ctx context.Context, c ACLChange) error {
	ev, err := l.admit(ctx, policy.SecretACLWrite, "", "")
	if err != nil {
		return err
	}
	return l.changeACL(ctx, ev, true, c.Replace)
}

// PatchACL changes the parts of the ACL that c mentions. Of two at once, one
// starts over from what the other left, so both are kept.
func (l *Located) PatchACL(ctx context.Context, c ACLChange) error {
	ev, err := l.admit(ctx, policy.SecretACLWrite, "", "")
	if err != nil {
		return err
	}
	return l.changeACL(ctx, ev, true, c.Amend)
}

// DropACL removes the ACL. It does not count as a change of the secret: its
// time of the last update stays.
func (l *Located) DropACL(ctx context.Context) error {
	ev, err := l.admit(ctx, policy.SecretACLDrop, "", "")
	if err != nil {
		return err
	}
	return l.changeACL(ctx, ev, false, func(*ACL, time.Time) *ACL { return nil })
}

// changeACL stores what next makes of the ACL, unless that is what is there.
func (l *Located) changeACL(ctx context.Context, ev audit.Event, touch bool, next func(old *ACL, now time.Time) *ACL) error {
	_, err := retry(ctx, l, func() (struct{}, error) {
		sec, now := l.found.Secret, l.s.now()
		acl := next(sec.ACL, now)
		if acl == sec.ACL {
			return struct{}{}, nil
		}
		sec.ACL = acl
		if touch {
			sec.UpdatedAt = now
		}
		return struct{}{}, l.s.deps.Store.Apply(ctx, Change{Secret: sec}, ev)
	})
	return err
}

// ListShared returns one page of the secrets that an ACL shares with the
// caller, and how many there are: those of every project, or of p alone where
// p is not empty. Roles are those that list the caller's own project.
func (s *Service) ListShared(ctx context.Context, who auth.Principal, p auth.ProjectID, q Query) ([]Secret, int, error) {
	if err := s.MayList(ctx, who); err != nil {
		return nil, 0, err
	}
	if who.User == "" { // is nobody, whatever an ACL lists
		return nil, 0, nil
	}
	return s.deps.Store.ListShared(ctx, who.User, p, q, s.now())
}
