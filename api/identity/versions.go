package identity

import (
	"net/http"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
)

type versionBody struct {
	ID         string          `json:"id"`
	Status     string          `json:"status"`
	Updated    string          `json:"updated"`
	Links      []versionLink   `json:"links"`
	MediaTypes []mediaTypeBody `json:"media-types"`
}

type versionLink struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

type mediaTypeBody struct {
	Base string `json:"base"`
	Type string `json:"type"`
}

func (a *API) version(r *http.Request) versionBody {
	return versionBody{
		ID: "v3.14", Status: "stable", Updated: "2020-04-07T00:00:00Z",
		Links: []versionLink{{"self", a.base(r) + "/v3/"}},
		MediaTypes: []mediaTypeBody{{
			"application/json", "application/vnd.openstack.identity-v3+json",
		}},
	}
}

// listVersions serves GET /. Keystone answers 300, and clients expect it.
func (a *API) listVersions(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	wire.WriteJSON(w, http.StatusMultipleChoices, map[string]any{
		"versions": map[string]any{"values": []versionBody{a.version(r)}},
	})
	return nil
}

// showVersion serves GET /v3.
func (a *API) showVersion(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	wire.WriteJSON(w, http.StatusOK, map[string]any{"version": a.version(r)})
	return nil
}
