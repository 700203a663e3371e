package hsm

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// pool is the workers that take requests now. Readers see one version of the
// list; whoever finds no worker waits for the next version.
type pool struct {
	now  atomic.Pointer[version]
	turn atomic.Uint32

	mu sync.Mutex // orders versions
}

type version struct {
	workers []seated
	next    chan struct{} // closed when this version is not the latest any more
}

// seated is a worker with the token it works for.
type seated struct {
	*worker
	member *member
}

func newPool() *pool {
	p := new(pool)
	p.now.Store(&version{next: make(chan struct{})})
	return p
}

// update publishes who takes requests, and wakes those who wait.
func (p *pool) update(list func() []seated) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.now.Load()
	p.now.Store(&version{workers: list(), next: make(chan struct{})})
	close(old.next)
}

// pick returns a worker that is not in tried, one after another. It waits for
// one until ctx or deadline, unless hopeless knows that none will come.
func (p *pool) pick(ctx context.Context, deadline time.Time, tried []*worker, hopeless func(time.Time) error) (seated, error) {
	for {
		v := p.now.Load()
		if s, ok := v.choose(p.turn.Add(1), tried); ok {
			return s, nil
		}
		if err := hopeless(deadline); err != nil {
			return seated{}, err
		}
		if err := v.wait(ctx, deadline); err != nil {
			return seated{}, err
		}
	}
}

func (v *version) choose(turn uint32, tried []*worker) (seated, bool) {
	n := uint32(len(v.workers))
next:
	for i := range n {
		s := v.workers[(turn+i)%n]
		for _, t := range tried {
			if t == s.worker {
				continue next
			}
		}
		select {
		case <-s.gone:
			continue
		default:
			return s, true
		}
	}
	return seated{}, false
}

var errNoWorker = errors.New("no worker came back in time")

func (v *version) wait(ctx context.Context, deadline time.Time) error {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-v.next:
		return nil
	case <-timer.C:
		return errNoWorker
	case <-ctx.Done():
		return errors.Join(errNoWorker, ctx.Err())
	}
}
