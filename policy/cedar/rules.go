package cedar

import (
	"embed"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
	expast "github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed schema.cedarschema rules/*.cedar
var shipped embed.FS

// files has the shipped rules of each mode.
var files = map[Mode][]string{
	Legacy: {"barbican-legacy.cedar", "huawei.cedar", "identity.cedar"},
	New:    {"barbican-new.cedar", "huawei.cedar", "identity.cedar"},
	Union:  {"barbican-legacy.cedar", "barbican-new.cedar", "huawei.cedar", "identity.cedar"},
}

// ruleSet is all rules, as one state that is replaced as a whole.
type ruleSet struct {
	actions  cedar.EntityMap             // with the groups that each is in
	byAction map[string]*actionRules     // by the action's name; groups are not in it
	forbids  map[cedar.PolicyID]bool     // which rules forbid
	alone    map[cedar.PolicyID][]string // what a decision says that one rule made
}

// actionRules has the rules whose scope covers one action, in the order of
// files. Whatever the engine would ask of the others, they could not match.
type actionRules struct {
	action      cedar.EntityUID
	rules       []rule
	asksContext bool
}

type rule struct {
	id     cedar.PolicyID
	policy *cedar.Policy
}

// All implements cedar.PolicyIterator.
func (a *actionRules) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range a.rules {
			if !yield(r.id, r.policy) {
				return
			}
		}
	}
}

func readRules(c Config) (*ruleSet, error) {
	known, err := readSchema()
	if err != nil {
		return nil, err
	}
	names, ok := files[c.Mode]
	if !ok {
		return nil, fmt.Errorf("mode %q is none of legacy, new, union", c.Mode)
	}
	b := newBuilder(known)
	for _, name := range names {
		text, err := shipped.ReadFile("rules/" + name)
		if err != nil {
			return nil, err
		}
		b.add("shipped "+name, text)
	}
	for _, name := range c.Files {
		text, err := os.ReadFile(filepath.Clean(name))
		if err != nil {
			return nil, err
		}
		b.add(name, text)
	}
	if err := errors.Join(b.wrong...); err != nil {
		return nil, err
	}
	return b.set, nil
}

func readSchema() (*resolved.Schema, error) {
	text, err := shipped.ReadFile("schema.cedarschema")
	if err != nil {
		return nil, err
	}
	var s schema.Schema
	s.SetFilename("schema.cedarschema")
	if err := s.UnmarshalCedar(text); err != nil {
		return nil, err
	}
	return s.Resolve()
}

// builder collects rules, and what is wrong with them: an operator wants to
// hear of all mistakes at once.
type builder struct {
	known *resolved.Schema
	check *validate.Validator
	set   *ruleSet
	where map[cedar.PolicyID]string
	wrong []error
}

func newBuilder(known *resolved.Schema) *builder {
	b := &builder{
		known: known,
		check: validate.New(known),
		where: map[cedar.PolicyID]string{},
		set: &ruleSet{
			actions:  cedar.EntityMap{},
			byAction: map[string]*actionRules{},
			forbids:  map[cedar.PolicyID]bool{},
			alone:    map[cedar.PolicyID][]string{},
		},
	}
	for uid, a := range known.Actions {
		b.set.actions[uid] = a.Entity
		if a.AppliesTo != nil {
			b.set.byAction[string(uid.ID)] = &actionRules{action: uid}
		}
	}
	return b
}

func (b *builder) add(file string, text []byte) {
	list, err := cedar.NewPolicyListFromBytes(file, text)
	if err != nil {
		b.wrong = append(b.wrong, fmt.Errorf("%s: %w", file, err))
		return
	}
	for _, p := range list {
		at := fmt.Sprintf("%s:%d", file, p.Position().Line)
		id := cedar.PolicyID(p.Annotations()["id"])
		if err := b.addRule(id, at, p); err != nil {
			b.wrong = append(b.wrong, fmt.Errorf("%s: rule %q: %w", at, id, err))
		}
	}
}

func (b *builder) addRule(id cedar.PolicyID, at string, p *cedar.Policy) error {
	if id == "" {
		return errors.New(`it has no @id("…"), and decisions could not name it`)
	}
	if strings.HasPrefix(string(id), reserved) {
		return fmt.Errorf("names that begin with %s are the product's own", reserved)
	}
	if first, taken := b.where[id]; taken {
		return fmt.Errorf("the name is taken by the rule at %s", first)
	}
	b.where[id] = at
	source := b.grouped(p.AST())
	if err := b.check.Policy("", (*expast.Policy)(source)); err != nil {
		return err
	}
	b.set.forbids[id] = p.Effect() == cedar.Forbid
	b.set.alone[id] = []string{string(id)}
	b.index(id, source)
	return nil
}

// grouped lets "action == a group" mean "action in the group": nothing ever
// asks for the group itself, and IAM treats an alias and its action as equal.
func (b *builder) grouped(p *ast.Policy) *ast.Policy {
	eq, ok := p.Action.(expast.ScopeTypeEq)
	if !ok {
		return p
	}
	if a, known := b.known.Actions[eq.Entity]; !known || a.AppliesTo != nil {
		return p
	}
	out := *p
	out.Action = expast.ScopeTypeIn(eq)
	return &out
}

// index puts a rule to the actions that its scope covers. What the scope says
// of the action is then settled, and the engine need not ask it again.
func (b *builder) index(id cedar.PolicyID, p *ast.Policy) {
	settled := *p
	settled.Action = expast.ScopeTypeAll{}
	compiled := cedar.NewPolicyFromAST(&settled)
	asksContext := strings.Contains(string(compiled.MarshalCedar()), "context")
	for _, a := range b.set.byAction {
		if b.covers(p.Action, a.action) {
			a.rules = append(a.rules, rule{id, compiled})
			a.asksContext = a.asksContext || asksContext
		}
	}
}

func (b *builder) covers(scope expast.IsActionScopeNode, action cedar.EntityUID) bool {
	switch s := scope.(type) {
	case expast.ScopeTypeAll:
		return true
	case expast.ScopeTypeEq:
		return s.Entity == action
	case expast.ScopeTypeIn:
		return b.within(action, s.Entity)
	case expast.ScopeTypeInSet:
		for _, group := range s.Entities {
			if b.within(action, group) {
				return true
			}
		}
	}
	return false
}

func (b *builder) within(action, group cedar.EntityUID) bool {
	if action == group {
		return true
	}
	for parent := range b.set.actions[action].Parents.All() {
		if b.within(parent, group) {
			return true
		}
	}
	return false
}
