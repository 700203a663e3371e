package barbican_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/policy/cedar"
)

// aged makes orders of the maker, a second apart; the rows know the first as R.
func (w *world) aged(bodies ...string) {
	w.t.Helper()
	for i, b := range bodies {
		a := w.do(w.maker, "POST /v1/orders", "", b)
		ref, _ := a.json()["order_ref"].(string)
		if a.code != 202 {
			w.t.Fatalf("make an order: %d %s", a.code, a.body)
		}
		w.names[fmt.Sprintf("R%d", i)] = ref[strings.LastIndex(ref, "/")+1:]
		w.clock.turn(time.Second)
	}
	w.names["R"] = w.names["R0"]
}

func TestOrdersOnceTheyAreThere(t *testing.T) {
	for _, r := range []row{
		{id: "BAR-469", do: "GET /v1/orders?limit=1", want: 200, check: pageOf("orders", 1, 3, "", base+"/v1/orders?limit=1&offset=1")},
		{id: "BAR-469", do: "GET /v1/orders?offset=1&meta=aes&limit=1", want: 200,
			check: pageOf("orders", 1, 2, base+"/v1/orders?limit=1&offset=0&meta=aes", "")},
		{id: "BAR-470", as: "x", do: "GET /v1/orders", want: 200, check: bodyIs(`{"orders":[],"total":0}`)},
		{id: "BAR-470", do: "GET /v1/orders?offset=9", want: 200, check: bodyIs(`{"orders":[],"total":3}`)},
		{id: "BAR-471", as: "x-adm", do: "GET /v1/orders/{R}", want: 404},
		{id: "BAR-471", do: "GET /v1/orders/{NX}", want: 404},
		{id: "BAR-471", do: "GET /v1/orders/bogus", want: 404},
		{id: "BAR-471", do: "GET /v1/orders/{R}?x=1&x=2", want: 200},
		{id: "BAR-472", do: "DELETE /v1/orders/{R}", want: 403},
		{id: "BAR-474", do: "PUT /v1/orders", body: `{}`, want: 405, check: all(describes("updated"), headerIs("Allow", "GET, POST"))},
		{id: "BAR-474", as: "obs", do: "PUT /v1/orders", body: `{}`, want: 403},
		{id: "BAR-475", do: "PUT /v1/orders/{R}", want: 405, check: headerIs("Allow", "DELETE, GET")},
		{id: "BAR-475", do: "POST /v1/orders/{R}", want: 405, check: headerIs("Allow", "DELETE, GET")},
		{id: "BAR-475", do: "PATCH /v1/orders/{R}", want: 405, check: headerIs("Allow", "DELETE, GET")},
		{id: "BAR-475", do: "PATCH /v1/orders/{NX}", want: 404},
		{id: "BAR-476", do: "DELETE /v1/orders", want: 405, check: headerIs("Allow", "GET, POST, PUT")},
		{id: "BAR-477", as: "obs", do: "POST /v1/orders", headers: "Content-Type: text/plain", body: "x", want: 403},
		{id: "BAR-477", as: "aud", do: "POST /v1/orders", want: 403},
		{id: "BAR-477", as: "aud", do: "GET /v1/orders", want: 403},
		{id: "BAR-478", as: "aud", do: "GET /v1/orders/{R}", want: 200},
		{id: "BAR-478", as: "svc", do: "GET /v1/orders/{R}", want: 200},
		{id: "BAR-478", as: "norole", do: "GET /v1/orders/{R}", want: 403},
		{id: "BAR-478", do: "GET /v1/orders/{R}", headers: "Accept: text/plain", want: 406},
		{id: "BAR-481", do: "GET /v1/orders?meta=aes", want: 200, check: pageOf("orders", 2, 2, "", "")},
		{id: "BAR-481", do: "GET /v1/orders?meta=algorithm", want: 200, check: pageOf("orders", 3, 3, "", "")},
		{id: "BAR-481", do: "GET /v1/orders?meta=Grüße%20%22du%22", want: 200, check: pageOf("orders", 1, 1, "", "")},
		{id: "BAR-481", do: "GET /v1/orders?meta=zzz", want: 200, check: pageOf("orders", 0, 0, "", "")},
		{id: "BAR-481", do: "GET /v1/orders?meta=256", want: 200, check: pageOf("orders", 0, 0, "", "")},
		{id: "BAR-481", do: "GET /v1/orders?meta=ae", want: 200, check: pageOf("orders", 0, 0, "", "")},
		{id: "BAR-481", do: "GET /v1/orders?meta=%00", want: 400},
	} {
		t.Run(r.id+" "+r.as+" "+r.do, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.aged(orderOfKey(`"name":"Grüße \"du\""`), orderOfKey(""), orderOf("key", "foo", 256, ""))
			r.in(t, w)
		})
	}
}

// pageOf checks a page of a list: how many are on it, the total, the links.
func pageOf(list string, n, total int, previous, next string) func(*testing.T, *world, answer) {
	return func(t *testing.T, _ *world, a answer) {
		t.Helper()
		m := a.json()
		link := func(name string) string {
			s, _ := m[name].(string)
			return s
		}
		got, _ := m[list].([]any)
		if len(got) != n || m["total"] != float64(total) || link("previous") != previous || link("next") != next {
			t.Errorf("%d of %v, previous %q, next %q; want %d of %d, %q, %q",
				len(got), m["total"], link("previous"), link("next"), n, total, previous, next)
		}
	}
}

func TestOrdersAreListedAsTheyWereMade(t *testing.T) {
	w := newWorld(t)
	w.aged(orderOfKey(`"name":"1"`), orderOfKey(`"name":"2"`), orderOfKey(`"name":"3"`))
	var names []string
	orders, _ := w.do("u1", "GET /v1/orders", "", "").json()["orders"].([]any)
	for _, o := range orders {
		m, _ := o.(map[string]any)
		meta, _ := m["meta"].(map[string]any)
		names = append(names, fmt.Sprint(meta["name"]))
	}
	if !slices.Equal(names, []string{"1", "2", "3"}) {
		t.Errorf("orders %v", names)
	}
}

// BAR-473 and BAR-197: an order and what it made are deleted one without the
// other.
func TestOrderAndSecretGoTheirOwnWays(t *testing.T) {
	w := newWorld(t)
	w.aged(orderOfKey(""), orderOfKey(""))
	row{id: "BAR-473", as: "adm", do: "GET /v1/orders/{R}", want: 200}.in(t, w)
	made, _ := w.at("u1", base+"/v1/orders/"+w.names["R0"])["secret_ref"].(string)
	row{id: "BAR-473", as: "adm", do: "DELETE /v1/orders/{R}", want: 204}.in(t, w)
	row{id: "BAR-473", as: "adm", do: "DELETE /v1/orders/{R}", want: 404}.in(t, w)
	w.at("u1", made)

	other, _ := w.at("u1", base+"/v1/orders/"+w.names["R1"])["secret_ref"].(string)
	row{id: "BAR-197", do: "DELETE " + strings.TrimPrefix(other, base), want: 204}.in(t, w)
	row{id: "BAR-197", do: "GET " + strings.TrimPrefix(other, base), want: 404}.in(t, w)
	if still := w.at("u1", base+"/v1/orders/"+w.names["R1"]); still["secret_ref"] != other || still["status"] != "ACTIVE" {
		t.Errorf("the order shows %v", still)
	}
}

// The older form of a path reaches the same orders, of one's own project alone,
// and answers in its own form (§20.3).
func TestOrdersInTheOlderForm(t *testing.T) {
	w := newWorld(t)
	a := w.do("u1", "POST /v1/{P}/orders", "", orderOfKey(""))
	ref, _ := a.json()["order_ref"].(string)
	older := base + "/v1/" + projectP
	if a.code != 202 || !strings.HasPrefix(ref, older+"/orders/") || a.header.Get("Location") != ref {
		t.Fatalf("%d %s", a.code, a.body)
	}
	o := w.at("u1", ref)
	if made, _ := o["secret_ref"].(string); !strings.HasPrefix(made, older+"/secrets/") || o["order_ref"] != ref {
		t.Errorf("references %v", o)
	}
	w.names["R"] = ref[strings.LastIndex(ref, "/")+1:]
	row{do: "GET /v1/orders/{R}", want: 200}.in(t, w)
	row{do: "GET /v1/{P}/orders?limit=1", want: 200, check: pageOf("orders", 1, 1, "", "")}.in(t, w)
	row{do: "GET /v1/{Q}/orders/{R}", want: 403}.in(t, w)
	row{as: "x", do: "GET /v1/{Q}/orders/{R}", want: 404}.in(t, w)
	row{do: "PUT /v1/{P}/orders", want: 405}.in(t, w)
	row{as: "adm", do: "DELETE /v1/{P}/orders/{R}", want: 204}.in(t, w)
}

// A quota of orders counts orders, and those of secrets and containers say
// nothing of what an order makes.
func TestOrderQuotas(t *testing.T) {
	limit := func(w *world, body string) {
		row{as: "svc", do: "PUT /v1/project-quotas/{P}", body: `{"project_quotas":` + body + `}`, want: 204}.in(t, w)
	}
	w := newWorld(t)
	limit(w, `{"orders":2,"secrets":0,"containers":0}`)
	row{id: "BAR-480", do: "POST /v1/orders", body: orderOfKey(""), want: 202, check: active}.in(t, w)
	row{id: "BAR-480", do: "POST /v1/orders", body: orderOf("asymmetric", "ec", 256, ""), want: 202, check: active}.in(t, w)
	row{id: "BAR-479", do: "POST /v1/orders", body: orderOfKey(""), want: 403, check: describes("quota")}.in(t, w)
	row{id: "BAR-479", do: "POST /v1/orders", body: `{"type":"key"}`, want: 400}.in(t, w)
	row{as: "x", do: "POST /v1/orders", body: orderOfKey(""), want: 202}.in(t, w)
	limit(w, `{"orders":0}`)
	row{id: "BAR-479", do: "POST /v1/orders", body: orderOfKey(""), want: 403}.in(t, w)
}

// Under the new rules orders are the project's, whoever made them (§19.3).
func TestOrdersUnderTheNewPolicy(t *testing.T) {
	w := newWorldUnder(t, cedar.New)
	w.aged(orderOfKey(""), orderOfKey(""))
	for _, r := range []row{
		{id: "BAR-542", as: "mem2", do: "GET /v1/orders/{R}", want: 200},
		{id: "BAR-542", as: "rdr", do: "GET /v1/orders/{R}", want: 403},
		{id: "BAR-542", as: "rdr", do: "DELETE /v1/orders/{R}", want: 403},
		{id: "BAR-542", as: "rdr", do: "POST /v1/orders", body: orderOfKey(""), want: 403},
		{id: "BAR-542", as: "rdr", do: "GET /v1/orders", want: 403},
		{id: "BAR-542", as: "rdr", do: "PUT /v1/orders", want: 403},
		{id: "BAR-542", as: "mem2", do: "PUT /v1/orders", want: 405},
		{id: "BAR-542", as: "mem2", do: "GET /v1/orders", want: 200, check: pageOf("orders", 2, 2, "", "")},
		{id: "BAR-542", as: "x-boss", do: "DELETE /v1/orders/{R}", want: 404},
		{id: "BAR-542", as: "mem2", do: "DELETE /v1/orders/{R}", want: 204},
		{id: "BAR-542", as: "mem2", do: "GET /v1/orders/{R}", want: 404},
	} {
		r.in(t, w)
	}
}
