package barbican

import (
	"net/http"
	"strings"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/secret"
)

// listSecrets serves GET /v1/secrets (§8.8).
func (a *API) listSecrets(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	if err := a.Secrets.MayList(c.r.Context(), c.who); err != nil {
		return err
	}
	q, err := parseQuery(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	p := q.page(a.Limits)
	selection, err := parseSelection(q)
	if err != nil {
		return err
	}
	selection.Limit, selection.Offset = p.limit, p.offset
	selection.Consumers = c.version >= v1_1
	secrets, total, err := c.list(q, selection)
	if err != nil {
		return err
	}
	body := listBody{Secrets: []secretBody{}, Total: total}
	for _, s := range secrets {
		body.Secrets = append(body.Secrets, c.secretBody(s))
	}
	body.Previous, body.Next = p.links(c.collection(), q, len(secrets), total)
	wire.WriteJSON(c.w, http.StatusOK, body)
	return nil
}

// list reads a page of the caller's project, or of what an ACL shares with the
// caller: that is of any project, but in the older form of a path of its own.
func (c *call) list(q query, s secret.Query) ([]secret.Secret, int, error) {
	if strings.EqualFold(q.get("acl_only"), "true") && c.who.User != "" {
		return c.api.Secrets.ListShared(c.r.Context(), c.who, c.project, s)
	}
	return c.api.Secrets.List(c.r.Context(), c.who, s)
}

// beyondBits is a bit length that no secret can have.
const beyondBits = 1 << 16

// parseSelection reads which secrets are wanted, and in which order.
func parseSelection(q query) (s secret.Query, err error) {
	if s.Name, err = q.pattern("name"); err != nil {
		return s, err
	}
	if s.Algorithm, err = q.pattern("alg"); err != nil {
		return s, err
	}
	if s.Mode, err = q.pattern("mode"); err != nil {
		return s, err
	}
	if s.Type, err = q.text("secret_type"); err != nil {
		return s, err
	}
	if bits, ok := q.integer("bits"); ok && bits > 0 {
		s.BitLength = min(bits, beyondBits)
	}
	if s.Created, err = parseBounds("created", q.get("created")); err != nil {
		return s, err
	}
	if s.Updated, err = parseBounds("updated", q.get("updated")); err != nil {
		return s, err
	}
	if s.Expiration, err = parseBounds("expiration", q.get("expiration")); err != nil {
		return s, err
	}
	s.Sort, err = parseSort(q.get("sort"))
	return s, err
}
