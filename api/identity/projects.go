package identity

import (
	"net/http"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/fault"
)

type projectBody struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	DomainID    string   `json:"domain_id"`
	Description string   `json:"description"`
	Enabled     bool     `json:"enabled"`
	ParentID    string   `json:"parent_id"`
	IsDomain    bool     `json:"is_domain"`
	Tags        []string `json:"tags"`
	Options     struct{} `json:"options"`
	Links       selfBody `json:"links"`
}

func (a *API) projectBody(r *http.Request, p auth.Project) projectBody {
	return projectBody{
		ID: string(p.ID), Name: p.Name, DomainID: auth.DefaultDomain.ID, Description: p.Description,
		Enabled: p.Enabled, ParentID: auth.DefaultDomain.ID, Tags: []string{},
		Links: a.self(r, "/v3/projects/%s", p.ID),
	}
}

func (a *API) writeProjects(w http.ResponseWriter, r *http.Request, all []auth.Project, err error) error {
	if err != nil {
		return err
	}
	a.writeList(w, r, "projects", each(all, func(p auth.Project) projectBody { return a.projectBody(r, p) }))
	return nil
}

func (a *API) writeProject(w http.ResponseWriter, r *http.Request, code int, p auth.Project, err error) error {
	if err != nil {
		return err
	}
	wire.WriteJSON(w, code, map[string]any{"project": a.projectBody(r, p)})
	return nil
}

// listProjects serves GET /v3/projects. Huawei's clients look their project up
// here by the name of a region (aksk-signing.md §10.2).
func (a *API) listProjects(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	if q.elsewhere("domain_id", auth.DefaultDomain.ID) || q.elsewhere("parent_id", auth.DefaultDomain.ID) || q.on("is_domain") {
		return a.writeProjects(w, r, nil, nil)
	}
	all, err := a.Realm.Projects(r.Context(), who, realm.ProjectQuery{Name: q.Get("name"), Enabled: q.flag("enabled")})
	return a.writeProjects(w, r, all, err)
}

// ownProjects serves GET /v3/auth/projects.
func (a *API) ownProjects(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	all, err := a.Realm.OwnProjects(r.Context(), who)
	return a.writeProjects(w, r, all, err)
}

// userProjects serves GET /v3/users/{user}/projects.
func (a *API) userProjects(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	uid, err := id(r, "user", realm.ErrNoUser)
	if err != nil {
		return err
	}
	all, err := a.Realm.Projects(r.Context(), who, realm.ProjectQuery{Member: auth.UserID(uid)})
	return a.writeProjects(w, r, all, err)
}

func readProject(r *http.Request) (realm.ProjectChange, error) {
	var c realm.ProjectChange
	body, err := readBody(r, "project")
	if err != nil {
		return c, err
	}
	if err := oneDomain(body, "domain_id", "parent_id"); err != nil {
		return c, err
	}
	if isDomain, err := body.flag("is_domain"); err != nil || isDomain != nil && *isDomain {
		return c, first(err, body.bad("is_domain", "false"))
	}
	if c.Name, err = body.text("name"); err != nil {
		return c, err
	}
	if c.Description, err = body.text("description"); err != nil {
		return c, err
	}
	c.Enabled, err = body.flag("enabled")
	return c, err
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// oneDomain refuses members that name any domain but the one there is.
func oneDomain(body object, names ...string) error {
	for _, name := range names {
		s, err := body.text(name)
		if err != nil {
			return err
		}
		if s != nil && *s != auth.DefaultDomain.ID {
			return body.bad(name, auth.DefaultDomain.ID+": there is no other")
		}
	}
	return nil
}

// createProject serves POST /v3/projects.
func (a *API) createProject(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	c, err := readProject(r)
	if err != nil {
		return err
	}
	p, err := a.Realm.CreateProject(r.Context(), who, c)
	return a.writeProject(w, r, http.StatusCreated, p, err)
}

// showProject serves GET /v3/projects/{project}.
func (a *API) showProject(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	pid, err := id(r, "project", realm.ErrNoProject)
	if err != nil {
		return err
	}
	p, err := a.Realm.Project(r.Context(), who, auth.ProjectID(pid))
	return a.writeProject(w, r, http.StatusOK, p, err)
}

// updateProject serves PATCH /v3/projects/{project}.
func (a *API) updateProject(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	pid, err := id(r, "project", realm.ErrNoProject)
	if err != nil {
		return err
	}
	c, err := readProject(r)
	if err != nil {
		return err
	}
	p, err := a.Realm.UpdateProject(r.Context(), who, auth.ProjectID(pid), c)
	return a.writeProject(w, r, http.StatusOK, p, err)
}

// deleteProject serves DELETE /v3/projects/{project}.
func (a *API) deleteProject(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	pid, err := id(r, "project", realm.ErrNoProject)
	if err != nil {
		return err
	}
	return noContent(w, a.Realm.DeleteProject(r.Context(), who, auth.ProjectID(pid)))
}

type fullDomainBody struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Enabled     bool     `json:"enabled"`
	Tags        []string `json:"tags"`
	Options     struct{} `json:"options"`
	Links       selfBody `json:"links"`
}

func (a *API) domainBody(r *http.Request) fullDomainBody {
	d := auth.DefaultDomain
	return fullDomainBody{
		ID: d.ID, Name: d.Name, Description: "The one domain.", Enabled: true, Tags: []string{},
		Links: a.self(r, "/v3/domains/%s", d.ID),
	}
}

var errNoDomain = fault.New(fault.NotFound, "Could not find domain.")

// listDomains serves GET /v3/domains and GET /v3/auth/domains.
func (a *API) listDomains(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	found := []fullDomainBody{}
	if !q.elsewhere("name", auth.DefaultDomain.Name) {
		found = append(found, a.domainBody(r))
	}
	a.writeList(w, r, "domains", found)
	return nil
}

// showDomain serves GET /v3/domains/{domain}.
func (a *API) showDomain(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if _, err := domainID(r); err != nil {
		return err
	}
	wire.WriteJSON(w, http.StatusOK, map[string]any{"domain": a.domainBody(r)})
	return nil
}

// domainID reads the domain of the path, which must be the one there is.
func domainID(r *http.Request) (auth.ProjectID, error) {
	did, err := id(r, "domain", errNoDomain)
	if err == nil && did != auth.DefaultDomain.ID {
		err = errNoDomain
	}
	return auth.InDomain, err
}
