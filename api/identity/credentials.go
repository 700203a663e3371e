package identity

import (
	"net/http"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/fault"
)

type appCredBody struct {
	ID           string      `json:"id"`
	Name         string      `json:"name"`
	Description  string      `json:"description"`
	ProjectID    string      `json:"project_id"`
	UserID       string      `json:"user_id"`
	Roles        []namedBody `json:"roles"`
	Unrestricted bool        `json:"unrestricted"`
	ExpiresAt    *string     `json:"expires_at"`
	System       *string     `json:"system"`
	Secret       string      `json:"secret,omitempty"` // in the answer to POST alone
	Links        selfBody    `json:"links"`
}

func (a *API) appCredBody(r *http.Request, c auth.ApplicationCredential) appCredBody {
	return appCredBody{
		ID: c.ID, Name: c.Name, Description: c.Description, ProjectID: string(c.Project), UserID: string(c.User),
		Roles:        each(c.Roles, func(role auth.Role) namedBody { return namedBody{string(role.ID), role.Name} }),
		Unrestricted: c.Unrestricted, ExpiresAt: bareOrNull(c.ExpiresAt),
		Links: a.self(r, "/v3/users/%s/application_credentials/%s", c.User, c.ID),
	}
}

// createAppCred serves POST /v3/users/{user}/application_credentials.
func (a *API) createAppCred(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	uid, err := id(r, "user", realm.ErrNoUser)
	if err != nil {
		return err
	}
	body, err := readBody(r, "application_credential")
	if err != nil {
		return err
	}
	in, err := readAppCredential(body)
	if err != nil {
		return err
	}
	defer in.Secret.Wipe()
	c, secret, err := a.Realm.CreateAppCred(r.Context(), who, auth.UserID(uid), in)
	if err != nil {
		return err
	}
	defer secret.Wipe()
	out := a.appCredBody(r, c)
	out.Secret = string(secret.Reveal())
	w.Header().Set("Cache-Control", "no-store")
	wire.WriteJSON(w, http.StatusCreated, map[string]any{"application_credential": out})
	return nil
}

func readAppCredential(body object) (realm.NewAppCred, error) {
	var in realm.NewAppCred
	var err error
	if body.has("access_rules") { // ignoring them would give more than was asked for
		return in, body.bad("access_rules", "absent: they are not supported")
	}
	if in.Name, err = body.word("name"); err != nil {
		return in, err
	}
	if in.Name == "" || len(in.Name) > 255 {
		return in, body.bad("name", "a string of 1 to 255 bytes")
	}
	if in.Description, err = body.word("description"); err != nil {
		return in, err
	}
	if in.ExpiresAt, err = body.time("expires_at"); err != nil {
		return in, err
	}
	unrestricted, err := body.flag("unrestricted")
	if err != nil {
		return in, err
	}
	in.Unrestricted = unrestricted != nil && *unrestricted
	if in.Roles, err = readRoleRefs(body); err != nil {
		return in, err
	}
	if body.has("secret") {
		in.Secret, err = body.secret("secret")
	}
	return in, err
}

func readRoleRefs(body object) ([]realm.RoleRef, error) {
	list, err := body.list("roles")
	if err != nil {
		return nil, err
	}
	var refs []realm.RoleRef
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, body.bad("roles", "a list of objects with an id or a name")
		}
		o := object{body.at("roles"), m}
		rid, err := o.word("id")
		if err != nil {
			return nil, err
		}
		name, err := o.word("name")
		if err != nil {
			return nil, err
		}
		if rid == "" && name == "" {
			return nil, body.bad("roles", "a list of objects with an id or a name")
		}
		refs = append(refs, realm.RoleRef{ID: auth.RoleID(rid), Name: name})
	}
	return refs, nil
}

// listAppCreds serves GET /v3/users/{user}/application_credentials.
func (a *API) listAppCreds(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	uid, err := id(r, "user", realm.ErrNoUser)
	if err != nil {
		return err
	}
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	all, err := a.Realm.AppCreds(r.Context(), who, auth.UserID(uid), q.Get("name"))
	if err != nil {
		return err
	}
	a.writeList(w, r, "application_credentials", each(all, func(c auth.ApplicationCredential) appCredBody {
		return a.appCredBody(r, c)
	}))
	return nil
}

// showAppCred serves GET /v3/users/{user}/application_credentials/{credential}.
func (a *API) showAppCred(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	uid, cid, err := ownedID(r, "credential", realm.ErrNoAppCred)
	if err != nil {
		return err
	}
	c, err := a.Realm.ShowAppCred(r.Context(), who, uid, cid)
	if err != nil {
		return err
	}
	wire.WriteJSON(w, http.StatusOK, map[string]any{"application_credential": a.appCredBody(r, c)})
	return nil
}

// deleteAppCred serves DELETE /v3/users/{user}/application_credentials/{credential}.
func (a *API) deleteAppCred(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	uid, cid, err := ownedID(r, "credential", realm.ErrNoAppCred)
	if err != nil {
		return err
	}
	return noContent(w, a.Realm.DeleteAppCred(r.Context(), who, uid, cid))
}

// ownedID reads a user of the path and something of that user's.
func ownedID(r *http.Request, name string, missing *fault.Error) (auth.UserID, string, error) {
	uid, err := id(r, "user", realm.ErrNoUser)
	if err != nil {
		return "", "", err
	}
	s, err := id(r, name, missing)
	return auth.UserID(uid), s, err
}
