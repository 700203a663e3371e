package hsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Token is one or more tokens that hold the same keys, behind workers. It may
// be used by many goroutines at once.
type Token struct {
	cfg     Config
	members []*member
	pool    *pool
	calls   atomic.Uint64

	// making has a place per worker for whoever makes or destroys keys. Inside a
	// worker they go one after another; more of them would only occupy what
	// quick requests need, until those look as if they hung.
	making chan struct{}

	stop  context.CancelFunc
	ended <-chan struct{} // closed by stop
	wg    sync.WaitGroup
}

// Open checks cfg and starts the workers. A mistake in cfg is an error; a
// token that is away is not: requests wait for it, and Ready says so. ctx is
// for Open alone; the workers run until Close.
func Open(ctx context.Context, cfg Config) (*Token, error) {
	cfg, sources, err := cfg.checked()
	if err != nil {
		return nil, fmt.Errorf("configuration of the key hardware: %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	t := &Token{cfg: cfg, pool: newPool(), stop: stop, ended: running.Done()}
	gates := map[frame.Settings]*pinGate{}
	for _, src := range sources {
		same := frame.Settings{Module: src.settings.Module, Label: src.settings.Label, Serial: src.settings.Serial, PINFile: src.settings.PINFile}
		if gates[same] == nil {
			gates[same] = newPINGate(src.settings.PINFile)
			gates[same].join(&t.cfg, src)
		}
		t.members = append(t.members, newMember(&t.cfg, src, gates[same], t.publish))
	}
	seats := 0
	for _, m := range t.members {
		seats += len(m.seats)
	}
	t.making = make(chan struct{}, seats)
	for _, m := range t.members {
		for _, s := range m.seats {
			t.wg.Go(func() { s.supervise(running) })
		}
	}
	return t, nil
}

// Close ends all workers, within two seconds or by force, and waits for them.
// Requests that are under way fail.
func (t *Token) Close() error {
	t.stop()
	t.publish() // wakes those who wait for a worker
	t.wg.Wait()
	return nil
}

func (t *Token) publish() {
	t.pool.update(func() (list []seated) {
		for _, m := range t.members {
			list = append(list, m.ready()...)
		}
		return list
	})
}

// Generate makes the key spec asks for. It is never repeated blindly: where a
// worker died over it, what may have been made is destroyed first, by the ID
// that the server chose. Making a key takes long enough to meet several dying
// workers; so it is tried until the deadline, at a growing distance, since the
// request itself may be what kills them.
func (t *Token) Generate(ctx context.Context, spec key.Spec) (key.Made, error) {
	p := t.lengthy(1)
	ctx, end, err := t.reserve(ctx, p)
	if err != nil {
		return key.Made{}, err
	}
	defer end()
	var rest backoff
	for {
		made, err := t.generate(ctx, spec, p)
		if next(ctx, err) != replace {
			return made, asFault(err)
		}
		if gone := t.remove(ctx, key.Ref{ID: spec.ID, Format: spec.Format}); gone != nil {
			return key.Made{}, asFault(errors.Join(err, fmt.Errorf("destroy what may have been made: %w", gone)))
		}
		rest.grow(0, slowest)
		select {
		case <-time.After(rest.next):
		case <-ctx.Done():
			return key.Made{}, unavailable(errors.Join(ctx.Err(), err))
		}
	}
}

// remove destroys what a lost Generate may have left, whatever becomes of the
// workers meanwhile.
func (t *Token) remove(ctx context.Context, kek key.Ref) error {
	for {
		err := t.destroy(ctx, kek)
		if next(ctx, err) != replace {
			return err
		}
	}
}

// reserve waits for a place to make or destroy a key, until end. The context it
// returns has a deadline in any case.
func (t *Token) reserve(ctx context.Context, p plan) (_ context.Context, end func(), err error) {
	cancel := func() {}
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, p.total)
	}
	select {
	case t.making <- struct{}{}:
		return ctx, func() { <-t.making; cancel() }, nil
	case <-t.ended:
		cancel()
		return ctx, nil, unavailable(errClosed)
	case <-ctx.Done():
		cancel()
		return ctx, nil, unavailable(fmt.Errorf("other keys are being made: %w", ctx.Err()))
	}
}

func (t *Token) generate(ctx context.Context, spec key.Spec, p plan) (key.Made, error) {
	c := newCall(frame.Generate)
	defer c.release()
	c.request.Spec = spec
	if err := t.ask(ctx, c, p); err != nil {
		return key.Made{}, err
	}
	made := c.reply.Made
	made.Ref.Canary.Wrapped = bytes.Clone(made.Ref.Canary.Wrapped)
	made.Ref.Canary.AAD = bytes.Clone(made.Ref.Canary.AAD)
	made.CheckValue = bytes.Clone(made.CheckValue)
	return made, nil
}

// Wrap encrypts dek under kek and binds it to aad.
func (t *Token) Wrap(ctx context.Context, kek key.Ref, dek sensitive.Bytes, aad []byte) ([]byte, error) {
	c := newCall(frame.Wrap)
	defer c.release()
	c.request.Ref, c.request.Input, c.request.AAD = kek, dek.Reveal(), aad
	if err := t.ask(ctx, c, t.repeatable()); err != nil {
		return nil, asFault(err)
	}
	return bytes.Clone(c.reply.Output), nil
}

// Unwrap is the reverse of Wrap. The caller wipes the DEK.
func (t *Token) Unwrap(ctx context.Context, kek key.Ref, wrapped, aad []byte) (sensitive.Bytes, error) {
	c := newCall(frame.Unwrap)
	defer c.release()
	c.request.Ref, c.request.Input, c.request.AAD = kek, wrapped, aad
	if err := t.ask(ctx, c, t.repeatable()); err != nil {
		return sensitive.Bytes{}, asFault(err)
	}
	return sensitive.Take(bytes.Clone(c.reply.Output)), nil
}

// Of one Rewrap travel so many DEKs at a time, and not more than fit into a
// frame. Few, because one frame is one operation with one deadline.
const (
	chunkItems = 64
	chunkBytes = frame.MaxBytes - 8<<10 // room for the keys and the head
)

// Rewrap wraps DEKs under another key. No DEK leaves the worker. An error of
// one DEK is in its Rewrapped; the error of Rewrap speaks of all.
func (t *Token) Rewrap(ctx context.Context, from, to key.Ref, items []key.Rewrap) ([]key.Rewrapped, error) {
	out := make([]key.Rewrapped, 0, len(items))
	for rest := items; len(rest) > 0; {
		chunk := rest[:chunkLen(rest)]
		rest = rest[len(chunk):]
		done, err := t.rewrap(ctx, from, to, chunk)
		if err != nil {
			return nil, asFault(err)
		}
		out = append(out, done...)
	}
	return out, nil
}

// chunkLen is how many of items travel together: at least one, which may turn
// out to be too large.
func chunkLen(items []key.Rewrap) int {
	bytes := 0
	for i, it := range items[:min(len(items), chunkItems)] {
		if bytes += 3*4 + len(it.Wrapped) + len(it.From) + len(it.To); bytes > chunkBytes {
			return max(i, 1)
		}
	}
	return min(len(items), chunkItems)
}

func (t *Token) rewrap(ctx context.Context, from, to key.Ref, items []key.Rewrap) ([]key.Rewrapped, error) {
	c := newCall(frame.Rewrap)
	defer c.release()
	c.request.Ref, c.request.To, c.request.Items = from, to, items
	if err := t.ask(ctx, c, t.repeatable()); err != nil {
		return nil, err
	}
	if len(c.reply.Items) != len(items) {
		return nil, errGarbage
	}
	out := make([]key.Rewrapped, len(items))
	for i, it := range c.reply.Items {
		if it.Failed {
			out[i].Err = asFault(received(it.Failure))
			continue
		}
		out[i].Wrapped = bytes.Clone(it.Wrapped)
	}
	return out, nil
}

// Random returns n bytes, at least one and at most key.MaxRandom, of the token's
// own random number generator. The caller wipes them.
func (t *Token) Random(ctx context.Context, n int) (sensitive.Bytes, error) {
	c := newCall(frame.Random)
	defer c.release()
	c.request.Size = n
	if err := t.ask(ctx, c, t.repeatable()); err != nil {
		return sensitive.Bytes{}, asFault(err)
	}
	if len(c.reply.Output) != n {
		return sensitive.Bytes{}, asFault(errGarbage)
	}
	return sensitive.Take(bytes.Clone(c.reply.Output)), nil
}

// Check reports whether the canary of kek opens.
func (t *Token) Check(ctx context.Context, kek key.Ref) (key.CheckResult, error) {
	c := newCall(frame.Check)
	defer c.release()
	c.request.Ref = kek
	if err := t.ask(ctx, c, t.repeatable()); err != nil {
		return key.CheckUnknown, asFault(err)
	}
	return c.reply.Result, nil
}

// Destroy destroys kek in the token. It is final. A key that is not there
// counts as destroyed, so it may be repeated.
func (t *Token) Destroy(ctx context.Context, kek key.Ref) error {
	ctx, end, err := t.reserve(ctx, t.lengthy(attempts))
	if err != nil {
		return err
	}
	defer end()
	return asFault(t.destroy(ctx, kek))
}

func (t *Token) destroy(ctx context.Context, kek key.Ref) error {
	c := newCall(frame.Destroy)
	defer c.release()
	c.request.Ref = kek
	if err := t.ask(ctx, c, t.lengthy(attempts)); err != nil {
		return err
	}
	for _, m := range t.members {
		m.recent.forget(kek.ID)
	}
	return nil
}

// List returns the IDs of all keys in the token that could be KEKs, in order.
func (t *Token) List(ctx context.Context) ([]key.ID, error) {
	var ids []key.ID
	for more := true; more; {
		c := newCall(frame.List)
		if len(ids) > 0 {
			c.request.After = ids[len(ids)-1]
		}
		err := t.ask(ctx, c, t.lengthy(attempts))
		ids = append(ids, c.reply.IDs...)
		more = c.reply.More && len(c.reply.IDs) > 0
		c.release()
		if err != nil {
			return nil, asFault(err)
		}
	}
	return slices.Clip(ids), nil
}

// Status says how the tokens are, from what their workers last told: it asks
// no token and never waits.
func (t *Token) Status(context.Context) (key.Status, error) {
	var s key.Status
	for _, m := range t.members {
		s.Tokens = append(s.Tokens, m.status())
	}
	return s, nil
}

// Ready returns nil when at least one token takes work, or why none does.
func (t *Token) Ready() error {
	var problems []error
	for _, m := range t.members {
		s := m.status()
		if s.Usable {
			return nil
		}
		problems = append(problems, fmt.Errorf("token %s: %s", m.src.name, s.Problem))
	}
	return fault.Wrap(fault.Unavailable, "key hardware is unavailable", errors.Join(problems...))
}

// Unblock lets the PINs that were rejected be tried once more, on this node.
// It is for an operator who knows that the token accepts them now.
func (t *Token) Unblock() {
	for _, m := range t.members {
		m.gate.unblock()
	}
}

// Calls is how many operations have been sent to workers on behalf of
// requests, repetitions included; health checks are not.
func (t *Token) Calls() uint64 { return t.calls.Load() }

// PIDs returns the processes that take requests now.
func (t *Token) PIDs() []int {
	var pids []int
	for _, s := range t.pool.now.Load().workers {
		pids = append(pids, s.pid())
	}
	return pids
}
