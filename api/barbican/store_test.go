package barbican_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

type sealer interface {
	secret.Sealer
	secret.Keys
}

func newSealerAndStore(testing.TB, func() time.Time) (sealer, secret.Store) {
	return plainSealer{}, &store{rows: map[secret.ID]*stored{}}
}

type plainSealer struct{}

func (plainSealer) Seal(_ context.Context, p sensitive.Bytes, _ envelope.MasterKey, at envelope.Binding) (envelope.Sealed, error) {
	return envelope.Sealed{KEK: envelope.KEK{ID: "k", MasterKey: "m", Default: true, Usable: true}, WrappedDEK: at.ForBody(), Body: bytes.Clone(p.Reveal())}, nil
}

func (plainSealer) Open(_ context.Context, s envelope.Sealed, at envelope.Binding) (sensitive.Bytes, error) {
	if !bytes.Equal(s.WrappedDEK, at.ForBody()) {
		return sensitive.Bytes{}, errors.New("sealed in another place")
	}
	return sensitive.Take(bytes.Clone(s.Body)), nil
}
func (plainSealer) Forget(string, envelope.MasterKey, envelope.KEKID) {}
func (plainSealer) Resolve(context.Context, string, envelope.MasterKey) (envelope.MasterKey, error) {
	return "m", nil
}
func (plainSealer) Make(context.Context, string, envelope.MasterKey) error { return nil }

type stored struct {
	sec      secret.Secret
	versions map[int]secret.Version
	meta     map[string]string
}

type store struct {
	mu   sync.Mutex
	rows map[secret.ID]*stored
}

func (s *store) get(id secret.ID, p auth.ProjectID, now time.Time) (*stored, error) {
	r := s.rows[id]
	if r == nil || (p != "" && r.sec.Project != p) || r.sec.Expired(now) {
		return nil, secret.ErrNotFound
	}
	return r, nil
}

func (s *store) Create(_ context.Context, sec secret.Secret, v *secret.Version, _ audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &stored{sec, map[int]secret.Version{}, map[string]string{}}
	if v != nil {
		r.versions[v.Number] = *v
	}
	s.rows[sec.ID] = r
	return nil
}

func (s *store) Find(_ context.Context, h secret.Handle, want secret.Want, now time.Time) (secret.Found, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.get(h.ID, h.Project, now)
	if err != nil {
		return secret.Found{}, err
	}
	return secret.Found{Secret: r.sec, Version: r.versions[r.sec.Current.Version], Metadata: maps.Clone(r.meta)}, nil
}

func (s *store) Apply(_ context.Context, c secret.Change, _ audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rows[c.Secret.ID]
	if r == nil {
		return secret.ErrNotFound
	}
	if r.sec.Revision != c.Secret.Revision {
		return secret.ErrStale
	}
	r.sec = c.Secret
	r.sec.Revision++
	if c.Add != nil {
		r.versions[c.Add.Number] = *c.Add
	}
	return nil
}

func (s *store) Delete(_ context.Context, sec secret.Secret, _ audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[sec.ID] == nil {
		return secret.ErrNotFound
	}
	delete(s.rows, sec.ID)
	return nil
}

func like(pattern string, text *string) bool {
	if pattern == "" {
		return true
	}
	re := strings.NewReplacer("%", ".*", "_", ".").Replace(regexp.QuoteMeta(pattern))
	return text != nil && regexp.MustCompile("^"+re+"$").MatchString(*text)
}

func within(bounds []secret.Bound, t *time.Time) bool {
	for _, b := range bounds {
		if t == nil {
			return false
		}
		c := t.Compare(b.At)
		if !map[secret.Comparison]bool{secret.Equal: c == 0, secret.After: c > 0, secret.NotBefore: c >= 0, secret.Before: c < 0, secret.NotAfter: c <= 0}[b.Op] {
			return false
		}
	}
	return true
}

func (s *store) List(_ context.Context, p auth.ProjectID, q secret.Query, now time.Time) ([]secret.Secret, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []secret.Secret
	for _, r := range s.rows {
		x := r.sec
		if x.Project == p && !x.Expired(now) && like(q.Name, x.Name) && like(q.Algorithm, x.Algorithm) && like(q.Mode, x.Mode) &&
			(q.BitLength == 0 || x.BitLength != nil && *x.BitLength == q.BitLength) && (q.Type == "" || q.Type == x.Type) &&
			within(q.Created, &x.CreatedAt) && within(q.Updated, &x.UpdatedAt) && within(q.Expiration, x.Expiration) {
			out = append(out, x)
		}
	}
	deref := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	slices.SortFunc(out, func(a, b secret.Secret) int {
		for _, o := range q.Sort {
			c := 0
			switch o.By {
			case secret.ByName:
				c = cmp.Compare(deref(a.Name), deref(b.Name))
			case secret.ByAlgorithm:
				c = cmp.Compare(deref(a.Algorithm), deref(b.Algorithm))
			case secret.ByBitLength:
				c = cmp.Compare(*a.BitLength, *b.BitLength)
			}
			if o.Descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	n := len(out)
	out = out[min(q.Offset, n):]
	return out[:min(q.Limit, len(out))], n, nil
}

func (s *store) ListNamed(context.Context, auth.ProjectID, secret.NamedQuery, time.Time) ([]secret.Secret, error) {
	return nil, nil
}

func (s *store) meta(sec secret.Secret, f func(map[string]string) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rows[sec.ID]
	if r == nil {
		return secret.ErrNotFound
	}
	return f(r.meta)
}

func (s *store) ReplaceMetadata(_ context.Context, sec secret.Secret, pairs map[string]string, _ audit.Event) error {
	return s.meta(sec, func(m map[string]string) error { clear(m); maps.Copy(m, pairs); return nil })
}

func (s *store) AddMetadatum(_ context.Context, sec secret.Secret, d secret.Metadatum, _ audit.Event) error {
	return s.meta(sec, func(m map[string]string) error {
		if _, ok := m[d.Key]; ok {
			return secret.ErrMetadatum
		}
		m[d.Key] = d.Value
		return nil
	})
}

func (s *store) ChangeMetadatum(_ context.Context, sec secret.Secret, d secret.Metadatum, _ audit.Event) error {
	return s.meta(sec, func(m map[string]string) error {
		if _, ok := m[d.Key]; !ok {
			return secret.ErrNoMetadatum
		}
		m[d.Key] = d.Value
		return nil
	})
}

func (s *store) RemoveMetadatum(_ context.Context, sec secret.Secret, key string, _ audit.Event) error {
	return s.meta(sec, func(m map[string]string) error {
		if _, ok := m[key]; !ok {
			return secret.ErrNoMetadatum
		}
		delete(m, key)
		return nil
	})
}
