package hsm

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
)

// call is one request on its way through one worker, and the memory for it.
type call struct {
	request frame.Request
	reply   frame.Reply // its byte fields point into body

	head frame.Head
	body []byte
	err  error
	done chan struct{} // one value per call

	soft, hard time.Time // nobody waits any longer; the worker is stuck
	left       bool      // the caller has gone; an answer is still awaited
}

var callPool = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

func newCall(op frame.Op) *call {
	c := callPool.Get().(*call)
	c.request.Op = op
	return c
}

// release wipes the answer, which may be a DEK, and gives the memory back.
func (c *call) release() {
	clear(c.body)
	c.request, c.reply, c.err = frame.Request{}, frame.Reply{}, nil
	callPool.Put(c)
}

// limits is how long one attempt may take: soft, and another worker is tried;
// hard, and this one is killed.
type limits struct{ soft, hard time.Duration }

// do sends c and waits for the answer, the soft limit or the end of ctx.
func (w *worker) do(ctx context.Context, c *call, lim limits) error {
	c.request.Left, c.err = lim.soft, nil
	others, err := w.calls.add(c, time.Now(), lim)
	if err != nil {
		return err
	}
	if err := w.send(&c.request, others); err != nil {
		if unsent := refused(err); unsent != nil {
			w.calls.withdraw(c)
			return unsent
		}
		w.unwritable(err)
	}
	if err := w.await(ctx, c); err != nil {
		return err
	}
	if c.err != nil {
		return c.err
	}
	if err := frame.ParseReply(c.head, c.body, &c.reply); err != nil || !c.reply.Failed && c.reply.Op != c.request.Op {
		w.fail(errGarbage)
		return errGarbage
	}
	if c.reply.Failed {
		return received(c.reply.Failure)
	}
	return nil
}

// crowd is how many other calls make it likely that some more are about to be
// sent.
const crowd = 3

// send writes m. In a crowd it lets the others add theirs first: answers arrive
// in bunches, so those who ask next are runnable now.
func (w *worker) send(m frame.Message, others int) error {
	if err := w.out.Queue(m); err != nil {
		return err
	}
	if others >= crowd {
		runtime.Gosched()
	}
	return w.out.Flush()
}

// await returns nil when c has been answered, one way or the other.
//
// Those who wait also read: whoever finds nobody reading reads for all until
// its own answer comes. So a lone caller is woken once and by the kernel, and
// not by another goroutine that had to be woken first.
func (w *worker) await(ctx context.Context, c *call) error {
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
	case <-w.turn:
		answered := w.read(ctx, c)
		w.turn <- struct{}{}
		if answered {
			return nil
		}
	}
	if w.calls.leave(c) {
		return ctx.Err()
	}
	<-c.done // the answer is just arriving
	return nil
}

// refused says why a call has not been sent, where that is no fault of the
// worker's.
func refused(err error) error {
	switch {
	case errors.Is(err, frame.ErrTooLarge):
		return fault.Wrap(fault.TooLarge, "the value is too large for the key hardware", err)
	case errors.Is(err, frame.ErrFull):
		return ckr.Found(ckr.Busy, "the worker's queue is full")
	}
	return nil
}

// calls is what one worker has been asked and not answered.
type calls struct {
	mu     sync.Mutex
	open   map[uint64]*call
	last   uint64
	failed error // why none is taken any more

	reader  *call           // the one that reads for all
	waiting context.Context // for how long it does
}

func (cs *calls) init() { cs.open = make(map[uint64]*call) }

// add takes c, and returns how many others there are.
func (cs *calls) add(c *call, now time.Time, lim limits) (others int, err error) {
	c.soft, c.hard = now.Add(lim.soft), now.Add(lim.hard)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.failed != nil {
		return 0, cs.failed
	}
	cs.last++
	c.request.ID = cs.last
	cs.open[c.request.ID] = c
	return len(cs.open) - 1, nil
}

// withdraw takes back a call that was not sent. Where sweep or fail has been
// quicker, nobody needs their answer any more.
func (cs *calls) withdraw(c *call) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, c.request.ID)
	select {
	case <-c.done:
	default:
	}
}

// leave is for a caller who waits no longer. The worker is still busy with the
// operation, so a placeholder keeps its hard limit. It reports false when the
// answer has come after all.
func (cs *calls) leave(c *call) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.open[c.request.ID] != c {
		return false
	}
	cs.open[c.request.ID] = c.placeholder()
	return true
}

func (c *call) placeholder() *call {
	return &call{request: frame.Request{Op: c.request.Op}, hard: c.hard, left: true}
}

// deserted reports whether somebody left whose answer is still awaited.
func (cs *calls) deserted() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, c := range cs.open {
		if c.left {
			return true
		}
	}
	return false
}

// answer hands over one answer.
func (cs *calls) answer(h frame.Head, body []byte) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c, ok := cs.open[h.ID]
	if !ok {
		return errGarbage
	}
	delete(cs.open, h.ID)
	if c.left {
		return nil
	}
	c.head = h
	c.body = append(c.body[:0], body...)
	c.done <- struct{}{}
	return nil
}

// lead notes that c reads for all now.
func (cs *calls) lead(ctx context.Context, c *call) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.reader, cs.waiting = c, ctx
}

// rest notes that nobody reads.
func (cs *calls) rest() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.reader, cs.waiting = nil, nil
}

// interrupt calls stop if the one who reads for all has no reason to.
func (cs *calls) interrupt(stop func()) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.reader != nil && (len(cs.reader.done) > 0 || cs.waiting.Err() != nil) {
		stop()
	}
}

// sweep ends the waiting for calls beyond their soft limit, and reports one
// that is beyond its hard one.
func (cs *calls) sweep(now time.Time) (op frame.Op, stuck bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for id, c := range cs.open {
		if now.After(c.hard) {
			op, stuck = c.request.Op, true
		}
		if !c.left && now.After(c.soft) {
			cs.open[id] = c.placeholder()
			c.err = errSlow
			c.done <- struct{}{}
		}
	}
	return op, stuck
}

// fail answers all calls, now and later, with err.
func (cs *calls) fail(err error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.failed = err
	for id, c := range cs.open {
		delete(cs.open, id)
		if !c.left {
			c.err = err
			c.done <- struct{}{}
		}
	}
}
