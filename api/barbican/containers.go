package barbican

import (
	"net/http"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/policy"
)

func (a *API) containerRoutes() []route {
	body := a.Limits.MaxBody
	return []route{
		{"GET", "/v1/containers", 0, a.listContainers},
		{"POST", "/v1/containers", body, a.createContainer},
		{"GET", "/v1/containers/{id}", 0, a.getContainer},
		{"DELETE", "/v1/containers/{id}", 0, a.deleteContainer},
		{"POST", "/v1/containers/{id}/secrets", body, a.addContainerSecret},
		{"DELETE", "/v1/containers/{id}/secrets", body, a.removeContainerSecret},
		{"GET", "/v1/containers/{id}/acl", 0, a.getContainerACL},
		{"PUT", "/v1/containers/{id}/acl", body, a.putContainerACL},
		{"PATCH", "/v1/containers/{id}/acl", body, a.patchContainerACL},
		{"DELETE", "/v1/containers/{id}/acl", 0, a.deleteContainerACL},
		{"GET", "/v1/containers/{id}/consumers", 0, a.listContainerConsumers},
		{"POST", "/v1/containers/{id}/consumers", body, a.addContainerConsumer},
		{"DELETE", "/v1/containers/{id}/consumers", body, a.removeContainerConsumer},
		{"GET", "/v1/containers/{id}/consumers/{consumer}", 0, a.getContainerConsumer},
	}
}

// locateContainer finds the container that the path names, for an operation
// that act is the name of. The older form of a path sees the caller's project
// only.
func (c *call) locateContainer(act policy.Action, want container.Want) (*container.Located, error) {
	text, err := c.id()
	if err != nil {
		return nil, err
	}
	id := container.ID(text)
	h := container.Anywhere(id)
	if c.project != "" {
		h = container.Within(c.project, id)
	}
	return c.api.Containers.Locate(c.r.Context(), c.who, act, h, want)
}

// locateContainerFor finds the container that the path names, and makes all
// checks before the body of a call that answers nothing but JSON.
func (c *call) locateContainerFor(act policy.Action, want container.Want) (*container.Located, error) {
	found, err := c.locateContainer(act, want)
	if err != nil {
		return nil, err
	}
	if err := c.acceptsJSON(); err != nil {
		return nil, err
	}
	return found, found.May(c.r.Context(), act)
}

// createContainer serves POST /v1/containers (§12.2).
func (a *API) createContainer(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	if err := a.Containers.MayCreate(c.r.Context(), c.who); err != nil {
		return err
	}
	body, err := c.object("Container")
	if err != nil {
		return err
	}
	in, err := newContainer(body, c.base())
	if err != nil {
		return err
	}
	made, err := a.Containers.Create(c.r.Context(), c.who, in)
	if err != nil {
		return err
	}
	c.createdContainer(made.ID)
	return nil
}

// createdContainer answers a creation, and the addition of a secret.
func (c *call) createdContainer(id container.ID) {
	ref := c.containerRef(id)
	c.w.Header().Set("Location", ref)
	wire.WriteJSON(c.w, http.StatusCreated, containerRefBody{ContainerRef: ref})
}

// listContainers serves GET /v1/containers (§12.3).
func (a *API) listContainers(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	if err := a.Containers.MayList(c.r.Context(), c.who); err != nil {
		return err
	}
	q, err := parseQuery(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	var selection container.Query
	if selection.Name, err = q.pattern("name"); err != nil {
		return err
	}
	if selection.Type, err = q.text("type"); err != nil {
		return err
	}
	p := q.page(a.Limits)
	selection.Limit, selection.Offset = p.limit, p.offset
	containers, total, err := a.Containers.List(c.r.Context(), c.who, selection)
	if err != nil {
		return err
	}
	body := containerListBody{Containers: []containerBody{}, Total: total}
	for _, k := range containers {
		body.Containers = append(body.Containers, c.containerBody(k))
	}
	body.Previous, body.Next = p.links(c.collectionOf("containers"), q, len(containers), total)
	wire.WriteJSON(c.w, http.StatusOK, body)
	return nil
}

// getContainer serves GET /v1/containers/{id}.
func (a *API) getContainer(c *call) error {
	found, err := c.locateContainerFor(policy.ContainerShow, container.Want{Contents: true})
	if err != nil {
		return err
	}
	shown, err := found.Show(c.r.Context())
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, c.containerBody(shown))
	return nil
}

// deleteContainer serves DELETE /v1/containers/{id}, whatever Accept says
// (§5.2).
func (a *API) deleteContainer(c *call) error {
	found, err := c.locateContainer(policy.ContainerDelete, container.Want{})
	if err != nil {
		return err
	}
	if err := found.Delete(c.r.Context()); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// addContainerSecret serves POST /v1/containers/{id}/secrets (§12.5). That the
// container takes none comes before anything about the body.
func (a *API) addContainerSecret(c *call) error {
	found, err := c.locateContainerFor(policy.ContainerSecretAdd, container.Want{})
	if err != nil {
		return err
	}
	if err := c.sendsJSON(); err != nil {
		return err
	}
	if err := found.TakesEntries(c.r.Context()); err != nil {
		return err
	}
	body, err := c.anyObject("ContainerSecret")
	if err != nil {
		return err
	}
	e, err := newEntry(body)
	if err != nil {
		return err
	}
	if err := found.Add(c.r.Context(), e); err != nil {
		return err
	}
	id, err := c.id()
	if err != nil {
		return err
	}
	c.createdContainer(container.ID(id))
	return nil
}

// removeContainerSecret serves DELETE /v1/containers/{id}/secrets, whatever
// Accept and Content-Type say (§12.6).
func (a *API) removeContainerSecret(c *call) error {
	found, err := c.locateContainer(policy.ContainerSecretRemove, container.Want{})
	if err != nil {
		return err
	}
	if err := found.May(c.r.Context(), policy.ContainerSecretRemove); err != nil {
		return err
	}
	body, err := c.anyObject("ContainerSecret")
	if err != nil {
		return err
	}
	e, err := newEntry(body)
	if err != nil {
		return err
	}
	if err := found.Remove(c.r.Context(), e); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
