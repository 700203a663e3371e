package serve

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// job is one request and the memory it needs, used again for later ones.
type job struct {
	body     []byte // the request's fields point in here
	request  frame.Request
	reply    frame.Reply
	deadline time.Time
	lengthy  bool // makes, destroys, lists or moves keys
}

// fill copies a frame, since the reader goes on with its own memory.
func (j *job) fill(h frame.Head, body []byte, known references) error {
	j.body = append(j.body[:0], body...)
	if err := frame.ParseRequest(h, j.body, &j.request); err != nil {
		return err
	}
	j.request.Ref = known.kept(j.request.Ref)
	j.request.To = known.kept(j.request.To)
	j.deadline = time.Now().Add(j.request.Left)
	j.lengthy = h.Op != frame.Unwrap && h.Op != frame.Wrap && h.Op != frame.Check && h.Op != frame.Random
	return nil
}

// references has one lasting copy of each key's reference: a token may keep
// what it was called with, and the memory of a job is used again.
type references map[key.ID]key.Ref

// Few installations use more keys at a time; one that does starts over.
const maxReferences = 4096

func (known references) kept(r key.Ref) key.Ref {
	if k, ok := known[r.ID]; ok && same(k, r) {
		return k
	}
	r.Canary.Wrapped = bytes.Clone(r.Canary.Wrapped)
	r.Canary.AAD = bytes.Clone(r.Canary.AAD)
	if len(known) >= maxReferences {
		clear(known)
	}
	known[r.ID] = r
	return r
}

func same(a, b key.Ref) bool {
	return a.Format == b.Format && bytes.Equal(a.Canary.Wrapped, b.Canary.Wrapped) && bytes.Equal(a.Canary.AAD, b.Canary.AAD)
}

// do runs one request and answers it; the caller flushes. It returns a status to
// exit with when the answer was that this worker is of no use any more.
func (w *loop) do(j *job) int {
	began := time.Now()
	ctx := &expiring{Context: context.Background(), at: j.deadline}
	defer ctx.stop()
	j.reply = frame.Reply{ID: j.request.ID, Op: j.request.Op}
	err := ctx.Err() // who waited too long in the queue is not served: nobody listens
	if err == nil {
		err = w.serve(ctx, j)
	}
	w.crew.took(time.Since(began))
	if err != nil {
		j.reply = frame.Reply{ID: j.request.ID, Failed: true, Failure: failure(err)}
	}
	sent := w.out.Queue(&j.reply)
	clear(j.reply.Output) // a DEK, its wrapping, or a part of a key
	clear(j.body)
	w.crew.done(j)
	if sent != nil { // the reader of this loop learns the same and ends the worker
		return frame.ExitOK
	}
	status, _ := replaces(err)
	return status
}

// serve asks the token and fills in the reply.
func (w *loop) serve(ctx context.Context, j *job) (err error) {
	q, a := &j.request, &j.reply
	switch q.Op {
	case frame.Wrap:
		a.Output, err = w.token.Wrap(ctx, q.Ref, sensitive.Take(q.Input), q.AAD)
	case frame.Unwrap:
		var dek sensitive.Bytes
		dek, err = w.token.Unwrap(ctx, q.Ref, q.Input, q.AAD)
		a.Output = dek.Reveal()
	case frame.Random:
		var b sensitive.Bytes
		b, err = w.token.Random(ctx, q.Size)
		a.Output = b.Reveal()
	case frame.Rewrap:
		a.Items, err = w.rewrap(ctx, q)
	case frame.Check:
		a.Result, err = w.token.Check(ctx, q.Ref)
	case frame.Generate:
		q.Spec.CanaryAAD = bytes.Clone(q.Spec.CanaryAAD)
		a.Made, err = w.token.Generate(ctx, q.Spec)
	case frame.Destroy:
		err = w.token.Destroy(ctx, q.Ref)
	case frame.List:
		a.IDs, a.More, err = w.page(ctx, q.After)
	case frame.Status:
		a.Token, err = statusOf(ctx, w.token)
	default:
		err = ckr.Found(ckr.Capability, "the worker does not know this operation")
	}
	return err
}

// rewrap translates the answers; an error of one item is that item's alone,
// unless it says that the worker is of no use any more.
func (w *loop) rewrap(ctx context.Context, q *frame.Request) ([]frame.Item, error) {
	out, err := w.token.Rewrap(ctx, q.Ref, q.To, q.Items)
	if err != nil {
		return nil, err
	}
	items := make([]frame.Item, len(out))
	for i, r := range out {
		if _, ends := replaces(r.Err); ends {
			return nil, r.Err
		}
		if r.Err != nil {
			items[i] = frame.Item{Failed: true, Failure: failure(r.Err)}
			continue
		}
		items[i].Wrapped = r.Wrapped
	}
	return items, nil
}

// page returns the IDs after the given one, in order, as many as a frame can
// hold. The order makes pages fit together although keys come and go.
func (w *loop) page(ctx context.Context, after key.ID) (ids []key.ID, more bool, err error) {
	ids, err = w.token.List(ctx)
	if err != nil {
		return nil, false, err
	}
	ids = slices.DeleteFunc(ids, func(id key.ID) bool { return order(id, after) <= 0 && after != key.ID{} })
	slices.SortFunc(ids, order)
	if len(ids) > frame.ListPage {
		return ids[:frame.ListPage], true, nil
	}
	return ids, false, nil
}

func order(a, b key.ID) int { return bytes.Compare(a[:], b[:]) }

// expiring is a context with a deadline that costs a timer only when somebody
// waits for it: most operations find a free session and never do.
type expiring struct {
	context.Context
	at time.Time

	once   sync.Once
	timed  context.Context
	cancel context.CancelFunc
}

func (e *expiring) Deadline() (time.Time, bool) { return e.at, true }

func (e *expiring) Done() <-chan struct{} {
	e.once.Do(func() { e.timed, e.cancel = context.WithDeadline(e.Context, e.at) })
	if e.timed == nil { // after stop: nothing to wait for any more
		return over
	}
	return e.timed.Done()
}

var over = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (e *expiring) Err() error {
	if time.Now().Before(e.at) {
		return nil
	}
	return context.DeadlineExceeded
}

// stop ends the timer, if there is one. It comes after the last use.
func (e *expiring) stop() {
	e.once.Do(func() {})
	if e.cancel != nil {
		e.cancel()
	}
}
