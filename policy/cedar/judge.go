// Package cedar decides with rules written in the Cedar language. The shipped
// rules mirror the defaults of Barbican and of Huawei's IAM; an operator adds
// files of permits and forbids, and a forbid always wins.
//
// # Where things are
//
//	schema.cedarschema  what a rule may speak of
//	rules/              the shipped rules
//	judge.go            decisions
//	rules.go            files into a set of rules, checked and sorted by action
//	entities.go         principals and targets in the engine's words
//	check.go            an operator's own table of decisions, as tests
package cedar

import (
	"fmt"
	"sync/atomic"

	"github.com/cedar-policy/cedar-go"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
)

// Mode says which of Barbican's two sets of default rules is active.
type Mode string

const (
	Legacy Mode = "legacy" // admin, creator, observer, audit: upstream's default
	New    Mode = "new"    // admin, member, reader: enforce_new_defaults
	Union  Mode = "union"  // what either allows
)

// Config says where the rules come from.
type Config struct {
	Mode  Mode
	Files []string // the operator's own rules, after the shipped ones
}

// What a decision names instead of a rule where a request is refused before
// any rule is asked.
const (
	NoAction  = "strongroom/no-such-action" // the family has no name for it
	NoProject = "strongroom/no-project"     // the caller has no project scope
	NoKind    = "strongroom/no-such-kind"   // no rule can speak of such a target
	reserved  = "strongroom/"               // no file may have a rule of such a name
)

// Judge decides. It may be used concurrently, while Reload runs too.
type Judge struct {
	config  Config
	rules   atomic.Pointer[ruleSet]
	callers callers
}

// Load reads and checks the shipped rules and the operator's files.
func Load(c Config) (*Judge, error) {
	j := &Judge{config: c}
	if err := j.Reload(); err != nil {
		return nil, err
	}
	return j, nil
}

// Reload reads the files anew. Where one of them is wrong, the rules that are
// in force stay in force.
func (j *Judge) Reload() error {
	set, err := readRules(j.config)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	j.rules.Store(set)
	return nil
}

// Decide says whether who may do act on t, and names the rules that made the
// decision: those that permit, or those that forbid. Callers must not change
// Rules.
func (j *Judge) Decide(who auth.Principal, act policy.Action, t policy.Target) policy.Decision {
	set := j.rules.Load()
	rules, known := set.byAction[act.In(who.Family)]
	if !known {
		return refusal(NoAction)
	}
	scoped := who.Family == policy.KeyManager || who.Family == policy.Huawei
	if scoped && who.Project == "" {
		return refusal(NoProject)
	}
	resource, known := resourceOf(who.Family, t)
	if !known {
		return refusal(NoKind)
	}
	world := world{caller: j.callers.entity(who), resource: resource, actions: set.actions}
	request := cedar.Request{Principal: world.caller.UID, Action: rules.action, Resource: resource.UID}
	if rules.asksContext {
		request.Context = circumstances(who, t)
	}
	verdict, why := cedar.Authorize(rules, world, request)
	return set.decision(bool(verdict), why)
}

func refusal(rule string) policy.Decision { return policy.Decision{Rules: []string{rule}} }

// decision translates the engine's answer. A forbid that could not be
// evaluated counts as one that matched: Cedar would leave it out.
func (s *ruleSet) decision(allowed bool, why cedar.Diagnostic) policy.Decision {
	for _, e := range why.Errors {
		if s.forbids[e.PolicyID] {
			return refusal(string(e.PolicyID))
		}
	}
	if len(why.Reasons) == 1 {
		return policy.Decision{Allowed: allowed, Rules: s.alone[why.Reasons[0].PolicyID]}
	}
	var names []string
	for _, r := range why.Reasons {
		names = append(names, string(r.PolicyID))
	}
	return policy.Decision{Allowed: allowed, Rules: names}
}
