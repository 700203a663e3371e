package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

var listing = map[string]func(*bench){
	"ListPages":             listPages,
	"ListFilters":           listFilters,
	"ListBoundsTimes":       listBoundsTimes,
	"ListSorts":             listSorts,
	"ListShowsWholeSecrets": listShowsWholeSecrets,
	"ListHidesTheDead":      listHidesTheDead,
}

// listed returns the names on a page; a secret without a name is "-".
func (b *bench) listed(q secret.Query) (string, int) {
	b.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	page, total, err := b.s.List(b.ctx(), b.project(), q, b.now)
	b.must(err)
	names := []string{}
	for _, s := range page {
		if s.Name == nil {
			names = append(names, "-")
		} else {
			names = append(names, *s.Name)
		}
	}
	return strings.Join(names, " "), total
}

// lists checks a whole list.
func (b *bench) lists(what string, q secret.Query, want string) {
	b.Helper()
	got, total := b.listed(q)
	if n := len(strings.Fields(want)); got != want || total != n {
		b.Errorf("%s lists [%s] of %d, want [%s] of %d", what, got, total, want, n)
	}
}

func listPages(b *bench) {
	k := b.kek("k")
	for i := range 7 {
		b.tick()
		b.create(b.secretNamed(policy.KeyManager, fmt.Sprint("s", i)), k)
	}
	for _, tc := range []struct {
		limit, offset int
		want          string
	}{
		{3, 0, "s0 s1 s2"}, {3, 3, "s3 s4 s5"}, {3, 6, "s6"}, {3, 7, ""}, {3, 1 << 40, ""}, {100, 0, "s0 s1 s2 s3 s4 s5 s6"},
	} {
		if got, total := b.listed(secret.Query{Limit: tc.limit, Offset: tc.offset}); got != tc.want || total != 7 {
			b.Errorf("limit %d offset %d: [%s] of %d, want [%s] of 7", tc.limit, tc.offset, got, total, tc.want)
		}
	}
	b.p = "another project"
	b.lists("another project", secret.Query{}, "")
	if got, total := b.listed(secret.Query{Offset: 3}); got != "" || total != 0 {
		b.Errorf("past the end of nothing: [%s] of %d", got, total)
	}
}

// attributed stores a secret with attributes; "" is none.
func (b *bench) attributed(name, algorithm, mode string, bits int, kind string) secret.Secret {
	b.tick()
	s := b.secretNamed(policy.KeyManager, name)
	if algorithm != "" {
		s.Algorithm = &algorithm
	}
	if mode != "" {
		s.Mode = &mode
	}
	if bits != 0 {
		s.BitLength = &bits
	}
	s.Type = kind
	b.must(b.s.Create(b.ctx(), s, nil, b.event()))
	return s
}

func listFilters(b *bench) {
	b.attributed("alpha", "aes", "cbc", 256, "symmetric")
	b.attributed("Alpha", "AES", "gcm", 128, "symmetric")
	b.attributed("al_pha", "rsa", "", 2048, "private")
	b.attributed("50%", "", "cbc", 0, "opaque")
	b.attributed("", "aes", "ctr", 256, "opaque")
	b.attributed(`tail\`, "", "", 0, "opaque")
	b.attributed("schlüssel", "", "", 0, "opaque")
	for _, tc := range []struct {
		what, want string
		q          secret.Query
	}{
		{"an exact name", "alpha", secret.Query{Name: "alpha"}},
		{"a name with %", "alpha al_pha", secret.Query{Name: "al%a"}},
		{"any name", "alpha Alpha al_pha 50% tail\\ schlüssel", secret.Query{Name: "%"}},
		{"a name with _", "alpha Alpha", secret.Query{Name: "_lpha"}},
		{"_ for one character, not one byte", "schlüssel", secret.Query{Name: "schl_ssel"}},
		{"an escaped _", "al_pha", secret.Query{Name: `al\_pha`}},
		{"an escaped %", "50%", secret.Query{Name: `50\%`}},
		{"an escaped letter", "alpha", secret.Query{Name: `a\lpha`}},
		{"a backslash at the end", `tail\`, secret.Query{Name: `tail\`}},
		{"an escaped backslash", `tail\`, secret.Query{Name: `tail\\`}},
		{"a backslash before %", "", secret.Query{Name: `tail\%`}},
		{"a name that nobody has", "", secret.Query{Name: "x'; DROP TABLE secrets; --"}},
		{"an algorithm", "alpha -", secret.Query{Algorithm: "aes"}},
		{"a mode", "alpha 50%", secret.Query{Mode: "cbc"}},
		{"bits", "alpha -", secret.Query{BitLength: 256}},
		{"more bits than there are", "", secret.Query{BitLength: 1 << 40}},
		{"a type", "al_pha", secret.Query{Type: "private"}},
		{"a type that nobody has", "", secret.Query{Type: "Private"}},
		{"all together", "alpha", secret.Query{Name: "%", Algorithm: "a%", Mode: "cb_", BitLength: 256, Type: "symmetric"}},
	} {
		b.lists(tc.what, tc.q, tc.want)
	}
	if got, total := b.listed(secret.Query{Name: "%", Limit: 1, Offset: 1}); got != "Alpha" || total != 6 {
		b.Errorf("a filtered page: [%s] of %d", got, total)
	}
}

func listBoundsTimes(b *bench) {
	var made []secret.Secret
	for i := range 4 {
		b.tick()
		s := b.secretNamed(policy.KeyManager, fmt.Sprint("s", i))
		s.UpdatedAt = s.CreatedAt.Add(time.Minute)
		if i > 0 {
			s.Expiration = ptr(s.CreatedAt.Add(time.Hour))
		}
		b.must(b.s.Create(b.ctx(), s, nil, b.event()))
		made = append(made, s)
	}
	at := made[1].CreatedAt
	for _, tc := range []struct {
		op   secret.Comparison
		want string
	}{
		{secret.Equal, "s1"}, {secret.After, "s2 s3"}, {secret.NotBefore, "s1 s2 s3"}, {secret.Before, "s0"}, {secret.NotAfter, "s0 s1"},
	} {
		b.lists("created "+string(tc.op), secret.Query{Created: []secret.Bound{{Op: tc.op, At: at}}}, tc.want)
		b.lists("updated "+string(tc.op), secret.Query{Updated: []secret.Bound{{Op: tc.op, At: at.Add(time.Minute)}}}, tc.want)
		want := strings.TrimSpace(strings.TrimPrefix(tc.want, "s0")) // which has no expiration
		b.lists("expiration "+string(tc.op), secret.Query{Expiration: []secret.Bound{{Op: tc.op, At: at.Add(time.Hour)}}}, want)
	}
	b.lists("two bounds", secret.Query{Created: []secret.Bound{
		{Op: secret.After, At: made[0].CreatedAt}, {Op: secret.Before, At: made[3].CreatedAt},
	}}, "s1 s2")
	b.lists("bounds on two times", secret.Query{
		Created:    []secret.Bound{{Op: secret.After, At: made[0].CreatedAt}},
		Expiration: []secret.Bound{{Op: secret.NotAfter, At: *made[2].Expiration}},
	}, "s1 s2")
	b.lists("a time in another zone", secret.Query{Created: []secret.Bound{
		{Op: secret.Equal, At: at.In(time.FixedZone("", 7200))},
	}}, "s1")
}

func listSorts(b *bench) {
	b.attributed("b", "aes", "cbc", 256, "symmetric")
	b.attributed("", "rsa", "", 0, "private")
	b.attributed("B", "", "cbc", 128, "opaque")
	b.attributed("a", "aes", "gcm", 0, "opaque")
	for _, tc := range []struct {
		what, want string
		sort       []secret.Order
	}{
		{"nothing: by creation", "b - B a", nil},
		{"creation, backwards", "a B - b", []secret.Order{{By: secret.ByCreated, Descending: true}}},
		{"names by bytes, none last", "B a b -", []secret.Order{{By: secret.ByName}}},
		{"names backwards, none first", "- b a B", []secret.Order{{By: secret.ByName, Descending: true}}},
		{"algorithm, then creation", "b a - B", []secret.Order{{By: secret.ByAlgorithm}}},
		{"algorithm, then name", "a b - B", []secret.Order{{By: secret.ByAlgorithm}, {By: secret.ByName}}},
		{"mode backwards, then bits", "- a B b", []secret.Order{{By: secret.ByMode, Descending: true}, {By: secret.ByBitLength}}},
		{"algorithm backwards, the same backwards, too", "B - a b", []secret.Order{{By: secret.ByAlgorithm, Descending: true}}},
		{"status does not count as the first", "B - a b", []secret.Order{{By: secret.ByStatus}, {By: secret.ByAlgorithm, Descending: true}}},
		{"type, then name backwards", "a B - b", []secret.Order{{By: secret.ByType}, {By: secret.ByName, Descending: true}}},
		{"status: all the same", "b - B a", []secret.Order{{By: secret.ByStatus, Descending: true}}},
		{"last change, backwards", "a B - b", []secret.Order{{By: secret.ByUpdated, Descending: true}}},
		{"expiration: none has one", "b - B a", []secret.Order{{By: secret.ByExpiration}}},
	} {
		b.lists(tc.what, secret.Query{Sort: tc.sort}, tc.want)
	}
	if _, _, err := b.s.List(b.ctx(), b.project(), secret.Query{Limit: 1, Sort: []secret.Order{{By: "name; --"}}}, b.now); err == nil {
		b.Error("an unknown sort key is taken")
	}
}

func listShowsWholeSecrets(b *bench) {
	k := b.kek("k")
	s, v := b.full(k)
	b.must(b.s.Create(b.ctx(), s, &v, b.event()))
	page, total, err := b.s.List(b.ctx(), b.project(), secret.Query{Limit: 1}, b.now)
	b.must(err)
	if diff := cmp.Diff([]secret.Secret{s}, page); diff != "" || total != 1 {
		b.Errorf("List, of %d (-want +got):\n%s", total, diff)
	}
	page, err = b.s.ListNamed(b.ctx(), b.project(), secret.NamedQuery{Limit: 1}, b.now)
	b.must(err)
	if diff := cmp.Diff([]secret.Secret{s}, page); diff != "" {
		b.Errorf("ListNamed (-want +got):\n%s", diff)
	}
}

func listHidesTheDead(b *bench) {
	for i := range 6 {
		s := b.secretNamed(policy.Huawei, fmt.Sprint("s", i))
		switch i % 3 {
		case 1:
			s.Expiration = ptr(b.now.Add(time.Minute))
		case 2:
			s.State, s.DeleteAt = secret.PendingDelete, ptr(b.now.Add(time.Minute))
		}
		b.must(b.s.Create(b.ctx(), s, nil, b.event()))
		b.tick()
	}
	b.lists("before", secret.Query{}, "s0 s1 s2 s3 s4 s5")
	b.now = b.now.Add(time.Hour)
	b.lists("after", secret.Query{}, "s0 s3")
	if got := b.handles(secret.NamedQuery{Limit: 10}); !slices.Equal(got, []string{"s0", "s3"}) {
		b.Errorf("ListNamed has %v", got)
	}
}
