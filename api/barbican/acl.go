package barbican

import (
	"net/http"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// aclRoutes are those of the ACLs of secrets (§11).
func (a *API) aclRoutes() []route {
	body := a.Limits.MaxBody
	return []route{
		{"GET", "/v1/secrets/{id}/acl", 0, a.getSecretACL},
		{"PUT", "/v1/secrets/{id}/acl", body, a.putSecretACL},
		{"PATCH", "/v1/secrets/{id}/acl", body, a.patchSecretACL},
		{"DELETE", "/v1/secrets/{id}/acl", 0, a.deleteSecretACL},
	}
}

// aclBody is an ACL as clients see it. read is the only operation there is.
type aclBody struct {
	Read readBody `json:"read"`
}

// readBody has no users and no times where there is no ACL.
type readBody struct {
	ProjectAccess bool           `json:"project-access"`
	Users         *[]auth.UserID `json:"users,omitempty"`
	Created       string         `json:"created,omitempty"`
	Updated       string         `json:"updated,omitempty"`
}

type aclRefBody struct {
	ACLRef string `json:"acl_ref"`
}

func newACLBody(a *secret.ACL) aclBody {
	if a == nil {
		return aclBody{readBody{ProjectAccess: true}}
	}
	return aclBody{readBody{
		ProjectAccess: !a.Private,
		Users:         &a.Readers,
		Created:       formatTime(a.CreatedAt),
		Updated:       formatTime(a.UpdatedAt),
	}}
}

// newACL reads what the body says of an ACL (§11.5). Unlike elsewhere, members
// that nobody knows are refused: a caller who misspells one would think that
// something is private which is not.
func newACL(body object) (c secret.ACLChange, err error) {
	for name := range body.members {
		if name != "read" {
			return c, body.mismatch("None", "only read is allowed")
		}
	}
	if !body.has("read") {
		return c, nil
	}
	members, ok := body.members["read"].(map[string]any)
	if !ok {
		return c, body.mismatch("read", "read must be an object")
	}
	for name, value := range members {
		switch name {
		case "project-access":
			shared, ok := value.(bool)
			if !ok {
				return c, body.mismatch("read", "project-access must be a boolean")
			}
			private := !shared
			c.Private = &private
		case "users":
			if c.Readers, err = newReaders(body, value); err != nil {
				return c, err
			}
		default:
			return c, body.mismatch("read", "only users and project-access are allowed")
		}
	}
	return c, nil
}

// newReaders reads a list of users. Whether they exist is not checked: an
// identity service may know them later.
func newReaders(body object, value any) (*[]auth.UserID, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, body.mismatch("read", "users must be an array")
	}
	users := make([]auth.UserID, len(list))
	for i, item := range list {
		text, ok := item.(string)
		if !ok {
			return nil, body.mismatch("read", "users must be strings")
		}
		if err := body.storable("users", text); err != nil {
			return nil, err
		}
		users[i] = auth.UserID(text)
	}
	return &users, nil
}

// getSecretACL serves GET /v1/secrets/{id}/acl (§11.1).
func (a *API) getSecretACL(c *call) error {
	sec, err := c.locateFor(policy.SecretACLRead, secret.Want{})
	if err != nil {
		return err
	}
	acl, err := sec.ACL(c.r.Context())
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, newACLBody(acl))
	return nil
}

// putSecretACL serves PUT /v1/secrets/{id}/acl (§11.2).
func (a *API) putSecretACL(c *call) error {
	sec, change, err := c.aclChange()
	if err != nil {
		return err
	}
	if err := sec.SetACL(c.r.Context(), change); err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, aclRefBody{c.here() + "/acl"})
	return nil
}

// patchSecretACL serves PATCH /v1/secrets/{id}/acl (§11.3).
func (a *API) patchSecretACL(c *call) error {
	sec, change, err := c.aclChange()
	if err != nil {
		return err
	}
	if err := sec.PatchACL(c.r.Context(), change); err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, aclRefBody{c.here() + "/acl"})
	return nil
}

func (c *call) aclChange() (sec *secret.Located, change secret.ACLChange, err error) {
	if sec, err = c.locateFor(policy.SecretACLWrite, secret.Want{}); err != nil {
		return nil, change, err
	}
	body, err := c.object("ACL")
	if err != nil {
		return nil, change, err
	}
	change, err = newACL(body)
	return sec, change, err
}

// deleteSecretACL serves DELETE /v1/secrets/{id}/acl. A client reads the answer
// as JSON, so it is one (§11.4).
func (a *API) deleteSecretACL(c *call) error {
	sec, err := c.locateFor(policy.SecretACLDrop, secret.Want{})
	if err != nil {
		return err
	}
	if err := sec.DropACL(c.r.Context()); err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, nil)
	return nil
}
