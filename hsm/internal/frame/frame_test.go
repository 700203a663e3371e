package frame_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
	"github.com/strongroom-kms/strongroom/hsm/key"
)

var ref = key.Ref{
	ID:     key.ID{1, 2, 3},
	Format: key.A256GCM,
	Canary: key.Canary{Wrapped: []byte("wrapped"), AAD: []byte("aad")},
}

func requests() []*frame.Request {
	return []*frame.Request{
		{ID: 1, Op: frame.Configure, Settings: frame.Settings{Module: "/usr/lib/x.so", Label: "l", Serial: "s", Model: "m", PINFile: "/run/pin", GCMIV: "caller", Format: "auto", Sessions: 8, ForceLogin: true}},
		{ID: 2, Op: frame.Generate, Left: 30 * time.Second, Spec: key.Spec{ID: key.ID{9}, Label: "csms/default@1 p", Format: key.Auto, CanaryAAD: []byte("a")}},
		{ID: 3, Op: frame.Wrap, Left: time.Second, Ref: ref, AAD: []byte("here"), Input: []byte("dek")},
		{ID: 4, Op: frame.Unwrap, Left: time.Second, Ref: ref, AAD: []byte("here"), Input: []byte("wrapped")},
		{ID: 5, Op: frame.Rewrap, Ref: ref, To: ref, Items: []key.Rewrap{{Wrapped: []byte("w"), From: key.AAD("f"), To: key.AAD("t")}, {Wrapped: []byte{}, From: key.AAD{}, To: key.AAD{}}}},
		{ID: 6, Op: frame.Check, Ref: ref},
		{ID: 7, Op: frame.Destroy, Ref: ref},
		{ID: 8, Op: frame.List, After: key.ID{7}},
		{ID: 9, Op: frame.Status},
		{ID: 10, Op: frame.Random, Size: 32},
	}
}

func replies() []*frame.Reply {
	token := key.TokenStatus{
		Label: "l", Serial: "s", Model: "m", Usable: true, Problem: "p", Sessions: 5,
		Formats:  []key.FormatReport{{Format: key.A256GCM, Passed: true}, {Format: key.A256CBCHS256, Problem: "no HMAC"}},
		Warnings: []string{"weak"},
	}
	failure := frame.Failure{Call: "C_Decrypt", Code: 0x30, Class: 6}
	return []*frame.Reply{
		{ID: 1, Op: frame.Hello, Greeting: frame.Greeting{Version: frame.Version, Sessions: 8, Token: token}},
		{ID: 2, Op: frame.Generate, Made: key.Made{Ref: ref, TokenLabel: "l", TokenSerial: "s", CheckValue: []byte{1, 2, 3}}},
		{ID: 3, Op: frame.Wrap, Output: []byte("wrapped")},
		{ID: 4, Op: frame.Unwrap, Output: []byte("dek")},
		{ID: 5, Op: frame.Rewrap, Items: []frame.Item{{Wrapped: []byte("w")}, {Failed: true, Failure: failure}}},
		{ID: 6, Op: frame.Check, Result: key.WrongKey},
		{ID: 7, Op: frame.Destroy},
		{ID: 8, Op: frame.List, More: true, IDs: []key.ID{{1}, {2}}},
		{ID: 9, Op: frame.Status, Token: token},
		{ID: 11, Op: frame.Random, Output: []byte("random")},
		{ID: 10, Failed: true, Failure: failure},
	}
}

func encode(t testing.TB, m frame.Message) []byte {
	t.Helper()
	b, err := m.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessagesSurviveTheTrip(t *testing.T) {
	for _, want := range requests() {
		t.Run("request "+want.Op.String(), func(t *testing.T) {
			h, body := next(t, encode(t, want))
			var got frame.Request
			if err := frame.ParseRequest(h, body, &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(&got, want) {
				t.Errorf("got  %+v\nwant %+v", &got, want)
			}
		})
	}
	for _, want := range replies() {
		t.Run("reply "+want.Op.String(), func(t *testing.T) {
			h, body := next(t, encode(t, want))
			var got frame.Reply
			if err := frame.ParseReply(h, body, &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(&got, want) {
				t.Errorf("got  %+v\nwant %+v", &got, want)
			}
		})
	}
}

func next(t testing.TB, b []byte) (frame.Head, []byte) {
	t.Helper()
	h, body, err := frame.NewReader(bytes.NewReader(b)).Next()
	if err != nil {
		t.Fatal(err)
	}
	return h, body
}

// What the parsers accept, AppendTo gives back byte for byte: one message has
// one encoding.
func FuzzDecode(f *testing.F) {
	for _, r := range requests() {
		f.Add(encode(f, r))
	}
	for _, r := range replies() {
		f.Add(encode(f, r))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, body, err := frame.NewReader(bytes.NewReader(in)).Next()
		if err != nil {
			return
		}
		var (
			request frame.Request
			reply   frame.Reply
			m       frame.Message = &request
		)
		if err := frame.ParseRequest(h, body, &request); err != nil {
			if err := frame.ParseReply(h, body, &reply); err != nil {
				return
			}
			m = &reply
		}
		out, err := m.AppendTo(nil)
		if err != nil {
			t.Fatalf("decoded, but does not encode: %v", err)
		}
		if !bytes.Equal(out, in[:len(out)]) {
			t.Errorf("AppendTo(Parse(%x)) = %x", in, out)
		}
	})
}

func TestParsersRefuse(t *testing.T) {
	good := encode(t, &frame.Request{ID: 1, Op: frame.Check, Ref: ref})
	for _, tc := range []struct {
		name string
		in   []byte
	}{
		{"an unknown operation", append(bytes.Clone(good[:12]), append([]byte{0x70}, good[13:]...)...)},
		{"a field that is cut short", shorter(good, 1)},
		{"bytes after the last field", longer(good, 0)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, body := next(t, tc.in)
			var r frame.Request
			if err := frame.ParseRequest(h, body, &r); !errors.Is(err, frame.ErrMalformed) {
				t.Errorf("ParseRequest = %v", err)
			}
		})
	}
	t.Run("a count that the frame does not back", func(t *testing.T) {
		b := encode(t, &frame.Reply{ID: 1, Op: frame.List})
		copy(b[len(b)-4:], []byte{0xFF, 0xFF, 0xFF, 0xFF})
		h, body := next(t, b)
		var r frame.Reply
		if err := frame.ParseReply(h, body, &r); !errors.Is(err, frame.ErrMalformed) {
			t.Errorf("ParseReply = %v", err)
		}
	})
}

func shorter(b []byte, n int) []byte {
	b = bytes.Clone(b[:len(b)-n])
	b[3] -= byte(n)
	return b
}

func longer(b []byte, extra byte) []byte {
	b = append(bytes.Clone(b), extra)
	b[3]++
	return b
}

func TestReaderRefusesWhatIsNoFrame(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   string
		want error
	}{
		{"the end", "", io.EOF},
		{"half a length", "\x00\x00", io.ErrUnexpectedEOF},
		{"half a frame", "\x00\x00\x00\x0912345678", io.ErrUnexpectedEOF},
		{"less than a head", "\x00\x00\x00\x0812345678", frame.ErrMalformed},
		{"more than a frame may have", "\x00\x01\x00\x00" + strings.Repeat("x", 70000), frame.ErrMalformed},
		{"text", "GET / HTTP/1.1\r\n\r\n", frame.ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, _, err := frame.NewReader(strings.NewReader(tc.in)).Next(); !errors.Is(err, tc.want) {
				t.Errorf("Next = %v, want %v", err, tc.want)
			}
		})
	}
}

func TestTooLargeIsRefusedBeforeItTravels(t *testing.T) {
	var out bytes.Buffer
	w := frame.NewWriter(&out)
	big := &frame.Request{ID: 1, Op: frame.Unwrap, Input: make([]byte, frame.MaxBytes)}
	if err := w.Send(big); !errors.Is(err, frame.ErrTooLarge) {
		t.Errorf("Send = %v", err)
	}
	if err := w.Send(&frame.Request{ID: 2, Op: frame.Status}); err != nil {
		t.Errorf("Send after a refusal = %v", err)
	}
	if h, _, err := frame.NewReader(&out).Next(); err != nil || h.ID != 2 {
		t.Errorf("Next = %v, %v", h, err)
	}
}

// A page of List and a Rewrap of the server's chunk size always fit.
func TestLargestAnswersFit(t *testing.T) {
	if _, err := (&frame.Reply{Op: frame.List, IDs: make([]key.ID, frame.ListPage)}).AppendTo(nil); err != nil {
		t.Error(err)
	}
}

// slow hands out what was written one byte at a time.
type slow struct{ r io.Reader }

func (s slow) Read(b []byte) (int, error) { return s.r.Read(b[:1]) }

func TestReaderPutsPiecesTogether(t *testing.T) {
	var all []byte
	for _, r := range requests() {
		all = append(all, encode(t, r)...)
	}
	r := frame.NewReader(slow{bytes.NewReader(all)})
	for _, want := range requests() {
		h, body, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		var got frame.Request
		if err := frame.ParseRequest(h, body, &got); err != nil || h.ID != want.ID {
			t.Fatalf("request %d: %v (ID %d)", want.ID, err, h.ID)
		}
	}
	if _, _, err := r.Next(); err != io.EOF {
		t.Errorf("Next at the end = %v", err)
	}
}

// A frame that carried a DEK is gone from the Reader's memory once the next
// one is asked for.
func TestReaderForgets(t *testing.T) {
	first := encode(t, &frame.Request{ID: 1, Op: frame.Wrap, Ref: ref, Input: []byte("hunter2-canary")})
	r := frame.NewReader(bytes.NewReader(append(first, encode(t, &frame.Request{ID: 2, Op: frame.Status})...)))
	_, body, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(body, []byte("hunter2-canary")) {
		t.Fatal("the frame does not carry its DEK")
	}
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(body[:cap(body)], []byte("hunter2-canary")) {
		t.Error("the DEK is still in the buffer")
	}
}

// keeper keeps the slice it was given to write, and what was in it.
type keeper struct {
	mu    sync.Mutex
	all   []byte
	given [][]byte
}

func (k *keeper) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, b...)
	k.given = append(k.given, b[:cap(b)])
	return len(b), nil
}

func TestWriterForgets(t *testing.T) {
	k := new(keeper)
	w := frame.NewWriter(k)
	if err := w.Send(&frame.Request{ID: 1, Op: frame.Wrap, Input: []byte("hunter2-canary")}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(k.all, []byte("hunter2-canary")) {
		t.Fatal("the frame was not written")
	}
	for _, b := range k.given {
		if bytes.Contains(b, []byte("hunter2-canary")) {
			t.Error("the DEK is still in the Writer's buffer")
		}
	}
}

func TestManyWritersLoseNothing(t *testing.T) {
	const writers, each = 16, 500
	k := new(keeper)
	w := frame.NewWriter(k)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				if err := w.Send(&frame.Request{ID: uint64(i*each + j), Op: frame.Check, Ref: ref}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	w.Wait()
	seen := map[uint64]bool{}
	r := frame.NewReader(bytes.NewReader(k.all))
	for {
		h, body, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var got frame.Request
		if err := frame.ParseRequest(h, body, &got); err != nil {
			t.Fatal(err)
		}
		seen[h.ID] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d frames arrived, want %d", len(seen), writers*each)
	}
}

// slowly is a connection whose writes take a second.
type slowly struct{ written atomic.Int64 }

func (s *slowly) Write(b []byte) (int, error) {
	time.Sleep(time.Second)
	s.written.Add(int64(len(b)))
	return len(b), nil
}

// Whoever ends the process after its last frame must not count on Flush, which
// leaves that frame to somebody who is writing already.
func TestSettleWaitsForTheLastFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := new(slowly)
		w := frame.NewWriter(conn)
		one := int64(len(encode(t, &frame.Reply{ID: 1, Op: frame.Destroy})))
		go func() { _ = w.Send(&frame.Reply{ID: 1, Op: frame.Destroy}) }()
		synctest.Wait()
		if err := errors.Join(w.Queue(&frame.Reply{ID: 2, Op: frame.Destroy}), w.Flush()); err != nil {
			t.Fatal(err)
		}
		w.Settle(1500 * time.Millisecond)
		if n := conn.written.Load(); n != one {
			t.Errorf("%d bytes were written in time for one frame of %d", n, one)
		}
		w.Settle(time.Minute)
		if n := conn.written.Load(); n != 2*one {
			t.Errorf("%d bytes were written, want two frames of %d", n, one)
		}
	})
}

func TestWriterStaysBroken(t *testing.T) {
	r, wr := io.Pipe()
	w := frame.NewWriter(wr)
	_ = r.Close()
	for range 2 {
		if err := w.Send(&frame.Request{Op: frame.Status}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Send = %v", err)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	in := &frame.Request{ID: 3, Op: frame.Unwrap, Left: time.Second, Ref: ref, AAD: make([]byte, 160), Input: make([]byte, 62)}
	buf := encode(b, in)
	var out frame.Request
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = in.AppendTo(buf[:0])
		h := frame.Head{ID: 3, Op: frame.Unwrap}
		if err := frame.ParseRequest(h, buf[13:], &out); err != nil {
			b.Fatal(err)
		}
	}
}
