package barbican

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secretstore"
)

// secretStoreRoutes are those of §16. A segment behind a store's id that means
// nothing has no method at all, and is 405 where the store is there.
func (a *API) secretStoreRoutes() []route {
	return []route{
		{"GET", "/v1/secret-stores", 0, a.listSecretStores},
		{"GET", "/v1/secret-stores/global-default", 0, a.getGlobalStore},
		{"GET", "/v1/secret-stores/preferred", 0, a.getPreferredStore},
		{"GET", "/v1/secret-stores/{id}", 0, a.getSecretStore},
		{"POST", "/v1/secret-stores/{id}/preferred", 0, a.preferSecretStore},
		{"DELETE", "/v1/secret-stores/{id}/preferred", 0, a.forgetPreferredStore},
		{otherMethod, "/v1/secret-stores/{id}/{segment}", 0, unknownPath},
	}
}

// What upstream's plug-ins are called that keep a secret under keys of a
// PKCS#11 token and its ciphertext in the database, as every store here does.
const (
	storePlugin  = "store_crypto"
	cryptoPlugin = "p11_crypto"
)

// secretStoreBody is a store as clients see it; they pass its members on by
// name, so there must never be more.
type secretStoreBody struct {
	Created           string  `json:"created"`
	Updated           string  `json:"updated"`
	Status            string  `json:"status"`
	CryptoPlugin      *string `json:"crypto_plugin"`
	GlobalDefault     bool    `json:"global_default"`
	Name              string  `json:"name"`
	SecretStorePlugin string  `json:"secret_store_plugin"`
	SecretStoreRef    string  `json:"secret_store_ref"`
}

type secretStoreListBody struct {
	SecretStores []secretStoreBody `json:"secret_stores"`
}

func (c *call) secretStoreBody(s secretstore.Store) secretStoreBody {
	plugin := cryptoPlugin
	return secretStoreBody{
		Created:           formatTime(s.CreatedAt),
		Updated:           formatTime(s.UpdatedAt),
		Status:            "ACTIVE", // always: it says that the store is known, not that its token answers
		CryptoPlugin:      &plugin,
		GlobalDefault:     s.Global,
		Name:              s.Name,
		SecretStorePlugin: storePlugin,
		SecretStoreRef:    c.base() + "/v1/secret-stores/" + s.ID,
	}
}

// listSecretStores serves GET /v1/secret-stores: no paging, no total.
func (a *API) listSecretStores(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	stores, err := a.SecretStores.List(c.r.Context(), c.who)
	if err != nil {
		return err
	}
	body := secretStoreListBody{SecretStores: make([]secretStoreBody, 0, len(stores))}
	for _, s := range stores {
		body.SecretStores = append(body.SecretStores, c.secretStoreBody(s))
	}
	wire.WriteJSON(c.w, http.StatusOK, body)
	return nil
}

// getGlobalStore serves GET /v1/secret-stores/global-default.
func (a *API) getGlobalStore(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	return c.showStore(a.SecretStores.Global(c.r.Context(), c.who))
}

// getPreferredStore serves GET /v1/secret-stores/preferred.
func (a *API) getPreferredStore(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	return c.showStore(a.SecretStores.Preferred(c.r.Context(), c.who))
}

// getSecretStore serves GET /v1/secret-stores/{id}.
func (a *API) getSecretStore(c *call) error {
	store, err := c.locateStore(policy.StoreShow)
	if err != nil {
		return err
	}
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	return c.showStore(store.Show(c.r.Context()))
}

func (c *call) showStore(s secretstore.Store, err error) error {
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, c.secretStoreBody(s))
	return nil
}

// preferSecretStore serves POST /v1/secret-stores/{id}/preferred. Whatever body
// it has means nothing.
func (a *API) preferSecretStore(c *call) error {
	store, err := c.locateStore(policy.StorePrefer)
	if err != nil {
		return err
	}
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	if err := store.Prefer(c.r.Context()); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// forgetPreferredStore serves DELETE /v1/secret-stores/{id}/preferred.
func (a *API) forgetPreferredStore(c *call) error {
	store, err := c.locateStore(policy.StoreForget)
	if err != nil {
		return err
	}
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	if err := store.Forget(c.r.Context()); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// locateStore finds the store that the path names, for an operation that act is
// the name of. Any id that no store has is 404, whatever its form (§7.2).
func (c *call) locateStore(act policy.Action) (*secretstore.Located, error) {
	return c.api.SecretStores.Locate(c.r.Context(), c.who, act, mux.Vars(c.r)["id"])
}
