package realm

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// BuiltInRoles are the roles that every installation has. Keystone's clients
// expect them.
var BuiltInRoles = []string{"admin", "member", "reader"}

// Accounts is a file that fills a realm, for strongroom dev and for tests. It
// holds passwords in the clear, so it protects nothing.
type Accounts struct {
	Roles    []string  `json:"roles"`
	Projects []string  `json:"projects"`
	Users    []Persona `json:"users"`
}

// Persona is one user in one project of it. Listed twice, it is in both.
type Persona struct {
	Name      string   `json:"name"`
	Password  string   `json:"password"`
	Project   string   `json:"project"`
	Roles     []string `json:"roles"`
	AccessKey string   `json:"access_key"`
	SecretKey string   `json:"secret_key"`
}

// ReadAccounts reads one JSON object and nothing that it does not know.
func ReadAccounts(r io.Reader) (Accounts, error) {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	var a Accounts
	if err := dec.Decode(&a); err != nil {
		return Accounts{}, fault.New(fault.Invalid, "accounts: "+misread(err))
	}
	if _, err := dec.Token(); err != io.EOF {
		return Accounts{}, fault.New(fault.Invalid, "accounts: something follows the JSON object")
	}
	for i, u := range a.Users {
		if u.Name == "" || u.Project == "" || (u.AccessKey == "") != (u.SecretKey == "") {
			return Accounts{}, fault.New(fault.Invalid, fmt.Sprintf(
				"accounts: users[%d] needs a name, a project, and access_key and secret_key together", i))
		}
	}
	return a, nil
}

// misread says what is wrong with a file, and nothing that it holds: a member's
// name at most.
func misread(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
		return e.Field + " has the wrong type"
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("not JSON, at byte %d", e.Offset)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "there is no member " + name
	}
	return "not a JSON object"
}

// Bootstrap makes the built-in roles that are missing. It may be repeated.
func (s *Service) Bootstrap(ctx context.Context) error {
	for _, name := range BuiltInRoles {
		if _, err := s.ensureRole(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Load makes what the accounts name and the realm lacks. Passwords and access
// keys that differ become those of the file; nothing is taken away. It may be
// repeated, and run on several nodes at once.
func (s *Service) Load(ctx context.Context, a Accounts) error {
	if err := s.Bootstrap(ctx); err != nil {
		return err
	}
	for _, name := range a.Roles {
		if _, err := s.ensureRole(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range a.Projects {
		if _, err := s.ensureProject(ctx, name); err != nil {
			return err
		}
	}
	for _, p := range a.Users {
		if err := s.ensurePersona(ctx, p); err != nil {
			return fmt.Errorf("account %s: %w", p.Name, err)
		}
	}
	return nil
}

func (s *Service) ensurePersona(ctx context.Context, p Persona) error {
	project, err := s.ensureProject(ctx, p.Project)
	if err != nil {
		return err
	}
	u, err := s.ensureUser(ctx, p, project)
	if err != nil {
		return err
	}
	for _, name := range p.Roles {
		r, err := s.ensureRole(ctx, name)
		if err != nil {
			return err
		}
		if err := s.Assign(ctx, Operator(), auth.Assignment{Project: project, User: u, Role: r}); err != nil {
			return fmt.Errorf("assign role %s: %w", name, err)
		}
	}
	if p.AccessKey == "" {
		return nil
	}
	return s.ensureKey(ctx, p, u, project)
}

func (s *Service) ensureRole(ctx context.Context, name string) (auth.RoleID, error) {
	made, err := s.CreateRole(ctx, Operator(), RoleChange{Name: &name})
	if !errors.Is(err, ErrNameTaken) {
		return made.ID, wrapName("make role", name, err)
	}
	found, err := s.Roles(ctx, Operator(), name)
	if err == nil && len(found) == 0 {
		err = ErrNoRole // it went meanwhile
	}
	if err != nil {
		return "", wrapName("find role", name, err)
	}
	return found[0].ID, nil
}

func (s *Service) ensureProject(ctx context.Context, name string) (auth.ProjectID, error) {
	made, err := s.CreateProject(ctx, Operator(), ProjectChange{Name: &name})
	if !errors.Is(err, ErrNameTaken) {
		return made.ID, wrapName("make project", name, err)
	}
	found, err := s.deps.Store.ListProjects(ctx, ProjectQuery{Name: name})
	if err == nil && len(found) == 0 {
		err = ErrNoProject
	}
	if err != nil {
		return "", wrapName("find project", name, err)
	}
	return found[0].ID, nil
}

func wrapName(doing, name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", doing, name, err)
	}
	return nil
}

func (s *Service) ensureUser(ctx context.Context, p Persona, project auth.ProjectID) (auth.UserID, error) {
	change := UserChange{Name: &p.Name, DefaultProject: &project}
	if p.Password != "" {
		password := sensitive.Take([]byte(p.Password))
		defer password.Wipe()
		change.Password = &password
	}
	a, err := s.deps.Store.FindLogin(ctx, "", p.Name)
	if errors.Is(err, ErrNoUser) {
		made, err := s.CreateUser(ctx, Operator(), change)
		if !errors.Is(err, ErrNameTaken) {
			return made.ID, err
		}
		a, err = s.deps.Store.FindLogin(ctx, "", p.Name)
		if err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	if change.Password == nil {
		return a.User.ID, nil
	}
	same, err := s.deps.Passwords.Verify(ctx, *change.Password, a.Hash)
	if err != nil || same {
		return a.User.ID, err
	}
	_, err = s.UpdateUser(ctx, Operator(), a.User.ID, UserChange{Password: change.Password})
	return a.User.ID, err
}

// ensureKey makes an access key, or makes it anew where it has another secret,
// another user or is disabled.
func (s *Service) ensureKey(ctx context.Context, p Persona, u auth.UserID, project auth.ProjectID) error {
	_, err := s.deps.Store.FindAccessKey(ctx, p.AccessKey)
	if err != nil && !errors.Is(err, ErrNoAccessKey) {
		return err
	}
	if err == nil {
		k, err := s.AccessKey(ctx, p.AccessKey)
		if err == nil && k.User == u && subtle.ConstantTimeCompare(k.Secret.Reveal(), []byte(p.SecretKey)) == 1 {
			return nil
		}
		if err != nil && fault.KindOf(err) != fault.Unauthenticated {
			return err
		}
		if err := s.DeleteAccessKey(ctx, Operator(), p.AccessKey); err != nil && !errors.Is(err, ErrNoAccessKey) {
			return err
		}
	}
	_, err = s.CreateAccessKey(ctx, Operator(), NewAccessKey{
		User: u, Project: project, ID: p.AccessKey, Secret: sensitive.Take([]byte(p.SecretKey)),
	})
	if errors.Is(err, ErrKeyTaken) { // another node was quicker
		return nil
	}
	return err
}
