package barbican

import (
	"io"
	"net/http"

	"github.com/strongroom-kms/strongroom/api/wire"
)

type link struct {
	Rel  string `json:"rel"`
	Type string `json:"type,omitempty"`
	Href string `json:"href"`
}

type media struct {
	Base string `json:"base"`
	Type string `json:"type"`
}

// versionBody describes the only version. Clients take the status "stable" to
// mean that there are no microversions, so from 1.1 on it says otherwise.
type versionBody struct {
	ID         string  `json:"id"`
	Status     string  `json:"status"`
	MinVersion string  `json:"min_version,omitempty"`
	MaxVersion string  `json:"max_version,omitempty"`
	Links      []link  `json:"links"`
	MediaTypes []media `json:"media-types,omitempty"`
}

func (c *call) versionBody() versionBody {
	b := versionBody{ID: "v1", Links: []link{
		{Rel: "self", Href: c.base() + "/v1/"},
		{Rel: "describedby", Type: "text/html", Href: "https://docs.openstack.org/"},
	}}
	if c.version == v1_0 {
		b.Status = "stable"
		b.MediaTypes = []media{{mediaJSON, "application/vnd.openstack.key-manager-v1+json"}}
		return b
	}
	b.Status, b.MinVersion, b.MaxVersion = "CURRENT", minVersion.String(), maxVersion.String()
	return b
}

// listVersions serves GET / (§4.3). It redirects where JSON home documents are
// liked better than JSON: the only redirect there is.
func (a *API) listVersions(c *call) error {
	header := c.r.Header["Accept"]
	if preference(header, mediaJSONHome) > preference(header, mediaJSON) {
		c.w.Header().Set("Location", c.base()+"/v1/")
		c.w.WriteHeader(http.StatusFound)
		return nil
	}
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	q, err := parseQuery(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	if _, ok := q.find("build"); ok {
		wire.WriteJSON(c.w, http.StatusOK, map[string]string{"build": a.Version})
		return nil
	}
	v := []versionBody{c.versionBody()}
	if c.version == v1_0 {
		wire.WriteJSON(c.w, http.StatusMultipleChoices, map[string]any{"versions": map[string]any{"values": v}})
	} else {
		wire.WriteJSON(c.w, http.StatusMultipleChoices, map[string]any{"versions": v})
	}
	return nil
}

// getVersion serves GET /v1 (§4.4).
func (a *API) getVersion(c *call) error {
	header := c.r.Header["Accept"]
	if !accepts(header, mediaJSON) && !accepts(header, mediaJSONHome) {
		return errNotAcceptable
	}
	wire.WriteJSON(c.w, http.StatusOK, map[string]any{"version": c.versionBody()})
	return nil
}

// healthcheck serves GET /healthcheck (§4.5).
func (a *API) healthcheck(c *call) error {
	code, text := http.StatusOK, "OK\n"
	if a.Healthy != nil && a.Healthy(c.r.Context()) != nil {
		code, text = http.StatusServiceUnavailable, "unavailable\n"
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.WriteHeader(code)
	_, _ = io.WriteString(c.w, text) // a client that left misses nothing
	return nil
}
