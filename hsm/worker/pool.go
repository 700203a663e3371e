package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// none stands in the pool for a session still to be opened.
const none cryptoki.Session = 0

// pool lends sessions, one caller each. Blocked callers wait until their
// context is done. It also bounds the threads inside the module, since every
// call occupies one.
type pool struct {
	m    cryptoki.Module
	slot cryptoki.Slot
	free chan cryptoki.Session

	opened atomic.Int32 // sessions that are open now, if none got lost
	lost   atomic.Int32 // places given up because the token had no session for them
	mu     sync.Mutex   // one change of lost at a time
	lostAt time.Time    // when the last one went, or came back
}

// regrow is how long the pool stays small after the token ran out of sessions.
// Another process may have had them.
const regrow = 30 * time.Second

// retryFull is the pause before asking again for the only session left.
const retryFull = 20 * time.Millisecond

// newPool opens nothing yet: a place is filled when somebody needs it.
func newPool(m cryptoki.Module, slot cryptoki.Slot, size int) *pool {
	p := &pool{m: m, slot: slot, free: make(chan cryptoki.Session, size)}
	for range size {
		p.free <- none
	}
	return p
}

// with lends f a session for the time of one call. After an error the session
// is closed and its place opened anew: on some tokens a failed operation stays
// active in it.
func (p *pool) with(ctx context.Context, f func(cryptoki.Session) error) error {
	s, err := p.borrow(ctx)
	if err != nil {
		return err
	}
	return p.use(s, f)
}

// withFresh is with, in a session that nobody has used before.
func (p *pool) withFresh(ctx context.Context, f func(cryptoki.Session) error) error {
	s, err := p.borrow(ctx)
	if err != nil {
		return err
	}
	err = p.discard(s)
	if err == nil {
		s, err = p.openSession()
	}
	if err != nil {
		p.giveBack(none)
		return err
	}
	return p.use(s, f)
}

// renew closes the sessions that nobody is using. Where one was lost, its
// siblings may be as well.
func (p *pool) renew() {
	for range len(p.free) {
		select {
		case s := <-p.free:
			if s != none {
				_ = p.discard(s) // whatever the token says, we let go of it
			}
			p.free <- none
		default:
			return
		}
	}
}

// use runs f in s and gives the place back.
//
// err is a named result on purpose: a deferred close can only report through
// a named result.
func (p *pool) use(s cryptoki.Session, f func(cryptoki.Session) error) (err error) {
	defer func() {
		if err != nil {
			if closeErr := p.discard(s); closeErr != nil {
				err = errors.Join(err, closeErr)
			}
			s = none
		}
		p.giveBack(s)
	}()
	return f(s)
}

func (p *pool) openSession() (cryptoki.Session, error) {
	s, err := p.m.OpenSession(p.slot)
	if err == nil {
		p.opened.Add(1)
	}
	return s, err
}

func (p *pool) discard(s cryptoki.Session) error {
	err := closeSession(p.m, s)
	if err == nil {
		p.opened.Add(-1)
	}
	return err
}

// closeSession closes a session that is not trusted or not needed any more.
// That the token has forgotten it already is fine.
func closeSession(m cryptoki.Module, s cryptoki.Session) error {
	err := m.CloseSession(s)
	if ckr.ClassOf(err) == ckr.Session {
		return nil
	}
	return err
}

func (p *pool) borrow(ctx context.Context) (cryptoki.Session, error) {
	for {
		s, err := p.wait(ctx)
		if err != nil || s != none {
			return s, err
		}
		s, err = p.openSession()
		if err == nil {
			return s, nil
		}
		if ckr.CodeOf(err) != ckr.SessionCount || !p.shrink(ctx) {
			p.free <- none
			return none, err
		}
	}
}

// wait takes a place. ckr.Busy is what a caller sees who waited in vain.
func (p *pool) wait(ctx context.Context) (cryptoki.Session, error) {
	select {
	case s := <-p.free:
		return s, nil
	default:
	}
	select {
	case s := <-p.free:
		return s, nil
	case <-ctx.Done():
		return none, errors.Join(ckr.Found(ckr.Busy, "no session became free"), ctx.Err())
	}
}

// shrink gives up the caller's place, because the token has no session for it,
// and reports whether waiting for another one makes sense. The last place
// stays: its holder waits for the token instead.
func (p *pool) shrink(ctx context.Context) bool {
	if p.giveUpPlace() {
		return true
	}
	select {
	case <-time.After(retryFull):
		p.free <- none
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *pool) giveUpPlace() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.size() == 1 {
		return false
	}
	p.lost.Add(1)
	p.lostAt = time.Now()
	return true
}

// giveBack returns a place, and now and then one of those that were given up.
func (p *pool) giveBack(s cryptoki.Session) {
	p.free <- s
	if p.lost.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost.Load() > 0 && time.Since(p.lostAt) > regrow {
		p.lost.Add(-1)
		p.lostAt = time.Now()
		p.free <- none
	}
}

// size is the number of places.
func (p *pool) size() int { return cap(p.free) - int(p.lost.Load()) }

// close takes every place out of the pool and closes its session. The caller
// makes sure that nobody works any more.
func (p *pool) close() error {
	var errs []error
	for range p.size() {
		if s := <-p.free; s != none {
			errs = append(errs, p.discard(s))
		}
	}
	return errors.Join(errs...)
}
