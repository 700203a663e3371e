package barbican

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/quota"
)

// quotaRoutes are those of §15.
func (a *API) quotaRoutes() []route {
	return []route{
		{"GET", "/v1/quotas", 0, a.getQuotas},
		{"GET", "/v1/project-quotas", 0, a.listProjectQuotas},
		{"GET", "/v1/project-quotas/{project}", 0, a.getProjectQuota},
		{"PUT", "/v1/project-quotas/{project}", a.Limits.MaxBody, a.putProjectQuota},
		{"DELETE", "/v1/project-quotas/{project}", 0, a.deleteProjectQuota},
	}
}

// quotaBody has all five always; null is what was not set.
type quotaBody struct {
	Secrets    *int64 `json:"secrets"`
	Orders     *int64 `json:"orders"`
	Containers *int64 `json:"containers"`
	Consumers  *int64 `json:"consumers"`
	CAs        *int64 `json:"cas"`
}

func newQuotaBody(l quota.Limits) quotaBody {
	of := func(r quota.Resource) *int64 {
		if n, ok := l[r]; ok {
			return &n
		}
		return nil
	}
	return quotaBody{of(quota.Secrets), of(quota.Orders), of(quota.Containers), of(quota.Consumers), of(quota.CAs)}
}

// projectQuotaBody is one entry of a list.
type projectQuotaBody struct {
	ProjectID     auth.ProjectID `json:"project_id"`
	ProjectQuotas quotaBody      `json:"project_quotas"`
}

type projectQuotaListBody struct {
	ProjectQuotas []projectQuotaBody `json:"project_quotas"`
	Previous      string             `json:"previous,omitempty"`
	Next          string             `json:"next,omitempty"`
	Total         int                `json:"total"`
}

// getQuotas serves GET /v1/quotas: what counts for the caller's project (§15.1).
func (a *API) getQuotas(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	limits, err := a.Quotas.Show(c.r.Context(), c.who)
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, map[string]quotaBody{"quotas": newQuotaBody(limits)})
	return nil
}

// listProjectQuotas serves GET /v1/project-quotas (§15.2).
func (a *API) listProjectQuotas(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	if err := a.Quotas.MayList(c.r.Context(), c.who); err != nil {
		return err
	}
	q, err := parseQuery(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	p := q.page(a.Limits)
	projects, total, err := a.Quotas.List(c.r.Context(), c.who, p.limit, p.offset)
	if err != nil {
		return err
	}
	body := projectQuotaListBody{ProjectQuotas: []projectQuotaBody{}, Total: total}
	for _, one := range projects {
		body.ProjectQuotas = append(body.ProjectQuotas, projectQuotaBody{one.ID, newQuotaBody(one.Limits)})
	}
	url := c.base() + "/v1/project-quotas"
	body.Previous, body.Next = p.links(url, q, len(projects), total)
	if len(projects) == 0 && p.offset > 0 { // unlike all other lists (§7.5)
		body.Previous = page{p.limit, max(0, p.offset-p.limit)}.link(url, q)
	}
	wire.WriteJSON(c.w, http.StatusOK, body)
	return nil
}

// pathProject is the project that the path of a quota names: an opaque text. ok
// is false where there can be none of that name.
func (c *call) pathProject() (p auth.ProjectID, ok bool) {
	name := mux.Vars(c.r)["project"]
	return auth.ProjectID(name), printable(name) && !tooLong(name)
}

// getProjectQuota serves GET /v1/project-quotas/{project} (§15.2).
func (a *API) getProjectQuota(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	p, ok := c.pathProject()
	if !ok {
		p = "" // nothing can be set for it, and no record can hold its name
	}
	limits, err := a.Quotas.Project(c.r.Context(), c.who, p)
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, map[string]quotaBody{"project_quotas": newQuotaBody(limits)})
	return nil
}

// putProjectQuota serves PUT /v1/project-quotas/{project}: members that are not
// given keep their value (§15.2).
func (a *API) putProjectQuota(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	p, ok := c.pathProject()
	if !ok {
		p = ""
	}
	if err := a.Quotas.MayChange(c.r.Context(), c.who, p); err != nil {
		return err
	}
	body, err := c.object("Project Quota")
	if err != nil {
		return err
	}
	limits, err := newLimits(body)
	if err != nil {
		return err
	}
	if !ok {
		return invalid("The project in the path must be printable UTF-8 of at most %d characters.", maxName)
	}
	if err := a.Quotas.Change(c.r.Context(), c.who, p, limits); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// newLimits reads {"project_quotas": {…}}. Nothing else may be in it, at either
// level.
func newLimits(body object) (quota.Limits, error) {
	members, ok := body.members["project_quotas"].(map[string]any)
	if !ok {
		return nil, body.mismatch("project_quotas", "project_quotas must be an object")
	}
	if len(body.members) > 1 {
		return nil, body.mismatch("None", "only project_quotas is allowed")
	}
	inner, limits := object{body.schema, members}, quota.Limits{}
	for name := range members {
		r := quota.Resource(name)
		if !slices.Contains(quota.Resources, r) {
			return nil, body.mismatch("project_quotas", "project_quotas has a member other than secrets, orders, containers, consumers and cas")
		}
		n, err := inner.anyInteger(name)
		if err != nil {
			return nil, err
		}
		limits[r] = n
	}
	return limits, nil
}

// anyInteger is a number member without a fraction, of up to 64 bits.
func (o object) anyInteger(name string) (int64, error) {
	number, ok := o.members[name].(json.Number)
	if !ok {
		return 0, o.mismatch(name, "%s must be an integer", name)
	}
	if n, err := number.Int64(); err == nil {
		return n, nil
	}
	f, err := number.Float64()
	switch {
	case err != nil || math.Abs(f) >= 1<<63:
		return 0, o.mismatch(name, "%s must be an integer of at most 64 bits", name)
	case f != math.Trunc(f):
		return 0, o.mismatch(name, "%s must be an integer", name)
	}
	return int64(f), nil
}

// deleteProjectQuota serves DELETE /v1/project-quotas/{project}, whatever
// Accept says (§15.2).
func (a *API) deleteProjectQuota(c *call) error {
	p, ok := c.pathProject()
	if !ok {
		p = ""
	}
	if err := a.Quotas.Delete(c.r.Context(), c.who, p); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
