package cedar

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
)

// Case is one row of an operator's own table: who asks for what, and what the
// rules must answer. Actions have the names that rules use. What is left out of
// the target is as a caller finds it in the own project: Project is the
// caller's, Kind fits the action.
type Case struct {
	Name     string   `yaml:"name"`
	User     string   `yaml:"user"`
	Project  string   `yaml:"project"`
	Domain   string   `yaml:"domain"`
	Roles    []string `yaml:"roles"`
	Method   string   `yaml:"method"` // token, signature, header, operator
	From     string   `yaml:"from"`   // address
	Operator bool     `yaml:"operator"`

	Action string `yaml:"action"`
	Target Target `yaml:"target"`

	Allow bool     `yaml:"allow"`
	Rules []string `yaml:"rules"` // if given, exactly these must have decided
}

// Target is what a Case asks for.
type Target struct {
	Kind    string   `yaml:"kind"`
	Project string   `yaml:"project"`
	ID      string   `yaml:"id"`
	Name    string   `yaml:"name"`
	Owner   string   `yaml:"owner"`
	Private bool     `yaml:"private"`
	Readers []string `yaml:"readers"`
	Key     string   `yaml:"key"`
	Version string   `yaml:"version"`
	Stage   string   `yaml:"stage"`
}

// ReadCases reads a YAML list of cases. A name that no Case has is an error.
func ReadCases(file string) ([]Case, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	var cases []Case
	if err := d.Decode(&cases); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := d.Decode(new([]Case)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more than one YAML document", file)
	}
	return cases, nil
}

// Check loads the rules and asks them every case. The error names each case
// that was decided otherwise, with the rules that decided it.
func Check(c Config, cases []Case) error {
	j, err := Load(c)
	if err != nil {
		return err
	}
	var wrong []error
	for i, want := range cases {
		if err := j.check(want); err != nil {
			wrong = append(wrong, fmt.Errorf("case %d, %q: %w", i+1, want.Name, err))
		}
	}
	return errors.Join(wrong...)
}

func (j *Judge) check(want Case) error {
	who, act, t, err := want.request()
	if err != nil {
		return err
	}
	got := j.Decide(who, act, t)
	if got.Allowed != want.Allow {
		return fmt.Errorf("%s, decided by %s", verdict(got.Allowed), rules(got.Rules))
	}
	if want.Rules != nil && !slices.Equal(slices.Sorted(slices.Values(want.Rules)), slices.Sorted(slices.Values(got.Rules))) {
		return fmt.Errorf("%s as expected, but decided by %s", verdict(got.Allowed), rules(got.Rules))
	}
	return nil
}

func verdict(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "refused"
}

func rules(names []string) string {
	if len(names) == 0 {
		return "no rule"
	}
	return fmt.Sprint(names)
}

// request is what the gate would be asked.
func (c Case) request() (auth.Principal, policy.Action, policy.Target, error) {
	family, act, ok := named(c.Action)
	if !ok {
		return auth.Principal{}, "", policy.Target{}, fmt.Errorf("there is no action %q", c.Action)
	}
	if c.Operator {
		family = policy.Operator
	}
	who := auth.Principal{
		User: auth.UserID(c.User), Project: auth.ProjectID(c.Project), Domain: c.Domain,
		Roles: c.Roles, Method: auth.Method(c.Method), From: c.From, Family: family,
	}
	t := policy.Target(c.Target)
	if t.Project == "" {
		t.Project = c.Project
	}
	if t.Kind == "" {
		t.Kind = kindFor(act)
	}
	return who, act, t, nil
}

// named finds an action by the name that rules use.
func named(name string) (policy.Family, policy.Action, bool) {
	for _, f := range []policy.Family{policy.KeyManager, policy.Huawei, policy.Identity} {
		for _, a := range policy.Actions() {
			if name != "" && a.In(f) == name {
				return f, a, true
			}
		}
	}
	return policy.NoFamily, "", false
}

// kindFor is the kind of thing that an action is asked for.
func kindFor(a policy.Action) string {
	switch a {
	case policy.SecretCreate, policy.SecretList:
		return "project"
	case policy.KeyCreate, policy.DataKeyCreate, policy.DataKeyOpen:
		return "key"
	case policy.IdentityRead, policy.IdentityManage:
		return "user"
	default:
		return "secret"
	}
}
