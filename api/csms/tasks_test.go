package csms_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// taskStore keeps rotations in memory, for one node.
type taskStore struct {
	*store
	mu    sync.Mutex
	tasks []rotation.Task
}

func (st *taskStore) BeginRotation(ctx context.Context, c secret.Change, t rotation.Task, ev audit.Event) error {
	if err := st.Apply(ctx, c, ev); err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.tasks = append(st.tasks, t)
	return nil
}

// put replaces a task by what change makes of it.
func (st *taskStore) put(t rotation.Task, change func(*rotation.Task)) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	i := slices.IndexFunc(st.tasks, func(o rotation.Task) bool { return o.ID == t.ID })
	change(&st.tasks[i])
	return nil
}

func (st *taskStore) EndRotation(ctx context.Context, c secret.Change, t rotation.Task, ev audit.Event) error {
	if err := st.Apply(ctx, c, ev); err != nil {
		return err
	}
	return st.OrphanRotation(ctx, t)
}

func (st *taskStore) OrphanRotation(_ context.Context, t rotation.Task) error {
	return st.put(t, func(o *rotation.Task) { o.Status, o.ErrorCode, o.ErrorText = t.Status, t.ErrorCode, t.ErrorText })
}

func (st *taskStore) ClaimRotations(_ context.Context, _ string, _ time.Duration, limit int) (claimed []rotation.Task, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for i := range st.tasks {
		if t := &st.tasks[i]; t.Status == rotation.Running && len(claimed) < limit {
			t.Attempts++
			claimed = append(claimed, *t)
		}
	}
	return claimed, nil
}

func (st *taskStore) AdvanceRotation(_ context.Context, _ string, t rotation.Task) error {
	return st.put(t, func(o *rotation.Task) { o.Step = t.Step })
}

func (st *taskStore) DelayRotation(_ context.Context, _ string, t rotation.Task, _ time.Duration) error {
	return st.put(t, func(o *rotation.Task) { o.Step = t.Step })
}

func (st *taskStore) DueRotations(ctx context.Context, now time.Time, limit int) (due []rotation.Due, err error) {
	all, err := st.ListNamed(ctx, ours, secret.NamedQuery{Limit: limit}, now)
	for _, s := range all {
		if s.Rotation.Auto && s.Rotation.Version == 0 && !s.Rotation.Next.After(now) && s.State == secret.Enabled {
			due = append(due, rotation.Due{Project: ours, Secret: s.ID})
		}
	}
	return due, err
}

func (st *taskStore) RotationTasks(_ context.Context, p auth.ProjectID, q rotation.Query) (page rotation.Page, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	all := slices.SortedFunc(slices.Values(st.tasks), func(a, b rotation.Task) int { return strings.Compare(b.ID, a.ID) })
	for _, t := range all {
		if t.Project != p || q.ID != "" && t.ID != q.ID || q.Name != "" && t.Name != q.Name || q.Status != "" && t.Status != q.Status {
			continue
		}
		page.Total++
		switch {
		case q.After != "" && t.ID >= q.After:
		case len(page.Tasks) == q.Limit:
			page.More = true
		default:
			page.Tasks = append(page.Tasks, t)
		}
	}
	return page, nil
}

func (st *taskStore) ForgetRotations(context.Context, time.Time, int) (int, error) { return 0, nil }

// backEnd is a database made of a map.
type backEnd struct {
	mu        sync.Mutex
	passwords map[string]string
	broken    bool
}

func (b *backEnd) SetPassword(_ context.Context, _, a rotation.Account) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return rotation.ErrRejected
	}
	b.passwords[a.Name] = string(a.Password.Reveal())
	return nil
}

func (b *backEnd) Login(_ context.Context, a rotation.Account) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.passwords[a.Name] != string(a.Password.Reveal()) {
		return rotation.ErrLogin
	}
	return nil
}

// rotations are those of a room; the instance "i" is its back end.
func (rm *room) rotationService(newID func() string) *rotation.Service {
	rm.backEnd = &backEnd{passwords: map[string]string{}}
	rm.tasks = &taskStore{store: rm.store}
	return rotation.NewService(rotation.Deps{
		Store: rm.tasks, Secrets: secret.NewService(rm.deps), Holder: "node", NewID: newID,
		Instances:   map[string]rotation.Instance{"i": {Target: rm.backEnd, Admin: secret.Named(ours, "db-admin")}},
		Gate:        gate.Gate{Judge: rm.deps.Judge, Recorder: rm.record, NewEventID: rm.deps.NewEventID, Now: rm.clock.now},
		NewPassword: func() (sensitive.Bytes, error) { return sensitive.Take([]byte("fresh-" + newID())), nil },
		Pace:        rotation.Pace{Lapse: time.Minute, Pause: time.Second, MaxPause: time.Second, Attempts: 1},
	})
}

// work ends every rotation that runs.
func (rm *room) work() {
	rm.Helper()
	if _, err := rm.api.Rotations.BeginDue(rm.Context(), 10); err != nil {
		rm.Log(err)
	}
	if _, err := rm.api.Rotations.Work(rm.Context(), 10); err != nil {
		rm.Log(err)
	}
}
