// Package serve is the worker's side of the pipes: it reads requests, lets a
// token do them, and answers. It knows no Cryptoki and needs no cgo; the token
// is a parameter, so that tests can serve one that hangs, dies or lies.
//
// A worker is crash-only (pkcs11.md §2). It ends when the server goes away,
// and after every error that a fresh process would not have: the server starts
// another one and repeats what is safe to repeat.
package serve

import (
	"context"
	"errors"
	"io"
	"runtime"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// ExitUsage is the status of a worker that somebody else than the server has
// started. The others are in package frame.
const ExitUsage = frame.ExitUsage

// Settings is what the server tells a worker about its token.
type Settings = frame.Settings

// Token is what a worker serves. *worker.Token is one.
type Token interface {
	Generate(ctx context.Context, spec key.Spec) (key.Made, error)
	Wrap(ctx context.Context, kek key.Ref, dek sensitive.Bytes, aad []byte) ([]byte, error)
	Unwrap(ctx context.Context, kek key.Ref, wrapped, aad []byte) (sensitive.Bytes, error)
	Rewrap(ctx context.Context, from, to key.Ref, items []key.Rewrap) ([]key.Rewrapped, error)
	Random(ctx context.Context, n int) (sensitive.Bytes, error)
	Check(ctx context.Context, kek key.Ref) (key.CheckResult, error)
	Destroy(ctx context.Context, kek key.Ref) error
	List(ctx context.Context) ([]key.ID, error)
	Status(ctx context.Context) (key.Status, error)
	Close() error
}

const (
	// queued bounds the requests that wait for a session; beyond, the pipe
	// fills, and the server notices.
	queued = 256
	// closing is how long a module may take to say goodbye.
	closing = 2 * time.Second
	// lastWords is how long the server may take to read the last answers. One
	// of them says why this worker ends.
	lastWords = 100 * time.Millisecond
	// fewest is how many requests run at once where the token names no number.
	fewest = 4
)

// Run serves the server at the other end of conn and returns the status to
// exit with. open opens the token and runs its self-test. Calls into the
// module may still be running when Run returns: the process must end then.
func Run(conn io.ReadWriter, open func(context.Context, Settings) (Token, error)) int {
	w := &loop{in: frame.NewReader(conn), out: frame.NewWriter(conn), known: references{}, crew: newCrew(), exit: make(chan int, 1)}
	settings, status := w.settings()
	if status != frame.ExitOK {
		return status
	}
	w.attend()
	found := make(chan opened, 1)
	go func() { found <- greet(open, settings) }()
	select {
	case o := <-found:
		return w.begin(o)
	case status := <-w.exit: // a module may hang while it is being opened
		return status
	}
}

// begin says what was found, and serves.
func (w *loop) begin(o opened) int {
	if o.err != nil {
		_ = w.out.Send(&frame.Reply{ID: w.first, Failed: true, Failure: failure(o.err)})
		return exitOf(o.err)
	}
	w.token = o.token
	if err := w.out.Send(&frame.Reply{ID: w.first, Op: frame.Hello, Greeting: o.hello}); err != nil {
		return frame.ExitOK
	}
	return w.run(o.hello.Sessions)
}

// loop is one connection.
type loop struct {
	in    *frame.Reader // of the goroutine that is in read
	known references    // likewise
	out   *frame.Writer
	first uint64 // ID of the request that configures
	token Token
	crew  *crew
	exit  chan int // the first status to exit with
}

// settings reads the first frame.
func (w *loop) settings() (Settings, int) {
	h, body, err := w.in.Next()
	if err != nil {
		return Settings{}, ended(err)
	}
	var r frame.Request
	if err := frame.ParseRequest(h, body, &r); err != nil || r.Op != frame.Configure {
		return Settings{}, frame.ExitProtocol
	}
	w.first = r.ID
	return r.Settings, frame.ExitOK
}

// attend reads requests from now on: the end of the server is noticed there.
func (w *loop) attend() {
	go func() {
		if status, last := w.read(); last {
			w.leave(status)
		}
	}()
}

// leave makes Run return, unless it does so already.
func (w *loop) leave(status int) {
	select {
	case w.exit <- status:
	default:
	}
}

// ended says how to exit after the last frame. A connection that breaks is a
// server that died: nothing is wrong with the worker.
func ended(err error) int {
	if errors.Is(err, frame.ErrMalformed) {
		return frame.ExitProtocol
	}
	return frame.ExitOK
}

// opened is a token and what there is to say about it.
type opened struct {
	token Token
	hello frame.Greeting
	err   error
}

// greet opens the token and asks it for a sign of life.
func greet(open func(context.Context, Settings) (Token, error), s Settings) opened {
	ctx := context.Background()
	token, err := open(ctx, s)
	if err != nil {
		return opened{err: err}
	}
	status, err := statusOf(ctx, token)
	if err != nil {
		return opened{err: err}
	}
	sessions := s.Sessions
	if t, ok := token.(interface{ Sessions() int }); ok {
		sessions = t.Sessions()
	}
	if sessions <= 0 {
		sessions = max(fewest, 2*runtime.NumCPU())
	}
	return opened{token: token, hello: frame.Greeting{Version: frame.Version, Sessions: sessions, Token: status}}
}

// statusOf returns how the one token of a worker is. A token that gives no
// sign of life is an error.
func statusOf(ctx context.Context, token Token) (key.TokenStatus, error) {
	s, err := token.Status(ctx)
	switch {
	case err != nil:
		return key.TokenStatus{}, err
	case len(s.Tokens) != 1:
		return key.TokenStatus{}, ckr.Found(ckr.Module, "the worker does not have exactly one token")
	case !s.Tokens[0].Usable:
		return key.TokenStatus{}, ckr.Found(ckr.Module, s.Tokens[0].Problem)
	}
	return s.Tokens[0], nil
}

// run does the requests, n at once, until the server is gone or an error asks
// for another worker.
func (w *loop) run(n int) int {
	w.crew.open(n)
	over := make(chan struct{})
	defer close(over)
	go w.watch(over)
	for range n {
		go func() { w.leave(w.hand()) }()
	}
	status := <-w.exit
	w.out.Settle(lastWords)
	if status == frame.ExitOK || status == frame.ExitProtocol {
		w.close() // an ill module is left alone
	}
	return status
}

// close lets the module end its sessions. Not every module returns from that.
func (w *loop) close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.token.Close() // the process ends; nobody could act on it
	}()
	select {
	case <-done:
	case <-time.After(closing):
	}
}

// exitOf says with which status a worker exits because of err.
func exitOf(err error) int {
	if ckr.ClassOf(err) == ckr.PIN {
		return frame.ExitPIN
	}
	return frame.ExitToken
}

// failure puts err into a frame. A caller that ran out of time was kept
// waiting; what nobody sorted is a mistake of ours and no reason to replace a
// worker.
func failure(err error) frame.Failure {
	if e, ok := errors.AsType[*ckr.Error](err); ok {
		return frame.Failure{Call: e.Call, Code: uint32(e.Code), Class: uint8(e.Class)}
	}
	if class := ckr.ClassOf(err); class != ckr.Ambiguous {
		return frame.Failure{Call: "wait for a session", Class: uint8(class)}
	}
	return frame.Failure{Call: err.Error(), Class: uint8(ckr.Capability)}
}

// replaces reports whether a worker that met err is of no use any more, and
// how it exits.
func replaces(err error) (status int, yes bool) {
	switch ckr.ClassOf(err) {
	case ckr.Login, ckr.Module:
		return frame.ExitToken, true
	case ckr.PIN:
		return frame.ExitPIN, true
	}
	return frame.ExitOK, false
}
