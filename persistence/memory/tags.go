package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/secret"
)

// sortedTags is never nil.
func (r *record) sortedTags() []secret.Tag {
	tags := []secret.Tag{}
	for _, key := range slices.Sorted(maps.Keys(r.tags)) {
		tags = append(tags, secret.Tag{Key: key, Value: r.tags[key]})
	}
	return tags
}

// ProjectTags implements secret.Store.
func (st *Store) ProjectTags(ctx context.Context, p auth.ProjectID, now time.Time) ([]secret.TagValues, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return nil, err
	}
	values := map[string]map[string]bool{}
	for _, r := range st.secrets {
		if r.secret.Project != p || !alive(r.secret, now) {
			continue
		}
		for k, v := range r.tags {
			if values[k] == nil {
				values[k] = map[string]bool{}
			}
			values[k][v] = true
		}
	}
	var all []secret.TagValues
	for _, k := range slices.Sorted(maps.Keys(values)) {
		all = append(all, secret.TagValues{Key: k, Values: slices.Sorted(maps.Keys(values[k]))})
	}
	return all, nil
}

// FindTagged implements secret.Store.
func (st *Store) FindTagged(ctx context.Context, p auth.ProjectID, q secret.TagQuery, now time.Time) ([]secret.Tagged, int, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return nil, 0, err
	}
	order := func(a, b secret.Secret) int {
		return cmp.Or(cmp.Compare(listedAs(a), listedAs(b)), cmp.Compare(a.ID, b.ID))
	}
	found := slices.DeleteFunc(st.living(p, now, order), func(s secret.Secret) bool {
		return !st.secrets[place{string(p), string(s.ID)}].selected(q)
	})
	var page []secret.Tagged
	for _, s := range found[min(q.Offset, len(found)):] {
		if len(page) == q.Limit {
			break
		}
		s.Handle = st.handle(s, now)
		page = append(page, secret.Tagged{Secret: s, Tags: st.secrets[place{string(p), string(s.ID)}].sortedTags()})
	}
	return page, len(found), nil
}

func (r *record) selected(q secret.TagQuery) bool {
	for _, f := range q.Tags {
		v, ok := r.tags[f.Key]
		if !ok || len(f.Values) > 0 && !slices.Contains(f.Values, v) {
			return false
		}
	}
	for _, part := range q.Names {
		if !strings.Contains(listedAs(r.secret), part) {
			return false
		}
	}
	return true
}
