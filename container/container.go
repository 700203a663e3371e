package container

import (
	"slices"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// ID is a container's UUID: lower case, version 4, never reused.
type ID string

// Type says what the entries of a container are to each other.
type Type string

const (
	Generic     Type = "generic"     // nothing in particular; the only type that takes more entries later
	RSA         Type = "rsa"         // a key pair
	Certificate Type = "certificate" //
	DSA         Type = "dsa"         // a key pair that an order made; nobody can ask for one
)

var (
	ErrNotFound     = fault.New(fault.NotFound, "the container does not exist")
	ErrNoSecret     = fault.New(fault.NotFound, "a secret of the container does not exist")
	ErrHasSecret    = fault.New(fault.Exists, "the container has that secret under that name already")
	ErrLacksSecret  = fault.New(fault.NotFound, "the container does not have that secret under that name")
	ErrNotGeneric   = fault.New(fault.Invalid, "secrets can only be added to a container of type generic")
	ErrNoConsumer   = fault.New(fault.NotFound, "the container has no such consumer")
	ErrNotRegistrar = fault.New(fault.Denied, "only the project that registered the consumer or the one that owns the container may remove it")
)

// Container is a list of secrets and what is known of it.
type Container struct {
	ID        ID
	Project   auth.ProjectID
	Name      *string // nil: none
	Type      Type
	Creator   auth.UserID
	ACL       *secret.ACL // nil: none
	CreatedAt time.Time
	UpdatedAt time.Time

	// With Want.Contents alone:
	Entries   []Entry // in the order in which they were added
	Consumers []Party // by name, then by URL
}

// Entry is one secret in a container.
type Entry struct {
	Name   *string // nil: none
	Secret secret.ID
}

// Party is what a consumer says of itself.
type Party struct{ Name, URL string }

// Consumer is a party that was registered with a container.
type Consumer struct {
	Party
	ID        string         // UUID, version 4
	Registrar auth.ProjectID // the project that registered it
	CreatedAt time.Time
	UpdatedAt time.Time
}

func (c Container) target() policy.Target {
	t := policy.Target{Kind: "container", Project: string(c.Project), ID: string(c.ID), Owner: string(c.Creator)}
	if c.Name != nil {
		t.Name = *c.Name
	}
	return c.ACL.Guards(t)
}

// New is a container that is to be made.
type New struct {
	Name    *string
	Type    Type
	Entries []Entry
}

// roles are the names that the entries of a type have.
type roles struct{ required, optional []string }

var rolesOf = map[Type]roles{
	RSA:         {[]string{"public_key", "private_key"}, []string{"private_key_passphrase"}},
	Certificate: {[]string{"certificate"}, []string{"private_key", "private_key_passphrase", "intermediates"}},
}

// check says why the entries do not make a container of that type. One without
// any is fine whatever its type is.
func (in New) check() error {
	if in.Type != Generic && in.Type != RSA && in.Type != Certificate {
		return fault.New(fault.Invalid, "there is no such type of container")
	}
	want, fixed := rolesOf[in.Type]
	if !fixed || len(in.Entries) == 0 {
		return nil
	}
	missing := slices.Clone(want.required)
	for _, e := range in.Entries {
		if e.Name == nil || (!slices.Contains(want.required, *e.Name) && !slices.Contains(want.optional, *e.Name)) {
			return fault.New(fault.Invalid, "the secrets of a container of type "+string(in.Type)+" are called "+
				strings.Join(slices.Concat(want.required, want.optional), ", ")+" and nothing else")
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == *e.Name })
	}
	if len(missing) > 0 {
		return fault.New(fault.Invalid, "a container of type "+string(in.Type)+" needs a secret called "+
			strings.Join(missing, " and one called "))
	}
	return nil
}

// Handle is how a caller names a container.
type Handle struct {
	Project auth.ProjectID // empty: any
	ID      ID
}

// Anywhere names a container by UUID alone.
func Anywhere(id ID) Handle { return Handle{ID: id} }

// Within names a container in one project.
func Within(p auth.ProjectID, id ID) Handle { return Handle{Project: p, ID: id} }

// Query selects containers of a project. Zero fields select nothing away.
type Query struct {
	Limit, Offset int
	Name          string // an SQL LIKE pattern, case-sensitive
	Type          string
}
