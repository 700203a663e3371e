package cedar_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/policy/cedar"
	"github.com/strongroom-kms/strongroom/policy/policytest"
)

var _ gate.Judge = (*cedar.Judge)(nil)

func load(tb testing.TB, c cedar.Config) *cedar.Judge {
	tb.Helper()
	j, err := cedar.Load(c)
	if err != nil {
		tb.Fatal(err)
	}
	return j
}

// What each role may do in its own project through CSMS and KMS.
const (
	all   = "all"
	read  = "read"  // values too
	audit = "audit" // no values
)

var huaweiRoles = map[string]string{
	"admin": all, "member": all, "creator": all, "te_admin": all, "csms fullaccess": all,
	"observer": read, "reader": read, "csms readonlyaccess": read,
	"audit":                     audit,
	"key-manager:service-admin": "", "swift-operator": "", "": "",
}

var huaweiReads = map[policy.Action][]string{
	policy.SecretList:   {read, audit},
	policy.SecretShow:   {read, audit},
	policy.VersionList:  {read, audit},
	policy.StageShow:    {read, audit},
	policy.SecretReveal: {read},
	policy.DataKeyOpen:  {read},

	policy.SecretBackup:     {read, audit}, // what it gives away, nobody else can open
	policy.SecretRevealMany: {read},
	policy.TaskList:         {read, audit},
	policy.TagList:          {read, audit},
	policy.TagListProject:   {read, audit},
	policy.TagFind:          {read, audit},
	policy.EventList:        {read, audit},
	policy.EventShow:        {read, audit},
	policy.RecordList:       {read, audit},
	policy.GrantList:        {read, audit},
	policy.PasswordGenerate: {read},
}

func huaweiTarget(act policy.Action, project string) policy.Target {
	switch act {
	case policy.SecretCreate, policy.SecretList, policy.TaskList, policy.TagListProject, policy.TagFind,
		policy.EventCreate, policy.EventList, policy.RecordList, policy.PasswordGenerate:
		return policy.Target{Kind: "project", Project: project, ID: project}
	case policy.KeyCreate, policy.DataKeyCreate, policy.DataKeyOpen:
		return policy.Target{Kind: "key", Project: project, ID: "k", Key: "k"}
	case policy.EventShow, policy.EventUpdate, policy.EventDelete:
		return policy.Target{Kind: "event", Project: project, ID: "e", Name: "e"}
	default: // an ACL is Barbican's: neither it nor ownership counts here
		return policy.Target{Kind: "secret", Project: project, ID: "5e", Owner: "caller", Readers: []string{"caller"}}
	}
}

func TestHuaweiTable(t *testing.T) {
	t.Parallel()
	j := load(t, cedar.Config{Mode: cedar.Legacy})
	tested := 0
	for role, level := range huaweiRoles {
		who := auth.Principal{User: "caller", Project: "home", Roles: []string{role}, Family: policy.Huawei}
		for _, act := range policy.Actions() {
			if act.In(policy.Huawei) == "" {
				continue
			}
			tested++
			want := level == all || slices.Contains(huaweiReads[act], level) && level != ""
			if got := j.Decide(who, act, huaweiTarget(act, "home")); got.Allowed != want {
				t.Errorf("%q may %s at home: %v by %v", role, act, got.Allowed, got.Rules)
			}
			if got := j.Decide(who, act, huaweiTarget(act, "abroad")); got.Allowed {
				t.Errorf("%q may %s abroad, by %v", role, act, got.Rules)
			}
		}
	}
	if tested < len(huaweiRoles)*15 {
		t.Errorf("only %d decisions tested", tested)
	}
}

func TestIdentityTable(t *testing.T) {
	t.Parallel()
	j := load(t, cedar.Config{Mode: cedar.Legacy})
	for _, role := range []string{"admin", "member", "reader", "creator", "service", ""} {
		for _, act := range []policy.Action{policy.IdentityRead, policy.IdentityManage} {
			for _, kind := range []string{"user", "project", "role", "assignment", "credential"} {
				for _, scope := range []auth.ProjectID{"home", ""} {
					who := auth.Principal{User: "caller", Project: scope, Roles: []string{role}, Family: policy.Identity}
					got := j.Decide(who, act, policy.Target{Kind: kind, ID: "x", Project: "home"})
					if got.Allowed != (role == "admin") {
						t.Errorf("%q may %s a %s: %v by %v", role, act, kind, got.Allowed, got.Rules)
					}
				}
			}
		}
	}
}

// A command on the machine may do everything that has a name in its family,
// whatever roles it has; nobody becomes an operator by a role or a name.
func TestOperatorMayWhatHasAName(t *testing.T) {
	t.Parallel()
	j := load(t, cedar.Config{Mode: cedar.Union})
	for _, act := range policy.Actions() {
		got := j.Decide(auth.Principal{User: "root", Method: auth.ByOperator, Family: policy.Operator},
			act, policy.Target{Kind: "user", ID: "x"})
		if want := act.In(policy.Operator) != ""; got.Allowed != want {
			t.Errorf("an operator may %s: %v by %v", act, got.Allowed, got.Rules)
		}
		got = j.Decide(auth.Principal{User: "root", Method: auth.ByOperator, Family: policy.Identity},
			act, policy.Target{Kind: "user", ID: "x"})
		if got.Allowed {
			t.Errorf("a user called root may %s, by %v", act, got.Rules)
		}
	}
}

// Every action is known to the schema in each family where it has a name, and
// refused in every other, whoever asks.
func TestEveryActionIsKnownOrRefused(t *testing.T) {
	t.Parallel()
	j := load(t, cedar.Config{Mode: cedar.Union})
	families := []policy.Family{policy.NoFamily, policy.KeyManager, policy.Huawei, policy.Identity, policy.Operator, 99}
	for _, f := range families {
		for _, act := range append(policy.Actions(), "secret.steal", "") {
			who := auth.Principal{User: "caller", Project: "home", Roles: []string{"admin", "member"}, Family: f}
			got := j.Decide(who, act, huaweiTarget(act, "home"))
			unknown := slices.Contains(got.Rules, cedar.NoAction)
			if unknown != (act.In(f) == "") {
				t.Errorf("%s in family %s: known %v, named %q", act, f, !unknown, act.In(f))
			}
			if act.In(f) == "" && got.Allowed {
				t.Errorf("%s has no name in family %s, and is allowed by %v", act, f, got.Rules)
			}
			if act.In(f) != "" && !got.Allowed {
				t.Errorf("an administrator may not %s in family %s", act, f)
			}
		}
	}
}

func TestWhoHasNoProjectIsRefused(t *testing.T) {
	t.Parallel()
	j := load(t, cedar.Config{Mode: cedar.Union})
	for _, f := range []policy.Family{policy.KeyManager, policy.Huawei} {
		for _, act := range policy.Actions() {
			if act.In(f) == "" {
				continue
			}
			for _, project := range []string{"", "home"} {
				got := j.Decide(auth.Principal{User: "caller", Roles: []string{"admin", "member", "creator"}, Family: f},
					act, huaweiTarget(act, project))
				if got.Allowed || !slices.Equal(got.Rules, []string{cedar.NoProject}) {
					t.Errorf("%s %s without a project: %v by %v", f, act, got.Allowed, got.Rules)
				}
			}
		}
	}
}

// Nobody is the owner of a secret that nobody is known to have made, nor
// listed under an empty name.
func TestCallerWithoutNameOwnsNothing(t *testing.T) {
	t.Parallel()
	j := load(t, cedar.Config{Mode: cedar.Union})
	who := auth.Principal{Project: "home", Roles: []string{"creator", "member"}, Family: policy.KeyManager}
	target := policy.Target{Kind: "secret", Project: "home", ID: "5e", Private: true, Readers: []string{""}}
	if got := j.Decide(who, policy.SecretReveal, target); got.Allowed {
		t.Errorf("allowed by %v", got.Rules)
	}
}

func TestRoleNamesAreComparedInLowerCase(t *testing.T) {
	t.Parallel()
	j := load(t, cedar.Config{Mode: cedar.Legacy})
	who := caller(policy.KeyManager, "")
	who.Roles = []string{"Creator"}
	if got := j.Decide(who, policy.SecretReveal, policytest.Owner.Target("secret")); !got.Allowed {
		t.Error("Creator is not creator")
	}
}

func TestUnknownKindIsRefused(t *testing.T) {
	t.Parallel()
	j := load(t, cedar.Config{Mode: cedar.Union})
	for _, kind := range []string{"", "sceret", "Secret", "user"} {
		got := j.Decide(caller(policy.KeyManager, "AC"), policy.SecretShow, policy.Target{Kind: kind, Project: "home"})
		if got.Allowed || !slices.Equal(got.Rules, []string{cedar.NoKind}) {
			t.Errorf("kind %q: %v by %v", kind, got.Allowed, got.Rules)
		}
	}
}

// Two callers whose parts run together are still two callers.
func TestCallersAreNotMixedUp(t *testing.T) {
	t.Parallel()
	j := load(t, cedar.Config{Mode: cedar.Legacy})
	target := policy.Target{Kind: "project", Project: "ab", ID: "ab"}
	for _, tc := range []struct {
		user, project, domain string
		roles                 []string
		want                  bool
	}{
		{"u", "ab", "", []string{"creator"}, true},
		{"u", "a", "b", []string{"creator"}, false},
		{"ua", "b", "", []string{"creator"}, false},
		{"u", "ab", "creator", nil, false},
		{"u", "ab", "", []string{"crea", "tor"}, false},
		{"u", "ab", "", []string{"creator"}, true},
	} {
		who := auth.Principal{
			User: auth.UserID(tc.user), Project: auth.ProjectID(tc.project), Domain: tc.domain,
			Roles: tc.roles, Family: policy.KeyManager,
		}
		if got := j.Decide(who, policy.SecretCreate, target); got.Allowed != tc.want {
			t.Errorf("%+v: allowed %v", tc, got.Allowed)
		}
	}
	for i := range 5000 { // more than are remembered
		who := caller(policy.KeyManager, "C")
		who.User = auth.UserID(fmt.Sprint(i))
		if got := j.Decide(who, policy.SecretReveal, policytest.Owner.Target("secret")); !got.Allowed {
			t.Fatalf("caller %d: refused", i)
		}
		if got := j.Decide(who, policy.SecretReveal, policytest.OwnerPrivate.Target("secret")); got.Allowed {
			t.Fatalf("caller %d reads what is another's", i)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	j := load(b, cedar.Config{Mode: cedar.Legacy})
	for _, bc := range []struct {
		name   string
		who    auth.Principal
		act    policy.Action
		target policy.Target
	}{
		{"barbican reveal", caller(policy.KeyManager, "CMR"), policy.SecretReveal, policytest.Owner.Target("secret")},
		{"barbican listed", caller(policy.KeyManager, "X"), policy.SecretReveal, policytest.Listed.Target("secret")},
		{"csms getVersion", caller(policy.Huawei, "CMR"), policy.SecretReveal, policytest.Owner.Target("secret")},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !j.Decide(bc.who, bc.act, bc.target).Allowed {
					b.Fatal("refused")
				}
			}
		})
	}
}
