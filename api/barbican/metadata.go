package barbican

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// errKeyMismatch is the answer to a body that is about another key than the
// path.
var errKeyMismatch = fault.New(fault.Exists, "The key in the body is not the key in the path.")

// getMetadata serves GET /v1/secrets/{id}/metadata, whatever Accept says (§9.1).
func (a *API) getMetadata(c *call) error {
	sec, err := c.locate(policy.MetadataRead, secret.Want{Metadata: true})
	if err != nil {
		return err
	}
	pairs, err := sec.Metadata(c.r.Context())
	if err != nil {
		return err
	}
	if pairs == nil {
		pairs = map[string]string{} // clients want an object, not null
	}
	wire.WriteJSON(c.w, http.StatusOK, metadataBody{Metadata: pairs})
	return nil
}

// putMetadata serves PUT /v1/secrets/{id}/metadata: it replaces all pairs (§9.2).
func (a *API) putMetadata(c *call) error {
	sec, err := c.locateFor(policy.MetadataWrite, secret.Want{})
	if err != nil {
		return err
	}
	body, err := c.object("SecretMetadata")
	if err != nil {
		return err
	}
	pairs, err := newMetadata(body)
	if err != nil {
		return err
	}
	if err := sec.ReplaceMetadata(c.r.Context(), pairs); err != nil {
		return err
	}
	ref := c.here() + "/metadata"
	wire.WriteJSON(c.w, http.StatusCreated, metadataRefBody{MetadataRef: ref})
	return nil
}

// newMetadata reads all pairs. Two names that differ in case alone are one
// key, and there is no telling which value was meant.
func newMetadata(body object) (map[string]string, error) {
	members, ok := body.members["metadata"].(map[string]any)
	if !ok {
		return nil, body.mismatch("metadata", "metadata must be an object")
	}
	pairs := map[string]string{}
	inner := object{body.schema, members}
	for name := range members {
		if !isMetadataKey(name) {
			return nil, body.mismatch("metadata", "a key must have 1 to %d characters out of A-Z, a-z, 0-9, _ and -", maxText)
		}
		value, err := inner.label(name)
		if err != nil {
			return nil, err
		}
		key := strings.ToLower(name)
		if _, twice := pairs[key]; twice {
			return nil, body.mismatch("metadata", "two keys differ in case alone")
		}
		pairs[key] = *value
	}
	return pairs, nil
}

// isMetadataKey reports whether name may be a key, in any case.
func isMetadataKey(name string) bool {
	return name != "" && len(name) <= maxText && !strings.ContainsFunc(name, func(r rune) bool {
		return r >= utf8.RuneSelf || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", r)
	})
}

// newMetadatum reads one pair: two strings and nothing else.
func newMetadatum(body object) (secret.Metadatum, error) {
	key, err := body.label("key")
	if err != nil {
		return secret.Metadatum{}, err
	}
	value, err := body.label("value")
	switch {
	case err != nil:
	case key == nil:
		err = body.mismatch("key", "key is required")
	case value == nil:
		err = body.mismatch("value", "value is required")
	case len(body.members) > 2:
		err = body.mismatch("None", "only key and value are allowed")
	case !isMetadataKey(*key):
		err = body.mismatch("key", "key must have 1 to %d characters out of A-Z, a-z, 0-9, _ and -", maxText)
	}
	if err != nil {
		return secret.Metadatum{}, err
	}
	return secret.Metadatum{Key: strings.ToLower(*key), Value: *value}, nil
}

// addMetadatum serves POST /v1/secrets/{id}/metadata (§9.4).
func (a *API) addMetadatum(c *call) error {
	sec, err := c.locateFor(policy.MetadataWrite, secret.Want{})
	if err != nil {
		return err
	}
	body, err := c.object("SecretMetadatum")
	if err != nil {
		return err
	}
	m, err := newMetadatum(body)
	if err != nil {
		return err
	}
	if err := sec.AddMetadatum(c.r.Context(), m); err != nil {
		return err
	}
	c.w.Header().Set("Location", c.here()+"/metadata/"+m.Key)
	wire.WriteJSON(c.w, http.StatusCreated, metadatumBody(m))
	return nil
}

// pathKey is the key that the path names. Keys are kept in lower case; one that
// cannot be a key is on no secret.
func (c *call) pathKey() (string, error) {
	key := mux.Vars(c.r)["key"]
	if !isMetadataKey(key) {
		return "", secret.ErrNoMetadatum
	}
	return strings.ToLower(key), nil
}

// getMetadatum serves GET /v1/secrets/{id}/metadata/{key} (§9.3).
func (a *API) getMetadatum(c *call) error {
	sec, err := c.locateFor(policy.MetadataRead, secret.Want{Metadata: true})
	if err != nil {
		return err
	}
	key, err := c.pathKey()
	if err != nil {
		return err
	}
	value, err := sec.Metadatum(c.r.Context(), key)
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, metadatumBody{key, value})
	return nil
}

// changeMetadatum serves PUT /v1/secrets/{id}/metadata/{key}, whatever Accept
// says (§9.5).
func (a *API) changeMetadatum(c *call) error {
	sec, err := c.locate(policy.MetadataWrite, secret.Want{Metadata: true})
	if err != nil {
		return err
	}
	if err := sec.May(c.r.Context(), policy.MetadataWrite); err != nil {
		return err
	}
	body, err := c.object("SecretMetadatum")
	if err != nil {
		return err
	}
	m, err := newMetadatum(body)
	if err != nil {
		return err
	}
	key, err := c.pathKey()
	if err != nil {
		return err
	}
	if m.Key != key {
		// That the path's key is not there at all comes first.
		if _, err := sec.Metadatum(c.r.Context(), key); err != nil {
			return err
		}
		return errKeyMismatch
	}
	if err := sec.ChangeMetadatum(c.r.Context(), m); err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, metadatumBody(m))
	return nil
}

// deleteMetadatum serves DELETE /v1/secrets/{id}/metadata/{key} (§9.6).
func (a *API) deleteMetadatum(c *call) error {
	sec, err := c.locateFor(policy.MetadataWrite, secret.Want{})
	if err != nil {
		return err
	}
	key, err := c.pathKey()
	if err != nil {
		return err
	}
	if err := sec.RemoveMetadatum(c.r.Context(), key); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
