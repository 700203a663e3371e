package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// How CSMS calls a secret (DESIGN §3): its own by their names; a Barbican one by
// its name, if that is a legal CSMS name and nothing else is listed as it, else
// by its UUID.
var naming = map[string]func(*bench){
	"HandleOfEachKind":              handleOfEachKind,
	"HandleFollowsTheNeighbours":    handleFollowsTheNeighbours,
	"HandleThatLooksLikeAUUID":      handleThatLooksLikeAUUID,
	"NamedPagesMeetEverySecretOnce": namedPagesMeetEverySecretOnce,
	"NamedPagesGoOnWithoutTheirEnd": namedPagesGoOnWithoutTheirEnd,
	"NamedPagesOfAnEvent":           namedPagesOfAnEvent,
}

// handles lists the handles on a page.
func (b *bench) handles(q secret.NamedQuery) []string {
	b.Helper()
	page, err := b.s.ListNamed(b.ctx(), b.project(), q, b.now)
	b.must(err)
	out := []string{}
	for _, s := range page {
		out = append(out, s.Handle)
	}
	return out
}

// goesBy checks what CSMS calls a secret, and that the handle leads back to it.
// Found by its UUID, a Barbican secret goes by that: nobody then looks at its
// neighbours.
func (b *bench) goesBy(s secret.Secret, want string) {
	b.Helper()
	own := want
	if s.Family != policy.Huawei {
		own = string(s.ID)
	}
	for _, tc := range []struct {
		h    secret.Handle
		want string
	}{
		{secret.Anywhere(s.ID), own}, {secret.Within(s.Project, s.ID), own}, {secret.Named(s.Project, want), want},
	} {
		f, err := b.s.Find(b.ctx(), tc.h, secret.Want{}, b.now)
		if b.must(err); f.Secret.ID != s.ID || f.Secret.Handle != tc.want {
			b.Errorf("Find(%v) finds %s as %q, want %s as %q", tc.h, f.Secret.ID, f.Secret.Handle, s.ID, tc.want)
		}
	}
	page, err := b.s.ListNamed(b.ctx(), s.Project, secret.NamedQuery{Limit: 100}, b.now)
	b.must(err)
	if i := slices.IndexFunc(page, func(l secret.Secret) bool { return l.ID == s.ID }); i < 0 || page[i].Handle != want {
		b.Errorf("%s is not listed as %q", s.ID, want)
	}
}

func handleOfEachKind(b *bench) {
	for _, tc := range []struct {
		family policy.Family
		name   string
		legal  bool
	}{
		{policy.Huawei, "csms-name_1", true},
		{policy.KeyManager, "barbican-name_1", true},
		{policy.KeyManager, strings.Repeat("x", 64), true},
		{policy.KeyManager, strings.Repeat("x", 65), false},
		{policy.KeyManager, "", false},
		{policy.KeyManager, "two words", false},
		{policy.KeyManager, "line\n", false},
		{policy.KeyManager, "a/b", false},
		{policy.KeyManager, "schlüssel", false},
	} {
		s := b.createEmpty(tc.family, tc.name)
		want := string(s.ID)
		if tc.legal {
			want = tc.name
		}
		b.goesBy(s, want)
	}
}

func handleFollowsTheNeighbours(b *bench) {
	first := b.createEmpty(policy.KeyManager, "db")
	b.goesBy(first, "db")
	second := b.secretNamed(policy.KeyManager, "db")
	second.Expiration = ptr(b.now.Add(time.Hour))
	b.must(b.s.Create(b.ctx(), second, nil, b.event()))
	b.goesBy(first, string(first.ID))
	b.goesBy(second, string(second.ID))
	if _, err := b.s.Find(b.ctx(), secret.Named(b.project(), "db"), secret.Want{}, b.now); !errors.Is(err, secret.ErrNotFound) {
		b.Errorf("an ambiguous name finds: %v", err)
	}
	own := b.createEmpty(policy.Huawei, "db")
	b.goesBy(own, "db")
	b.goesBy(first, string(first.ID))
	b.must(b.s.Delete(b.ctx(), own, b.event()))
	b.now = *second.Expiration // and now it has the name for itself
	b.goesBy(first, "db")
	other := b.secretNamed(policy.KeyManager, "db")
	other.Project = "another project"
	b.must(b.s.Create(b.ctx(), other, nil, b.event()))
	b.goesBy(first, "db")
}

// Names are looked up before UUIDs.
func handleThatLooksLikeAUUID(b *bench) {
	a := b.createEmpty(policy.KeyManager, "a")
	b.goesBy(a, "a")
	thief := b.createEmpty(policy.Huawei, string(a.ID))
	b.goesBy(thief, string(a.ID))
	b.goesBy(a, "a")
	c := b.createEmpty(policy.KeyManager, "c")
	barbican := b.createEmpty(policy.KeyManager, string(c.ID))
	b.goesBy(barbican, string(c.ID))
	b.goesBy(c, "c")
	// One without a name is listed as its UUID: another's name that is the
	// same names something else.
	d := b.createEmpty(policy.KeyManager, "")
	e := b.createEmpty(policy.KeyManager, string(d.ID))
	b.goesBy(d, string(d.ID))
	b.goesBy(e, string(e.ID))
}

// pages walks through a list with a page size and returns the UUIDs in order.
func (b *bench) pages(limit int, event string) []secret.ID {
	b.Helper()
	var met []secret.ID
	for after := ""; ; {
		page, err := b.s.ListNamed(b.ctx(), b.project(), secret.NamedQuery{After: after, Limit: limit, Event: event}, b.now)
		b.must(err)
		if len(page) > limit+1 {
			b.Fatalf("%d secrets on a page of %d", len(page), limit)
		}
		for _, s := range page[:min(limit, len(page))] {
			met = append(met, s.ID)
			after = s.Handle
		}
		if len(page) <= limit {
			return met
		}
		if len(met) > 1000 {
			b.Fatal("the pages never end")
		}
	}
}

func namedPagesMeetEverySecretOnce(b *bench) {
	made := map[secret.ID]bool{}
	add := func(f policy.Family, name string) { made[b.createEmpty(f, name).ID] = true }
	for _, name := range []string{"B", "a", "_", "-", "zz", "Zz", "a1", "a-", "a_"} {
		add(policy.Huawei, name)
		add(policy.KeyManager, name)
	}
	for _, name := range []string{"dup", "dup", "dup", "dup", "a", "", "", "not legal", "single"} {
		add(policy.KeyManager, name)
	}
	add(policy.Huawei, "dup")
	add(policy.Huawei, uuid.NewString())
	for _, limit := range []int{1, 2, 3, 7, 100} {
		met := b.pages(limit, "")
		if sorted := slices.Clone(met); len(met) != len(made) || len(slices.Compact(sortedIDs(sorted))) != len(made) {
			b.Errorf("pages of %d meet %d secrets, want %d, each once", limit, len(met), len(made))
		}
	}
	// Where no two are listed as the same, the handles are in byte order.
	b.p = uuid.NewString()
	for _, name := range []string{"b", "B", "_", "-", "a1", "a", "aa"} {
		b.createEmpty(policy.Huawei, name)
	}
	if got := b.handles(secret.NamedQuery{Limit: 10}); !slices.Equal(got, []string{"-", "B", "_", "a", "a1", "aa", "b"}) {
		b.Errorf("handles %v", got)
	}
	if got := b.handles(secret.NamedQuery{Limit: 2, After: "B"}); !slices.Equal(got, []string{"_", "a", "a1"}) {
		b.Errorf("after B, two and one more: %v", got)
	}
}

func sortedIDs(ids []secret.ID) []secret.ID {
	slices.Sort(ids)
	return ids
}

// A marker whose secret is gone is a place all the same.
func namedPagesGoOnWithoutTheirEnd(b *bench) {
	for _, name := range []string{"a", "b", "c", "d"} {
		b.createEmpty(policy.Huawei, name)
	}
	for after, want := range map[string][]string{
		"": {"a", "b", "c", "d"}, "a0": {"b", "c", "d"}, "bb": {"c", "d"}, "d": {}, "zz": {}, "A": {"a", "b", "c", "d"}, "ü": {},
		"00000000-0000-4000-8000-000000000000": {"a", "b", "c", "d"},
	} {
		if got := b.handles(secret.NamedQuery{After: after, Limit: 10}); !slices.Equal(got, want) {
			b.Errorf("after %q: %v, want %v", after, got, want)
		}
	}
	b.p = uuid.NewString()
	nameless := []secret.ID{}
	for range 3 {
		nameless = append(nameless, b.createEmpty(policy.KeyManager, "").ID)
	}
	slices.Sort(nameless)
	b.must(b.s.Delete(b.ctx(), secret.Secret{ID: nameless[1], Project: b.project()}, b.event()))
	if got := b.handles(secret.NamedQuery{After: string(nameless[1]), Limit: 10}); !slices.Equal(got, []string{string(nameless[2])}) {
		b.Errorf("after one that is gone: %v, want %s", got, nameless[2])
	}
}

func namedPagesOfAnEvent(b *bench) {
	b.must(b.s.AddEvent(b.p, "e"))
	b.must(b.s.AddEvent(b.p, "f"))
	want := []secret.ID{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		s := b.secretNamed(policy.Huawei, name)
		switch {
		case name > "d":
			s.Event = "f"
		case name > "a":
			s.Event = "e"
			want = append(want, s.ID)
		}
		b.must(b.s.Create(b.ctx(), s, nil, b.event()))
	}
	for _, limit := range []int{1, 2, 3, 10} {
		if got := b.pages(limit, "e"); !slices.Equal(got, want) {
			b.Errorf("pages of %d: %v, want %v", limit, got, want)
		}
	}
	if got := b.pages(10, "nobody's"); len(got) != 0 {
		b.Errorf("subscribers of nothing: %v", got)
	}
}
