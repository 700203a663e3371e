package barbican

import (
	"encoding/json"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/policy"
)

// orderRoutes are those of §14.
func (a *API) orderRoutes() []route {
	return []route{
		{"GET", "/v1/orders", 0, a.listOrders},
		{"POST", "/v1/orders", a.Limits.MaxBody, a.createOrder},
		{"PUT", "/v1/orders", 0, a.updateOrders},
		{"GET", "/v1/orders/{id}", 0, a.getOrder},
		{"DELETE", "/v1/orders/{id}", 0, a.deleteOrder},
	}
}

// createOrder serves POST /v1/orders (§14.2).
func (a *API) createOrder(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	if err := a.Orders.May(c.r.Context(), c.who, policy.OrderCreate); err != nil {
		return err
	}
	body, err := c.object("Order")
	if err != nil {
		return err
	}
	in, err := newOrder(body, a.Now())
	if err != nil {
		return err
	}
	defer in.Passphrase.Wipe()
	o, err := a.Orders.Create(c.r.Context(), c.who, in)
	if err != nil {
		return err
	}
	ref := c.orderRef(o.ID)
	c.w.Header().Set("Location", ref)
	wire.WriteJSON(c.w, http.StatusAccepted, orderRefBody{OrderRef: ref})
	return nil
}

// updateOrders serves PUT /v1/orders, which nobody may but which only those
// hear of who may create orders (§14.8).
func (a *API) updateOrders(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	if err := a.Orders.May(c.r.Context(), c.who, policy.OrderUpdate); err != nil {
		return err
	}
	return &httpError{status: http.StatusMethodNotAllowed, allow: "GET, POST",
		fault: fault.New(fault.Invalid, "Orders cannot be updated.")}
}

// listOrders serves GET /v1/orders (§14.6).
func (a *API) listOrders(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	if err := a.Orders.May(c.r.Context(), c.who, policy.OrderList); err != nil {
		return err
	}
	q, err := parseQuery(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	word, err := q.text("meta")
	if err != nil {
		return err
	}
	p := q.page(a.Limits)
	orders, total, err := a.Orders.List(c.r.Context(), c.who, order.Query{Limit: p.limit, Offset: p.offset, Word: word})
	if err != nil {
		return err
	}
	body := ordersBody{Orders: []orderBody{}, Total: total}
	for _, o := range orders {
		body.Orders = append(body.Orders, c.orderBody(o))
	}
	body.Previous, body.Next = p.links(c.collectionOf("orders"), q, len(orders), total)
	wire.WriteJSON(c.w, http.StatusOK, body)
	return nil
}

// getOrder serves GET /v1/orders/{id}.
func (a *API) getOrder(c *call) error {
	o, err := c.locateOrder(policy.OrderShow)
	if err != nil {
		return err
	}
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	shown, err := o.Show(c.r.Context())
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, c.orderBody(shown))
	return nil
}

// deleteOrder serves DELETE /v1/orders/{id} (§14.7).
func (a *API) deleteOrder(c *call) error {
	o, err := c.locateOrder(policy.OrderDelete)
	if err != nil {
		return err
	}
	if err := o.Delete(c.r.Context()); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// locateOrder finds the order that the path names, in the caller's project. No
// order has another form of ID than ours, so that is not found either.
func (c *call) locateOrder(act policy.Action) (*order.Located, error) {
	return c.api.Orders.Locate(c.r.Context(), c.who, act, order.ID(mux.Vars(c.r)["id"]))
}

func (c *call) orderRef(id order.ID) string { return c.collectionOf("orders") + "/" + string(id) }

// orderBody is an order as clients see it. A client passes its members to a
// constructor with a closed list of arguments, so there must never be more
// (§14.1).
type orderBody struct {
	Created          string          `json:"created"`
	Updated          string          `json:"updated"`
	Status           string          `json:"status"`
	Type             string          `json:"type"`
	Meta             json.RawMessage `json:"meta"`
	ErrorStatusCode  string          `json:"error_status_code,omitempty"` // a string: a client decodes one
	ErrorReason      string          `json:"error_reason,omitempty"`
	SubStatus        string          `json:"sub_status,omitempty"`
	SubStatusMessage string          `json:"sub_status_message,omitempty"`
	CreatorID        string          `json:"creator_id,omitempty"`
	SecretRef        string          `json:"secret_ref,omitempty"`
	OrderRef         string          `json:"order_ref"`
	ContainerRef     string          `json:"container_ref,omitempty"`
}

func (c *call) orderBody(o order.Order) orderBody {
	b := orderBody{
		Created:   formatTime(o.CreatedAt),
		Updated:   formatTime(o.UpdatedAt),
		Status:    string(o.Status),
		Type:      string(o.Kind),
		Meta:      o.Meta.Shown,
		CreatorID: string(o.Creator),
		OrderRef:  c.orderRef(o.ID),
	}
	if o.Failure != nil {
		b.ErrorStatusCode, b.ErrorReason = o.Failure.Code, o.Failure.Reason
	}
	if o.Status == order.Active {
		b.SubStatus, b.SubStatusMessage = "Unknown", "Unknown"
	}
	if o.Secret != "" {
		b.SecretRef = c.ref(o.Secret)
	}
	if o.Container != "" {
		b.ContainerRef = c.collectionOf("containers") + "/" + string(o.Container)
	}
	return b
}

// orderRefBody answers a creation.
type orderRefBody struct {
	OrderRef string `json:"order_ref"`
}

// ordersBody is a page of orders.
type ordersBody struct {
	Orders   []orderBody `json:"orders"`
	Previous string      `json:"previous,omitempty"`
	Next     string      `json:"next,omitempty"`
	Total    int         `json:"total"`
}
