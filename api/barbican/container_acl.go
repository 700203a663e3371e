package barbican

import (
	"context"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// getContainerACL serves GET /v1/containers/{id}/acl (§11.1).
func (a *API) getContainerACL(c *call) error {
	found, err := c.locateContainerFor(policy.ContainerACLRead, container.Want{})
	if err != nil {
		return err
	}
	acl, err := found.ACL(c.r.Context())
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, newACLBody(acl))
	return nil
}

// putContainerACL serves PUT /v1/containers/{id}/acl (§11.2).
func (a *API) putContainerACL(c *call) error {
	return c.changeContainerACL((*container.Located).SetACL)
}

// patchContainerACL serves PATCH /v1/containers/{id}/acl (§11.3).
func (a *API) patchContainerACL(c *call) error {
	return c.changeContainerACL((*container.Located).PatchACL)
}

func (c *call) changeContainerACL(change func(*container.Located, context.Context, secret.ACLChange) error) error {
	found, err := c.locateContainerFor(policy.ContainerACLWrite, container.Want{})
	if err != nil {
		return err
	}
	body, err := c.object("ACL")
	if err != nil {
		return err
	}
	said, err := newACL(body)
	if err != nil {
		return err
	}
	if err := change(found, c.r.Context(), said); err != nil {
		return err
	}
	ref := c.containerRef(container.ID(mux.Vars(c.r)["id"])) + "/acl"
	wire.WriteJSON(c.w, http.StatusOK, aclRefBody{ACLRef: ref})
	return nil
}

// deleteContainerACL serves DELETE /v1/containers/{id}/acl. Clients parse the
// answer, so it is null and not empty (§11.4).
func (a *API) deleteContainerACL(c *call) error {
	found, err := c.locateContainerFor(policy.ContainerACLDrop, container.Want{})
	if err != nil {
		return err
	}
	if err := found.DropACL(c.r.Context()); err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, nil)
	return nil
}
