package hsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
)

// worker is one strongroom-hsm process and our ends of the pipes to it. It
// fails once, as a whole, and is never mended.
type worker struct {
	cmd *exec.Cmd
	pair
	out  *frame.Writer
	in   *frame.Reader
	turn chan struct{} // has one value, which is with whoever uses in
	log  *zap.Logger

	hello frame.Greeting // once started
	calls calls

	gone chan struct{} // closed by fail: takes no requests any more
	over chan struct{} // closed when the process has been waited for

	once  sync.Once
	cause error
	wg    sync.WaitGroup
}

// spawn starts a process. The caller must fail it and wait for it, in the end.
func spawn(path string, src source, log *zap.Logger) (*worker, error) {
	ours, theirs, err := pipes()
	if err != nil {
		return nil, fmt.Errorf("pipes for a worker: %w", err)
	}
	lines := &lineLog{log: log}
	w := &worker{
		pair: ours,
		log:  log,
		gone: make(chan struct{}),
		over: make(chan struct{}),
		cmd: &exec.Cmd{
			Path: path, Args: []string{workerName}, Env: src.env, Dir: "/",
			Stdout: lines, Stderr: lines,
			ExtraFiles: theirs,      // frame.RequestsFD, frame.AnswersFD
			WaitDelay:  time.Second, // for what else holds its standard error
			SysProcAttr: &syscall.SysProcAttr{
				Setpgid:   true, // Ctrl-C is for the server, which still has requests to finish
				Pdeathsig: syscall.SIGKILL,
			},
		},
	}
	w.out = frame.NewWriter(&deadlined{File: ours.requests})
	w.in = frame.NewReader(ours.answers)
	w.turn = make(chan struct{}, 1)
	w.turn <- struct{}{}
	w.calls.init()
	started := make(chan error, 1)
	w.wg.Go(func() { w.attend(started) })
	err = <-started
	_, _ = theirs[0].Close(), theirs[1].Close()
	if err != nil {
		ours.close()
		w.wg.Wait()
		return nil, fmt.Errorf("start worker: %w", err)
	}
	w.wg.Go(w.sweep)
	return w, nil
}

// attend starts the process and waits for it, on one thread: the kernel sends
// the death signal of a parent when the *thread* that forked ends. It is the
// belt only; a worker ends by itself when its pipe does.
func (w *worker) attend(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := w.cmd.Start()
	started <- err
	if err != nil {
		close(w.over)
		return
	}
	_ = w.cmd.Wait() // what matters is in ProcessState
	close(w.over)
	// The last answers come first, and then the end of the pipe; unless a child
	// of the module's keeps that open. Who reads finds it; most often nobody does.
	select {
	case <-w.gone:
	case <-w.turn:
		_ = w.drain(lastWords) // the process is gone, which says more
		w.turn <- struct{}{}
	case <-time.After(lastWords):
	}
	w.fail(w.ended())
}

// drain hands over the answers that have come, and those that come within d.
// Only who holds turn may call it.
func (w *worker) drain(d time.Duration) error {
	defer w.in.Forget()
	err := w.answers.SetReadDeadline(time.Now().Add(d))
	for err == nil {
		var h frame.Head
		var body []byte
		if h, body, err = w.in.Next(); err == nil {
			err = w.calls.answer(h, body)
		}
	}
	return err
}

// pipes returns our ends of two pipes, and the worker's. Only the worker's are
// inherited, and only by the worker: everything else closes on exec.
//
// One pair of sockets would do as well, but for the price: the kernel wakes a
// sleeping reader of a socket also when the other side has read, so each
// request would wake each process twice.
func pipes() (ours pair, theirs []*os.File, err error) {
	requests, in, err := os.Pipe()
	if err != nil {
		return pair{}, nil, err
	}
	out, answers, err := os.Pipe()
	if err != nil {
		_, _ = requests.Close(), in.Close()
		return pair{}, nil, err
	}
	return pair{answers: out, requests: in}, []*os.File{requests, answers}, nil
}

// pair is our end of each pipe.
type pair struct{ requests, answers *os.File }

func (p pair) close() { _, _ = p.requests.Close(), p.answers.Close() }

// greet configures the worker and waits until its token is open and tested.
func (w *worker) greet(ctx context.Context, src source, within time.Duration) error {
	c := newCall(frame.Configure)
	defer c.release()
	c.request.Settings = src.settings
	if err := w.do(ctx, c, limits{soft: within, hard: within}); err != nil {
		return err
	}
	if v := c.reply.Greeting.Version; v != frame.Version {
		return ckr.Found(ckr.Module, fmt.Sprintf("the worker speaks version %d, the server %d: install both from one release", v, frame.Version))
	}
	w.hello = c.reply.Greeting
	return nil
}

// read hands answers to those who wait for them, until c has its own or ctx is
// over. It reports whether c has been answered. Anything that is no answer ends
// the worker, and so answers everybody.
//
// Only who holds turn may call it.
func (w *worker) read(ctx context.Context, c *call) (answered bool) {
	w.calls.lead(ctx, c)
	defer w.calls.rest()
	defer w.in.Forget()
	for {
		select {
		case <-c.done:
			answered = true
		default:
		}
		if answered && !w.in.Ready() || !answered && ctx.Err() != nil {
			return answered
		}
		if err := w.readOne(); err != nil {
			w.fail(err)
			if !answered {
				<-c.done
			}
			return true
		}
	}
}

func (w *worker) readOne() error {
	h, body, err := w.in.Next()
	if err == nil {
		return w.calls.answer(h, body)
	}
	return w.unreadable(err)
}

// unreadable says why nothing more can be read, or nil after a deadline: that
// was for the reader alone.
func (w *worker) unreadable(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return w.answers.SetReadDeadline(time.Time{})
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return w.parted()
	}
	return err
}

// lastWords is how long the end of a process and the end of its pipe may lie
// apart.
const lastWords = 200 * time.Millisecond

// parted waits a moment for the exit status of a worker whose pipe has
// ended, since that says more.
func (w *worker) parted() error {
	select {
	case <-w.over:
		return w.ended()
	case <-time.After(lastWords):
		return errors.New("worker closed its pipe")
	}
}

// unwritable ends a worker that takes no frames any more. Most often it has
// just died, and the reader is about to say how.
func (w *worker) unwritable(err error) {
	select {
	case <-w.gone:
	case <-time.After(lastWords):
		w.fail(err)
	}
}

// ended says how the process ended. It is for after over.
func (w *worker) ended() error { return fmt.Errorf("worker ended: %v", w.cmd.ProcessState) }

// sweepEvery is how late a deadline may be noticed.
const sweepEvery = 50 * time.Millisecond

// glance is how long sweep waits for answers that nobody waits for.
const glance = time.Millisecond

// collect reads for callers who have left, where nobody else reads. Otherwise
// an answer that is there would pass for one that never came, and enough of
// them would stop the worker.
func (w *worker) collect() {
	if !w.calls.deserted() {
		return
	}
	select {
	case <-w.turn:
	default:
		return // who reads, reads for all
	}
	if err := w.unreadable(w.drain(glance)); err != nil {
		w.fail(err)
	}
	w.turn <- struct{}{}
}

// sweep looks for operations that take too long. One timer serves all, so a
// request needs none of its own.
func (w *worker) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.gone:
			return
		case now := <-tick.C:
			w.collect()
			if op, stuck := w.calls.sweep(now); stuck {
				w.fail(fmt.Errorf("worker is stuck in %v", op))
			}
			w.calls.interrupt(func() { _ = w.answers.SetReadDeadline(now) })
		}
	}
}

// fail ends the worker, whatever it is doing: a call into a module can't be
// cancelled, only its process can.
func (w *worker) fail(cause error) {
	w.once.Do(func() {
		w.cause = cause
		close(w.gone)
		_ = w.cmd.Process.Kill() // it may have ended by itself
		w.pair.close()
		w.calls.fail(ckr.Found(ckr.Module, cause.Error()))
	})
}

// stop lets the worker end by itself, for a while.
func (w *worker) stop(within time.Duration) {
	_ = w.requests.Close()
	select {
	case <-w.over:
	case <-time.After(within):
	}
	w.fail(errClosed)
	w.wait()
}

// wait returns when nothing of the worker is left.
func (w *worker) wait() {
	w.wg.Wait()
	w.out.Wait()
	<-w.turn
	w.in.Wipe()
	w.turn <- struct{}{}
}

// exited returns the exit status, or -1. It is for after wait.
func (w *worker) exited() int { return w.cmd.ProcessState.ExitCode() }

func (w *worker) pid() int { return w.cmd.Process.Pid }

// deadlined is a connection whose writes do not block for ever: a worker that
// reads nothing for so long is stuck. Setting a deadline costs as much as a
// small write, so it is kept ahead and renewed now and then.
type deadlined struct {
	*os.File
	until time.Time
}

const writeWithin = 2 * time.Second

// Write is called by one goroutine at a time: frame.Writer sees to that.
func (d *deadlined) Write(b []byte) (int, error) {
	if now := time.Now(); d.until.Sub(now) < writeWithin/2 {
		d.until = now.Add(writeWithin)
		if err := d.SetWriteDeadline(d.until); err != nil {
			return 0, err
		}
	}
	return d.File.Write(b)
}

// lineLog makes log lines of what a worker or its module prints. Modules print
// a lot, and none of it is worth failing for.
type lineLog struct {
	log  *zap.Logger
	rest []byte
}

const maxLine = 1 << 10

func (l *lineLog) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		end := bytes.IndexByte(l.rest, '\n') + 1
		if end == 0 && len(l.rest) < maxLine {
			return len(b), nil
		}
		if end == 0 || end > maxLine {
			end = maxLine
		}
		if line := bytes.TrimSpace(l.rest[:end]); len(line) > 0 {
			l.log.Info("worker says", zap.String("line", string(line)))
		}
		l.rest = append(l.rest[:0], l.rest[end:]...)
	}
}
