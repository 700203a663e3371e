package rotation

import (
	"context"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Deps is what a Service needs. All fields but Woken are required; Instances
// may be empty.
type Deps struct {
	Store     Store
	Secrets   *secret.Service
	Instances map[string]Instance
	Gate      gate.Gate
	NewID     func() string // UUIDs of version 7
	Holder    string        // UUID of this process
	// NewPassword makes a password that no database has to escape.
	NewPassword func() (sensitive.Bytes, error)
	// Woken is called when there is a task to work on.
	Woken func()
	Pace  Pace
}

// Pace says how patient a Service is. All fields are required.
type Pace struct {
	Lapse    time.Duration // of a claim; an attempt has half of it
	Pause    time.Duration // after the first attempt; each further one doubles it
	MaxPause time.Duration
	Attempts int // of one task, where it is certain that nothing was changed
}

// Service is the only way to rotate. It may be used concurrently.
type Service struct{ deps Deps }

// NewService panics on a missing dependency: that is a wiring mistake, and the
// program must not start with it.
func NewService(d Deps) *Service {
	if d.Store == nil || d.Secrets == nil || !d.Gate.Complete() || d.NewID == nil || d.Holder == "" || d.NewPassword == nil ||
		d.Pace.Lapse <= 0 || d.Pace.Pause <= 0 || d.Pace.MaxPause <= 0 || d.Pace.Attempts <= 0 {
		panic("rotation.NewService: incomplete Deps")
	}
	if d.Woken == nil {
		d.Woken = func() {}
	}
	return &Service{d}
}

// Wanted says what to locate a secret with that is to be rotated.
var Wanted = secret.Want{Sealed: true, Stage: secret.Current, Versions: true}

// Rotate begins a rotation now. The task is there to be seen, and goes on
// after the caller has its answer. Locate the secret with Wanted.
func (s *Service) Rotate(ctx context.Context, l *secret.Located) (Task, error) {
	t, err := s.begin(ctx, l, false)
	if err == nil {
		s.deps.Woken()
	}
	return t, err
}

// begin stores the new value and the task.
func (s *Service) begin(ctx context.Context, l *secret.Located, auto bool) (Task, error) {
	t := Task{ID: s.deps.NewID(), Name: l.Handle(), Auto: auto, Status: Running, Step: Created, StartedAt: s.deps.Gate.Time()}
	v, err := l.BeginRotation(ctx, secret.Renewal{
		May: s.may,
		Next: func(sec secret.Secret, current sensitive.Bytes) (sensitive.Bytes, error) {
			c, err := ParseConfig(sec.Rotation.Config)
			if err != nil {
				return sensitive.Bytes{}, err
			}
			password, err := s.deps.NewPassword()
			if err != nil {
				return sensitive.Bytes{}, fmt.Errorf("make password: %w", err)
			}
			defer password.Wipe()
			return renew(current, c, password)
		},
		Write: func(ctx context.Context, c secret.Change, ev audit.Event) error {
			t.Project, t.Secret, t.FuncURN = c.Secret.Project, c.Secret.ID, c.Secret.Rotation.FuncURN
			t.Version = c.Secret.Rotation.Version
			return s.deps.Store.BeginRotation(ctx, c, t, ev)
		},
	})
	t.Version = v.Number
	return t, err
}

// may says why a secret cannot be rotated, whoever asks.
func (s *Service) may(sec secret.Secret) error {
	switch sec.Kind {
	case "RDS", "RDS-FG", "GaussDB-FG":
	default:
		return ErrKind
	}
	c, err := ParseConfig(sec.Rotation.Config)
	if err != nil {
		return err
	}
	if _, ok := s.deps.Instances[c.Instance]; !ok {
		return ErrNoInstance
	}
	return nil
}

// MayList asks the gate for Tasks, for dialects that answer a refusal before
// they look at the query.
func (s *Service) MayList(ctx context.Context, who auth.Principal) error {
	_, err := s.deps.Gate.Admit(ctx, who, policy.TaskList, gate.Project(who))
	return err
}

// Tasks returns one page of the caller's project.
func (s *Service) Tasks(ctx context.Context, who auth.Principal, q Query) (Page, error) {
	ev, err := s.deps.Gate.Admit(ctx, who, policy.TaskList, gate.Project(who))
	if err != nil {
		return Page{}, err
	}
	if err := s.deps.Gate.Recorder.Record(ctx, ev); err != nil {
		return Page{}, fmt.Errorf("record list: %w", err)
	}
	return s.deps.Store.RotationTasks(ctx, who.Project, q)
}

// Forget removes ended tasks that began before then, limit at most.
func (s *Service) Forget(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.deps.Store.ForgetRotations(ctx, before, limit)
}
