package kek

import (
	"container/list"
	"context"
	"errors"
	"sync"

	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// maxLeases bounds how many master keys a process holds a lease for. Dropping
// one wastes the rest of its block: the count runs ahead, which is safe.
const maxLeases = 65536

// keyName names a master key as a caller did: by alias or by UUID.
type keyName struct {
	project string
	under   envelope.MasterKey
}

// take returns the active KEK of a master key and uses up one wrap. While the
// lease lasts that costs no round trip; whoever stores the result proves that
// the KEK is still active (envelope.ErrKEKGone).
func (s *Sealer) take(ctx context.Context, project string, under envelope.MasterKey) (envelope.KEK, error) {
	name := keyName{project, under}
	if k, ok := s.deps.leases.take(name); ok {
		return k, nil
	}
	return s.deps.making.do(ctx, name, func() (envelope.KEK, error) {
		if k, ok := s.deps.leases.take(name); ok { // somebody was quicker
			return k, nil
		}
		var l Lease
		err := s.withDefault(ctx, project, under, func() (err error) {
			l, err = s.deps.Store.Lease(ctx, project, under, Block)
			return err
		})
		if err != nil {
			return envelope.KEK{}, err
		}
		if l.Leased >= SoftLimit {
			s.deps.OnSoftLimit(l.KEK.ID, l.Leased)
		}
		s.deps.leases.put(name, l.KEK, l.Wraps-1)
		return l.KEK, nil
	})
}

// moved reports whether a project's default master key is another one than that
// of a KEK whose token did not answer, and forgets the KEK then: a project whose
// token is away is one that may well be given another, and until its lease ends
// this node would not look. Finding out leases nothing, or an hour of failures
// would use up a KEK.
func (s *Sealer) moved(ctx context.Context, project string, under envelope.MasterKey, k envelope.KEK) bool {
	if under != envelope.Default || ctx.Err() != nil {
		return false
	}
	now, err := s.deps.Store.Resolve(ctx, project, under)
	if err == nil && now == k.MasterKey || err != nil && !errors.Is(err, envelope.ErrNoMasterKey) {
		return false
	}
	s.Forget(project, under, k.ID)
	return true
}

// Forget drops what is remembered of a master key's active KEK, if it still is
// that one. Call it when a store answered envelope.ErrKEKGone.
func (s *Sealer) Forget(project string, under envelope.MasterKey, gone envelope.KEKID) {
	s.deps.leases.drop(keyName{project, under}, gone)
}

// leases remembers the active KEK and the wraps left for recently used master
// keys, the least recently used going first.
type leases struct {
	mu    sync.Mutex
	max   int
	order *list.List // of *held, the most recently used in front
	byKey map[keyName]*list.Element
}

type held struct {
	name keyName
	kek  envelope.KEK
	left int64
}

func newLeases(most int) *leases {
	return &leases{max: most, order: list.New(), byKey: map[keyName]*list.Element{}}
}

func (l *leases) take(name keyName) (envelope.KEK, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.byKey[name]
	if !ok {
		return envelope.KEK{}, false
	}
	h := e.Value.(*held)
	if h.left == 0 {
		l.remove(e)
		return envelope.KEK{}, false
	}
	h.left--
	l.order.MoveToFront(e)
	return h.kek, true
}

func (l *leases) put(name keyName, k envelope.KEK, left int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.byKey[name]; ok {
		l.remove(e)
	}
	l.byKey[name] = l.order.PushFront(&held{name, k, left})
	for l.order.Len() > l.max {
		l.remove(l.order.Back())
	}
}

func (l *leases) drop(name keyName, gone envelope.KEKID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.byKey[name]; ok && e.Value.(*held).kek.ID == gone {
		l.remove(e)
	}
}

func (l *leases) remove(e *list.Element) {
	l.order.Remove(e)
	delete(l.byKey, e.Value.(*held).name)
}

// flights lets one caller per master key ask the store or the token while the
// others wait their turn; each then looks again for itself.
type flights struct {
	mu   sync.Mutex
	busy map[keyName]chan struct{}
}

func newFlights() *flights { return &flights{busy: map[keyName]chan struct{}{}} }

func (f *flights) do(ctx context.Context, name keyName, work func() (envelope.KEK, error)) (envelope.KEK, error) {
	for {
		f.mu.Lock()
		done, taken := f.busy[name]
		if !taken {
			done = make(chan struct{})
			f.busy[name] = done
		}
		f.mu.Unlock()
		if !taken {
			defer f.finish(name, done)
			return work()
		}
		select {
		case <-done:
		case <-ctx.Done():
			return envelope.KEK{}, ctx.Err()
		}
	}
}

func (f *flights) finish(name keyName, done chan struct{}) {
	f.mu.Lock()
	delete(f.busy, name)
	f.mu.Unlock()
	close(done)
}
