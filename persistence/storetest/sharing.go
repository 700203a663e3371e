package storetest

import (
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

var sharing = map[string]func(*bench){
	"ACLComesWithEveryRead": aclComesWithEveryRead,
	"ACLTakesAnyUserID":     aclTakesAnyUserID,
	"SharedOfAllProjects":   sharedOfAllProjects,
	"SharedIsPagedAndAlive": sharedIsPagedAndAlive,
	"ListShowsPrivate":      listShowsPrivate,
}

// share stores an ACL, and returns s as it then is.
func (b *bench) share(s secret.Secret, private bool, readers ...auth.UserID) secret.Secret {
	b.Helper()
	b.tick()
	s.ACL = &secret.ACL{Private: private, Readers: append([]auth.UserID{}, readers...), CreatedAt: b.now, UpdatedAt: b.now.Add(time.Second)}
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: s}, b.event()))
	s.Revision++
	return s
}

func aclComesWithEveryRead(b *bench) {
	k := b.kek("k")
	s := b.create(b.secretNamed(policy.Huawei, "s"), k)
	other := b.createEmpty(policy.KeyManager, "other")
	s = b.share(s, true, "u1", "u2")
	for _, h := range []secret.Handle{secret.Anywhere(s.ID), secret.Within(s.Project, s.ID), secret.Named(s.Project, "s")} {
		for _, want := range []secret.Want{{}, {Sealed: true}, {Versions: true, Metadata: true, Consumers: true}} {
			if diff := cmp.Diff(s.ACL, b.find(h, want).Secret.ACL); diff != "" {
				b.Errorf("%+v %+v (-want +got):\n%s", h, want, diff)
			}
		}
	}
	named, err := b.s.ListNamed(b.ctx(), b.project(), secret.NamedQuery{Limit: 5}, b.now)
	b.must(err)
	listed, _, err := b.s.List(b.ctx(), b.project(), secret.Query{Limit: 5}, b.now)
	b.must(err)
	for _, got := range append(named, listed...) {
		if (got.ACL != nil) != (got.ID == s.ID) || got.ACL != nil && !cmp.Equal(got.ACL, s.ACL) {
			b.Errorf("listed %s with %+v", got.ID, got.ACL)
		}
	}
	if f := b.find(secret.Anywhere(other.ID), secret.Want{}); f.Secret.ACL != nil {
		b.Errorf("the neighbour has %+v", f.Secret.ACL)
	}
	// A change of something else keeps it, one to none removes it.
	s = b.addVersion(s, 2, k, nil)
	if f := b.find(secret.Anywhere(s.ID), secret.Want{}); !cmp.Equal(f.Secret.ACL, s.ACL) {
		b.Errorf("after another change: %+v", f.Secret.ACL)
	}
	s.ACL = nil
	b.must(b.s.Apply(b.ctx(), secret.Change{Secret: s}, b.event()))
	if f := b.find(secret.Anywhere(s.ID), secret.Want{}); f.Secret.ACL != nil {
		b.Errorf("after its removal: %+v", f.Secret.ACL)
	}
}

func aclTakesAnyUserID(b *bench) {
	s := b.createEmpty(policy.KeyManager, "")
	odd := []auth.UserID{"", " ", "NULL", "null", `"`, `\`, "{a,b}", "a,b", "'", auth.UserID(strings.Repeat("\U0001F511", 255))}
	s = b.share(s, false, odd...)
	if diff := cmp.Diff(s.ACL, b.find(secret.Anywhere(s.ID), secret.Want{}).Secret.ACL); diff != "" {
		b.Errorf("(-want +got):\n%s", diff)
	}
	for _, u := range odd {
		if page, total := b.shared(u, b.project(), secret.Query{Limit: 2}); total != 1 || len(page) != 1 {
			b.Errorf("%q is listed in %d", u, total)
		}
	}
	for _, u := range []auth.UserID{"a", "b", "{a", "NUL"} {
		if _, total := b.shared(u, b.project(), secret.Query{Limit: 2}); total != 0 {
			b.Errorf("%q is listed in %d", u, total)
		}
	}
	s = b.share(s, true)
	if got := b.find(secret.Anywhere(s.ID), secret.Want{}).Secret.ACL; got == nil || got.Readers == nil || len(got.Readers) != 0 {
		b.Errorf("an ACL that lists nobody is %+v", got)
	}
}

func (b *bench) shared(reader auth.UserID, p auth.ProjectID, q secret.Query) ([]secret.Secret, int) {
	b.Helper()
	page, total, err := b.s.ListShared(b.ctx(), reader, p, q, b.now)
	b.must(err)
	return page, total
}

func sharedOfAllProjects(b *bench) {
	me := auth.UserID(uuid.NewString())
	mine := b.share(b.createEmpty(policy.KeyManager, "b"), true, "somebody", me)
	b.share(b.createEmpty(policy.KeyManager, "c"), false, "somebody")
	b.createEmpty(policy.KeyManager, "d")
	home := b.p
	b.p = uuid.NewString()
	theirs := b.share(b.createEmpty(policy.Huawei, "a"), false, me)
	for _, tc := range []struct {
		project auth.ProjectID
		query   secret.Query
		want    []secret.ID
	}{
		{"", secret.Query{}, []secret.ID{mine.ID, theirs.ID}},
		{"", secret.Query{Sort: []secret.Order{{By: secret.ByName}}}, []secret.ID{theirs.ID, mine.ID}},
		{"", secret.Query{Name: "b"}, []secret.ID{mine.ID}},
		{auth.ProjectID(home), secret.Query{}, []secret.ID{mine.ID}},
		{theirs.Project, secret.Query{}, []secret.ID{theirs.ID}},
		{"nobody's", secret.Query{}, nil},
	} {
		tc.query.Limit = 10
		page, total := b.shared(me, tc.project, tc.query)
		var got []secret.ID
		for _, s := range page {
			got = append(got, s.ID)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" || total != len(tc.want) {
			b.Errorf("%q %+v: total %d (-want +got):\n%s", tc.project, tc.query, total, diff)
		}
	}
}

// What is past its time is shared with nobody.
func sharedIsPagedAndAlive(b *bench) {
	me := auth.UserID(uuid.NewString())
	for _, name := range []string{"a", "b", "c"} {
		b.share(b.createEmpty(policy.KeyManager, name), true, me)
	}
	dead := b.secretNamed(policy.KeyManager, "dead")
	dead.Expiration = ptr(b.now.Add(time.Minute))
	b.must(b.s.Create(b.ctx(), dead, nil, b.event()))
	b.share(dead, true, me)
	if _, total := b.shared(me, "", secret.Query{Limit: 10}); total != 4 {
		b.Errorf("%d are shared, want 4", total)
	}
	b.now = b.now.Add(time.Hour)
	page, total := b.shared(me, "", secret.Query{Limit: 2, Offset: 2, Consumers: true})
	if total != 3 || len(page) != 1 || *page[0].Name != "c" || page[0].Consumers == nil {
		b.Errorf("%d of %d: %+v", len(page), total, page)
	}
	if page, total = b.shared(me, "", secret.Query{Limit: 2, Offset: 9}); total != 3 || len(page) != 0 {
		b.Errorf("past the end: %d of %d", len(page), total)
	}
}

// Whether a secret is private is for the gate, not for the list (barbican.md
// §8.8).
func listShowsPrivate(b *bench) {
	s := b.share(b.createEmpty(policy.KeyManager, "s"), true)
	page, total, err := b.s.List(b.ctx(), b.project(), secret.Query{Limit: 10}, b.now)
	if b.must(err); total != 1 || page[0].ID != s.ID {
		b.Errorf("%d: %+v", total, page)
	}
}
