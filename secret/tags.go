package secret

import (
	"cmp"
	"context"
	"slices"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
)

// MaxTags is how many tags one secret may have (csms.md §8.5).
const MaxTags = 20

var (
	ErrNoTag    = fault.New(fault.NotFound, "the secret has no such tag")
	ErrManyTags = fault.New(fault.Invalid, "the secret has the most tags it may have")
)

// Tag says what a secret is for. A secret has each key at most once.
type Tag struct{ Key, Value string }

// TagChange is what becomes of a secret's tags. No key is in both.
type TagChange struct {
	Put  []Tag    // new, or with a new value; no key twice
	Drop []string // keys that go
}

// TagValues is a key that secrets of a project have, with all its values.
type TagValues struct {
	Key    string
	Values []string // sorted, each once
}

// TagQuery selects secrets by their tags and names.
type TagQuery struct {
	Limit, Offset int // Limit 0: only count
	Tags          []TagFilter
	Names         []string // each is part of the secret's handle; none of them is empty
}

// TagFilter selects the secrets that have a tag.
type TagFilter struct {
	Key    string
	Values []string // one of them; empty: whatever the value
}

// Tagged is a secret with its tags, by key.
type Tagged struct {
	Secret Secret
	Tags   []Tag
}

// Tags returns the secret's tags, by key. Locate it with Want.Tags.
func (l *Located) Tags(ctx context.Context) ([]Tag, error) {
	if _, err := l.admit(ctx, policy.TagList, "", ""); err != nil {
		return nil, err
	}
	return l.found.Tags, nil
}

// AddTag adds a tag; where the secret has the key it gets the value. Locate the
// secret with Want.Tags.
func (l *Located) AddTag(ctx context.Context, t Tag) error {
	return l.changeTags(ctx, policy.TagAdd, func([]Tag) (TagChange, error) {
		return TagChange{Put: []Tag{t}}, nil
	})
}

// RemoveTag removes a tag; ErrNoTag where it is not there. Locate the secret
// with Want.Tags.
func (l *Located) RemoveTag(ctx context.Context, key string) error {
	return l.changeTags(ctx, policy.TagRemove, func(have []Tag) (TagChange, error) {
		if !slices.ContainsFunc(have, Tag{Key: key}.sameKey) {
			return TagChange{}, ErrNoTag
		}
		return TagChange{Drop: []string{key}}, nil
	})
}

// ChangeTags makes several changes, or none of them. Locate the secret with
// Want.Tags.
func (l *Located) ChangeTags(ctx context.Context, c TagChange) error {
	return l.changeTags(ctx, policy.TagBatch, func([]Tag) (TagChange, error) { return c, nil })
}

// changeTags makes the change that want derives from the tags there are. Tags
// are no update of the secret, but they make its revision grow: so of two who
// would add the last tag, one sees the other's.
func (l *Located) changeTags(ctx context.Context, act policy.Action, want func(have []Tag) (TagChange, error)) error {
	ev, err := l.admit(ctx, act, "", "")
	if err != nil {
		return err
	}
	_, err = retry(ctx, l, func() (struct{}, error) {
		var none struct{}
		if err := l.found.Secret.changeable(); err != nil {
			return none, l.s.gate.Refuse(ctx, ev.As(audit.Refused), err)
		}
		c, err := want(l.found.Tags)
		if err != nil {
			return none, l.s.gate.Refuse(ctx, ev.As(audit.Missing), err)
		}
		if len(c.applied(l.found.Tags)) > MaxTags {
			return none, l.s.gate.Refuse(ctx, ev.As(audit.Refused), ErrManyTags)
		}
		return none, l.s.deps.Store.Apply(ctx, Change{Secret: l.found.Secret, Tags: &c}, ev)
	})
	return err
}

// applied are the tags after the change, by key.
func (c TagChange) applied(have []Tag) []Tag {
	rest := slices.DeleteFunc(slices.Clone(have), func(t Tag) bool {
		return slices.Contains(c.Drop, t.Key) || slices.ContainsFunc(c.Put, t.sameKey)
	})
	rest = append(rest, c.Put...)
	slices.SortFunc(rest, func(a, b Tag) int { return cmp.Compare(a.Key, b.Key) })
	return rest
}

func (t Tag) sameKey(other Tag) bool { return t.Key == other.Key }

// ProjectTags returns what tags the secrets of the caller's project have, by
// key.
func (s *Service) ProjectTags(ctx context.Context, who auth.Principal) ([]TagValues, error) {
	if _, err := s.gate.Admit(ctx, who, policy.TagListProject, gate.Project(who)); err != nil {
		return nil, err
	}
	return s.deps.Store.ProjectTags(ctx, who.Project, s.now())
}

// MayFindTagged asks the gate for FindTagged, for dialects that answer a
// refusal before they look at anything else.
func (s *Service) MayFindTagged(ctx context.Context, who auth.Principal) error {
	_, err := s.gate.Admit(ctx, who, policy.TagFind, gate.Project(who))
	return err
}

// FindTagged returns one page of the secrets of the caller's project that q
// selects, by handle, and how many there are.
func (s *Service) FindTagged(ctx context.Context, who auth.Principal, q TagQuery) ([]Tagged, int, error) {
	if err := s.MayFindTagged(ctx, who); err != nil {
		return nil, 0, err
	}
	return s.deps.Store.FindTagged(ctx, who.Project, q, s.now())
}
