package kek_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// errDied is what a maker sees of its own death: nothing that it does after
// this reaches the store or the token.
var errDied = errors.New("the process died")

// mortal is a store and a token of a process that dies at one step: before
// the step is done, or after, when nobody hears the answer.
type mortal struct {
	kek.Store
	token kek.Token
	step  string
	done  bool // the step itself is still done
	dead  bool
}

// at runs a step, unless the process is dead or dies here.
func (m *mortal) at(step string, do func() error) error {
	if m.dead {
		return errDied
	}
	if m.dead = step == m.step; m.dead && !m.done {
		return errDied
	}
	if err := do(); err != nil {
		return err
	}
	if m.dead {
		return errDied
	}
	return nil
}

func (m *mortal) Prepare(ctx context.Context, mk kek.NewMasterKey, id envelope.KEKID, expires time.Time) (v kek.Version, err error) {
	return v, m.at("prepare", func() error { v, err = m.Store.Prepare(ctx, mk, id, expires); return err })
}

func (m *mortal) Activate(ctx context.Context, v kek.Version, made key.Made) error {
	return m.at("activate", func() error { return m.Store.Activate(ctx, v, made) })
}

func (m *mortal) Discard(ctx context.Context, v kek.Version) error {
	return m.at("discard", func() error { return m.Store.Discard(ctx, v) })
}

func (m *mortal) Lease(ctx context.Context, project string, under envelope.MasterKey, n int64) (l kek.Lease, err error) {
	return l, m.at("lease", func() error { l, err = m.Store.Lease(ctx, project, under, n); return err })
}

// mortalToken is the same process's token.
type mortalToken struct {
	kek.Token
	*mortal
}

func (m mortalToken) Generate(ctx context.Context, spec key.Spec) (made key.Made, err error) {
	return made, m.at("generate", func() error { made, err = m.token.Generate(ctx, spec); return err })
}

func (m mortalToken) Destroy(ctx context.Context, r key.Ref) error {
	return m.at("destroy", func() error { return m.token.Destroy(ctx, r) })
}

// A maker dies at each step. Whoever comes next has one active KEK at once;
// once the dead one's time has run out, nothing of it is left.
func TestDeadMakersLeaveOneActiveKEK(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		step string
		done bool
		rows int // pending rows that are left at first
		keys int // key objects that are left at first, beside the active one
		made bool
	}{
		{"before its row is stored", "prepare", false, 0, 0, false},
		{"after its row was stored", "prepare", true, 1, 0, false},
		{"before the key is generated", "generate", false, 1, 0, false},
		{"after the key was generated", "generate", true, 1, 1, false},
		{"before the key is active", "activate", false, 1, 1, false},
		{"after the key became active", "activate", true, 0, 0, true},
	} {
		for _, late := range []bool{false, true} {
			when := ", and another comes at once"
			if late {
				when = ", and another comes when its time has run out"
			}
			t.Run("dies "+tc.name+when, func(t *testing.T) {
				t.Parallel()
				r := newRoom(t)
				m := &mortal{Store: r.store, token: r.token, step: tc.step, done: tc.done}
				if _, err := r.node(mortalToken{r.token, m}, m).Seal(t.Context(), payload("x"), envelope.Default, place(1)); !errors.Is(err, errDied) {
					t.Fatalf("the maker that dies: %v", err)
				}
				if rows := pendingRows(t, r, "p"); len(rows) != tc.rows {
					t.Errorf("it leaves %d pending rows, want %d", len(rows), tc.rows)
				}
				rows, objects := tc.rows, tc.keys+1
				if late {
					r.now.advance(2*time.Minute + time.Second)
					rows, objects = 0, 1
				}
				sealed := seal(t, r.Sealer, "y", place(2))
				opens(t, r.node(r.token, r.store), sealed, place(2), "y")
				if left, n := pendingRows(t, r, "p"), len(keys(t, r.token)); len(left) != rows || n != objects {
					t.Errorf("%d pending rows and %d keys are left, want %d and %d", len(left), n, rows, objects)
				}
				if _, err := r.store.Prepare(t.Context(), kek.NewMasterKey{
					Project: "p", ID: "7c7d6cb0-9a66-4aef-a5be-1c4d0b7b1a3c", Alias: string(envelope.Default),
				}, "8a1a3b3e-4a0c-4b44-9d3c-0f6a5bb64f0e", r.now.Now()); !errors.Is(err, kek.ErrLostRace) {
					t.Errorf("a second active KEK could be made: %v", err)
				}
			})
		}
	}
}

// A cleaner dies, too: between the object and the row, and before either.
func TestDeadCleanersLeaveNothing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		step string
		done bool
	}{{"destroy", false}, {"destroy", true}, {"discard", false}, {"discard", true}} {
		name := "dies before " + tc.step
		if tc.done {
			name = "dies after " + tc.step
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			for _, m := range []*mortal{
				{Store: r.store, token: r.token, step: "generate", done: true},
				{Store: r.store, token: r.token, step: tc.step, done: tc.done},
			} {
				if _, err := r.node(mortalToken{r.token, m}, m).Seal(t.Context(), payload("x"), envelope.Default, place(1)); !errors.Is(err, errDied) {
					t.Fatalf("the one that dies at %s: %v", m.step, err)
				}
				r.now.advance(2*time.Minute + time.Second)
			}
			seal(t, r.Sealer, "x", place(1))
			if left, n := pendingRows(t, r, "p"), len(keys(t, r.token)); len(left) != 0 || n != 1 {
				t.Errorf("%d pending rows and %d keys are left, want none and 1", len(left), n)
			}
		})
	}
}

// pausing stops a maker right before one step, for as long as pause takes.
type pausing struct {
	kek.Store
	kek.Token
	beforeGenerate, beforeActivate, afterActivate func()
}

func (p *pausing) Generate(ctx context.Context, spec key.Spec) (key.Made, error) {
	if p.beforeGenerate != nil {
		p.beforeGenerate()
	}
	return p.Token.Generate(ctx, spec)
}

func (p *pausing) Activate(ctx context.Context, v kek.Version, made key.Made) error {
	if p.beforeActivate != nil {
		p.beforeActivate()
	}
	if p.afterActivate != nil {
		defer p.afterActivate()
	}
	return p.Store.Activate(ctx, v, made)
}

// A maker stops for so long that it counts as dead, another one cleans up and
// makes the key, and then the first one goes on: it ends with the other's key.
func TestMakerThatWasTakenForDeadYields(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"generate", "activate"} {
		t.Run("stops before "+where, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			var theirs envelope.Sealed
			pause := func() {
				r.now.advance(time.Hour)
				theirs = seal(t, r.node(r.token, r.store), "theirs", place(1))
			}
			p := &pausing{Store: r.store, Token: r.token}
			if where == "generate" {
				p.beforeGenerate = pause
			} else {
				p.beforeActivate = pause
			}
			slow := r.node(p, p)
			ours := seal(t, slow, "ours", place(2))
			if ours.KEK.ID != theirs.KEK.ID {
				t.Errorf("sealed under KEK %s, and the other under %s", ours.KEK.ID, theirs.KEK.ID)
			}
			opens(t, r.Sealer, ours, place(2), "ours")
			opens(t, slow, theirs, place(1), "theirs")
			if left, n := pendingRows(t, r, "p"), len(keys(t, r.token)); len(left) != 0 || n != 1 {
				t.Errorf("%d pending rows and %d keys are left, want none and 1", len(left), n)
			}
		})
	}
}

// listing runs a hook between taking over what was abandoned and destroying it.
type listing struct {
	kek.Store
	then func()
}

func (l *listing) Abandoned(ctx context.Context, project, alias string, now, until time.Time) ([]kek.Version, error) {
	left, err := l.Store.Abandoned(ctx, project, alias, now, until)
	l.then()
	return left, err
}

// A maker that was taken for dead goes on at the worst moment: after its row
// was found abandoned, and before its key object is destroyed. It must not
// become active then, or what it seals could never be opened again.
func TestMakerTakenForDeadCannotActivateAKeyThatGoes(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	found, tried, cleaned := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	cleaner := r.node(r.token, &listing{r.store, func() {
		close(found)
		<-tried
	}})
	slow := &pausing{
		Store: r.store, Token: r.token,
		beforeActivate: func() {
			r.now.advance(time.Hour)
			go func() {
				_, err := cleaner.Seal(t.Context(), payload("theirs"), envelope.Default, place(1))
				cleaned <- err
			}()
			<-found
		},
		afterActivate: sync.OnceFunc(func() { close(tried) }),
	}
	ours := seal(t, r.node(slow, slow), "ours", place(2))
	if err := <-cleaned; err != nil {
		t.Fatal(err)
	}
	opens(t, r.Sealer, ours, place(2), "ours")
	if left, n := pendingRows(t, r, "p"), len(keys(t, r.token)); len(left) != 0 || n != 1 {
		t.Errorf("%d pending rows and %d keys are left, want none and 1", len(left), n)
	}
}
