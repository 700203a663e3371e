package cedar_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/policy/cedar"
)

// A place is how a caller stands to a secret, a container or an order: the
// columns of barbican.md §19.
type place int

const (
	owner        place = iota // same project, made by the caller
	ownerPrivate              // the same, under an ACL without project access
	ownerListed               // the same, and the ACL names the caller
	public                    // same project, made by another
	publicListed              // the same, and an ACL names the caller
	private                   // same project, made by another, under an ACL without project access
	listed                    // the same, and the ACL names the caller
	abroad                    // another project's
	abroadOwner               // another project's, made by the caller
	listedAbroad              // another project's, the ACL names the caller
	places
)

var placeNames = [places]string{
	"own", "own private", "own private, listed", "another's", "another's, listed", "another's private", "another's private, listed",
	"abroad", "abroad, own", "abroad, listed",
}

func (p place) target() policy.Target { return p.of("secret") }

// of is something of that kind in that place.
func (p place) of(kind string) policy.Target {
	in := func(those ...place) bool { return slices.Contains(those, p) }
	t := policy.Target{Kind: kind, Project: "home", ID: "5e", Name: "db", Owner: "other"}
	if in(owner, ownerPrivate, ownerListed, abroadOwner) {
		t.Owner = "caller"
	}
	if in(ownerListed, publicListed, listed, listedAbroad) {
		t.Readers = []string{"someone", "caller"}
	}
	if in(abroad, abroadOwner, listedAbroad) {
		t.Project = "abroad"
	}
	t.Private = in(ownerPrivate, ownerListed, private, listed, listedAbroad)
	return t
}

// A row of barbican.md §19.2 or §19.3: who is let in, as the owner, as another
// of the project, as another where it is private, and from another project;
// and whether who is listed is, whatever the role and wherever. ownPrivate is
// for where the owner of something private is less than the owner. A role is
// one letter.
type row struct {
	own, ownPrivate, other, private, abroad string
	listed                                  bool
}

// The tables are written down from the specification, not from the rules.
//
// A admin, C creator, O observer, U audit, S key-manager:service-admin,
// M member, R reader, and X a role that nobody has heard of.
var letters = map[rune]string{
	'A': "admin", 'C': "creator", 'O': "observer", 'U': "audit", 'S': "key-manager:service-admin",
	'M': "member", 'R': "reader", 'X': "swift-operator",
}

// What operations of §19.2 and §19.3 are of one row.
var (
	consumers = []policy.Action{
		policy.ConsumerList, policy.ConsumerAdd, policy.ConsumerRemove,
		policy.ContainerConsumerList, policy.ContainerConsumerAdd, policy.ContainerConsumerRemove,
	}
	readACL   = []policy.Action{policy.SecretACLRead, policy.ContainerACLRead}
	changeACL = []policy.Action{
		policy.SecretACLWrite, policy.SecretACLDrop, policy.ContainerACLWrite, policy.ContainerACLDrop,
	}
	entries = []policy.Action{policy.ContainerSecretAdd, policy.ContainerSecretRemove}
)

var legacy = table(map[policy.Action]row{
	policy.SecretShow:      {"ACOUS", "AC", "ACOUS", "A", "", true},
	policy.SecretReveal:    {"ACO", "AC", "ACO", "A", "", true},
	policy.SecretStore:     {"AC", "AC", "AC", "AC", "", false}, // does not look at the ACL
	policy.SecretDelete:    {"AC", "AC", "AC", "A", "", false},
	policy.MetadataRead:    {"ACOUS", "AC", "ACOUS", "A", "", true},
	policy.MetadataWrite:   {"AC", "AC", "AC", "A", "", false},
	policy.ContainerShow:   {"ACOUS", "AC", "ACOUS", "A", "", true},
	policy.ContainerDelete: {"AC", "AC", "A", "A", "", false},
	policy.OrderShow:       {"ACOUS", "ACOUS", "ACOUS", "ACOUS", "", false},
	policy.OrderDelete:     {"A", "A", "A", "A", "", false},
}, map[*[]policy.Action]row{
	&readACL:   {"ACO", "ACO", "ACO", "ACO", "", false}, // nor do these
	&changeACL: {"AC", "AC", "AC", "AC", "", false},
	&consumers: {"ACOUS", "AC", "ACOUS", "A", "", true},
	&entries:   {"AC", "AC", "AC", "A", "", false},
})

var secure = table(map[policy.Action]row{
	policy.SecretShow:      {"AM", "AM", "AM", "A", "A", true},
	policy.SecretReveal:    {"AM", "AM", "AM", "A", "", true},
	policy.SecretStore:     {"AM", "AM", "AM", "A", "", false},
	policy.SecretDelete:    {"AM", "AM", "AM", "A", "A", false},
	policy.MetadataRead:    {"AM", "AM", "AM", "A", "", true},
	policy.MetadataWrite:   {"AM", "AM", "AM", "A", "", false},
	policy.ContainerShow:   {"AM", "AM", "AM", "A", "", true},
	policy.ContainerDelete: {"AM", "AM", "AM", "A", "", false},
	policy.OrderShow:       {"M", "M", "M", "M", "", false},
	policy.OrderDelete:     {"M", "M", "M", "M", "", false},
}, map[*[]policy.Action]row{
	&readACL:   {"AM", "AM", "A", "A", "", false},
	&changeACL: {"AM", "AM", "A", "A", "", false},
	&consumers: {"AM", "AM", "AM", "A", "", true},
	&entries:   {"AM", "AM", "AM", "A", "", false},
})

// table is all rows, one to an action.
func table(single map[policy.Action]row, groups map[*[]policy.Action]row) map[policy.Action]row {
	for actions, r := range groups {
		for _, a := range *actions {
			single[a] = r
		}
	}
	return single
}

// lets reports whether the row lets somebody with those roles do it there.
func (r row) lets(p place, roles string) bool {
	if r.listed && slices.Contains([]place{ownerListed, publicListed, listed, listedAbroad}, p) {
		return true
	}
	return held(map[place]string{
		owner: r.own, ownerPrivate: r.ownPrivate, ownerListed: r.ownPrivate,
		public: r.other, publicListed: r.other, private: r.private, listed: r.private,
		abroad: r.abroad, abroadOwner: r.abroad, listedAbroad: r.abroad,
	}[p], roles)
}

// Operations on a whole project or the installation (§19.2 and §19.3, the first
// tables): who may under the legacy rules, and who under the new ones.
type pair struct{ legacy, secure string }

// inProject are asked for the caller's own project alone.
var inProject = map[policy.Action]pair{
	policy.SecretCreate:    {"AC", "M"},
	policy.ContainerCreate: {"AC", "M"},
	policy.OrderCreate:     {"AC", "M"},
	policy.OrderUpdate:     {"AC", "M"},
	policy.SecretList:      {"ACO", "M"},
	policy.ContainerList:   {"ACO", "M"},
	policy.OrderList:       {"ACO", "M"},
}

// anywhere has the kind of what each is asked for.
var anywhere = map[policy.Action]struct {
	kind string
	pair
}{
	policy.QuotaShow:          {"project", pair{"ACOUS", "R"}},
	policy.StoreList:          {"project", pair{"ACOUS", "R"}},
	policy.StoreShowDefault:   {"project", pair{"ACOUS", "R"}},
	policy.StoreShowPreferred: {"project", pair{"ACOUS", "R"}},
	policy.StoreShow:          {"store", pair{"ACOUS", "R"}},
	policy.TransportKeyList:   {"project", pair{"ACOUS", "R"}},
	policy.TransportKeyShow:   {"transport-key", pair{"ACOUS", "R"}},
	policy.ProjectQuotaShow:   {"project", pair{"S", "A"}},
	policy.ProjectQuotaChange: {"project", pair{"S", "A"}},
	policy.ProjectQuotaDelete: {"project", pair{"S", "A"}},
	policy.TransportKeyCreate: {"project", pair{"S", "A"}},
	policy.TransportKeyDelete: {"transport-key", pair{"S", "A"}},
	policy.StorePrefer:        {"store", pair{"A", "A"}},
	policy.StoreForget:        {"store", pair{"A", "A"}},
}

// in is who may in a mode.
func (p pair) in(m cedar.Mode) string {
	return map[cedar.Mode]string{cedar.Legacy: p.legacy, cedar.New: p.secure, cedar.Union: p.legacy + p.secure}[m]
}

// holders are the role sets that a caller may come with: none, each alone, and
// every pair.
func holders() []string {
	all := []string{""}
	for a := range letters {
		all = append(all, string(a))
		for b := range letters {
			if a < b {
				all = append(all, string(a)+string(b))
			}
		}
	}
	slices.Sort(all)
	return all
}

func caller(f policy.Family, roles string) auth.Principal {
	who := auth.Principal{User: "caller", Project: "home", Domain: "default", Method: auth.ByToken, Family: f}
	for _, r := range roles {
		who.Roles = append(who.Roles, letters[r])
	}
	return who
}

// held reports whether one of the roles is among those.
func held(those, roles string) bool { return strings.ContainsAny(those, roles) }

var modes = []cedar.Mode{cedar.Legacy, cedar.New, cedar.Union}

// Every operation, role or pair of roles, ownership, privacy, listing and
// project, under each set of rules.
func TestBarbicanTable(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			j := load(t, cedar.Config{Mode: mode})
			decisions := 0
			for _, roles := range holders() {
				who := caller(policy.KeyManager, roles)
				for act := range legacy {
					kind, _, _ := strings.Cut(string(act), ".")
					if kind == "metadata" {
						kind = "secret"
					}
					for p := range places {
						want := mode != cedar.New && legacy[act].lets(p, roles) || mode != cedar.Legacy && secure[act].lets(p, roles)
						got := j.Decide(who, act, p.of(kind))
						if got.Allowed != want {
							t.Errorf("%q may %s %s: %v by %v", roles, act, placeNames[p], got.Allowed, got.Rules)
						}
						if got.Allowed == (len(got.Rules) == 0) {
							t.Errorf("%q %s %s: allowed %v by rules %v", roles, act, placeNames[p], got.Allowed, got.Rules)
						}
						decisions++
					}
				}
			}
			if want := 37 * 24 * int(places); decisions != want {
				t.Errorf("%d decisions, want %d", decisions, want)
			}
		})
	}
}

func TestBarbicanTableOfProjects(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		j := load(t, cedar.Config{Mode: mode})
		for _, roles := range holders() {
			who := caller(policy.KeyManager, roles)
			for _, project := range []string{"home", "abroad"} {
				for act, entry := range inProject {
					got := j.Decide(who, act, policy.Target{Kind: "project", Project: project, ID: project})
					if got.Allowed != (project == "home" && held(entry.in(mode), roles)) {
						t.Errorf("%s: %q may %s in %s: %v by %v", mode, roles, act, project, got.Allowed, got.Rules)
					}
				}
				for act, entry := range anywhere {
					got := j.Decide(who, act, policy.Target{Kind: entry.kind, Project: project, ID: project})
					if got.Allowed != held(entry.in(mode), roles) {
						t.Errorf("%s: %q may %s of %s: %v by %v", mode, roles, act, project, got.Allowed, got.Rules)
					}
				}
			}
		}
	}
}

// No operation of Barbican's is in none of the tables.
func TestBarbicanTablesAreWhole(t *testing.T) {
	t.Parallel()
	for _, act := range policy.Actions() {
		if act.In(policy.KeyManager) == "" {
			continue
		}
		_, old := legacy[act]
		_, new := secure[act]
		_, project := inProject[act]
		_, elsewhere := anywhere[act]
		if old != new || old == (project || elsewhere) || project && elsewhere {
			t.Errorf("%s: in the tables %v and %v, of projects %v and %v", act, old, new, project, elsewhere)
		}
	}
}
