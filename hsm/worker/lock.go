package worker

import (
	"context"
	"errors"
	"sync"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
)

// objectLock is a sync.RWMutex whose waiting ends with a context. Making a key
// may take a device many seconds; a request that waits behind it must fail at
// its own deadline. Otherwise it would look like a call that hangs, and the
// server would kill the worker over it.
type objectLock struct {
	// turn holds one: a writer has it all the time, a reader while it enters. So
	// readers who come later wait behind a writer who waits for earlier ones.
	turn chan struct{}

	mu      sync.Mutex
	readers int
	idle    chan struct{} // a writer waits for the last reader to close it
}

func newObjectLock() *objectLock {
	l := &objectLock{turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

// Lock returns ckr.Busy where ctx ends first. Nothing is locked then.
func (l *objectLock) Lock(ctx context.Context) error {
	if err := l.enter(ctx); err != nil {
		return err
	}
	idle := l.drained()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	l.idle = nil
	l.mu.Unlock()
	l.Unlock()
	return waitedInVain(ctx)
}

// drained returns what is closed when the last reader leaves, or nil where
// there is none.
func (l *objectLock) drained() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readers == 0 {
		return nil
	}
	l.idle = make(chan struct{})
	return l.idle
}

// Unlock is the end of Lock.
func (l *objectLock) Unlock() { l.turn <- struct{}{} }

// RLock returns ckr.Busy where ctx ends first. Nothing is locked then.
func (l *objectLock) RLock(ctx context.Context) error {
	if err := l.enter(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	l.readers++
	l.mu.Unlock()
	l.turn <- struct{}{}
	return nil
}

// RUnlock is the end of RLock.
func (l *objectLock) RUnlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readers--; l.readers == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// enter takes the turn. Where it is free, a context without time left does not
// matter, and its timer, which costs something, is not made.
func (l *objectLock) enter(ctx context.Context) error {
	select {
	case <-l.turn:
		return nil
	default:
	}
	select {
	case <-l.turn:
		return nil
	case <-ctx.Done():
		return waitedInVain(ctx)
	}
}

func waitedInVain(ctx context.Context) error {
	return errors.Join(ckr.Found(ckr.Busy, "keys of the token are being made or destroyed"), ctx.Err())
}
