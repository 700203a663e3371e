package rotation

import (
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/secret"
)

// Status says how a task stands (csms.md §7.4).
type Status string

// The statuses. A task that is neither of the other two runs.
const (
	Running   Status = "ROTATING"
	Succeeded Status = "SUCCESS"
	Failed    Status = "FAILED"
)

// Step says what a running task may have done already.
type Step string

// The steps.
const (
	Created   Step = "created"
	Setting   Step = "setting"
	Testing   Step = "testing"
	Reverting Step = "reverting"
)

// CodeBackEnd is why a task failed, as its record has it (csms.md §9.3).
const CodeBackEnd = "CSMS.0912"

var (
	ErrKind       = fault.New(fault.Invalid, "a secret of this type cannot be rotated")
	ErrNoInstance = fault.New(fault.Invalid, "no instance of that identifier is configured for rotation")
	ErrValue      = fault.New(fault.Invalid, "the value of the secret has no account that could be rotated")
	ErrConfig     = fault.New(fault.Invalid, "rotation_config names no instance or no sub type")
	errNoAdmin    = fault.New(fault.NotFound, "the secret of the instance's administrator is not there, or holds no account")
	// ErrClaimLost says that somebody else works on the task now.
	ErrClaimLost = fault.New(fault.Unavailable, "the task is somebody else's now")
)

// Task is one rotation of one secret.
type Task struct {
	ID      string // UUID of version 7: in the order of time
	Project auth.ProjectID
	Secret  secret.ID
	Name    string // what CSMS calls the secret
	FuncURN string
	Auto    bool // nobody asked for it just now
	Version int  // that it puts into force; 0: it failed before there was one

	Status    Status
	Step      Step
	Attempts  int
	StartedAt time.Time
	ErrorCode string
	ErrorText string // says nothing secret
}

// Query says which tasks of a project are wanted: those after After, newest
// first.
type Query struct {
	ID     string
	Name   string
	Status Status
	After  string
	Limit  int
}

// Page is some of the tasks that match, and how many match.
type Page struct {
	Tasks []Task
	Total int
	More  bool
}
