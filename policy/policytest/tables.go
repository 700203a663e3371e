package policytest

import (
	"slices"
	"strings"

	"github.com/strongroom-kms/strongroom/policy"
)

// Letters are the roles that the tables speak of, a letter each, and X, a role
// that nobody has heard of.
var Letters = map[rune]string{
	'A': "admin", 'C': "creator", 'O': "observer", 'U': "audit", 'S': "key-manager:service-admin",
	'M': "member", 'R': "reader", 'X': "swift-operator",
}

// Rules says which of the two sets of rules count.
type Rules struct{ Legacy, New bool }

// Lets reports whether a caller with those roles may do act to something in a
// place, and to a whole project or the installation, where place means nothing.
func (r Rules) Lets(act policy.Action, p Place, roles string) bool {
	if row, ok := legacy[act]; ok {
		return r.Legacy && row.lets(p, roles) || r.New && secure[act].lets(p, roles)
	}
	pair, ok := inProject[act]
	if !ok {
		pair = anywhere[act]
	}
	return r.Legacy && strings.ContainsAny(pair.legacy, roles) || r.New && strings.ContainsAny(pair.secure, roles)
}

// OnObjects are the actions on one secret, container or order.
func OnObjects() []policy.Action { return actions(legacy) }

// OnOwnProject are the actions on the caller's project, and on no other.
func OnOwnProject() []policy.Action { return actions(inProject) }

// OnInstallation are the actions for which the project does not matter.
func OnInstallation() []policy.Action { return actions(anywhere) }

func actions[T any](table map[policy.Action]T) []policy.Action {
	var all []policy.Action
	for a := range table {
		all = append(all, a)
	}
	slices.Sort(all)
	return all
}

// row says who is let in: as the owner, as the owner of something private, as
// another of the project, as another where it is private, and from another
// project; and whether who is listed is, whatever the role and wherever.
type row struct {
	own, ownPrivate, other, private, abroad string
	listed                                  bool
}

func (r row) lets(p Place, roles string) bool {
	if r.listed && slices.Contains([]Place{OwnerListed, PublicListed, Listed, ListedAbroad}, p) {
		return true
	}
	return strings.ContainsAny(map[Place]string{
		Owner: r.own, OwnerPrivate: r.ownPrivate, OwnerListed: r.ownPrivate,
		Public: r.other, PublicListed: r.other, Private: r.private, Listed: r.private,
		Abroad: r.abroad, AbroadOwner: r.abroad, ListedAbroad: r.abroad,
	}[p], roles)
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

// anywhere are asked for the installation, or for any project.
var anywhere = map[policy.Action]pair{
	policy.QuotaShow:          {"ACOUS", "R"},
	policy.StoreList:          {"ACOUS", "R"},
	policy.StoreShowDefault:   {"ACOUS", "R"},
	policy.StoreShowPreferred: {"ACOUS", "R"},
	policy.StoreShow:          {"ACOUS", "R"},
	policy.TransportKeyList:   {"ACOUS", "R"},
	policy.TransportKeyShow:   {"ACOUS", "R"},
	policy.ProjectQuotaShow:   {"S", "A"},
	policy.ProjectQuotaChange: {"S", "A"},
	policy.ProjectQuotaDelete: {"S", "A"},
	policy.TransportKeyCreate: {"S", "A"},
	policy.TransportKeyDelete: {"S", "A"},
	policy.StorePrefer:        {"A", "A"},
	policy.StoreForget:        {"A", "A"},
}
