package identity

import (
	"net/http"
	"slices"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/fault"
)

// issueToken serves POST /v3/auth/tokens.
func (a *API) issueToken(w http.ResponseWriter, r *http.Request, caller auth.Principal) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	body, err := readBody(r, "auth")
	if err != nil {
		return err
	}
	l, err := readLogin(body)
	if err != nil {
		return err
	}
	defer l.Password.Wipe()
	defer l.Secret.Wipe()
	defer l.Token.Wipe()
	issued, err := a.Realm.Authenticate(r.Context(), caller, l)
	if err != nil {
		return err
	}
	w.Header().Set("X-Subject-Token", string(issued.Token.Reveal()))
	a.writeGrant(w, http.StatusCreated, issued.Grant, q)
	return nil
}

// methods are the ways to log in, in Keystone's order of preference.
var methods = []string{realm.Password, realm.Token, realm.AppCredential}

func readLogin(body object) (realm.Login, error) {
	identity, err := body.need("identity")
	if err != nil {
		return realm.Login{}, err
	}
	list, err := identity.list("methods")
	if err != nil {
		return realm.Login{}, err
	}
	if len(list) != 1 {
		return realm.Login{}, identity.bad("methods", "a list of one method")
	}
	method, ok := list[0].(string)
	if !ok || !slices.Contains(methods, method) {
		return realm.Login{}, identity.bad("methods", "password, token or application_credential")
	}
	how, err := identity.need(method)
	if err != nil {
		return realm.Login{}, err
	}
	l := realm.Login{Method: method}
	switch method {
	case realm.Password:
		err = readPassword(how, &l)
	case realm.Token:
		l.Token, err = how.secret("id")
	case realm.AppCredential:
		err = readAppCred(how, &l)
	}
	if err != nil {
		return realm.Login{}, err
	}
	l.Scope, err = readScope(body)
	return l, err
}

func readPassword(how object, l *realm.Login) error {
	user, err := how.need("user")
	if err != nil {
		return err
	}
	if l.User, err = readUser(user); err != nil {
		return err
	}
	l.Password, err = user.secret("password")
	return err
}

// readUser reads {"id"} or {"name","domain"}.
func readUser(user object) (realm.UserRef, error) {
	uid, err := user.word("id")
	if err != nil {
		return realm.UserRef{}, err
	}
	name, err := user.word("name")
	if err != nil {
		return realm.UserRef{}, err
	}
	if uid == "" && (name == "" || !user.has("domain")) {
		return realm.UserRef{}, fault.New(fault.Invalid, user.path+" must have an id, or a name and a domain.")
	}
	domain, err := readDomain(user)
	return realm.UserRef{ID: auth.UserID(uid), Name: name, Domain: domain}, err
}

// readDomain reads the member "domain" of o: {"id"} or {"name"}.
func readDomain(o object) (realm.DomainRef, error) {
	domain, err := o.object("domain")
	if err != nil {
		return realm.DomainRef{}, err
	}
	did, err := domain.word("id")
	if err != nil {
		return realm.DomainRef{}, err
	}
	name, err := domain.word("name")
	if err != nil {
		return realm.DomainRef{}, err
	}
	if o.has("domain") && did == "" && name == "" {
		return realm.DomainRef{}, fault.New(fault.Invalid, domain.path+" must have an id or a name.")
	}
	return realm.DomainRef{ID: did, Name: name}, nil
}

func readAppCred(how object, l *realm.Login) error {
	cid, err := how.word("id")
	if err != nil {
		return err
	}
	l.AppCred = cid
	if cid == "" {
		if l.AppCred, err = how.word("name"); err != nil {
			return err
		}
		if l.AppCred == "" {
			return fault.New(fault.Invalid, how.path+" must have an id, or a name and a user.")
		}
		user, err := how.need("user")
		if err != nil {
			return err
		}
		if l.User, err = readUser(user); err != nil {
			return err
		}
	}
	l.Secret, err = how.secret("secret")
	return err
}

// errSystem is what Keystone says to who has no role on the system.
var errSystem = fault.New(fault.Unauthenticated, "There is no system scope here.")

// readScope reads what the token shall be good for: the word unscoped, or one
// of a project and the domain.
func readScope(body object) (realm.Scope, error) {
	switch s := body.members["scope"].(type) {
	case nil:
		return realm.Scope{}, nil
	case string:
		if s == "unscoped" {
			return realm.Scope{Kind: realm.Nothing}, nil
		}
	}
	scope, err := body.object("scope")
	if err != nil {
		return realm.Scope{}, err
	}
	if len(scope.members) != 1 {
		return realm.Scope{}, body.bad("scope", "an object with one member: project, domain or unscoped")
	}
	switch {
	case scope.has("unscoped"):
		return realm.Scope{Kind: realm.Nothing}, nil
	case scope.has("system"):
		return realm.Scope{}, errSystem
	case scope.has("domain"):
		domain, err := readDomain(scope)
		return realm.Scope{Kind: realm.ToDomain, Domain: domain}, err
	case scope.has("project"):
		return readProjectScope(scope)
	}
	return realm.Scope{}, body.bad("scope", "an object with one member: project, domain or unscoped")
}

// readProjectScope reads {"id"} or {"name","domain"}. There is one domain, so
// Huawei's clients may leave it out, as their manual does.
func readProjectScope(scope object) (realm.Scope, error) {
	project, err := scope.object("project")
	if err != nil {
		return realm.Scope{}, err
	}
	pid, err := project.word("id")
	if err != nil {
		return realm.Scope{}, err
	}
	name, err := project.word("name")
	if err != nil {
		return realm.Scope{}, err
	}
	if pid == "" && name == "" {
		return realm.Scope{}, fault.New(fault.Invalid, project.path+" must have an id or a name.")
	}
	domain, err := readDomain(project)
	return realm.Scope{Kind: realm.ToProject, Project: auth.ProjectID(pid), Name: name, Domain: domain}, err
}

type domainBody struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

var theDomain = domainBody{auth.DefaultDomain.ID, auth.DefaultDomain.Name}

type tokenUser struct {
	Domain            domainBody `json:"domain"`
	ID                string     `json:"id"`
	Name              string     `json:"name"`
	PasswordExpiresAt *string    `json:"password_expires_at"`
}

type tokenProject struct {
	Domain domainBody `json:"domain"`
	ID     string     `json:"id"`
	Name   string     `json:"name"`
}

type namedBody struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type tokenBody struct {
	Methods       []string        `json:"methods"`
	User          tokenUser       `json:"user"`
	AuditIDs      []string        `json:"audit_ids"`
	ExpiresAt     string          `json:"expires_at"`
	IssuedAt      string          `json:"issued_at"`
	Domain        *domainBody     `json:"domain,omitempty"`
	Project       *tokenProject   `json:"project,omitempty"`
	IsDomain      *bool           `json:"is_domain,omitempty"`
	Roles         []namedBody     `json:"roles,omitempty"`
	Catalog       *[]catalogBody  `json:"catalog,omitempty"`
	AppCredential *map[string]any `json:"application_credential,omitempty"`
}

// writeGrant answers with what a token stands for.
func (a *API) writeGrant(w http.ResponseWriter, code int, g realm.Grant, q query) {
	body := tokenBody{
		Methods: g.Methods, AuditIDs: []string{g.AuditID},
		User:      tokenUser{Domain: theDomain, ID: string(g.User.ID), Name: g.User.Name},
		ExpiresAt: stamp(g.ExpiresAt), IssuedAt: stamp(g.IssuedAt),
		Roles: each(g.Roles, func(r auth.Role) namedBody { return namedBody{string(r.ID), r.Name} }),
	}
	if g.Domain {
		body.Domain = &theDomain
	}
	if g.Project.ID != "" {
		isDomain := false
		body.IsDomain = &isDomain
		body.Project = &tokenProject{theDomain, string(g.Project.ID), g.Project.Name}
	}
	if g.Credential != "" {
		body.AppCredential = &map[string]any{"id": g.Credential}
	}
	if (g.Domain || g.Project.ID != "") && !q.on("nocatalog") {
		catalog := a.Catalog.body()
		body.Catalog = &catalog
	}
	wire.WriteJSON(w, code, map[string]any{"token": body})
}
