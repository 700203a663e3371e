package hsm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
)

// seat is a place for one worker. Its supervisor starts a worker, watches it,
// and starts the next one when it is lost.
type seat struct {
	member *member
	log    *zap.Logger
	worker atomic.Pointer[worker] // nil while none is up
	taken  bool                   // by some worker before; the supervisor's alone
}

const (
	lookEvery   = 100 * time.Millisecond // at what keeps a worker from being started
	healthEvery = 10 * time.Second       // canaries of a worker that is up
	probeEvery  = time.Second            // whether a breaker wants its probe
	goodbye     = 2 * time.Second        // for a worker to end by itself
)

// supervise fills the seat until ctx ends.
func (s *seat) supervise(ctx context.Context) {
	var pause backoff
	for {
		tried, err := s.await(ctx, pause.next)
		if err != nil {
			return
		}
		w, err := s.start(ctx)
		s.over(ctx, tried, err)
		s.member.gate.leave()
		if ctx.Err() != nil && w == nil {
			return
		}
		if err != nil {
			s.member.lost(err)
			pause.grow(0, slowest)
			continue
		}
		began := time.Now()
		s.watch(ctx, w, tried)
		if ctx.Err() != nil {
			return
		}
		s.member.lost(w.cause)
		pause.grow(time.Since(began), proven)
	}
}

// await returns when a worker may be started, holding the turn to log in.
func (s *seat) await(ctx context.Context, pause time.Duration) (fileState, error) {
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fileState{}, ctx.Err()
		}
		tried, err := s.member.gate.enter(ctx)
		if err != nil {
			return fileState{}, err
		}
		if s.member.breaker.mayAdmit(time.Now()) && s.member.gate.admit(ctx, tried) {
			if s.member.breaker.admits(time.Now()) {
				return tried, nil
			}
			s.member.gate.outcome(ctx, tried, errNotStarted)
		}
		s.member.gate.leave()
		pause = lookEvery
	}
}

// start brings up one worker: its token is open and tested, and the canaries
// of the keys in use open.
func (s *seat) start(ctx context.Context) (*worker, error) {
	m := s.member
	w, err := spawn(m.cfg.Worker, m.src, s.log)
	if err != nil {
		return nil, err
	}
	if s.taken {
		m.respawned()
	}
	s.taken = true
	if err = w.greet(ctx, m.src, m.cfg.StartTimeout); err == nil {
		err = m.probe(ctx, w, m.recent.list())
	}
	if err != nil {
		w.fail(err)
		w.wait()
		if w.exited() == frame.ExitPIN && ckr.ClassOf(err) != ckr.PIN {
			err = ckr.Found(ckr.PIN, err.Error())
		}
		return nil, err
	}
	return w, nil
}

var errNotStarted = errors.New("no worker was started")

// over tells the gate how a login went, or that there was none.
func (s *seat) over(ctx context.Context, tried fileState, err error) {
	if ckr.ClassOf(err) == ckr.PIN {
		s.log.Error("PIN was rejected and is not tried again before its file changes or the block is cleared", zap.Error(err))
	}
	s.member.gate.outcome(ctx, tried, err)
}

// watch lets w take requests until it is lost or ctx ends.
func (s *seat) watch(ctx context.Context, w *worker, tried fileState) {
	m := s.member
	s.worker.Store(w)
	m.came(w)
	defer func() {
		s.worker.Store(nil)
		m.publish()
	}()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	health := time.Now().Add(healthEvery)
	for {
		select {
		case <-w.gone:
			w.wait()
			if w.exited() == frame.ExitPIN || ckr.ClassOf(w.cause) == ckr.PIN {
				s.over(ctx, tried, ckr.Found(ckr.PIN, w.cause.Error()))
			}
			return
		case <-ctx.Done():
			s.worker.Store(nil)
			m.publish()
			w.stop(goodbye)
			return
		case now := <-tick.C:
			_ = m.gate.settle(ctx) // logged
			state, _ := m.breaker.look()
			due := state == closed && now.After(health) || state == open && m.breaker.admits(now)
			if !due {
				continue
			}
			health = now.Add(healthEvery)
			if err := m.probe(ctx, w, m.recent.list()); err != nil {
				w.fail(fmt.Errorf("health check: %w", err))
				continue
			}
			m.breaker.passed()
		}
	}
}

// sick keeps only the errors after which a worker must be replaced.
func sick(err error) error {
	switch ckr.ClassOf(err) {
	case ckr.Data, ckr.Busy, ckr.Handle, ckr.Capability:
		return nil
	}
	return err
}

// backoff is the pause before the next start. It doubles, and begins anew
// after a minute of health.
//
// Two ceilings: a worker that did not even come up is not tried more often
// than every five seconds. One that had come up has shown that the token
// works, and losing it, to the OOM killer or a crash, should be noticed as a
// hiccup; but a module that crashes again and again must not eat the machine.
type backoff struct{ next, last time.Duration }

const (
	quickest = 20 * time.Millisecond
	proven   = 320 * time.Millisecond
	slowest  = 5 * time.Second
	recovery = time.Minute
)

func (b *backoff) grow(health, ceiling time.Duration) {
	if health >= recovery {
		b.last = 0
	}
	b.last = min(max(2*b.last, quickest), ceiling)
	b.next = time.Duration(float64(b.last) * (0.8 + 0.4*rand.Float64()))
}
