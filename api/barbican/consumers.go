package barbican

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// consumerRoutes are those of the consumers of secrets (§10). They are there at
// every microversion.
func (a *API) consumerRoutes() []route {
	body := a.Limits.MaxBody
	return []route{
		{"GET", "/v1/secrets/{id}/consumers", 0, a.listConsumers},
		{"POST", "/v1/secrets/{id}/consumers", body, a.registerConsumer},
		{"DELETE", "/v1/secrets/{id}/consumers", body, a.unregisterConsumer},
		{"GET", "/v1/secrets/{id}/consumers/{consumer}", 0, a.getConsumer},
	}
}

// consumerBody is a consumer inside of its secret.
type consumerBody struct {
	Service      string `json:"service"`
	ResourceType string `json:"resource_type"`
	ResourceID   string `json:"resource_id"`
}

// consumerRecord is a consumer by itself. Clients have a closed list of its
// members, and its ID is not one.
type consumerRecord struct {
	Created string `json:"created"`
	Updated string `json:"updated"`
	Status  string `json:"status"`
	consumerBody
}

// consumerListBody is a page of consumers.
type consumerListBody struct {
	Consumers []consumerRecord `json:"consumers"`
	Previous  string           `json:"previous,omitempty"`
	Next      string           `json:"next,omitempty"`
	Total     int              `json:"total"`
}

func newConsumerBody(u secret.Use) consumerBody {
	return consumerBody{u.Service, u.ResourceType, u.ResourceID}
}

func newConsumerRecord(c secret.Consumer) consumerRecord {
	return consumerRecord{formatTime(c.CreatedAt), formatTime(c.UpdatedAt), "ACTIVE", newConsumerBody(c.Use)}
}

// consumersIn are the consumers of a secret that was read with them.
func consumersIn(s secret.Secret) *[]consumerBody {
	all := make([]consumerBody, 0, len(s.Consumers))
	for _, c := range s.Consumers {
		all = append(all, newConsumerBody(c.Use))
	}
	return &all
}

// newUse reads the body of a registration, which a removal has, too.
func newUse(body object) (u secret.Use, err error) {
	for _, m := range []struct {
		name string
		to   *string
	}{{"service", &u.Service}, {"resource_type", &u.ResourceType}, {"resource_id", &u.ResourceID}} {
		text, err := body.label(m.name)
		switch {
		case err != nil:
			return u, err
		case text == nil:
			return u, body.mismatch(m.name, "%s is required", m.name)
		case *text == "":
			return u, body.mismatch(m.name, "%s must not be empty", m.name)
		}
		*m.to = *text
	}
	return u, nil
}

// listConsumers serves GET /v1/secrets/{id}/consumers.
func (a *API) listConsumers(c *call) error {
	sec, err := c.locateFor(policy.ConsumerList, secret.Want{})
	if err != nil {
		return err
	}
	q, err := parseQuery(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	p := q.page(a.Limits)
	found, total, err := sec.Consumers(c.r.Context(), p.limit, p.offset)
	if err != nil {
		return err
	}
	body := consumerListBody{Consumers: []consumerRecord{}, Total: total}
	for _, one := range found {
		body.Consumers = append(body.Consumers, newConsumerRecord(one))
	}
	body.Previous, body.Next = p.links(c.here()+"/consumers", q, len(found), total)
	wire.WriteJSON(c.w, http.StatusOK, body)
	return nil
}

// getConsumer serves GET /v1/secrets/{id}/consumers/{consumer}. No answer tells
// a consumer's ID, so only who guesses it gets here.
func (a *API) getConsumer(c *call) error {
	sec, err := c.locateFor(policy.ConsumerList, secret.Want{Consumers: true})
	if err != nil {
		return err
	}
	id := mux.Vars(c.r)["consumer"]
	if !isUUIDv4(id) {
		return errBadID
	}
	found, err := sec.Consumer(c.r.Context(), secret.ConsumerID(id))
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, newConsumerRecord(found))
	return nil
}

// registerConsumer serves POST /v1/secrets/{id}/consumers. The answer is 200,
// and the whole secret.
func (a *API) registerConsumer(c *call) error {
	sec, u, err := c.consumer(policy.ConsumerAdd)
	if err != nil {
		return err
	}
	changed, err := sec.Register(c.r.Context(), u)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.here()+"/consumers")
	c.writeWithConsumers(changed)
	return nil
}

// unregisterConsumer serves DELETE /v1/secrets/{id}/consumers, which names the
// consumer in its body.
func (a *API) unregisterConsumer(c *call) error {
	sec, u, err := c.consumer(policy.ConsumerRemove)
	if err != nil {
		return err
	}
	changed, err := sec.Unregister(c.r.Context(), u)
	if err != nil {
		return err
	}
	c.writeWithConsumers(changed)
	return nil
}

// consumer makes the checks of a change, and reads what it is about.
func (c *call) consumer(act policy.Action) (sec *secret.Located, u secret.Use, err error) {
	if sec, err = c.locateFor(act, secret.Want{Consumers: true}); err != nil {
		return nil, u, err
	}
	body, err := c.object("Secret Consumer")
	if err != nil {
		return nil, u, err
	}
	u, err = newUse(body)
	return sec, u, err
}

// writeWithConsumers answers with a secret and its consumers, at every
// microversion.
func (c *call) writeWithConsumers(s secret.Secret) {
	body := c.secretBody(s)
	body.Consumers = consumersIn(s)
	wire.WriteJSON(c.w, http.StatusOK, body)
}
