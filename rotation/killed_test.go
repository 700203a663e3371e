package rotation_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/secret"
)

var errKilled = errors.New("killed")

// mortal is a process that dies at its nth call to the outside: before the
// other side hears of it, or after that and before the answer.
type mortal struct {
	rotation.Store
	target rotation.Target
	mu     sync.Mutex
	calls  int
	at     int
	after  bool
	what   string // at which call
}

func (m *mortal) call(what string, do func() error) error {
	m.mu.Lock()
	m.calls++
	n := m.calls
	if n == m.at {
		m.what = what
	}
	m.mu.Unlock()
	switch {
	case n > m.at, n == m.at && !m.after:
		return errKilled
	}
	if err := do(); err != nil || n < m.at {
		return err
	}
	return errKilled
}

func (m *mortal) ClaimRotations(ctx context.Context, holder string, lapse time.Duration, limit int) (tasks []rotation.Task, err error) {
	err = m.call("claim", func() error {
		tasks, err = m.Store.ClaimRotations(ctx, holder, lapse, limit)
		return err
	})
	return tasks, err
}

func (m *mortal) BeginRotation(ctx context.Context, c secret.Change, t rotation.Task, ev audit.Event) error {
	return m.call("begin", func() error { return m.Store.BeginRotation(ctx, c, t, ev) })
}

func (m *mortal) EndRotation(ctx context.Context, c secret.Change, t rotation.Task, ev audit.Event) error {
	return m.call("end", func() error { return m.Store.EndRotation(ctx, c, t, ev) })
}

func (m *mortal) AdvanceRotation(ctx context.Context, holder string, t rotation.Task) error {
	return m.call("advance to "+string(t.Step), func() error { return m.Store.AdvanceRotation(ctx, holder, t) })
}

func (m *mortal) DelayRotation(ctx context.Context, holder string, t rotation.Task, pause time.Duration) error {
	return m.call("delay", func() error { return m.Store.DelayRotation(ctx, holder, t, pause) })
}

func (m *mortal) SetPassword(ctx context.Context, admin, a rotation.Account) error {
	return m.call("set password", func() error { return m.target.SetPassword(ctx, admin, a) })
}

func (m *mortal) Login(ctx context.Context, a rotation.Account) error {
	return m.call("log in", func() error { return m.target.Login(ctx, a) })
}

// A process that dies at any step leaves what the next one brings to an end,
// and then what is current logs in. Where the new password does not work, the
// old one does.
func (w *world) testKilled() {
	for _, locked := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			for at, last := 1, false; !last; at++ {
				m := &mortal{Store: w.db, target: w.server.target(), at: at, after: after}
				name, _ := w.single(secret.Rotation{})
				if locked {
					w.server.lockOut(w, name)
				}
				w.killed(m, name)
				last = m.what == ""
				if locked {
					w.server.letIn(w, name)
				}
				how := fmt.Sprintf("killed at call %d, %s (answered: %v, locked out: %v)", at, m.what, after, locked)
				w.survived(name, how, locked)
				if at > 20 {
					w.Fatal("there is no end to it")
				}
			}
		}
	}
}

// killed begins a rotation in a process that dies, and ends it in another.
func (w *world) killed(m *mortal, name string) {
	w.Helper()
	w.store, w.target = m, m
	dying := w.node()
	_, err := dying.Rotate(w.Context(), w.locate(name, rotation.Wanted))
	if err == nil {
		_, err = dying.Work(w.Context(), 10)
	}
	if m.what != "" && !errors.Is(err, errKilled) && m.what != "log in" && m.what != "set password" && m.what != "end" {
		w.Errorf("died at %s: %v", m.what, err)
	}
	w.store, w.target = w.db, w.server.target()
	w.finish(w.node())
}

func (w *world) survived(name, how string, locked bool) {
	w.Helper()
	at, versions := w.stages(name)
	if err := w.login(w.accountOf(name, secret.Current)); err != nil {
		w.Errorf("%s: what is current does not log in: %v", how, err)
	}
	if at[secret.Pending] != 0 || versions != at[secret.Current] {
		w.Errorf("%s: %v of %d versions", how, at, versions)
	}
	if locked && at[secret.Current] != 1 {
		w.Errorf("%s: %v", how, at)
	}
	sec, err := w.locate(name, secret.Want{}).Show(w.Context())
	if err != nil || sec.Rotation.Version != 0 {
		w.Errorf("%s: %+v, %v", how, sec.Rotation, err)
	}
}
