package serve

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
)

// crew has the requests of one connection that nobody has begun, and those who
// do them.
//
// Waking a goroutine for a request costs as much CPU as an unwrap in software,
// so whoever reads requests also does them, while the token is brisk. With a
// slow token, and for lengthy operations, the reader only reads, and wakes one
// of the hands for each request. watch takes the reading away from a reader
// whose operation does not return.
type crew struct {
	mu      sync.Mutex
	room    sync.Cond // signalled when jobs gets shorter than queued
	jobs    []*job    // in order
	free    []*job
	limit   int // of running; 0 until the token is open
	running int
	lengthy int           // of running
	parked  int           // hands that wait for wake
	wake    chan struct{} // one value for one hand

	// turn is odd while the reader does a request. It changes with each, and
	// when the reading is taken away: who had it then has lost it.
	turn atomic.Uint64
	pace atomic.Int64 // nanoseconds that an operation takes, on average
}

const (
	// briskly is how long an operation may take where the reader does it itself.
	// Software takes some 10 µs, a device in another box 300 µs and more.
	briskly = 100 * time.Microsecond
	// slowest is what one operation counts at most: being descheduled once must
	// not look like a slow token for long. It is also what a token begins with.
	slowest = time.Millisecond
	// backlog is how many requests are left waiting before a hand helps a brisk
	// reader.
	backlog = 64
	// usual is the longest request whose memory is kept.
	usual = 4 << 10
)

func newCrew() *crew {
	c := new(crew)
	c.room.L = &c.mu
	c.pace.Store(int64(slowest))
	return c
}

// open lets n requests run at once.
func (c *crew) open(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = n
	c.wake = make(chan struct{}, n)
}

// blank returns a job to fill.
func (c *crew) blank() *job {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free); n > 0 {
		j := c.free[n-1]
		c.free = c.free[:n-1]
		return j
	}
	return new(job)
}

// add appends j, once there is room for it, and returns how many wait now.
func (c *crew) add(j *job) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.jobs) >= queued {
		c.room.Wait()
	}
	c.jobs = append(c.jobs, j)
	return len(c.jobs)
}

// next returns the job to begin now, or nil. A hand that gets none waits for
// wake; the reader gets no lengthy one.
func (c *crew) next(hand bool) *job {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.jobs, func(j *job) bool { return !j.lengthy || hand && c.lengthy < (c.limit+1)/2 })
	if i < 0 || c.running >= c.limit {
		if hand {
			c.parked++
		}
		return nil
	}
	j := c.jobs[i]
	if len(c.jobs) == queued {
		c.room.Signal()
	}
	c.jobs = slices.Delete(c.jobs, i, i+1)
	c.count(j, 1)
	return j
}

// count notes that n more like j are running. Tokens make and destroy keys one
// after another, so such requests may not take all places and wait there.
func (c *crew) count(j *job, n int) {
	c.running += n
	if j.lengthy {
		c.lengthy += n
	}
}

// done takes j back.
func (c *crew) done(j *job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(j, -1)
	if cap(j.body) <= usual {
		c.free = append(c.free, j)
	}
}

// call wakes a hand for each job that waits, up to n.
func (c *crew) call(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range min(n, len(c.jobs), c.parked) {
		c.parked--
		c.wake <- struct{}{}
	}
}

// took notes how long an operation has taken.
func (c *crew) took(d time.Duration) {
	pace := c.pace.Load()
	c.pace.Store(pace + (int64(min(d, slowest))-pace)/8) // of two at once, one may get lost
}

func (c *crew) brisk() bool { return c.pace.Load() < int64(briskly) }

// hand does jobs until one of them ends the worker.
func (w *loop) hand() int {
	a := answers{loop: w}
	for {
		j := w.crew.next(true)
		if j == nil {
			a.flush()
			<-w.crew.wake
			continue
		}
		if status := a.do(j); status != frame.ExitOK {
			return status
		}
	}
}

// answers holds back the answers of one goroutine for those to come, which
// are then written together.
type answers struct {
	*loop
	held int
}

// held is how many answers wait at most. With a slow token none does.
const held = 8

func (a *answers) do(j *job) (status int) {
	status = a.loop.do(j)
	a.held++
	if a.held == held || status != frame.ExitOK || !a.crew.brisk() {
		a.flush()
	}
	return status
}

func (a *answers) flush() {
	if a.held > 0 {
		_ = a.out.Flush() // whoever reads learns what is wrong
		a.held = 0
	}
}

// read reads requests until the server is gone, or somebody else reads. With
// the latter it reports false.
func (w *loop) read() (status int, last bool) {
	for {
		waiting, short, err := w.gather()
		if err != nil {
			return ended(err), true
		}
		if !short || !w.crew.brisk() {
			w.crew.call(waiting)
			continue
		}
		w.crew.call(waiting / backlog)
		status, kept := w.work()
		if status != frame.ExitOK || !kept {
			return status, status != frame.ExitOK
		}
	}
}

// gather reads the next request and those that have come with it. It returns
// how many wait now, and whether none of the new ones is lengthy.
func (w *loop) gather() (waiting int, short bool, err error) {
	short = true
	for more := true; more; more = w.in.Ready() {
		h, body, err := w.in.Next()
		if err != nil {
			return 0, false, err
		}
		j := w.crew.blank()
		if err := j.fill(h, body, w.known); err != nil {
			return 0, false, frame.ErrMalformed
		}
		short = short && !j.lengthy
		if waiting = w.crew.add(j); waiting == queued {
			break
		}
	}
	return waiting, short, nil
}

// work is the reader doing requests. It reports false when the reading has
// been taken away meanwhile.
func (w *loop) work() (status int, kept bool) {
	c, a := w.crew, answers{loop: w}
	defer a.flush()
	turn := c.turn.Add(1)
	for j := c.next(false); j != nil; j = c.next(false) {
		if status := a.do(j); status != frame.ExitOK {
			return status, false
		}
		if !c.turn.CompareAndSwap(turn, turn+2) {
			c.call(1) // in our place
			return frame.ExitOK, false
		}
		turn += 2
	}
	return frame.ExitOK, c.turn.CompareAndSwap(turn, turn+1)
}

const (
	watchOften  = 5 * time.Millisecond
	watchRarely = 100 * time.Millisecond
)

// watch lets another goroutine read when the one that does has been with one
// request for a while: a call into a module can't be interrupted, and nobody
// would notice other requests, or the end of the server.
func (w *loop) watch(over <-chan struct{}) {
	pause := watchOften
	var seen uint64
	for {
		select {
		case <-over:
			return
		case <-time.After(pause):
		}
		_ = w.out.Flush() // answers that somebody held back who is stuck now
		turn := w.crew.turn.Load()
		switch {
		case turn != seen:
			pause = watchOften
		case turn%2 == 1 && w.crew.turn.CompareAndSwap(turn, turn+1):
			w.crew.pace.Store(int64(slowest))
			w.crew.call(queued)
			w.attend()
		default:
			pause = min(2*pause, watchRarely) // a worker at rest is left at rest
		}
		seen = turn
	}
}
