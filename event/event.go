package event

import (
	"slices"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
)

// Type is what may happen to a secret (csms.md §8.3).
type Type string

const (
	VersionCreated Type = "SECRET_VERSION_CREATED"
	VersionExpired Type = "SECRET_VERSION_EXPIRED"
	Rotated        Type = "SECRET_ROTATED"
	RotationFailed Type = "SECRET_ROTATED_FAILED"
	Deleted        Type = "SECRET_DELETED"
)

// Types are all of them.
var Types = []Type{VersionCreated, VersionExpired, Rotated, RotationFailed, Deleted}

// State says whether an event fires.
type State string

const (
	Enabled  State = "ENABLED"
	Disabled State = "DISABLED"
)

var (
	ErrNotFound  = fault.New(fault.NotFound, "the event does not exist")
	ErrNameTaken = fault.New(fault.Exists, "an event of that name exists")
	ErrInUse     = fault.New(fault.WrongState, "a secret is subscribed to the event")
	ErrFull      = fault.New(fault.Denied, "the project has the most events that it may have")
)

// Target is where notifications go. Whether there is such a place shows when
// one is delivered.
type Target struct {
	Type string
	ID   string // what the operator maps to a receiver
	Name string
}

// Event is what a project wants to hear of.
type Event struct {
	Project   auth.ProjectID
	Name      string
	ID        string // UUID
	Types     []Type
	State     State
	Target    Target
	CreatedAt time.Time
	UpdatedAt time.Time
}

func (e Event) target() policy.Target {
	return policy.Target{Kind: "event", Project: string(e.Project), ID: e.ID, Name: e.Name}
}

// New is an event that is to be made.
type New struct {
	Name   string
	Types  []Type
	State  State
	Target Target
}

// Update says what to change; nil leaves a part as it is.
type Update struct {
	Types  []Type
	State  *State
	Target *Target
}

// MaxTypes is how many types a caller may list.
const MaxTypes = 12

// Known reports whether all are types, each once, and there are some.
func Known(types []Type) bool {
	for i, t := range types {
		if !slices.Contains(Types, t) || slices.Contains(types[:i], t) {
			return false
		}
	}
	return len(types) > 0 && len(types) <= MaxTypes
}

// TargetID reports whether s may be a target's identifier: the URN of a topic,
// as it is written in Huawei's cloud.
func TargetID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == ':') {
			return false
		}
	}
	return s != "" && len(s) <= 256
}
