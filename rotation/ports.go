package rotation

import (
	"context"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// What a Target may say. Any other error of SetPassword means that nobody
// knows whether the password was set.
var (
	// ErrAway: the instance cannot be reached, and nothing was sent to it.
	ErrAway = fault.New(fault.Unavailable, "the instance cannot be reached")
	// ErrLogin: the instance does not let the account in with that password.
	ErrLogin = fault.New(fault.Denied, "the instance does not let the account log in")
	// ErrRejected: the instance did not set the password.
	ErrRejected = fault.New(fault.Denied, "the instance refused to set the password")
)

// Account is who logs in at an instance.
type Account struct {
	Name     string
	Password sensitive.Bytes
}

// Wipe wipes the password.
func (a Account) Wipe() { a.Password.Wipe() }

// Target is an instance that accounts can be changed at. Its errors name no
// address and no value. It may be used concurrently.
type Target interface {
	// SetPassword logs in as admin and gives an account that exists the
	// password of a, in a form that does not show it: nothing that the instance
	// logs may hold it. Doing so twice is as good as once.
	SetPassword(ctx context.Context, admin, a Account) error
	// Login reports whether a may log in: nil, ErrLogin or ErrAway.
	Login(ctx context.Context, a Account) error
}

// Instance is a target, and the secret that its administrator's account is in.
type Instance struct {
	Target Target
	Admin  secret.Handle
}

// Due is a secret whose next rotation is due.
type Due struct {
	Project auth.ProjectID
	Secret  secret.ID
}

// Store keeps tasks. Every method is one round trip, the list two.
type Store interface {
	// BeginRotation makes the change, as secret.Store's Apply does, with a new
	// task; secret.ErrRotating where the secret has one that runs.
	BeginRotation(ctx context.Context, c secret.Change, t Task, ev audit.Event) error
	// EndRotation makes the change and ends the task as t says.
	EndRotation(ctx context.Context, c secret.Change, t Task, ev audit.Event) error

	// ClaimRotations gives holder tasks that are due and that nobody has, limit
	// at most, until the claim lapses by itself.
	ClaimRotations(ctx context.Context, holder string, lapse time.Duration, limit int) ([]Task, error)
	// AdvanceRotation records the step of a task that holder has: ErrClaimLost
	// where it has not.
	AdvanceRotation(ctx context.Context, holder string, t Task) error
	// DelayRotation records why the task t did not go on, and gives it back
	// until pause is over.
	DelayRotation(ctx context.Context, holder string, t Task, pause time.Duration) error
	// OrphanRotation ends a task whose secret is gone.
	OrphanRotation(ctx context.Context, t Task) error

	// DueRotations returns some secrets that are to be rotated at now, and whose
	// rotation does not run; those first that were due first.
	DueRotations(ctx context.Context, now time.Time, limit int) ([]Due, error)

	// RotationTasks returns one page.
	RotationTasks(ctx context.Context, p auth.ProjectID, q Query) (Page, error)
	// ForgetRotations removes ended tasks that began before then, limit at most.
	ForgetRotations(ctx context.Context, before time.Time, limit int) (int, error)
}
