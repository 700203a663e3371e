package quota

import (
	"fmt"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
)

// Resource is something that a project can have too many of.
type Resource string

const (
	Secrets    Resource = "secrets"
	Orders     Resource = "orders"
	Containers Resource = "containers"
	// Consumers that the project registered: those of secrets and those of
	// containers are counted apart, each against the same number.
	Consumers Resource = "consumers"
	// CAs were certificate authorities. Clients still know the number; there is
	// nothing to count.
	CAs Resource = "cas"
)

// Resources are all of them, in the order in which clients see them.
var Resources = []Resource{Secrets, Orders, Containers, Consumers, CAs}

// Unlimited is a limit that nothing reaches, as every negative one is.
const Unlimited = -1

// Limits says how many of each resource a project may have; 0 is none, and a
// negative number any. What is absent was not set.
type Limits map[Resource]int64

// Of is the limit of r; Unlimited where none was set.
func (l Limits) Of(r Resource) int64 {
	if n, ok := l[r]; ok {
		return n
	}
	return Unlimited
}

// Or is l with what l does not set taken from defaults, for every resource.
func (l Limits) Or(defaults Limits) Limits {
	all := Limits{}
	for _, r := range Resources {
		all[r] = defaults.Of(r)
		if n, ok := l[r]; ok {
			all[r] = n
		}
	}
	return all
}

// Project is what was set for one project.
type Project struct {
	ID     auth.ProjectID
	Limits Limits
}

var (
	// ErrReached is what every refusal for want of room wraps.
	ErrReached = fault.New(fault.Denied, "the project's quota is reached")
	// ErrNotFound says that nothing was set for a project.
	ErrNotFound = fault.New(fault.NotFound, "the project has no quotas of its own")
)

// Reached is the refusal of one more of r.
func Reached(r Resource) error {
	return fault.Wrap(fault.Denied, fmt.Sprintf("the project's quota of %s is reached", r), ErrReached)
}

// target is a project whose quotas are asked for.
func target(p auth.ProjectID) policy.Target {
	return policy.Target{Kind: "project", Project: string(p), ID: string(p)}
}
