package identity

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
)

type roleBody struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	DomainID    *string  `json:"domain_id"`
	Description string   `json:"description"`
	Options     struct{} `json:"options"`
	Links       selfBody `json:"links"`
}

func (a *API) roleBody(r *http.Request, role auth.Role) roleBody {
	return roleBody{ID: string(role.ID), Name: role.Name, Description: role.Description, Links: a.self(r, "/v3/roles/%s", role.ID)}
}

func (a *API) writeRoles(w http.ResponseWriter, r *http.Request, all []auth.Role) {
	a.writeList(w, r, "roles", each(all, func(role auth.Role) roleBody { return a.roleBody(r, role) }))
}

func (a *API) writeRole(w http.ResponseWriter, r *http.Request, code int, role auth.Role, err error) error {
	if err != nil {
		return err
	}
	wire.WriteJSON(w, code, map[string]any{"role": a.roleBody(r, role)})
	return nil
}

// listRoles serves GET /v3/roles.
func (a *API) listRoles(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	all := []auth.Role{}
	if q.Get("domain_id") == "" { // no role belongs to a domain
		all, err = a.Realm.Roles(r.Context(), who, q.Get("name"))
	}
	if err != nil {
		return err
	}
	a.writeRoles(w, r, all)
	return nil
}

func readRole(r *http.Request) (realm.RoleChange, error) {
	var c realm.RoleChange
	body, err := readBody(r, "role")
	if err != nil {
		return c, err
	}
	if body.has("domain_id") {
		return c, body.bad("domain_id", "null: roles belong to no domain")
	}
	if c.Name, err = body.text("name"); err != nil {
		return c, err
	}
	c.Description, err = body.text("description")
	return c, err
}

// createRole serves POST /v3/roles.
func (a *API) createRole(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	c, err := readRole(r)
	if err != nil {
		return err
	}
	role, err := a.Realm.CreateRole(r.Context(), who, c)
	return a.writeRole(w, r, http.StatusCreated, role, err)
}

// showRole serves GET /v3/roles/{role}.
func (a *API) showRole(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	rid, err := id(r, "role", realm.ErrNoRole)
	if err != nil {
		return err
	}
	role, err := a.Realm.Role(r.Context(), who, auth.RoleID(rid))
	return a.writeRole(w, r, http.StatusOK, role, err)
}

// updateRole serves PATCH /v3/roles/{role}.
func (a *API) updateRole(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	rid, err := id(r, "role", realm.ErrNoRole)
	if err != nil {
		return err
	}
	c, err := readRole(r)
	if err != nil {
		return err
	}
	role, err := a.Realm.UpdateRole(r.Context(), who, auth.RoleID(rid), c)
	return a.writeRole(w, r, http.StatusOK, role, err)
}

// deleteRole serves DELETE /v3/roles/{role}.
func (a *API) deleteRole(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	rid, err := id(r, "role", realm.ErrNoRole)
	if err != nil {
		return err
	}
	return noContent(w, a.Realm.DeleteRole(r.Context(), who, auth.RoleID(rid)))
}

// assignment reads the path of a grant: in a project or in the domain.
func assignment(r *http.Request) (auth.Assignment, error) {
	var a auth.Assignment
	place := auth.InDomain
	if _, ok := mux.Vars(r)["project"]; ok {
		pid, err := id(r, "project", realm.ErrNoProject)
		if err == nil && pid == auth.DefaultDomain.ID {
			err = realm.ErrNoProject // it is a domain
		}
		if err != nil {
			return a, err
		}
		place = auth.ProjectID(pid)
	} else if _, err := domainID(r); err != nil {
		return a, err
	}
	uid, err := id(r, "user", realm.ErrNoUser)
	if err != nil {
		return a, err
	}
	rid, err := id(r, "role", realm.ErrNoRole) // empty where the path has none
	return auth.Assignment{Project: place, User: auth.UserID(uid), Role: auth.RoleID(rid)}, err
}

// assign serves PUT on a grant.
func (a *API) assign(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	as, err := assignment(r)
	if err != nil {
		return err
	}
	return noContent(w, a.Realm.Assign(r.Context(), who, as))
}

// unassign serves DELETE on a grant.
func (a *API) unassign(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	as, err := assignment(r)
	if err != nil {
		return err
	}
	return noContent(w, a.Realm.Unassign(r.Context(), who, as))
}

// checkAssignment serves GET and HEAD on a grant.
func (a *API) checkAssignment(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	as, err := assignment(r)
	if err != nil {
		return err
	}
	found, err := a.Realm.Assignments(r.Context(), who, as)
	if err == nil && len(found) == 0 {
		err = realm.ErrNoAssignment
	}
	return noContent(w, err)
}

// assignedRoles serves GET on the grants of a user in one place.
func (a *API) assignedRoles(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	as, err := assignment(r)
	if err != nil {
		return err
	}
	found, err := a.Realm.Assignments(r.Context(), who, as)
	if err != nil {
		return err
	}
	a.writeRoles(w, r, each(found, func(n realm.NamedAssignment) auth.Role {
		return auth.Role{ID: n.Role, Name: n.RoleName}
	}))
	return nil
}

// party is one part of an assignment; the names only where they were asked for.
type party struct {
	ID     string      `json:"id"`
	Name   string      `json:"name,omitempty"`
	Domain *domainBody `json:"domain,omitempty"`
}

type assignmentBody struct {
	Scope map[string]party  `json:"scope"`
	User  party             `json:"user"`
	Role  party             `json:"role"`
	Links map[string]string `json:"links"`
}

func (a *API) assignmentBody(r *http.Request, n realm.NamedAssignment, names bool) assignmentBody {
	in, place := "project", "projects"
	scope := party{ID: string(n.Project)}
	b := assignmentBody{User: party{ID: string(n.User)}, Role: party{ID: string(n.Role)}}
	if names {
		scope.Name, b.User.Name, b.Role.Name = n.ProjectName, n.UserName, n.RoleName
		scope.Domain, b.User.Domain = &theDomain, &theDomain
	}
	if n.Project == auth.InDomain {
		in, place, scope.Domain = "domain", "domains", nil
	}
	b.Scope = map[string]party{in: scope}
	b.Links = map[string]string{
		"assignment": a.self(r, "/v3/%s/%s/users/%s/roles/%s", place, n.Project, n.User, n.Role).Self,
	}
	return b
}

// listAssignments serves GET /v3/role_assignments.
func (a *API) listAssignments(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	want := auth.Assignment{
		Project: auth.ProjectID(q.Get("scope.project.id")),
		User:    auth.UserID(q.Get("user.id")),
		Role:    auth.RoleID(q.Get("role.id")),
	}
	if domain := q.Get("scope.domain.id"); domain != "" {
		want.Project = auth.ProjectID(domain)
	}
	found := []realm.NamedAssignment{}
	if q.Get("group.id") == "" && !q.Has("scope.system") {
		if found, err = a.Realm.Assignments(r.Context(), who, want); err != nil {
			return err
		}
	}
	a.writeList(w, r, "role_assignments", each(found, func(n realm.NamedAssignment) assignmentBody {
		return a.assignmentBody(r, n, q.on("include_names"))
	}))
	return nil
}
