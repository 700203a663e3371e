package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
)

// Catalog says where the services are. URLs have no version; one that is empty
// is not in the catalog.
type Catalog struct {
	Region     string
	KeyManager string
	CSMS       string // CSMS and KMS share it
	Identity   string // empty also: what each request says, in links
}

type service struct{ kind, name, url string }

func (c Catalog) services() []service {
	var all []service
	for _, s := range []struct{ kind, name, base, path string }{
		{"identity", "keystone", c.Identity, "/v3"},
		{"key-manager", "barbican", c.KeyManager, ""}, // clients add /v1
		{"csms", "csms", c.CSMS, "/v1"},
		{"kms", "kms", c.CSMS, "/v1.0"},
	} {
		if s.base != "" {
			all = append(all, service{s.kind, s.name, strings.TrimRight(s.base, "/") + s.path})
		}
	}
	return all
}

// interfaces are the doors of a service. All are the same one.
var interfaces = []string{"public", "internal", "admin"}

// stableID names a part of the catalog, the same on every node and after every
// restart.
func stableID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

type catalogBody struct {
	Endpoints []catalogEndpoint `json:"endpoints"`
	ID        string            `json:"id"`
	Type      string            `json:"type"`
	Name      string            `json:"name"`
}

type catalogEndpoint struct {
	ID        string `json:"id"`
	Interface string `json:"interface"`
	RegionID  string `json:"region_id"`
	URL       string `json:"url"`
	Region    string `json:"region"`
}

func (c Catalog) body() []catalogBody {
	return each(c.services(), func(s service) catalogBody {
		b := catalogBody{ID: stableID(s.kind), Type: s.kind, Name: s.name}
		for _, i := range interfaces {
			b.Endpoints = append(b.Endpoints, catalogEndpoint{stableID(s.kind, i), i, c.Region, s.url, c.Region})
		}
		return b
	})
}

// showCatalog serves GET /v3/auth/catalog.
func (a *API) showCatalog(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	a.writeList(w, r, "catalog", a.Catalog.body())
	return nil
}

type serviceBody struct {
	ID      string   `json:"id"`
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Enabled bool     `json:"enabled"`
	Links   selfBody `json:"links"`
}

func (a *API) serviceBody(r *http.Request, s service) serviceBody {
	return serviceBody{stableID(s.kind), s.kind, s.name, true, a.self(r, "/v3/services/%s", stableID(s.kind))}
}

// listServices serves GET /v3/services.
func (a *API) listServices(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	found := []serviceBody{}
	for _, s := range a.Catalog.services() {
		if !q.elsewhere("type", s.kind) && !q.elsewhere("name", s.name) {
			found = append(found, a.serviceBody(r, s))
		}
	}
	a.writeList(w, r, "services", found)
	return nil
}

var (
	errNoService  = fault.New(fault.NotFound, "Could not find service.")
	errNoEndpoint = fault.New(fault.NotFound, "Could not find endpoint.")
	errNoRegion   = fault.New(fault.NotFound, "Could not find region.")
)

// showService serves GET /v3/services/{service}.
func (a *API) showService(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	want, err := id(r, "service", errNoService)
	if err != nil {
		return err
	}
	for _, s := range a.Catalog.services() {
		if stableID(s.kind) == want {
			wire.WriteJSON(w, http.StatusOK, map[string]any{"service": a.serviceBody(r, s)})
			return nil
		}
	}
	return errNoService
}

type endpointBody struct {
	ID        string   `json:"id"`
	Interface string   `json:"interface"`
	RegionID  string   `json:"region_id"`
	ServiceID string   `json:"service_id"`
	URL       string   `json:"url"`
	Region    string   `json:"region"`
	Enabled   bool     `json:"enabled"`
	Links     selfBody `json:"links"`
}

func (a *API) endpoints(r *http.Request) []endpointBody {
	var all []endpointBody
	for _, s := range a.Catalog.services() {
		for _, i := range interfaces {
			eid := stableID(s.kind, i)
			all = append(all, endpointBody{
				eid, i, a.Catalog.Region, stableID(s.kind), s.url, a.Catalog.Region, true, a.self(r, "/v3/endpoints/%s", eid),
			})
		}
	}
	return all
}

// listEndpoints serves GET /v3/endpoints.
func (a *API) listEndpoints(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	q, err := readQuery(r)
	if err != nil {
		return err
	}
	found := []endpointBody{}
	for _, e := range a.endpoints(r) {
		if !q.elsewhere("interface", e.Interface) && !q.elsewhere("service_id", e.ServiceID) && !q.elsewhere("region_id", e.RegionID) {
			found = append(found, e)
		}
	}
	a.writeList(w, r, "endpoints", found)
	return nil
}

// showEndpoint serves GET /v3/endpoints/{endpoint}.
func (a *API) showEndpoint(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	want, err := id(r, "endpoint", errNoEndpoint)
	if err != nil {
		return err
	}
	for _, e := range a.endpoints(r) {
		if e.ID == want {
			wire.WriteJSON(w, http.StatusOK, map[string]any{"endpoint": e})
			return nil
		}
	}
	return errNoEndpoint
}

type regionBody struct {
	ID     string   `json:"id"`
	Parent *string  `json:"parent_region_id"`
	About  string   `json:"description"`
	Links  selfBody `json:"links"`
}

func (a *API) region(r *http.Request) regionBody {
	return regionBody{ID: a.Catalog.Region, Links: a.self(r, "/v3/regions/%s", a.Catalog.Region)}
}

// listRegions serves GET /v3/regions.
func (a *API) listRegions(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	a.writeList(w, r, "regions", []regionBody{a.region(r)})
	return nil
}

// showRegion serves GET /v3/regions/{region}.
func (a *API) showRegion(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	want, err := id(r, "region", errNoRegion)
	if err != nil {
		return err
	}
	if want != a.Catalog.Region {
		return errNoRegion
	}
	wire.WriteJSON(w, http.StatusOK, map[string]any{"region": a.region(r)})
	return nil
}
