package barbican

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
)

// transportKeyRoutes are those of §17.
func (a *API) transportKeyRoutes() []route {
	return []route{
		{"GET", "/v1/transport_keys", 0, a.listTransportKeys},
		{"POST", "/v1/transport_keys", a.Limits.MaxBody, a.createTransportKey},
		{"GET", "/v1/transport_keys/{key_id}", 0, a.getTransportKey},
		{"DELETE", "/v1/transport_keys/{key_id}", 0, a.deleteTransportKey},
	}
}

type transportKeyListBody struct {
	TransportKeys []string `json:"transport_keys"`
	Total         int      `json:"total"`
}

// listTransportKeys serves GET /v1/transport_keys: there are none.
func (a *API) listTransportKeys(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	if err := a.TransportKeys.List(c.r.Context(), c.who); err != nil {
		return err
	}
	if _, err := parseQuery(c.r.URL.RawQuery); err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, transportKeyListBody{TransportKeys: []string{}})
	return nil
}

// createTransportKey serves POST /v1/transport_keys. What is wrong with the
// body is told before that nothing can be stored.
func (a *API) createTransportKey(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	if err := a.TransportKeys.MayCreate(c.r.Context(), c.who); err != nil {
		return err
	}
	body, err := c.object("Transport Key")
	if err != nil {
		return err
	}
	for _, member := range []string{"plugin_name", "transport_key"} {
		switch text, _, err := body.text(member); {
		case err != nil:
			return err
		case text == "":
			return body.mismatch(member, "%s is required and must not be empty", member)
		}
	}
	return a.TransportKeys.Create(c.r.Context(), c.who)
}

// keyID is the transport key that the path names.
func (c *call) keyID() (string, error) {
	id := mux.Vars(c.r)["key_id"]
	if !isUUIDv4(id) {
		return "", errBadID
	}
	return id, nil
}

// getTransportKey serves GET /v1/transport_keys/{id}.
func (a *API) getTransportKey(c *call) error {
	id, err := c.keyID()
	if err != nil {
		return err
	}
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	return a.TransportKeys.Show(c.r.Context(), c.who, id)
}

// deleteTransportKey serves DELETE /v1/transport_keys/{id}.
func (a *API) deleteTransportKey(c *call) error {
	id, err := c.keyID()
	if err != nil {
		return err
	}
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	return a.TransportKeys.Delete(c.r.Context(), c.who, id)
}
