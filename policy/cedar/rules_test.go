package cedar_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/policy/cedar"
	"github.com/strongroom-kms/strongroom/policy/policytest"
)

// file writes an operator's rules, and returns where they are.
func file(tb testing.TB, text string) string {
	tb.Helper()
	name := filepath.Join(tb.TempDir(), "own.cedar")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return name
}

func with(tb testing.TB, text string) *cedar.Judge {
	tb.Helper()
	return load(tb, cedar.Config{Mode: cedar.Legacy, Files: []string{file(tb, text)}})
}

func TestOperatorPermits(t *testing.T) {
	t.Parallel()
	j := with(t, `
@id("own/deployers")
permit (principal in Role::"deployer", action == Action::"csms:secret:getVersion", resource)
when { resource.project == principal.project && resource.name like "prod/*" };`)
	who := auth.Principal{User: "caller", Project: "home", Roles: []string{"deployer"}, Family: policy.Huawei}
	for name, want := range map[string]bool{"prod/db": true, "test/db": false} {
		got := j.Decide(who, policy.SecretReveal, policy.Target{Kind: "secret", Project: "home", ID: "5e", Name: name})
		if got.Allowed != want {
			t.Errorf("%s: %v by %v", name, got.Allowed, got.Rules)
		}
		if want && !slices.Equal(got.Rules, []string{"own/deployers"}) {
			t.Errorf("%s: decided by %v", name, got.Rules)
		}
	}
}

// docs/dialects.md gives operators a rule that makes Huawei's clients respect
// what an ACL of Barbican made private.
func TestDocumentedRuleForPrivateSecrets(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/dialects.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```cedar\n")
	rule, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the rule is gone")
	}
	without, with := load(t, cedar.Config{Mode: cedar.Legacy}), with(t, rule)
	target := policy.Target{Kind: "secret", Project: "home", ID: "5e", Owner: "owner", Private: true}
	for _, tc := range []struct {
		user    auth.UserID
		role    string
		private bool
		want    bool
	}{
		{"peer", "creator", true, false}, {"peer", "creator", false, true}, {"peer", "observer", true, false},
		{"owner", "creator", true, true}, {"peer", "admin", true, true},
	} {
		who := auth.Principal{User: tc.user, Project: "home", Roles: []string{tc.role}, Family: policy.Huawei}
		target.Private = tc.private
		if got := with.Decide(who, policy.SecretReveal, target); got.Allowed != tc.want {
			t.Errorf("%+v: %v by %v", tc, got.Allowed, got.Rules)
		}
		if got := without.Decide(who, policy.SecretReveal, target); !got.Allowed {
			t.Errorf("%+v without the rule: refused", tc)
		}
	}
}

func TestForbidWinsAndIsNamed(t *testing.T) {
	t.Parallel()
	j := with(t, `
@id("own/no-signatures")
forbid (principal, action == Action::"secret:decrypt", resource)
when { context.method == "signature" };`)
	who := caller(policy.KeyManager, "AC")
	if got := j.Decide(who, policy.SecretReveal, policytest.Owner.Target("secret")); !got.Allowed || len(got.Rules) != 3 {
		t.Errorf("with a token: %v by %v", got.Allowed, got.Rules)
	}
	who.Method = auth.BySignature
	got := j.Decide(who, policy.SecretReveal, policytest.Owner.Target("secret"))
	if got.Allowed || !slices.Equal(got.Rules, []string{"own/no-signatures"}) {
		t.Errorf("with a signature: %v by %v", got.Allowed, got.Rules)
	}
}

func TestAllThatDecidedAreNamedInOrder(t *testing.T) {
	t.Parallel()
	j := load(t, cedar.Config{Mode: cedar.Union})
	got := j.Decide(caller(policy.KeyManager, "CM"), policy.SecretReveal, policytest.Owner.Target("secret"))
	want := []string{
		"barbican/legacy/creator-owner", "barbican/legacy/creator",
		"barbican/new/member-owner", "barbican/new/member-public",
	}
	if !got.Allowed || !slices.Equal(got.Rules, want) {
		t.Errorf("%v by %v, want %v", got.Allowed, got.Rules, want)
	}
}

func TestCircumstances(t *testing.T) {
	t.Parallel()
	j := with(t, `
@id("own/inside")
forbid (principal, action in Action::"csms:*", resource)
unless { context has from && context.from.isInRange(ip("10.0.0.0/8")) };

@id("own/frozen-key")
forbid (principal, action in Action::"csms:*", resource)
when { context has key && context.key == "k1" };

@id("own/old-versions")
forbid (principal, action == Action::"csms:secretVersion:get", resource)
when { context has version && context.version != "latest" || context has stage && context.stage == "SYSPREVIOUS" };

@id("own/one-credential")
forbid (principal, action in Action::"csms:*", resource)
when { context has credential && context.credential == "AK1" };`)
	who := caller(policy.Huawei, "A")
	who.From = "10.1.2.3:4711"
	for _, tc := range []struct {
		name   string
		change func(*auth.Principal, *policy.Target)
		want   string
	}{
		{"as it is", func(*auth.Principal, *policy.Target) {}, "huawei/full"},
		{"from outside", func(w *auth.Principal, _ *policy.Target) { w.From = "192.0.2.1:80" }, "own/inside"},
		{"from nowhere", func(w *auth.Principal, _ *policy.Target) { w.From = "" }, "own/inside"},
		{"from a socket", func(w *auth.Principal, _ *policy.Target) { w.From = "@" }, "own/inside"},
		{"without a port", func(w *auth.Principal, _ *policy.Target) { w.From = "10.0.0.1" }, "huawei/full"},
		{"mapped", func(w *auth.Principal, _ *policy.Target) { w.From = "[::ffff:10.0.0.1]:80" }, "huawei/full"},
		{"with a zone", func(w *auth.Principal, _ *policy.Target) { w.From = "[fe80::1%eth0]:80" }, "own/inside"},
		{"under a key", func(_ *auth.Principal, t *policy.Target) { t.Key = "k1" }, "own/frozen-key"},
		{"an old version", func(_ *auth.Principal, t *policy.Target) { t.Version = "v1" }, "own/old-versions"},
		{"by a stage", func(_ *auth.Principal, t *policy.Target) { t.Stage = "SYSPREVIOUS" }, "own/old-versions"},
		{"with a credential", func(w *auth.Principal, _ *policy.Target) { w.Credential = "AK1" }, "own/one-credential"},
	} {
		w, target := who, policytest.Public.Target("secret")
		tc.change(&w, &target)
		got := j.Decide(w, policy.SecretReveal, target)
		if got.Allowed != (tc.want == "huawei/full") || !slices.Equal(got.Rules, []string{tc.want}) {
			t.Errorf("%s: %v by %v, want %s", tc.name, got.Allowed, got.Rules, tc.want)
		}
	}
}

// An alias, a group and a wildcard of IAM name the same action as the name
// itself, with == and with in, in the scope and in a condition.
func TestAliasesAndGroups(t *testing.T) {
	t.Parallel()
	aliases := map[policy.Action][]string{
		policy.VersionAdd:    {"csms:secretVersion:create", "csms:secret:*"},
		policy.VersionList:   {"csms:secretVersion:list", "csms:secret:*"},
		policy.SecretReveal:  {"csms:secretVersion:get", "csms:secret:*"},
		policy.VersionUpdate: {"csms:secretVersion:update", "csms:secret:*"},
		policy.StageShow:     {"csms:secretStage:get", "csms:secret:*"},
		policy.StageUpdate:   {"csms:secretStage:update", "csms:secret:*"},
		policy.StageDelete:   {"csms:secretStage:delete", "csms:secret:*"},
		policy.DataKeyCreate: {"kms:cmk:createDataKey", "kms:dek:*"},
		policy.DataKeyOpen:   {"kms:cmk:decryptDataKey", "kms:cmk:encryptDataKey", "kms:dek:*"},
		policy.KeyCreate:     {"kms:cmk:*"},

		policy.SecretRevealMany: {"csms:secretVersion:batchGetSecretValue", "csms:secret:*"},
		policy.TagAdd:           {"csms:tag:create", "csms:secret:*"},
		policy.TagList:          {"csms:tag:getBySecret", "csms:secret:*"},
		policy.TagRemove:        {"csms:tag:delete", "csms:secret:*"},
		policy.TagBatch:         {"csms:tag:batch", "csms:secret:*"},
		policy.TagFind:          {"csms:tag:getSecretByTag", "csms:secret:*"},
		policy.TagListProject:   {"csms:tag:getAll", "csms::*"},
		policy.EventCreate:      {"csms:event:create", "csms::*"},
		policy.EventList:        {"csms:event:list", "csms::*"},
		policy.EventShow:        {"csms:event:get", "csms::*"},
		policy.EventUpdate:      {"csms:event:update", "csms::*"},
		policy.EventDelete:      {"csms:event:delete", "csms::*"},
		policy.RecordList:       {"csms:event:listNotificationRecords", "csms::*"},
	}
	all := map[string]bool{}
	for act, list := range aliases {
		service, _, _ := strings.Cut(act.In(policy.Huawei), ":")
		aliases[act] = append(list, act.In(policy.Huawei), service+":*", "*:*:*")
		for _, a := range aliases[act] {
			all[a] = true
		}
	}
	who := caller(policy.Huawei, "X")
	for alias := range all {
		for _, rule := range []string{
			`permit (principal, action == Action::"ALIAS", resource);`,
			`permit (principal, action in Action::"ALIAS", resource);`,
			`permit (principal, action in [Action::"ALIAS"], resource);`,
			`permit (principal, action, resource) when { action in Action::"ALIAS" };`,
		} {
			j := with(t, `@id("own/alias") `+strings.ReplaceAll(rule, "ALIAS", alias))
			for act, list := range aliases {
				got := j.Decide(who, act, huaweiTarget(act, "home"))
				if want := slices.Contains(list, alias); got.Allowed != want {
					t.Errorf("%s with %s: %s allowed %v", rule, alias, act, got.Allowed)
				}
			}
		}
	}
}

func TestMistakesAreFoundAndPlaced(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"misspelt action", "\n@id(\"own/a\")\npermit (principal, action == Action::\"csms:secret:gte\", resource);", `own.cedar:2: rule "own/a"`},
		{"misspelt action in a list", `@id("own/a") permit (principal, action in [Action::"secret:get", Action::"secret:gett"], resource);`, "secret:gett"},
		{"misspelt attribute", `@id("own/b") permit (principal, action, resource) when { resource.projct == "x" };`, "projct"},
		{"misspelt type", `@id("own/c") permit (principal is Usr, action, resource);`, "Usr"},
		{"unguarded attribute", `@id("own/d") permit (principal, action == Action::"secret:get", resource) when { resource.owner == principal };`, "owner"},
		{"attribute of another kind", `@id("own/e") permit (principal, action == Action::"csms:secret:list", resource) when { resource.private };`, "private"},
		{"wrong type of value", `@id("own/f") permit (principal, action == Action::"secret:get", resource) when { resource.private == 1 };`, `rule "own/f"`},
		{"kind that the action never has", `@id("own/g") permit (principal, action == Action::"secret:get", resource is Key);`, "applicable action"},
		{"no name", "permit (principal, action, resource);", "own.cedar:1"},
		{"a shipped rule's name", `@id("huawei/full") permit (principal, action, resource);`, "shipped huawei.cedar:"},
		{"the same name twice", "@id(\"own/h\") permit (principal, action, resource);\n@id(\"own/h\") forbid (principal, action, resource);", "own.cedar:2"},
		{"the product's name", `@id("strongroom/x") permit (principal, action, resource);`, "product's own"},
		{"no Cedar", "permit everybody;", "own.cedar"},
		{"two mistakes", "@id(\"own/i\") permit (principal is A, action, resource);\n@id(\"own/j\") permit (principal is B, action, resource);", "own.cedar:2: rule \"own/j\""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := cedar.Load(cedar.Config{Mode: cedar.Legacy, Files: []string{file(t, tc.text)}})
			if err == nil {
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%q does not say %q", err, tc.want)
			}
		})
	}
}

func TestLoadNeedsAModeAndItsFiles(t *testing.T) {
	t.Parallel()
	for _, mode := range []cedar.Mode{"", "Legacy", "both"} {
		if _, err := cedar.Load(cedar.Config{Mode: mode}); err == nil {
			t.Errorf("mode %q was accepted", mode)
		}
	}
	if _, err := cedar.Load(cedar.Config{Mode: cedar.New, Files: []string{filepath.Join(t.TempDir(), "none.cedar")}}); err == nil {
		t.Error("a missing file was accepted")
	}
}

// A forbid that cannot be evaluated refuses: Cedar itself would leave it out.
func TestForbidThatFailsRefuses(t *testing.T) {
	t.Parallel()
	j := with(t, `
@id("own/overflow")
forbid (principal, action == Action::"secret:decrypt", resource)
when { 9223372036854775807 + 1 == 0 };
@id("own/harmless")
permit (principal, action == Action::"secret:get", resource)
when { 9223372036854775807 + 1 == 0 };`)
	got := j.Decide(caller(policy.KeyManager, "A"), policy.SecretReveal, policytest.Owner.Target("secret"))
	if got.Allowed || !slices.Equal(got.Rules, []string{"own/overflow"}) {
		t.Errorf("%v by %v", got.Allowed, got.Rules)
	}
	got = j.Decide(caller(policy.KeyManager, "A"), policy.SecretShow, policytest.Owner.Target("secret"))
	if !got.Allowed || !slices.Equal(got.Rules, []string{"barbican/legacy/admin"}) {
		t.Errorf("with a permit that fails: %v by %v", got.Allowed, got.Rules)
	}
	if got = j.Decide(caller(policy.KeyManager, "X"), policy.SecretShow, policytest.Owner.Target("secret")); got.Allowed {
		t.Errorf("a permit that fails allows, by %v", got.Rules)
	}
}

func TestReloadKeepsTheOldRulesWhenTheNewOnesAreWrong(t *testing.T) {
	t.Parallel()
	own := file(t, "")
	j := load(t, cedar.Config{Mode: cedar.Legacy, Files: []string{own}})
	who := caller(policy.KeyManager, "X")
	allowed := func() bool { return j.Decide(who, policy.SecretShow, policytest.Public.Target("secret")).Allowed }
	write := func(text string) error {
		t.Helper()
		if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return j.Reload()
	}
	const open = `@id("own/open") permit (principal, action == Action::"secret:get", resource);`

	if allowed() {
		t.Error("allowed before any rule said so")
	}
	if err := write(open); err != nil || !allowed() {
		t.Errorf("after a good file: allowed %v, %v", allowed(), err)
	}
	if err := write(open + " permit"); err == nil || !allowed() {
		t.Errorf("after a bad file: allowed %v, %v", allowed(), err)
	}
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	if err := j.Reload(); err == nil || !allowed() {
		t.Errorf("after the file went: allowed %v, %v", allowed(), err)
	}
	if err := write(""); err != nil || allowed() {
		t.Errorf("after an empty file: allowed %v, %v", allowed(), err)
	}
}

func TestDecidesWhileReloading(t *testing.T) {
	t.Parallel()
	j := load(t, cedar.Config{Mode: cedar.Union})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			who := caller(policy.KeyManager, "C")
			for n := range 200 {
				who.User = auth.UserID(strings.Repeat("u", (n+i)%7))
				if !j.Decide(who, policy.SecretShow, policytest.Public.Target("secret")).Allowed {
					t.Error("refused")
				}
			}
		})
	}
	for range 5 {
		if err := j.Reload(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

func TestCheck(t *testing.T) {
	t.Parallel()
	table := filepath.Join(t.TempDir(), "cases.yaml")
	const text = `
- name: auditors see no values
  user: u1
  project: p1
  roles: [audit]
  action: csms:secret:getVersion
  allow: false
- name: creators read their own private secrets
  user: u1
  project: p1
  roles: [creator]
  action: secret:decrypt
  target: {owner: u1, private: true}
  allow: true
  rules: [barbican/legacy/creator-owner]
- name: nobody reads abroad
  user: u1
  project: p1
  roles: [admin]
  action: secret:decrypt
  target: {project: p2}
  allow: false
- name: the machine manages identity
  operator: true
  action: identity:manage
  allow: true
- {name: creating, user: u1, project: p1, roles: [member], action: kms:cmk:create, allow: true}
- {name: listing, user: u1, project: p1, roles: [reader], action: csms:secret:list, allow: true}
`
	if err := os.WriteFile(table, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cases, err := cedar.ReadCases(table)
	if err != nil || len(cases) != 6 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	c := cedar.Config{Mode: cedar.Legacy}
	if err := cedar.Check(c, cases); err != nil {
		t.Error(err)
	}

	cases[0].Allow = true
	cases[1].Rules = []string{"barbican/legacy/acl"}
	cases[2].Action = "secret:steal"
	err = cedar.Check(c, cases)
	if err == nil {
		t.Fatal("wrong cases were accepted")
	}
	for _, want := range []string{
		`case 1, "auditors see no values": refused, decided by no rule`,
		`case 2, "creators read their own private secrets": allowed as expected, but decided by [barbican/legacy/creator-owner]`,
		`case 3, "nobody reads abroad": there is no action "secret:steal"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %s", err, want)
		}
	}
}

func TestReadCasesRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"- {nmae: x}", "name: x", "- {name: x}\n---\n- {name: y}", "- {name: x, allow: perhaps}"} {
		name := file(t, text)
		if _, err := cedar.ReadCases(name); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	if cases, err := cedar.ReadCases(file(t, "")); err != nil || len(cases) != 0 {
		t.Errorf("an empty file: %v, %v", cases, err)
	}
}
