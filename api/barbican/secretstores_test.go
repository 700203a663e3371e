package barbican_test

import (
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/api/barbican"
	"github.com/strongroom-kms/strongroom/secretstore"
)

// theStore is the only one of a server with one token group.
var theStore = secretstore.Store{ID: "00000000-0000-4000-9000-000000000001", Name: "default", Global: true}

func (w *world) stores(enabled bool, all ...secretstore.Store) *secretstore.Service {
	return secretstore.NewService(secretstore.Deps{Enabled: enabled, Stores: all, Preferences: w.db, Gate: w.gate})
}

// withStores makes w a server with two token groups whose clients may know of
// them: {GLOBAL} and {SECOND}. No request may have been sent yet.
func (w *world) withStores() *world {
	w.t.Helper()
	all, err := w.db.InstallTokenGroups(w.t.Context(), []string{"default", "second"}, w.clock.now())
	if err != nil {
		w.t.Fatal(err)
	}
	all[0].Global = true
	w.names["GLOBAL"], w.names["SECOND"] = all[0].ID, all[1].ID
	w.api.SecretStores = w.stores(true, all...)
	return w
}

func TestSecretStoresAreOff(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{id: "BAR-510", do: "GET /v1/secret-stores", want: 404, check: describes("not enabled")},
		{id: "BAR-510", do: "GET /v1/secret-stores/", want: 404, check: describes("not enabled")},
		{id: "BAR-510", do: "GET /v1/secret-stores/global-default", want: 404, check: describes("not enabled")},
		{id: "BAR-510", do: "GET /v1/secret-stores/preferred", want: 404, check: describes("not enabled")},
		{id: "BAR-510", do: "GET /v1/secret-stores/abc", want: 404, check: describes("not enabled")},
		{id: "BAR-510", do: "POST /v1/secret-stores/abc/preferred", want: 404, check: describes("not enabled")},
		{id: "BAR-510", do: "GET /v1/secret-stores/" + theStore.ID, want: 404, check: describes("not enabled")},
		{id: "BAR-510", as: "norole", do: "GET /v1/secret-stores", want: 403},
		{id: "BAR-510", as: "norole", do: "GET /v1/secret-stores/global-default", want: 403},
		{id: "BAR-510", as: "norole", do: "GET /v1/secret-stores/preferred", want: 403},
		{id: "BAR-510", as: "norole", do: "GET /v1/secret-stores/abc", want: 404},
		{id: "BAR-510", as: "norole", do: "POST /v1/secret-stores/" + theStore.ID + "/preferred", want: 404},
		{id: "BAR-510", as: "norole", do: "DELETE /v1/secret-stores/abc/preferred", want: 404},
		{id: "BAR-510", as: "adm", do: "POST /v1/secret-stores", want: 405, check: headerIs("Allow", "GET")},
		{id: "BAR-510", do: "GET /v1/secret-stores/abc/foo", want: 404},
		{id: "BAR-510", do: "GET /v1/secret-stores", headers: "Accept: text/html", want: 406},
		{id: "BAR-510", as: "-", do: "GET /v1/secret-stores", want: 401},
	})
}

// listed checks the members of every store, and who is the global one.
func listed(t *testing.T, w *world, a answer) {
	t.Helper()
	all, _ := a.json()["secret_stores"].([]any)
	if len(all) != 2 || len(a.json()) != 1 {
		t.Fatalf("the list is %s", a.body)
	}
	for i, want := range []struct{ id, name string }{{"GLOBAL", "default"}, {"SECOND", "second"}} {
		w.isStore(t, all[i].(map[string]any), want.id, want.name)
	}
}

func (w *world) isStore(t *testing.T, got map[string]any, id, name string) {
	t.Helper()
	const at = "2026-05-16T19:40:44.123456"
	for member, want := range map[string]any{
		"created": at, "updated": at, "status": "ACTIVE", "name": name, "global_default": name == "default",
		"secret_store_plugin": "store_crypto", "crypto_plugin": "p11_crypto",
		"secret_store_ref": base + "/v1/secret-stores/" + w.names[id],
	} {
		if got[member] != want {
			t.Errorf("%s of %s is %v, want %v", member, name, got[member], want)
		}
	}
	if len(got) != 8 {
		t.Errorf("%s has the members %v", name, got)
	}
}

func isStore(id, name string) func(*testing.T, *world, answer) {
	return func(t *testing.T, w *world, a answer) {
		t.Helper()
		w.isStore(t, a.json(), id, name)
	}
}

func TestSecretStores(t *testing.T) {
	t.Parallel()
	for _, r := range []row{
		{id: "BAR-511", do: "GET /v1/secret-stores", want: 200, check: listed},
		{id: "BAR-511", do: "GET /v1/secret-stores/?limit=1&offset=9", want: 200, check: listed},
		{id: "BAR-511", as: "x", do: "GET /v1/secret-stores", want: 200, check: listed},
		{id: "BAR-511", as: "norole", do: "GET /v1/secret-stores", want: 403},
		{id: "BAR-511", do: "GET /v1/secret-stores", headers: "Accept: text/html", want: 406},
		{id: "BAR-511", as: "adm", do: "POST /v1/secret-stores", want: 405, check: headerIs("Allow", "GET")},
		{id: "BAR-512", do: "GET /v1/secret-stores/global-default", want: 200, check: isStore("GLOBAL", "default")},
		{id: "BAR-512", as: "norole", do: "GET /v1/secret-stores/global-default", want: 403},
		{id: "BAR-512", do: "PUT /v1/secret-stores/global-default", want: 405, check: headerIs("Allow", "GET")},
		{id: "BAR-512", do: "GET /v1/secret-stores/global-default/x", want: 404},
		{id: "BAR-513", do: "GET /v1/secret-stores/preferred", want: 404, check: describes("prefers no")},
		{id: "BAR-513", do: "DELETE /v1/secret-stores/preferred", want: 405, check: headerIs("Allow", "GET")},
		{id: "BAR-513", do: "GET /v1/secret-stores/preferred/x", want: 404},
		{id: "BAR-515", do: "POST /v1/secret-stores/{SECOND}/preferred", want: 403},
		{id: "BAR-515", do: "DELETE /v1/secret-stores/{SECOND}/preferred", want: 403},
		{id: "BAR-515", do: "POST /v1/secret-stores/{SECOND}/preferred", headers: "Accept: text/html", want: 406},
		{id: "BAR-517", do: "GET /v1/secret-stores/{NX}", want: 404},
		{id: "BAR-517", as: "norole", do: "GET /v1/secret-stores/not-a-uuid", want: 404},
		{id: "BAR-517", as: "norole", do: "POST /v1/secret-stores/{NX}/preferred", want: 404},
		{id: "BAR-517", as: "adm", do: "DELETE /v1/secret-stores/{NX}/preferred", want: 404},
		{id: "BAR-517", do: "PATCH /v1/secret-stores/{NX}", want: 404},
		{id: "BAR-517", do: "GET /v1/secret-stores/%00", want: 404},
		{id: "BAR-517", do: "GET /v1/secret-stores/" + strings.Repeat("a", 4000), want: 404},
		{id: "BAR-518", do: "GET /v1/secret-stores/{SECOND}/preferred", want: 405, check: headerIs("Allow", "DELETE, POST")},
		{id: "BAR-518", as: "norole", do: "PUT /v1/secret-stores/{SECOND}/preferred/", want: 405},
		{id: "BAR-518", do: "GET /v1/secret-stores/{SECOND}/foo", want: 405, check: headerIs("Allow", "")},
		{id: "BAR-518", as: "adm", do: "POST /v1/secret-stores/{SECOND}/foo", want: 405},
		{id: "BAR-518", do: "GET /v1/secret-stores/{NX}/foo", want: 404},
		{id: "BAR-518", do: "GET /v1/secret-stores/{SECOND}/foo/bar", want: 404},
		{id: "BAR-518", do: "PATCH /v1/secret-stores/{SECOND}", want: 405, check: headerIs("Allow", "GET")},
		{id: "BAR-519", do: "GET /v1/secret-stores/{SECOND}", want: 200, check: isStore("SECOND", "second")},
		{id: "BAR-519", do: "GET /v1/secret-stores/{GLOBAL}/", want: 200, check: isStore("GLOBAL", "default")},
		{id: "BAR-519", as: "norole", do: "GET /v1/secret-stores/{SECOND}", want: 403},
		{id: "BAR-519", do: "GET /v1/{P}/secret-stores", want: 404},
	} {
		t.Run(r.id+" "+r.as+" "+r.do[:min(len(r.do), 60)], func(t *testing.T) {
			t.Parallel()
			r.in(t, newWorld(t).withStores())
		})
	}
}

// The preference comes and goes; of it there is one, and it is the project's.
func TestPreferredSecretStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withStores()
	for _, r := range []row{
		{id: "BAR-514", as: "adm", do: "POST /v1/secret-stores/{SECOND}/preferred", want: 204, check: bodyIs("")},
		{id: "BAR-514", do: "GET /v1/secret-stores/preferred", want: 200, check: isStore("SECOND", "second")},
		{id: "BAR-514", as: "adm", do: "POST /v1/secret-stores/{SECOND}/preferred", headers: "Content-Type: text/plain", body: "whatever", want: 204},
		{id: "BAR-514", as: "x", do: "GET /v1/secret-stores/preferred", want: 404},
		{id: "BAR-514", do: "GET /v1/secret-stores/global-default", want: 200, check: isStore("GLOBAL", "default")},
		{id: "BAR-514", as: "adm", do: "POST /v1/secret-stores/{GLOBAL}/preferred/", want: 204},
		{id: "BAR-514", do: "GET /v1/secret-stores/preferred", want: 200, check: isStore("GLOBAL", "default")},
		{id: "BAR-516", as: "x-adm", do: "DELETE /v1/secret-stores/{GLOBAL}/preferred", want: 404},
		{id: "BAR-516", as: "adm", do: "DELETE /v1/secret-stores/{SECOND}/preferred", want: 204, check: bodyIs("")},
		{id: "BAR-516", as: "adm", do: "DELETE /v1/secret-stores/{GLOBAL}/preferred", want: 404, check: describes("prefers no")},
		{id: "BAR-516", do: "GET /v1/secret-stores/preferred", want: 404},
	} {
		r.in(t, w)
	}
}

// New secrets of a project go where it prefers, its old ones stay, and nothing
// of another project moves.
func TestSecretsGoToThePreferredStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withStores()
	const text = `{"payload":"p","payload_content_type":"text/plain"}`
	w.make("OLD", text)
	w.make("S0", `{}`)
	row{id: "BAR-514", as: "adm", do: "POST /v1/secret-stores/{SECOND}/preferred", want: 204}.in(t, w)
	w.make("NEW", text)
	row{do: "PUT /v1/secrets/{S0}", headers: "Content-Type: text/plain", body: "p", want: 204}.in(t, w)
	w.second.SetAway(true)
	for name, want := range map[string]int{"OLD": 200, "NEW": 503, "S0": 503} {
		row{do: "GET /v1/secrets/{" + name + "}/payload", want: want}.in(t, w)
	}
	row{do: "POST /v1/secrets", body: text, want: 503}.in(t, w)
	row{as: "x", do: "POST /v1/secrets", body: text, want: 201}.in(t, w)
	w.second.SetAway(false)
	w.token.SetAway(true)
	for name, want := range map[string]int{"OLD": 503, "NEW": 200, "S0": 200} {
		row{do: "GET /v1/secrets/{" + name + "}/payload", want: want}.in(t, w)
	}
	row{do: "POST /v1/secrets", body: text, want: 201}.in(t, w)
}

// A node whose configuration lacks the group that a project prefers says so.
func TestPreferredStoreOfAnotherNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t).withStores()
	row{as: "adm", do: "POST /v1/secret-stores/{SECOND}/preferred", want: 204}.in(t, w)
	older := newWorld(t, func(api *barbican.API) { api.SecretStores = w.stores(true, theStore) })
	row{as: "adm", do: "GET /v1/secret-stores/preferred", want: 503, check: describes("not configured")}.in(t, older)
}
