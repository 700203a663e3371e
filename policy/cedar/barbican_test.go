package cedar_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/policy/cedar"
	"github.com/strongroom-kms/strongroom/policy/policytest"
)

// holders are the role sets that a caller may come with: none, each alone, and
// every pair.
func holders() []string {
	all := []string{""}
	for a := range policytest.Letters {
		all = append(all, string(a))
		for b := range policytest.Letters {
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
		who.Roles = append(who.Roles, policytest.Letters[r])
	}
	return who
}

var modes = map[cedar.Mode]policytest.Rules{
	cedar.Legacy: {Legacy: true}, cedar.New: {New: true}, cedar.Union: {Legacy: true, New: true},
}

// Every operation, role or pair of roles, ownership, privacy, listing and
// project, under each set of rules.
func TestBarbicanTable(t *testing.T) {
	t.Parallel()
	for mode, rules := range modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			j := load(t, cedar.Config{Mode: mode})
			decisions := 0
			for _, roles := range holders() {
				who := caller(policy.KeyManager, roles)
				for _, act := range policytest.OnObjects() {
					kind, _, _ := strings.Cut(string(act), ".")
					if kind == "metadata" {
						kind = "secret"
					}
					for _, p := range policytest.Places() {
						got := j.Decide(who, act, p.Target(kind))
						if got.Allowed != rules.Lets(act, p, roles) {
							t.Errorf("%q may %s %s: %v by %v", roles, act, p, got.Allowed, got.Rules)
						}
						if got.Allowed == (len(got.Rules) == 0) {
							t.Errorf("%q %s %s: allowed %v by rules %v", roles, act, p, got.Allowed, got.Rules)
						}
						decisions++
					}
				}
			}
			if decisions != 37*24*10 {
				t.Errorf("%d decisions", decisions)
			}
		})
	}
}

// kinds are what operations are asked for that are on no project.
var kinds = map[policy.Action]string{
	policy.StoreShow: "store", policy.StorePrefer: "store", policy.StoreForget: "store",
	policy.TransportKeyShow: "transport-key", policy.TransportKeyDelete: "transport-key",
}

func TestBarbicanTableOfProjects(t *testing.T) {
	t.Parallel()
	for mode, rules := range modes {
		j := load(t, cedar.Config{Mode: mode})
		for _, roles := range holders() {
			who := caller(policy.KeyManager, roles)
			for _, project := range []string{"home", "abroad"} {
				for _, act := range slices.Concat(policytest.OnOwnProject(), policytest.OnInstallation()) {
					target := policy.Target{Kind: "project", Project: project, ID: project}
					if kind, ok := kinds[act]; ok {
						target.Kind = kind
					}
					want := rules.Lets(act, policytest.Owner, roles)
					if project == "abroad" && slices.Contains(policytest.OnOwnProject(), act) {
						want = false
					}
					if got := j.Decide(who, act, target); got.Allowed != want {
						t.Errorf("%s: %q may %s of %s: %v by %v", mode, roles, act, project, got.Allowed, got.Rules)
					}
				}
			}
		}
	}
}

// Every operation of Barbican's is in one of the tables.
func TestBarbicanTablesAreWhole(t *testing.T) {
	t.Parallel()
	var have, want []policy.Action
	have = slices.Concat(policytest.OnObjects(), policytest.OnOwnProject(), policytest.OnInstallation())
	for _, act := range policy.Actions() {
		if act.In(policy.KeyManager) != "" {
			want = append(want, act)
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the tables have %v\nBarbican has %v", have, want)
	}
}
