package soak_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// call is one request to a secret.
type call struct {
	do      string // add, move, drop or read
	stages  []secret.Stage
	version int // move: to which
}

// reply is what came back.
type reply struct {
	err    error
	number int    // add: the version's; move: where the stage is
	seen   string // read: all versions with their stages
}

// client sends calls to one secret through one node.
type client struct {
	node *secret.Service
	who  auth.Principal
	name string
}

func (c client) send(ctx context.Context, in call) (out reply) {
	l, err := c.node.Locate(ctx, c.who, policy.SecretShow, secret.Named(c.who.Project, c.name), secret.Want{Versions: true})
	if err != nil {
		return reply{err: err}
	}
	switch in.do {
	case "add":
		v, err := l.AddVersion(ctx, secret.NewVersion{Payload: text("x"), ContentType: secret.Text, Stages: in.stages})
		return reply{err: err, number: v.Number}
	case "move":
		mark, err := l.SetStage(ctx, in.stages[0], in.version)
		return reply{err: err, number: mark.Version}
	case "drop":
		return reply{err: l.DropStage(ctx, in.stages[0])}
	}
	versions, err := l.Versions(ctx)
	var lines []string
	for _, v := range versions {
		lines = append(lines, line(v.Number, v.Stages, v.ExpiresAt))
	}
	return reply{err: err, seen: strings.Join(lines, "\n")}
}

// anything draws a call. There are few stages, so that calls get into each
// other's way.
func anything(r *rand.Rand) call {
	stage := []secret.Stage{secret.Current, secret.Current, secret.Previous, "blue", "green"}[r.IntN(5)]
	switch n := r.IntN(10); {
	case n < 1:
		return call{do: "add"}
	case n < 2:
		return call{do: "add", stages: []secret.Stage{stage}}
	case n < 6:
		return call{do: "move", stages: []secret.Stage{stage}, version: 1 + r.IntN(12)}
	case n < 7:
		return call{do: "drop", stages: []secret.Stage{stage}}
	}
	return call{do: "read"}
}

// memory is a state of the model, and how it would be read.
type memory struct {
	kept *kept
	seen string
}

func remember(k *kept) memory { return memory{k, strings.Join(k.lines(), "\n")} }

// secrets is one secret as the checker knows it: what each call must have
// answered, if they had come one after another.
var secrets = porcupine.Model{
	Init: func() any { return remember(newKept("", keptVersion{value: "x"})) },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(memory), input.(call), output.(reply)
		if errors.Is(out.err, secret.ErrStale) {
			return true, s // others were always quicker: nothing has happened
		}
		if in.do == "read" {
			return out.err == nil && out.seen == s.seen, s
		}
		k := *s.kept
		k.versions, k.on = maps.Clone(k.versions), maps.Clone(k.on)
		var err error
		want := 0
		switch in.do {
		case "add":
			err = k.add(keptVersion{value: "x"}, in.stages)
			want = k.latest
		case "move":
			err = k.move(in.stages[0], in.version)
			want = in.version
		case "drop":
			err = k.drop(in.stages[0])
		}
		if err != nil {
			return errors.Is(out.err, err), s
		}
		return out.err == nil && out.number == want, remember(&k)
	},
	Equal: func(a, b any) bool {
		return a.(memory).seen == b.(memory).seen && a.(memory).kept.latest == b.(memory).kept.latest
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%v: %v", in, out) },
}

// history lets some clients of every node loose on one new secret, and keeps
// what they asked and got, and when.
func (c *cluster) history(t *testing.T, seed uint64, clients, calls int) []porcupine.Operation {
	t.Helper()
	who, start := caller(), time.Now()
	if _, err := c.nodes[0].Create(t.Context(), who, named("a", "x")); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var ops []porcupine.Operation
	var wait sync.WaitGroup
	for n := range clients {
		wait.Go(func() {
			cl := client{c.nodes[n%len(c.nodes)], who, "a"}
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			for range calls {
				op := porcupine.Operation{ClientId: n, Input: anything(r), Call: int64(time.Since(start))}
				op.Output = cl.send(t.Context(), op.Input.(call))
				op.Return = int64(time.Since(start))
				mu.Lock()
				ops = append(ops, op)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return ops
}

const (
	clients  = 6
	perTurn  = 50 // calls of each client to one secret
	checking = 2 * time.Minute
)

// Whatever six clients of two nodes do to a secret at once, there is one order
// in which it could have happened, one after another, and which nobody's watch
// contradicts: numbers differ, each stage is on one version, and what was
// written is seen by whoever asks later, on any node (CSMS-105, CSMS-182).
func TestNodesAgree(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 0, nil)
	goal, done, busy := long(1200, 100_000), 0, 0
	for seed := uint64(1); done < goal; seed++ {
		ops := c.history(t, seed, clients, perTurn)
		if got := porcupine.CheckOperationsTimeout(secrets, ops, checking); got != porcupine.Ok {
			t.Fatalf("history %d of %d operations: %s", seed, len(ops), got)
		}
		done += len(ops)
		for _, op := range ops {
			if errors.Is(op.Output.(reply).err, secret.ErrStale) {
				busy++
			}
		}
	}
	t.Logf("%d operations, of which %d gave up", done, busy)
	if busy > done/100 {
		t.Errorf("%d of %d operations gave up", busy, done)
	}
}

// blind is a store that writes over whatever came meanwhile.
type blind struct{ secret.Store }

func (b blind) Apply(ctx context.Context, c secret.Change, ev audit.Event) error {
	f, err := b.Find(ctx, secret.Within(c.Secret.Project, c.Secret.ID), secret.Want{}, ev.At)
	if err != nil {
		return err
	}
	c.Secret.Revision = f.Secret.Revision
	return b.Store.Apply(ctx, c, ev)
}

// The checker sees when one write is lost to another.
func TestLostWritesAreNoticed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 0, func(s secret.Store) secret.Store { return blind{s} })
	for seed := range uint64(10) {
		ops := c.history(t, seed, clients, perTurn)
		if porcupine.CheckOperationsTimeout(secrets, ops, checking) == porcupine.Illegal {
			return
		}
	}
	t.Error("nobody noticed")
}
