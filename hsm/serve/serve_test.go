package serve_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/serve"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// stub answers Unwrap with what unwrap says, Destroy likewise, and knows
// nothing else.
type stub struct {
	serve.Token
	unwrap  func(ctx context.Context, kek key.Ref, wrapped, aad []byte) (sensitive.Bytes, error)
	destroy func() error
	status  key.TokenStatus
	closed  chan struct{}
	once    sync.Once
}

func newStub() *stub {
	return &stub{
		status: key.TokenStatus{Label: "stub", Usable: true},
		closed: make(chan struct{}),
		unwrap: func(_ context.Context, _ key.Ref, wrapped, _ []byte) (sensitive.Bytes, error) {
			return sensitive.Take(bytes.Clone(wrapped)), nil
		},
	}
}

func (s *stub) Unwrap(ctx context.Context, kek key.Ref, wrapped, aad []byte) (sensitive.Bytes, error) {
	return s.unwrap(ctx, kek, wrapped, aad)
}

func (s *stub) Destroy(context.Context, key.Ref) error { return s.destroy() }

func (s *stub) Status(context.Context) (key.Status, error) {
	return key.Status{Tokens: []key.TokenStatus{s.status}}, nil
}

func (s *stub) Close() error { s.once.Do(func() { close(s.closed) }); return nil }

// server is the other end of a worker under test.
type server struct {
	t    *testing.T
	conn net.Conn
	in   *frame.Reader
	exit chan int
}

// run starts a worker whose token is opened by open.
func run(t *testing.T, open func(context.Context, serve.Settings) (serve.Token, error)) *server {
	t.Helper()
	ours, theirs := net.Pipe()
	s := &server{t: t, conn: ours, in: frame.NewReader(ours), exit: make(chan int, 1)}
	go func() { s.exit <- serve.Run(theirs, open); _ = theirs.Close() }()
	t.Cleanup(func() { _ = ours.Close() })
	return s
}

// greeted is run for a token that opens.
func greeted(t *testing.T, tok serve.Token) *server {
	t.Helper()
	return greetedWith(t, tok, 1)
}

func greetedWith(t *testing.T, tok serve.Token, sessions int) *server {
	t.Helper()
	s := run(t, func(context.Context, serve.Settings) (serve.Token, error) { return tok, nil })
	s.send(&frame.Request{ID: 1, Op: frame.Configure, Settings: serve.Settings{Sessions: sessions}})
	if r := s.receive(); r.Failed || r.Op != frame.Hello || r.Greeting.Version != frame.Version || r.Greeting.Token.Label != "stub" {
		t.Fatalf("greeting %+v", r)
	}
	return s
}

func (s *server) send(r *frame.Request) {
	s.t.Helper()
	b, err := r.AppendTo(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.conn.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) receive() frame.Reply {
	s.t.Helper()
	h, body, err := s.in.Next()
	if err != nil {
		s.t.Fatal(err)
	}
	var r frame.Reply
	if err := frame.ParseReply(h, body, &r); err != nil {
		s.t.Fatal(err)
	}
	r.Output = bytes.Clone(r.Output)
	return r
}

func (s *server) exits(want int) {
	s.t.Helper()
	select {
	case got := <-s.exit:
		if got != want {
			s.t.Errorf("exit status %d, want %d", got, want)
		}
	case <-time.After(5 * time.Second):
		s.t.Error("the worker does not end")
	}
}

func request(id uint64, left time.Duration) *frame.Request {
	return &frame.Request{ID: id, Op: frame.Unwrap, Left: left, Ref: key.Ref{ID: key.ID{1}}, Input: []byte("wrapped"), AAD: []byte("aad")}
}

func TestWorkerEndsWithItsServer(t *testing.T) {
	tok := newStub()
	s := greeted(t, tok)
	_ = s.conn.Close()
	s.exits(frame.ExitOK)
	select {
	case <-tok.closed:
	default:
		t.Error("the token was not closed")
	}
}

func TestWorkerEndsWithItsServerWhileItsModuleHangs(t *testing.T) {
	never := make(chan struct{})
	defer close(never)
	hang := func() error { <-never; return errors.New("late") }
	t.Run("at first", func(t *testing.T) {
		s := run(t, func(context.Context, serve.Settings) (serve.Token, error) { return nil, hang() })
		s.send(&frame.Request{ID: 1, Op: frame.Configure})
		_ = s.conn.Close()
		s.exits(frame.ExitOK)
	})
	t.Run("later", func(t *testing.T) {
		tok := newStub()
		s := greeted(t, tok)
		s.warm()
		tok.unwrap = func(context.Context, key.Ref, []byte, []byte) (sensitive.Bytes, error) {
			return sensitive.Bytes{}, hang()
		}
		s.send(request(2, time.Minute))
		_ = s.conn.Close()
		s.exits(frame.ExitOK)
	})
}

func TestWorkerRefusesWhatIsNoProtocol(t *testing.T) {
	t.Run("at first", func(t *testing.T) {
		s := run(t, nil)
		s.send(request(1, time.Second))
		s.exits(frame.ExitProtocol)
	})
	t.Run("later", func(t *testing.T) {
		s := greeted(t, newStub())
		if _, err := io.WriteString(s.conn, "GET / HTTP/1.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		s.exits(frame.ExitProtocol)
	})
}

func TestOpeningFails(t *testing.T) {
	for _, tc := range []struct {
		name  string
		err   error
		class ckr.Class
		exit  int
	}{
		{"a rejected PIN", ckr.New("C_Login", 0xA0), ckr.PIN, frame.ExitPIN},
		{"a token that is away", ckr.New("C_Initialize", 0x30), ckr.Module, frame.ExitToken},
		{"a file that is missing", errors.New("no such file"), ckr.Capability, frame.ExitToken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := run(t, func(context.Context, serve.Settings) (serve.Token, error) { return nil, tc.err })
			s.send(&frame.Request{ID: 7, Op: frame.Configure})
			if r := s.receive(); !r.Failed || r.ID != 7 || r.Failure.Class != uint8(tc.class) {
				t.Errorf("answer %+v", r)
			}
			s.exits(tc.exit)
		})
	}
	t.Run("a token without a sign of life", func(t *testing.T) {
		tok := newStub()
		tok.status = key.TokenStatus{Problem: "C_GetTokenInfo: 0x5"}
		s := run(t, func(context.Context, serve.Settings) (serve.Token, error) { return tok, nil })
		s.send(&frame.Request{ID: 7, Op: frame.Configure})
		if r := s.receive(); r.Failure.Class != uint8(ckr.Module) || r.Failure.Call != tok.status.Problem {
			t.Errorf("answer %+v", r)
		}
		s.exits(frame.ExitToken)
	})
}

func TestErrorsThatEndTheWorker(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		ends bool
		exit int
	}{
		{"a damaged row", ckr.New("C_Decrypt", 0x40), false, 0},
		{"no free session", context.DeadlineExceeded, false, 0},
		{"a mistake of ours", errors.New("unsorted"), false, 0},
		{"a logout", ckr.New("C_Decrypt", 0x101), true, frame.ExitToken},
		{"a dead module", ckr.New("C_Decrypt", 0x30), true, frame.ExitToken},
		{"a locked PIN", ckr.New("C_Login", 0xA4), true, frame.ExitPIN},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tok := newStub()
			tok.unwrap = func(context.Context, key.Ref, []byte, []byte) (sensitive.Bytes, error) {
				return sensitive.Bytes{}, tc.err
			}
			s := greeted(t, tok)
			s.send(request(2, time.Second))
			if r := s.receive(); !r.Failed || r.ID != 2 {
				t.Errorf("answer %+v", r)
			}
			if tc.ends {
				s.exits(tc.exit)
				return
			}
			s.send(request(3, time.Second))
			if r := s.receive(); r.ID != 3 {
				t.Errorf("answer %+v", r)
			}
		})
	}
}

// Who waited too long in the queue is answered, but not served.
func TestQueueKnowsDeadlines(t *testing.T) {
	tok := newStub()
	release, calls := make(chan struct{}), 0
	tok.unwrap = func(context.Context, key.Ref, []byte, []byte) (sensitive.Bytes, error) {
		calls++
		<-release
		return sensitive.Bytes{}, nil
	}
	s := greeted(t, tok) // with one session
	s.send(request(2, time.Minute))
	s.send(request(3, time.Millisecond))
	time.Sleep(20 * time.Millisecond)
	close(release)
	if r := s.receive(); r.ID != 2 || r.Failed {
		t.Errorf("first answer %+v", r)
	}
	if r := s.receive(); r.ID != 3 || r.Failure.Class != uint8(ckr.Busy) {
		t.Errorf("second answer %+v", r)
	}
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// An operation's context ends when its caller stops waiting.
func TestOperationsSeeTheirDeadline(t *testing.T) {
	tok := newStub()
	tok.unwrap = func(ctx context.Context, _ key.Ref, _, _ []byte) (sensitive.Bytes, error) {
		if at, ok := ctx.Deadline(); !ok || time.Until(at) > time.Second || ctx.Err() != nil {
			t.Errorf("deadline %v, error %v", at, ctx.Err())
		}
		<-ctx.Done()
		return sensitive.Bytes{}, ctx.Err()
	}
	s := greeted(t, tok)
	s.send(request(2, 30*time.Millisecond))
	if r := s.receive(); r.Failure.Class != uint8(ckr.Busy) {
		t.Errorf("answer %+v", r)
	}
}

// A token may keep the reference it was called with: the next request's
// memory is another.
func TestReferencesLast(t *testing.T) {
	tok := newStub()
	var kept []key.Ref
	tok.unwrap = func(_ context.Context, kek key.Ref, wrapped, _ []byte) (sensitive.Bytes, error) {
		kept = append(kept, kek)
		return sensitive.Take(bytes.Clone(wrapped)), nil
	}
	s := greeted(t, tok)
	for i := range 5 {
		r := request(uint64(i), time.Second)
		r.Ref = key.Ref{ID: key.ID{byte(i)}, Canary: key.Canary{Wrapped: bytes.Repeat([]byte{byte(i)}, 50), AAD: []byte{byte(i)}}}
		s.send(r)
		if a := s.receive(); a.Failed || string(a.Output) != "wrapped" {
			t.Fatalf("answer %+v", a)
		}
	}
	for i, r := range kept {
		if r.ID[0] != byte(i) || !bytes.Equal(r.Canary.Wrapped, bytes.Repeat([]byte{byte(i)}, 50)) || r.Canary.AAD[0] != byte(i) {
			t.Errorf("reference %d became %+v", i, r)
		}
	}
}

// Once it is answered, a DEK is nowhere in the worker's memory that we know of.
func TestAnsweredDEKIsWiped(t *testing.T) {
	tok := newStub()
	dek := []byte("hunter2-canary")
	var in []byte
	tok.unwrap = func(_ context.Context, _ key.Ref, wrapped, _ []byte) (sensitive.Bytes, error) {
		in = wrapped
		return sensitive.Take(dek), nil
	}
	s := greeted(t, tok)
	s.send(request(2, time.Second))
	if a := s.receive(); string(a.Output) != "hunter2-canary" {
		t.Fatalf("answer %+v", a)
	}
	// With one session, the first is done with when this one is answered.
	s.send(&frame.Request{ID: 3, Op: frame.Status, Left: time.Second})
	_ = s.receive()
	if !bytes.Equal(dek, make([]byte, len(dek))) || bytes.Contains(in, []byte("wrapped")) {
		t.Errorf("left over: %q, %q", dek, in)
	}
}
