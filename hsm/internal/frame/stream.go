package frame

import (
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"sync"
	"time"
)

// Head is the fixed part of a frame.
type Head struct {
	ID uint64
	Op Op
}

// Reader reads frames from a connection, for one goroutine at a time. After an
// error that passes, such as a deadline, it goes on where it was.
type Reader struct {
	r        io.Reader
	buf      []byte
	from, to int // what has arrived and was not returned yet
	used     int // end of the frame returned last, which begins at from-used
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r, buf: make([]byte, MaxBytes)} }

// Next returns the next frame. Its body is valid until the next call, which
// overwrites it. A clean end between two frames is io.EOF.
func (r *Reader) Next() (Head, []byte, error) {
	r.Forget()
	if err := r.need(lengthBytes); err != nil {
		return Head{}, nil, err
	}
	n := lengthBytes + uint64(binary.BigEndian.Uint32(r.buf[r.from:]))
	if n < headBytes || n > MaxBytes {
		return Head{}, nil, ErrMalformed
	}
	if err := r.need(int(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Head{}, nil, err
	}
	b := r.buf[r.from : r.from+int(n)]
	r.from += int(n)
	r.used = int(n)
	return Head{ID: binary.BigEndian.Uint64(b[lengthBytes:]), Op: Op(b[headBytes-1])}, b[headBytes:], nil
}

// Forget overwrites the frame that Next returned last.
func (r *Reader) Forget() {
	clear(r.buf[r.from-r.used : r.from])
	r.used = 0
}

// Ready reports whether Next returns without reading.
func (r *Reader) Ready() bool {
	have := r.buf[r.from:r.to]
	return len(have) >= lengthBytes && uint64(len(have)) >= lengthBytes+uint64(binary.BigEndian.Uint32(have))
}

// need reads until n bytes are there.
func (r *Reader) need(n int) error {
	for r.to-r.from < n {
		if r.from == r.to {
			r.from, r.to = 0, 0
		} else if r.from+n > len(r.buf) {
			old := r.to
			r.to = copy(r.buf, r.buf[r.from:r.to])
			r.from = 0
			clear(r.buf[r.to:old])
		}
		m, err := r.r.Read(r.buf[r.to:])
		r.to += m
		if m > 0 {
			continue
		}
		if err == io.EOF && r.to > r.from {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Wipe overwrites what is left in the buffer. The Reader is of no use after.
func (r *Reader) Wipe() { clear(r.buf) }

// Message is a *Request or a *Reply.
type Message interface {
	AppendTo(dst []byte) ([]byte, error)
}

// Writer writes frames from many goroutines to one connection. Whoever finds
// nobody writing writes for all who come meanwhile: a lone caller pays no
// switch of goroutines, and a crowd shares its system calls.
type Writer struct {
	w io.Writer

	mu      sync.Mutex
	waiting []byte // frames that nobody has begun to write
	spare   []byte
	writing bool
	err     error // of the first write that failed; final

	helpers sync.WaitGroup
}

// Callers that wait for room would only fill memory: beyond this many bytes
// nobody reads at the other end.
const maxWaiting = 16 * MaxBytes

// A caller writes this often for others before a goroutine takes over, so
// that a constant crowd cannot keep it from its own answer.
const maxRounds = 4

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Send queues m and makes sure that somebody writes it. It may return before
// that has happened; an error of the connection is everybody's.
func (w *Writer) Send(m Message) error {
	leads, err := w.queue(m)
	if err != nil || !leads {
		return err
	}
	// Answers arrive in bunches, so others who are about to send are often
	// runnable now. Letting them append first halves the CPU of a request.
	runtime.Gosched()
	return w.flush(maxRounds)
}

// Queue leaves m to the next Send or Flush. It is for who knows that more
// follows at once.
func (w *Writer) Queue(m Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.append(m)
}

// Flush writes what waits, unless somebody is about to.
func (w *Writer) Flush() error {
	if !w.lead() {
		return nil
	}
	return w.flush(maxRounds)
}

func (w *Writer) lead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing || len(w.waiting) == 0 {
		return false
	}
	w.writing = true
	return true
}

// queue appends m to what waits, and reports whether the caller has to write.
func (w *Writer) queue(m Message) (leads bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.append(m); err != nil {
		return false, err
	}
	leads = !w.writing
	w.writing = true
	return leads, nil
}

// append is for who holds mu.
func (w *Writer) append(m Message) (err error) {
	if w.err != nil {
		return w.err
	}
	if len(w.waiting) > maxWaiting {
		return ErrFull
	}
	w.waiting = grown(w.waiting)
	w.waiting, err = m.AppendTo(w.waiting)
	return err
}

// grown makes room for one more frame. append would leave the old array, and
// the DEKs in it, to the garbage collector.
func grown(b []byte) []byte {
	if cap(b)-len(b) >= MaxBytes {
		return b
	}
	bigger := make([]byte, len(b), 2*cap(b)+2*MaxBytes)
	copy(bigger, b)
	clear(b)
	return bigger
}

// flush writes what waits, until nothing does. After rounds writes it leaves
// the rest to a goroutine.
func (w *Writer) flush(rounds int) error {
	for ; ; rounds-- {
		batch, err := w.next()
		if batch == nil {
			return err
		}
		if rounds == 0 {
			w.helpers.Go(func() { _ = w.write(batch); _ = w.flush(-1) })
			return nil
		}
		if err := w.write(batch); err != nil {
			return err
		}
	}
}

// next takes all that waits. Where there is nothing, nobody writes any more.
func (w *Writer) next() ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 || w.err != nil {
		w.writing = false
		return nil, w.err
	}
	batch := w.waiting
	w.waiting, w.spare = w.spare, nil
	return batch, nil
}

func (w *Writer) write(batch []byte) error {
	_, err := w.w.Write(batch)
	clear(batch)
	w.mu.Lock()
	defer w.mu.Unlock()
	if cap(batch) <= 4*MaxBytes { // a burst does not keep its memory
		w.spare = batch[:0]
	}
	if err != nil {
		w.err = err
		w.writing = false
		clear(w.waiting)
		w.waiting = nil
	}
	return err
}

// Settle waits until all that was queued has been written, for as long as most.
// It is for who is about to end the process: Flush leaves a frame to whoever
// is writing already.
func (w *Writer) Settle(most time.Duration) {
	for end := time.Now().Add(most); w.busy() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

func (w *Writer) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writing
}

// Wait returns when nobody writes any more. It is for after the connection has
// been closed.
func (w *Writer) Wait() { w.helpers.Wait() }
