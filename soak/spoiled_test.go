package soak_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/secret"
)

// spoiled is a store that does something wrong.
type spoiled struct {
	secret.Store
	change func(c *secret.Change)
	find   func(h secret.Handle, f secret.Found) secret.Found
}

func (s *spoiled) Apply(ctx context.Context, c secret.Change, ev audit.Event) error {
	if s.change != nil {
		s.change(&c)
	}
	return s.Store.Apply(ctx, c, ev)
}

func (s *spoiled) Find(ctx context.Context, h secret.Handle, want secret.Want, now time.Time) (secret.Found, error) {
	f, err := s.Store.Find(ctx, h, want, now)
	if err == nil && s.find != nil {
		f = s.find(h, f)
	}
	return f, err
}

// mistakes are those that the model must notice.
var mistakes = map[string]func() *spoiled{
	"a stage that moves stays where it was": func() *spoiled {
		return &spoiled{change: func(c *secret.Change) {
			if c.Add == nil {
				c.Put = nil
			}
		}}
	},
	"SYSPREVIOUS is lost": func() *spoiled {
		return &spoiled{change: func(c *secret.Change) { c.Secret.Previous = secret.Mark{} }}
	},
	"SYSCURRENT does not move by itself": func() *spoiled {
		var before secret.Mark
		return &spoiled{
			find: func(_ secret.Handle, f secret.Found) secret.Found { before = f.Secret.Current; return f },
			change: func(c *secret.Change) {
				if c.Add == nil {
					c.Secret.Current = before
				}
			},
		}
	},
	"a number is given twice": func() *spoiled {
		return &spoiled{change: func(c *secret.Change) {
			if c.Add != nil {
				c.Secret.Latest--
			}
		}}
	},
	"a number is left out": func() *spoiled {
		return &spoiled{change: func(c *secret.Change) {
			if c.Add != nil {
				c.Secret.Latest++
			}
		}}
	},
	"nothing is purged": func() *spoiled {
		return &spoiled{change: func(c *secret.Change) { c.Purge = nil }}
	},
	"a stage that goes stays": func() *spoiled {
		return &spoiled{change: func(c *secret.Change) { c.Drop = nil }}
	},
	"an expiry goes to the version before": func() *spoiled {
		return &spoiled{change: func(c *secret.Change) {
			if c.Expires != nil && c.Expires.Number > 1 {
				c.Expires.Number--
			}
		}}
	},
	"a node does not see what another one wrote": func() *spoiled {
		seen := map[secret.ID][]secret.Found{}
		return &spoiled{find: func(_ secret.Handle, f secret.Found) secret.Found {
			old := seen[f.Secret.ID]
			if i := slices.IndexFunc(old, func(o secret.Found) bool { return len(o.Versions) > 0 }); i >= 0 && len(f.Versions) > 0 {
				f.Versions, f.Stages = old[i].Versions, old[i].Stages
			}
			seen[f.Secret.ID] = append(old, f)
			return f
		}}
	},
}

// noticed is what the machine says of a mistake.
type noticed string

// A test that cannot fail tests nothing: each of some mistakes in what is
// stored is noticed, within twenty runs.
func TestMistakesAreNoticed(t *testing.T) {
	t.Parallel()
	var nodes []*spoiled
	c := newCluster(t, 2, 0, func(s secret.Store) secret.Store {
		nodes = append(nodes, &spoiled{Store: s})
		return nodes[len(nodes)-1]
	})
	for name, mistake := range mistakes {
		t.Run(name, func(t *testing.T) {
			for _, n := range nodes {
				m := mistake()
				n.change, n.find = m.change, m.find
			}
			defer c.bury(t)
			said := rapid.Custom(func(rt *rapid.T) (said noticed) {
				defer func() {
					switch r := recover().(type) {
					case nil:
					case noticed:
						said = r
					default:
						panic(r)
					}
				}()
				c.machine(func(format string, args ...any) { panic(noticed(fmt.Sprintf(format, args...))) }).run(rt)
				return ""
			})
			for seed := range 20 {
				if what := said.Example(seed); what != "" {
					t.Logf("in run %d: %s", seed, what)
					return
				}
			}
			t.Error("nobody noticed")
		})
	}
}
