package hsm

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
	"github.com/strongroom-kms/strongroom/hsm/key"
)

// member is one token of the group: its seats, and what they know together.
type member struct {
	cfg     *Config
	src     source
	log     *zap.Logger
	gate    *pinGate
	breaker *breaker
	recent  recent
	seats   []*seat
	publish func() // tells the pool

	mu       sync.Mutex
	hello    frame.Greeting // of the last worker that came up
	problem  error          // of the last one that was lost; nil after one came up
	respawns int
}

func newMember(cfg *Config, src source, gate *pinGate, publish func()) *member {
	m := &member{cfg: cfg, src: src, gate: gate, publish: publish, log: cfg.Log.With(zap.String("token", src.name))}
	m.breaker = newBreaker(m.breakerChanged)
	for range src.workers {
		m.seats = append(m.seats, &seat{member: m, log: m.log})
	}
	return m
}

func (m *member) breakerChanged(state string) {
	switch state {
	case open:
		m.log.Error("token is away", zap.Error(m.trouble()))
	case closed:
		m.log.Info("token is back")
	}
	if f := m.cfg.Observer.Breaker; f != nil {
		f(m.src.name, state)
	}
	m.publish()
}

// ready lists the workers that take requests: none while the breaker is open,
// so that a request does not wait for what will not work.
func (m *member) ready() (list []seated) {
	if state, _ := m.breaker.look(); state != closed {
		return nil
	}
	for _, s := range m.seats {
		if w := s.worker.Load(); w != nil {
			list = append(list, seated{w, m})
		}
	}
	return list
}

// came notes a worker that is up, its token tested.
func (m *member) came(w *worker) {
	m.mu.Lock()
	m.hello, m.problem = w.hello, nil
	m.mu.Unlock()
	m.breaker.passed()
	m.publish()
	m.log.Info("worker is ready", zap.Int("pid", w.pid()), zap.Int("sessions", w.hello.Sessions),
		zap.String("model", w.hello.Token.Model), zap.Strings("warnings", w.hello.Token.Warnings))
}

// lost notes a worker that ended, or did not come up.
func (m *member) lost(cause error) {
	m.mu.Lock()
	m.problem = cause
	m.mu.Unlock()
	m.log.Warn("worker lost", zap.Error(cause))
	m.breaker.failed(time.Now())
	m.publish()
}

// respawned counts a worker that was started in place of another.
func (m *member) respawned() {
	m.mu.Lock()
	m.respawns++
	m.mu.Unlock()
	if f := m.cfg.Observer.Respawn; f != nil {
		f(m.src.name)
	}
}

func (m *member) trouble() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.problem
}

// hopeless says why no worker of m will take a request before deadline, or
// nil where waiting makes sense.
func (m *member) hopeless(deadline time.Time) error {
	if err := m.gate.look(); err != nil && len(m.ready()) == 0 {
		return fmt.Errorf("PIN is not tried again: %w", err)
	}
	if state, next := m.breaker.look(); state == open && next.After(deadline) {
		return fmt.Errorf("token is away: %w", m.trouble())
	}
	return nil
}

// status tells people how m is.
func (m *member) status() key.TokenStatus {
	blocked, waits := m.gate.look(), m.gate.waits()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.hello.Token
	if s.Label == "" && s.Serial == "" { // no worker has come up yet
		set := m.src.settings
		s.Label, s.Serial, s.Model = set.Label, set.Serial, set.Model
	}
	s.Formats, s.Warnings = slices.Clone(s.Formats), slices.Clone(s.Warnings)
	s.Workers = len(m.ready())
	s.Respawns = m.respawns
	s.Breaker, _ = m.breaker.look()
	s.PINBlocked = blocked != nil
	s.Usable = s.Workers > 0
	s.Problem = ""
	switch {
	case s.Usable:
	case blocked != nil:
		s.Problem = fmt.Sprintf("the token refused the PIN (%v); replace the PIN file or clear the block: it is not tried again before", blocked)
	case waits != nil:
		s.Problem = fmt.Sprintf("not logged in: %v", waits)
	case m.problem != nil:
		s.Problem = m.problem.Error()
	default:
		s.Problem = "no worker is ready yet"
	}
	return s
}

// recent remembers a few keys in use, for canaries. It is sampled: an exact
// list would cost every request a lock.
type recent struct {
	sampled atomic.Int64

	mu   sync.Mutex
	refs []key.Ref // latest first
}

const (
	recentKeys  = 3
	sampleEvery = 100 * time.Millisecond
)

func (r *recent) touch(now time.Time, ref key.Ref) {
	last, at := r.sampled.Load(), now.UnixNano()
	if at-last < int64(sampleEvery) || !r.sampled.CompareAndSwap(last, at) {
		return
	}
	ref.Canary.Wrapped = bytes.Clone(ref.Canary.Wrapped)
	ref.Canary.AAD = bytes.Clone(ref.Canary.AAD)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(ref.ID)
	r.refs = slices.Insert(r.refs, 0, ref)
	r.refs = r.refs[:min(len(r.refs), recentKeys)]
}

func (r *recent) forget(id key.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(id)
}

func (r *recent) drop(id key.ID) {
	r.refs = slices.DeleteFunc(r.refs, func(ref key.Ref) bool { return ref.ID == id })
}

func (r *recent) list() []key.Ref {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.refs)
}

// probe asks w what needs the token: canaries of keys in use, and its status.
// Only what says that the worker must be replaced is an error; a key that is
// missing is the request's matter.
func (m *member) probe(ctx context.Context, w *worker, keys []key.Ref) error {
	lim := limits{soft: m.cfg.OpTimeout, hard: m.cfg.HardDeadline}
	if err := m.refresh(ctx, w, lim); err != nil {
		return err
	}
	for _, ref := range keys {
		c := newCall(frame.Check)
		c.request.Ref = ref
		err := w.do(ctx, c, lim)
		result := c.reply.Result
		c.release()
		if err := sick(err); err != nil {
			return err
		}
		if err == nil && result != key.OK {
			m.log.Error("canary of a key in use does not open", zap.Stringer("kek", ref.ID), zap.Stringer("result", result))
			m.recent.forget(ref.ID)
		}
	}
	return nil
}

// refresh asks w for its status, which status tells from then on: warnings come
// up while keys are made.
func (m *member) refresh(ctx context.Context, w *worker, lim limits) error {
	c := newCall(frame.Status)
	defer c.release()
	if err := w.do(ctx, c, lim); err != nil {
		return sick(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hello.Token = c.reply.Token
	return nil
}
