package barbican

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/policy"
)

// listContainerConsumers serves GET /v1/containers/{id}/consumers (§13).
func (a *API) listContainerConsumers(c *call) error {
	found, err := c.locateContainerFor(policy.ContainerConsumerList, container.Want{})
	if err != nil {
		return err
	}
	q, err := parseQuery(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	p := q.page(a.Limits)
	consumers, total, err := found.Consumers(c.r.Context(), p.limit, p.offset)
	if err != nil {
		return err
	}
	body := containerConsumersBody{Consumers: []containerConsumerBody{}, Total: total}
	for _, n := range consumers {
		body.Consumers = append(body.Consumers, newContainerConsumerBody(n))
	}
	body.Previous, body.Next = p.links(c.consumersURL(), q, len(consumers), total)
	wire.WriteJSON(c.w, http.StatusOK, body)
	return nil
}

// consumersURL is where the consumers of the container in the path are.
func (c *call) consumersURL() string {
	return c.containerRef(container.ID(mux.Vars(c.r)["id"])) + "/consumers"
}

// getContainerConsumer serves GET /v1/containers/{id}/consumers/{consumer}.
func (a *API) getContainerConsumer(c *call) error {
	found, err := c.locateContainerFor(policy.ContainerConsumerList, container.Want{})
	if err != nil {
		return err
	}
	id := mux.Vars(c.r)["consumer"]
	if !isUUIDv4(id) {
		return errBadID
	}
	n, err := found.Consumer(c.r.Context(), id)
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, newContainerConsumerBody(n))
	return nil
}

// addContainerConsumer serves POST /v1/containers/{id}/consumers. It answers
// with the container, and 200 whether or not the consumer is new.
func (a *API) addContainerConsumer(c *call) error {
	found, party, err := c.party(policy.ContainerConsumerAdd)
	if err != nil {
		return err
	}
	now, err := found.Register(c.r.Context(), party)
	if err != nil {
		return err
	}
	c.w.Header().Set("Location", c.consumersURL())
	wire.WriteJSON(c.w, http.StatusOK, c.containerBody(now))
	return nil
}

// removeContainerConsumer serves DELETE /v1/containers/{id}/consumers, which
// has a body.
func (a *API) removeContainerConsumer(c *call) error {
	found, party, err := c.party(policy.ContainerConsumerRemove)
	if err != nil {
		return err
	}
	now, err := found.Unregister(c.r.Context(), party)
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, c.containerBody(now))
	return nil
}

// party makes the checks of a call about one consumer, and reads its body.
func (c *call) party(act policy.Action) (*container.Located, container.Party, error) {
	found, err := c.locateContainerFor(act, container.Want{})
	if err != nil {
		return nil, container.Party{}, err
	}
	body, err := c.object("Consumer")
	if err != nil {
		return nil, container.Party{}, err
	}
	p, err := newParty(body)
	return found, p, err
}
