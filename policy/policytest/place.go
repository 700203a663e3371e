package policytest

import (
	"slices"

	"github.com/strongroom-kms/strongroom/policy"
)

// Place is how a caller stands to a secret, a container or an order: the
// columns of the tables.
type Place int

const (
	Owner        Place = iota // same project, made by the caller
	OwnerPrivate              // the same, under an ACL without project access
	OwnerListed               // the same, and the ACL names the caller
	Public                    // same project, made by another
	PublicListed              // the same, and an ACL names the caller
	Private                   // same project, made by another, under an ACL without project access
	Listed                    // the same, and the ACL names the caller
	Abroad                    // another project's
	AbroadOwner               // another project's, made by the caller
	ListedAbroad              // another project's, private, and the ACL names the caller
)

var placeNames = [...]string{
	"own", "own private", "own private, listed", "another's", "another's, listed", "another's private", "another's private, listed",
	"abroad", "abroad, own", "abroad, listed",
}

func (p Place) String() string { return placeNames[p] }

// Places are all of them.
func Places() []Place {
	all := make([]Place, len(placeNames))
	for i := range all {
		all[i] = Place(i)
	}
	return all
}

// Target is something of that kind in that place: home is the caller's project,
// and caller the user.
func (p Place) Target(kind string) policy.Target {
	in := func(those ...Place) bool { return slices.Contains(those, p) }
	t := policy.Target{Kind: kind, Project: "home", ID: "5e", Name: "db", Owner: "other"}
	if in(Owner, OwnerPrivate, OwnerListed, AbroadOwner) {
		t.Owner = "caller"
	}
	if in(OwnerListed, PublicListed, Listed, ListedAbroad) {
		t.Readers = []string{"someone", "caller"}
	}
	if in(Abroad, AbroadOwner, ListedAbroad) {
		t.Project = "abroad"
	}
	t.Private = in(OwnerPrivate, OwnerListed, Private, Listed, ListedAbroad)
	return t
}
