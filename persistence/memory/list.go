package memory

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// List implements secret.Store.
func (st *Store) List(ctx context.Context, p auth.ProjectID, q secret.Query, now time.Time) ([]secret.Secret, int, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return nil, 0, err
	}
	order, err := inOrder(q.Sort)
	if err != nil {
		return nil, 0, err
	}
	page, total := st.page(st.living(p, now, order), q)
	return page, total, nil
}

// ListShared implements secret.Store.
func (st *Store) ListShared(ctx context.Context, reader auth.UserID, p auth.ProjectID, q secret.Query, now time.Time) ([]secret.Secret, int, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return nil, 0, err
	}
	order, err := inOrder(q.Sort)
	if err != nil {
		return nil, 0, err
	}
	page, total := st.page(st.chosen(now, order, func(s secret.Secret) bool {
		return s.ACL != nil && slices.Contains(s.ACL.Readers, reader) && (p == "" || s.Project == p)
	}), q)
	return page, total, nil
}

// page is the part of some secrets that q wants, and how many match.
func (st *Store) page(secrets []secret.Secret, q secret.Query) ([]secret.Secret, int) {
	found := slices.DeleteFunc(secrets, func(s secret.Secret) bool { return !matches(s, q) })
	page := found[min(q.Offset, len(found)):]
	page = page[:min(q.Limit, len(page))]
	for i := range page {
		page[i].Handle = ownHandle(page[i])
		if q.Consumers {
			page[i].Consumers = st.secrets[place{string(page[i].Project), string(page[i].ID)}].copiedConsumers()
		}
	}
	return page, len(found)
}

func matches(s secret.Secret, q secret.Query) bool {
	return like(q.Name, s.Name) && like(q.Algorithm, s.Algorithm) && like(q.Mode, s.Mode) &&
		(q.BitLength == 0 || s.BitLength != nil && *s.BitLength == q.BitLength) &&
		(q.Type == "" || s.Type == q.Type) &&
		bounded(&s.CreatedAt, q.Created) && bounded(&s.UpdatedAt, q.Updated) && bounded(s.Expiration, q.Expiration)
}

func bounded(t *time.Time, bounds []secret.Bound) bool {
	for _, b := range bounds {
		if t == nil {
			return false
		}
		c := t.Compare(b.At)
		if !map[secret.Comparison]bool{
			secret.Equal: c == 0, secret.After: c > 0, secret.NotBefore: c >= 0, secret.Before: c < 0, secret.NotAfter: c <= 0,
		}[b.Op] {
			return false
		}
	}
	return true
}

// like is SQL's LIKE; an empty pattern selects nothing away. A backslash at the
// end stands for itself.
func like(pattern string, text *string) bool {
	return pattern == "" || text != nil && matchLike(pattern, *text)
}

func matchLike(pattern, text string) bool {
	for pattern != "" {
		switch c := pattern[0]; {
		case c == '%':
			for i := range len(text) + 1 {
				if matchLike(pattern[1:], text[i:]) {
					return true
				}
			}
			return false
		case c == '_':
			if text == "" {
				return false
			}
			_, size := utf8.DecodeRuneInString(text)
			pattern, text = pattern[1:], text[size:]
			continue
		case c == '\\' && len(pattern) > 1:
			pattern = pattern[1:]
		}
		if text == "" || text[0] != pattern[0] {
			return false
		}
		pattern, text = pattern[1:], text[1:]
	}
	return text == ""
}

// inOrder compares by the attributes of sort, missing ones last where it
// ascends and first where it descends, then by creation and UUID in the
// direction of the first of them.
func inOrder(sort []secret.Order) (func(a, b secret.Secret) int, error) {
	var by []func(a, b secret.Secret) int
	for _, o := range sort {
		compare, ok := sortKeys[o.By]
		if !ok {
			return nil, fault.New(fault.Internal, "unknown sort key")
		}
		if o.By == secret.ByStatus { // the same for all
			continue
		}
		if o.Descending {
			by = append(by, func(a, b secret.Secret) int { return compare(b, a) })
		} else {
			by = append(by, compare)
		}
	}
	last := byCreation
	if first := slices.IndexFunc(sort, func(o secret.Order) bool { return o.By != secret.ByStatus }); first >= 0 && sort[first].Descending {
		last = func(a, b secret.Secret) int { return byCreation(b, a) }
	}
	return func(a, b secret.Secret) int {
		for _, compare := range append(by, last) {
			if c := compare(a, b); c != 0 {
				return c
			}
		}
		return 0
	}, nil
}

var sortKeys = map[secret.SortKey]func(a, b secret.Secret) int{
	secret.ByAlgorithm:  func(a, b secret.Secret) int { return nullsLast(a.Algorithm, b.Algorithm, cmp.Compare) },
	secret.ByMode:       func(a, b secret.Secret) int { return nullsLast(a.Mode, b.Mode, cmp.Compare) },
	secret.ByName:       func(a, b secret.Secret) int { return nullsLast(a.Name, b.Name, cmp.Compare) },
	secret.ByBitLength:  func(a, b secret.Secret) int { return nullsLast(a.BitLength, b.BitLength, cmp.Compare) },
	secret.ByExpiration: func(a, b secret.Secret) int { return nullsLast(a.Expiration, b.Expiration, time.Time.Compare) },
	secret.ByCreated:    func(a, b secret.Secret) int { return a.CreatedAt.Compare(b.CreatedAt) },
	secret.ByUpdated:    func(a, b secret.Secret) int { return a.UpdatedAt.Compare(b.UpdatedAt) },
	secret.ByType:       func(a, b secret.Secret) int { return cmp.Compare(a.Type, b.Type) },
	secret.ByStatus:     func(a, b secret.Secret) int { return 0 },
}

func nullsLast[T any](a, b *T, compare func(a, b T) int) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return compare(*a, *b)
}

var legalName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// listedAs is what CSMS calls s, unless another secret is listed as the same.
func listedAs(s secret.Secret) string {
	if s.Family == policy.Huawei || s.Name != nil && legalName.MatchString(*s.Name) {
		return *s.Name
	}
	return string(s.ID)
}

// listed returns the living secrets of a project that are listed as name.
func (st *Store) listed(p auth.ProjectID, name string, now time.Time) []secret.Secret {
	var out []secret.Secret
	for _, r := range st.secrets {
		if r.secret.Project == p && listedAs(r.secret) == name && alive(r.secret, now) {
			out = append(out, r.secret)
		}
	}
	return out
}

// ownHandle is by what s goes where nobody looked at its neighbours.
func ownHandle(s secret.Secret) string {
	if s.Family == policy.Huawei {
		return *s.Name
	}
	return string(s.ID)
}

// handle is what CSMS calls s.
func (st *Store) handle(s secret.Secret, now time.Time) string {
	name := listedAs(s)
	for _, o := range st.listed(s.Project, name, now) {
		if o.ID != s.ID && s.Family != policy.Huawei {
			return string(s.ID)
		}
	}
	return name
}

// byHandle is the UUID of the secret that CSMS means by a handle.
func (st *Store) byHandle(p auth.ProjectID, handle string, now time.Time) secret.ID {
	group := st.listed(p, handle, now)
	for _, s := range group {
		if s.Family == policy.Huawei || len(group) == 1 {
			return s.ID
		}
	}
	return secret.ID(handle)
}

// ListNamed implements secret.Store.
func (st *Store) ListNamed(ctx context.Context, p auth.ProjectID, q secret.NamedQuery, now time.Time) ([]secret.Secret, error) {
	defer st.lock()()
	if err := check(ctx); err != nil {
		return nil, err
	}
	order := func(a, b secret.Secret) int {
		return cmp.Or(strings.Compare(listedAs(a), listedAs(b)), cmp.Compare(a.ID, b.ID))
	}
	// The marker is a place: after a secret, or after all that are listed so.
	name, id := q.After, secret.ID("~")
	if r := st.secrets[place{string(p), string(st.byHandle(p, q.After, now))}]; r != nil {
		name, id = listedAs(r.secret), r.secret.ID
	}
	var page []secret.Secret
	for _, s := range st.living(p, now, order) {
		after := cmp.Or(strings.Compare(listedAs(s), name), cmp.Compare(s.ID, id)) > 0
		if after && (q.Event == "" || s.Event == q.Event) && len(page) <= q.Limit {
			s.Handle = st.handle(s, now)
			page = append(page, s)
		}
	}
	return page, nil
}
