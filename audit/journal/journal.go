// Package journal keeps audit events in a local file, one JSON object per
// line, durable before Record returns. Records that arrive while the disk is
// busy share the next sync, so the cost of one is divided among all who wait.
//
// # After a crash
//
// Only what nobody was told is safe can be damaged: the lines of the last
// batch. Open moves a damaged end into a file beside the journal, with the
// ending ".torn", and goes on after the last good line.
//
// # When the disk fails
//
// After an error from the disk nobody knows what is on it, so the lines of
// that batch are all refused. From then on the journal refuses everything,
// until the file could be opened anew and cut back to what was durable before;
// it tries that about once a second, when somebody asks for a record.
package journal

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/fault"
)

// Options has the parts of a journal that may be left out.
type Options struct {
	// MaxBytes is the size after which the file is set aside under the next
	// free number (journal.000001, …). Zero keeps one file.
	MaxBytes int64
	// OnSync hears of every attempt to make records durable.
	OnSync func(records int, took time.Duration, err error)
}

// maxBatchBytes limits what one sync makes durable, and so what a crash can
// tear and Open has to look at.
const maxBatchBytes = 1 << 20

// maxWaiting is how many batches may wait for a disk that hangs. Those who
// wait leave at their deadlines; their lines would only fill the memory.
const maxWaiting = 16

// retryAfter is how long a broken journal refuses without asking the disk.
const retryAfter = time.Second

// public is what a client reads when its request could not be recorded.
const public = "The request cannot be recorded at the moment."

var (
	errClosed = errors.New("audit journal is closed")
	errBroken = errors.New("audit journal waits for its disk")
	errFull   = errors.New("audit journal has too much to write already")
)

// Journal is an audit journal. Record may be called concurrently.
type Journal struct {
	store   *store
	onSync  func(int, time.Duration, error)
	wake    chan struct{} // something waits
	closing chan struct{}
	done    chan struct{} // the writer has ended
	ended   error         // of closing the file; valid once done is closed

	mu     sync.Mutex
	queue  []*batch
	closed bool
}

// batch is the lines that one sync makes durable.
type batch struct {
	lines   []byte
	records int
	done    chan struct{} // closed when err is valid
	err     error
}

// Open opens or makes the journal at path. It is one process's alone.
func Open(path string, o Options) (*Journal, error) {
	s, err := openStore(path, o.MaxBytes, openFile)
	if err != nil {
		return nil, err
	}
	return start(s, o), nil
}

func start(s *store, o Options) *Journal {
	j := &Journal{
		store:   s,
		onSync:  o.OnSync,
		wake:    make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	if j.onSync == nil {
		j.onSync = func(int, time.Duration, error) {}
	}
	go j.write()
	return j
}

// TornBytes is the size of the damaged end that Open set aside, for the log.
func (j *Journal) TornBytes() int64 { return j.store.torn }

// Record returns nil once ev is durable. Any error means that the answer must
// not leave; the line may be in the file nevertheless.
func (j *Journal) Record(ctx context.Context, ev audit.Event) error {
	line, err := ev.JSON()
	if err != nil {
		return err
	}
	b, err := j.join(append(line, '\n'))
	if err != nil {
		return fault.Wrap(fault.Unavailable, public, err)
	}
	select {
	case <-b.done:
		err = b.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return fault.Wrap(fault.Unavailable, public, err)
	}
	return nil
}

// join puts line into the last batch that waits, or into a new one.
func (j *Journal) join(line []byte) (*batch, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, errClosed
	}
	n := len(j.queue)
	if n == 0 || len(j.queue[n-1].lines)+len(line) > maxBatchBytes {
		if n == maxWaiting {
			return nil, errFull
		}
		j.queue = append(j.queue, &batch{done: make(chan struct{})})
		n++
	}
	b := j.queue[n-1]
	b.lines = append(b.lines, line...)
	b.records++
	select {
	case j.wake <- struct{}{}:
	default: // the writer knows
	}
	return b, nil
}

// next takes the first batch off the queue; from then on nobody joins it.
func (j *Journal) next() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.queue) == 0 {
		return nil
	}
	b := j.queue[0]
	j.queue = j.queue[1:]
	return b
}

// write is the one goroutine that touches the file. Close waits for it.
func (j *Journal) write() {
	defer close(j.done)
	for open := true; open; {
		select {
		case <-j.wake:
		case <-j.closing:
			open = false
		}
		for b := j.next(); b != nil; b = j.next() {
			began := time.Now()
			b.err = j.store.append(b.lines)
			j.onSync(b.records, time.Since(began), b.err)
			close(b.done)
		}
	}
	j.ended = j.store.close()
}

// Close makes what waits durable and closes the file. Later records are
// refused.
func (j *Journal) Close() error {
	j.mu.Lock()
	first := !j.closed
	j.closed = true
	j.mu.Unlock()
	if first {
		close(j.closing)
	}
	<-j.done
	return j.ended
}
