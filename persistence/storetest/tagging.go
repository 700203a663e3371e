package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

var tagging = map[string]func(*bench){
	"TagsAreChanged":               tagsAreChanged,
	"TagsNeedTheRevision":          tagsNeedTheRevision,
	"TagsGoWithTheSecret":          tagsGoWithTheSecret,
	"TagsRace":                     tagsRace,
	"TagsOfAProject":               tagsOfAProject,
	"SecretsAreFoundByTags":        secretsAreFoundByTags,
	"TaggedSecretsOfTheDead":       taggedSecretsOfTheDead,
	"TaggedSecretsHaveTheirHandle": taggedSecretsHaveTheirHandle,
}

// tag changes a secret's tags, given as key, value, …
func (b *bench) tag(s secret.Secret, pairs ...string) {
	b.Helper()
	var c secret.TagChange
	for i := 0; i+1 < len(pairs); i += 2 {
		c.Put = append(c.Put, secret.Tag{Key: pairs[i], Value: pairs[i+1]})
	}
	b.must(b.retag(s, c))
}

func (b *bench) retag(s secret.Secret, c secret.TagChange) error {
	b.Helper()
	now := b.find(secret.Anywhere(s.ID), secret.Want{}).Secret
	return b.s.Apply(b.ctx(), secret.Change{Secret: now, Tags: &c}, b.event())
}

func (b *bench) hasTags(s secret.Secret, want ...secret.Tag) {
	b.Helper()
	got := b.find(secret.Anywhere(s.ID), secret.Want{Tags: true}).Tags
	if diff := cmp.Diff(append([]secret.Tag{}, want...), got); diff != "" {
		b.Errorf("tags (-want +got):\n%s", diff)
	}
}

func tagsAreChanged(b *bench) {
	s, other := b.createEmpty(policy.Huawei, "s"), b.createEmpty(policy.Huawei, "other")
	b.hasTags(s)
	b.tag(s, "b", "1", "a", "", "B", "ü/=:+-@ .")
	b.tag(other, "a", "other")
	b.hasTags(s, secret.Tag{Key: "B", Value: "ü/=:+-@ ."}, secret.Tag{Key: "a"}, secret.Tag{Key: "b", Value: "1"})
	b.must(b.retag(s, secret.TagChange{Put: []secret.Tag{{Key: "a", Value: "2"}, {Key: "c", Value: "3"}}, Drop: []string{"B", "nobody"}}))
	b.hasTags(s, secret.Tag{Key: "a", Value: "2"}, secret.Tag{Key: "b", Value: "1"}, secret.Tag{Key: "c", Value: "3"})
	b.hasTags(other, secret.Tag{Key: "a", Value: "other"})
	if n := b.rows("audit_events"); n != 5 {
		b.Errorf("%d events, want one per creation and change", n)
	}
	f := b.find(secret.Anywhere(s.ID), secret.Want{})
	if f.Tags != nil {
		b.Errorf("tags that nobody asked for: %v", f.Tags)
	}
	if !f.Secret.UpdatedAt.Equal(s.UpdatedAt) || f.Secret.Revision != s.Revision+2 {
		b.Errorf("two changes of tags made %+v", f.Secret)
	}
}

func tagsNeedTheRevision(b *bench) {
	s := b.createEmpty(policy.Huawei, "s")
	b.tag(s, "a", "1")
	err := b.s.Apply(b.ctx(), secret.Change{Secret: s, Tags: &secret.TagChange{Drop: []string{"a"}}}, b.event())
	if !errors.Is(err, secret.ErrStale) {
		b.Errorf("an old revision: %v", err)
	}
	b.hasTags(s, secret.Tag{Key: "a", Value: "1"})
}

func tagsGoWithTheSecret(b *bench) {
	s := b.createEmpty(policy.Huawei, "s")
	b.tag(s, "a", "1", "b", "2")
	if n := b.rows("secret_tags"); n != 2 {
		b.Errorf("%d tags", n)
	}
	b.must(b.s.Delete(b.ctx(), s, b.event()))
	if n := b.rows("secret_tags"); n != 0 {
		b.Errorf("%d tags of no secret", n)
	}
	b.hasTags(b.createEmpty(policy.Huawei, "s"))
}

// Many add a tag to one secret at once, each from the revision that it read:
// nothing is lost, and nobody goes beyond what another just did.
func tagsRace(b *bench) {
	s := b.createEmpty(policy.Huawei, "s")
	const most = 5
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for {
				f, err := b.s.Find(b.ctx(), secret.Anywhere(s.ID), secret.Want{Tags: true}, b.now)
				if err != nil {
					b.Error(err)
					return
				}
				if len(f.Tags) >= most {
					return
				}
				err = b.s.Apply(b.ctx(), secret.Change{
					Secret: f.Secret, Tags: &secret.TagChange{Put: []secret.Tag{{Key: fmt.Sprint(i)}}},
				}, b.event())
				if err == nil {
					return
				}
				if !errors.Is(err, secret.ErrStale) {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := b.rows("secret_tags"); n != most {
		b.Errorf("%d tags, want %d", n, most)
	}
}

func tagsOfAProject(b *bench) {
	none, err := b.s.ProjectTags(b.ctx(), b.project(), b.now)
	if b.must(err); len(none) != 0 {
		b.Errorf("tags of nobody: %v", none)
	}
	b.tag(b.createEmpty(policy.Huawei, "a"), "env", "prod", "team", "x")
	b.tag(b.createEmpty(policy.Huawei, "b"), "env", "dev", "team", "x")
	b.tag(b.createEmpty(policy.KeyManager, "c"), "env", "prod", "Env", "")
	gone := b.createEmpty(policy.Huawei, "gone")
	b.tag(gone, "env", "gone", "only", "here")
	b.pend(gone)
	got, err := b.s.ProjectTags(b.ctx(), b.project(), b.now.Add(time.Hour))
	b.must(err)
	want := []secret.TagValues{
		{Key: "Env", Values: []string{""}}, {Key: "env", Values: []string{"dev", "prod"}}, {Key: "team", Values: []string{"x"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("tags (-want +got):\n%s", diff)
	}
	if got, err := b.s.ProjectTags(b.ctx(), "another", b.now); err != nil || len(got) != 0 {
		b.Errorf("another project's tags: %v, %v", got, err)
	}
}

// pend schedules a secret's deletion in a minute.
func (b *bench) pend(s secret.Secret) {
	b.Helper()
	now := b.find(secret.Anywhere(s.ID), secret.Want{}).Secret
	at := b.now.Add(time.Minute)
	now.State, now.DeleteAt = secret.PendingDelete, &at
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: now}, b.event()))
}

// finds checks the names on a page of ten and how many there are.
func (b *bench) finds(total int, q secret.TagQuery, want ...string) {
	b.Helper()
	page, n, err := b.s.FindTagged(b.ctx(), b.project(), q, b.now)
	b.must(err)
	var got []string
	for _, t := range page {
		got = append(got, t.Secret.Handle)
	}
	if diff := cmp.Diff(want, got); diff != "" || n != total {
		b.Errorf("%+v: %d, want %d (-want +got):\n%s", q, n, total, diff)
	}
}

func secretsAreFoundByTags(b *bench) {
	for name, tags := range map[string][]string{
		"db1": {"env", "prod", "team", "a"}, "db2": {"env", "dev", "team", "a"}, "db3": {"env", "test", "team", "a"},
		"web1": {"env", "prod", "team", "b"}, "web2": {"team", ""}, "plain": nil,
	} {
		if s := b.createEmpty(policy.Huawei, name); tags != nil {
			b.tag(s, tags...)
		}
	}
	by := func(pairs ...any) (q secret.TagQuery) {
		q.Limit = 10
		for i := 0; i < len(pairs); i += 2 {
			q.Tags = append(q.Tags, secret.TagFilter{Key: pairs[i].(string), Values: pairs[i+1].([]string)})
		}
		return q
	}
	either, a, any := []string{"prod", "dev"}, []string{"a"}, []string(nil)
	b.finds(6, by(), "db1", "db2", "db3", "plain", "web1", "web2")
	b.finds(2, by("env", either, "team", a), "db1", "db2")
	b.finds(3, by("env", either), "db1", "db2", "web1")
	b.finds(5, by("team", any), "db1", "db2", "db3", "web1", "web2")
	b.finds(1, by("team", []string{""}), "web2")
	b.finds(4, by("env", any, "team", any), "db1", "db2", "db3", "web1")
	b.finds(0, by("env", []string{"prod"}, "env", []string{"dev"}))
	b.finds(1, by("env", []string{"prod", "prod"}, "env", any, "team", a), "db1")
	b.finds(0, by("Env", any))

	q := by("team", any)
	q.Names = []string{"b", "2"}
	b.finds(2, q, "db2", "web2")
	q.Tags = nil
	b.finds(2, q, "db2", "web2")
	b.finds(1, secret.TagQuery{Limit: 10, Names: []string{"lai"}}, "plain")
	b.finds(0, secret.TagQuery{Limit: 10, Names: []string{"%"}})

	b.finds(3, secret.TagQuery{Limit: 1, Offset: 1, Tags: by("env", either).Tags}, "db2")
	b.finds(3, secret.TagQuery{Limit: 1, Offset: 3, Tags: by("env", either).Tags})
	b.finds(3, secret.TagQuery{Tags: by("env", either).Tags})
	b.finds(6, secret.TagQuery{})
	b.finds(6, secret.TagQuery{Limit: 2, Offset: 100})

	page, _, err := b.s.FindTagged(b.ctx(), b.project(), secret.TagQuery{Limit: 4}, b.now)
	b.must(err)
	if len(page[3].Tags) != 0 || page[3].Tags == nil || len(page[0].Tags) != 2 || page[0].Tags[0] != (secret.Tag{Key: "env", Value: "prod"}) {
		b.Errorf("tags on the page: %+v", page)
	}
}

func taggedSecretsOfTheDead(b *bench) {
	s := b.createEmpty(policy.Huawei, "s")
	b.tag(s, "a", "1")
	b.pend(s)
	b.finds(1, secret.TagQuery{Limit: 1, Tags: []secret.TagFilter{{Key: "a"}}}, "s")
	b.now = b.now.Add(time.Hour)
	b.finds(0, secret.TagQuery{Limit: 1, Tags: []secret.TagFilter{{Key: "a"}}})
	b.finds(0, secret.TagQuery{Limit: 1})
}

func taggedSecretsHaveTheirHandle(b *bench) {
	one, two := b.createEmpty(policy.KeyManager, "twin"), b.createEmpty(policy.KeyManager, "twin")
	b.tag(one, "a", "1")
	b.finds(1, secret.TagQuery{Limit: 1, Tags: []secret.TagFilter{{Key: "a"}}}, string(one.ID))
	b.must(b.s.Delete(b.ctx(), two, b.event()))
	b.finds(1, secret.TagQuery{Limit: 1, Tags: []secret.TagFilter{{Key: "a"}}}, "twin")
}
