package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// shownOrder is what a client reads of an order.
type shownOrder struct {
	Status string `json:"status"`
	Reason string `json:"error_reason"`
	Ref    string `json:"order_ref"`
	Secret string `json:"secret_ref"`
	Box    string `json:"container_ref"`
}

// A server that is killed in the middle of an order finishes it when it is back
// and its claim has lapsed: once, with one set of secrets.
func TestKilledServerFinishesItsOrders(t *testing.T) {
	s := start(t)
	c := demo(t, s)
	base := s.Env["KEY_MANAGER_URL"] + "/v1"
	sent := make(chan struct{})
	go func() { // the answer never comes
		defer close(sent)
		_, _ = c.do("POST", base+"/orders", map[string]any{"type": "asymmetric", "meta": map[string]any{
			"algorithm": "rsa", "bit_length": 3072, "name": "killed", "passphrase": "open sesame",
		}})
	}()
	list := func(c *client) []shownOrder {
		t.Helper()
		var got struct{ Orders []shownOrder }
		c.must(t, http.StatusOK, "GET", base+"/orders", nil).json(t, &got)
		return got.Orders
	}
	var orders []shownOrder
	for end := time.Now().Add(30 * time.Second); len(orders) == 0 && time.Now().Before(end); {
		orders = list(c)
	}
	if len(orders) != 1 || orders[0].Status != "PENDING" {
		t.Fatalf("orders before the kill: %+v", orders)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	<-sent
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	base, c = s.Env["KEY_MANAGER_URL"]+"/v1", demo(t, s)
	var o shownOrder
	for end := time.Now().Add(time.Minute); o.Status != "ACTIVE" && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if found := list(c); len(found) == 1 {
			o = found[0]
		}
	}
	if o.Status != "ACTIVE" || o.Box == "" {
		t.Fatalf("the order is %+v", o)
	}
	var secrets, boxes struct{ Total int }
	c.must(t, http.StatusOK, "GET", base+"/secrets?name=killed", nil).json(t, &secrets)
	c.must(t, http.StatusOK, "GET", base+"/containers?name=killed", nil).json(t, &boxes)
	if secrets.Total != 3 || boxes.Total != 1 {
		t.Errorf("%d secrets and %d containers, want 3 and 1", secrets.Total, boxes.Total)
	}
	var box struct {
		Refs []struct {
			Name string `json:"name"`
			Ref  string `json:"secret_ref"`
		} `json:"secret_refs"`
	}
	c.must(t, http.StatusOK, "GET", o.Box, nil).json(t, &box)
	begins := map[string]string{
		"private_key": "-----BEGIN ENCRYPTED PRIVATE KEY-----", "public_key": "-----BEGIN PUBLIC KEY-----", "private_key_passphrase": "open sesame",
	}
	for _, r := range box.Refs {
		if got := string(c.must(t, http.StatusOK, "GET", r.Ref+"/payload", nil).Body); begins[r.Name] == "" || !strings.HasPrefix(got, begins[r.Name]) {
			t.Errorf("%s is not what it should be", r.Name)
		}
		delete(begins, r.Name)
	}
	if len(begins) != 0 {
		t.Errorf("missing: %d of the container's secrets", len(begins))
	}
}
