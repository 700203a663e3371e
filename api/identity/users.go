package identity

import (
	"net/http"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/sensitive"
)

type userBody struct {
	ID                string   `json:"id"`
	Name              string   `json:"name"`
	DomainID          string   `json:"domain_id"`
	Enabled           bool     `json:"enabled"`
	Description       string   `json:"description,omitempty"`
	Email             string   `json:"email,omitempty"`
	DefaultProjectID  string   `json:"default_project_id,omitempty"`
	PasswordExpiresAt *string  `json:"password_expires_at"`
	Options           struct{} `json:"options"`
	Links             selfBody `json:"links"`
}

func (a *API) userBody(r *http.Request, u auth.User) userBody {
	return userBody{
		ID: string(u.ID), Name: u.Name, DomainID: auth.DefaultDomain.ID, Enabled: u.Enabled,
		Description: u.Description, Email: u.Email, DefaultProjectID: string(u.DefaultProject),
		Links: a.self(r, "/v3/users/%s", u.ID),
	}
}

func (a *API) writeUser(w http.ResponseWriter, r *http.Request, code int, u auth.User, err error) error {
	if err != nil {
		return err
	}
	wire.WriteJSON(w, code, map[string]any{"user": a.userBody(r, u)})
	return nil
}

// listUsers serves GET /v3/users.
func (a *API) listUsers(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	all := []auth.User{}
	if !q.elsewhere("domain_id", auth.DefaultDomain.ID) {
		all, err = a.Realm.Users(r.Context(), who, realm.UserQuery{Name: q.Get("name"), Enabled: q.flag("enabled")})
	}
	if err != nil {
		return err
	}
	a.writeList(w, r, "users", each(all, func(u auth.User) userBody { return a.userBody(r, u) }))
	return nil
}

func readUserChange(r *http.Request) (realm.UserChange, error) {
	var c realm.UserChange
	body, err := readBody(r, "user")
	if err != nil {
		return c, err
	}
	if err := oneDomain(body, "domain_id"); err != nil {
		return c, err
	}
	for name, field := range map[string]**string{
		"name": &c.Name, "email": &c.Email, "description": &c.Description,
	} {
		if *field, err = body.text(name); err != nil {
			return c, err
		}
	}
	if c.Enabled, err = body.flag("enabled"); err != nil {
		return c, err
	}
	project, err := body.text("default_project_id")
	if err != nil {
		return c, err
	}
	if _, there := body.members["default_project_id"]; there { // null takes it away
		c.DefaultProject = new(auth.ProjectID)
		if project != nil {
			*c.DefaultProject = auth.ProjectID(*project)
		}
	}
	if body.has("password") {
		password, err := body.secret("password")
		if err != nil {
			return c, err
		}
		c.Password = &password
	}
	return c, nil
}

// createUser serves POST /v3/users.
func (a *API) createUser(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	c, err := readUserChange(r)
	if err != nil {
		return err
	}
	defer wiped(c.Password)
	u, err := a.Realm.CreateUser(r.Context(), who, c)
	return a.writeUser(w, r, http.StatusCreated, u, err)
}

// showUser serves GET /v3/users/{user}.
func (a *API) showUser(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	uid, err := id(r, "user", realm.ErrNoUser)
	if err != nil {
		return err
	}
	u, err := a.Realm.User(r.Context(), who, auth.UserID(uid))
	return a.writeUser(w, r, http.StatusOK, u, err)
}

// updateUser serves PATCH /v3/users/{user}.
func (a *API) updateUser(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	uid, err := id(r, "user", realm.ErrNoUser)
	if err != nil {
		return err
	}
	c, err := readUserChange(r)
	if err != nil {
		return err
	}
	defer wiped(c.Password)
	u, err := a.Realm.UpdateUser(r.Context(), who, auth.UserID(uid), c)
	return a.writeUser(w, r, http.StatusOK, u, err)
}

// deleteUser serves DELETE /v3/users/{user}.
func (a *API) deleteUser(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	uid, err := id(r, "user", realm.ErrNoUser)
	if err != nil {
		return err
	}
	return noContent(w, a.Realm.DeleteUser(r.Context(), who, auth.UserID(uid)))
}

// changePassword serves POST /v3/users/{user}/password. The old password is
// the proof, so it needs no access token, as in Keystone.
func (a *API) changePassword(w http.ResponseWriter, r *http.Request, caller auth.Principal) error {
	uid, err := id(r, "user", errNoToken)
	if err != nil {
		return err
	}
	body, err := readBody(r, "user")
	if err != nil {
		return err
	}
	var both [2]sensitive.Bytes
	for i, name := range []string{"original_password", "password"} {
		if both[i], err = body.secret(name); err != nil {
			return err
		}
		defer both[i].Wipe()
	}
	return noContent(w, a.Realm.ChangePassword(r.Context(), caller, auth.UserID(uid), both[0], both[1]))
}

// wiped is for a secret that may not have been there.
func wiped(b *sensitive.Bytes) {
	if b != nil {
		b.Wipe()
	}
}
