package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/strongroom-kms/strongroom/api"
	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/api/barbican"
	"github.com/strongroom-kms/strongroom/api/csms"
	"github.com/strongroom-kms/strongroom/audit/journal"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/password"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/hsm"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/order/keypair"
	"github.com/strongroom-kms/strongroom/persistence/cluster"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/policy/cedar"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/secretstore"
	"github.com/strongroom-kms/strongroom/sensitive"
	"github.com/strongroom-kms/strongroom/softhsm/softhsmtest"
	"github.com/strongroom-kms/strongroom/telemetry"
	"github.com/strongroom-kms/strongroom/transport"
)

// counted is a server in this process whose round trips to the database and
// calls of the token can be counted. Both are real.
type counted struct {
	db       *postgres.DB
	token    *hsm.Token
	barbican string // base URLs of secrets
	csms     string
	now      time.Time // what caches and signatures go by: nothing expires
	access   string    // access token
}

const (
	budgetAK = "BUDGETACCESSKEY00001"
	budgetSK = "budget-secret-key-0123456789abcdefghijkl"
)

func newCounted(t *testing.T) *counted {
	t.Helper()
	needs(t, "softhsm2-util")
	c := &counted{db: budgetDatabase(t), token: softhsmtest.Open(t), now: time.Now()}
	log := zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))
	records, err := journal.Open(filepath.Join(t.TempDir(), "journal"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := records.Close(); err != nil {
			t.Error(err)
		}
	})
	judge, err := cedar.Load(cedar.Config{Mode: "union"})
	if err != nil {
		t.Fatal(err)
	}
	passwords, err := password.New(2)
	if err != nil {
		t.Fatal(err)
	}
	frozen := func() time.Time { return c.now }
	newEventID := func() string { return uuid.Must(uuid.NewV7()).String() }
	sealer := kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(c.token), Store: c.db, NewID: uuid.NewString, Now: time.Now})
	secrets := secret.NewService(secret.Deps{
		Store: c.db, Sealer: sealer, Keys: sealer, Judge: judge, Recorder: records,
		NewID:      func() secret.ID { return secret.ID(uuid.NewString()) },
		NewEventID: newEventID, Now: time.Now,
	})
	asks := gate.Gate{Judge: judge, Recorder: records, NewEventID: newEventID, Now: time.Now}
	stores := secretstore.NewService(secretstore.Deps{
		Stores: []secretstore.Store{{ID: uuid.NewString(), Name: "default", Global: true}}, Preferences: c.db, Gate: asks,
	})
	quotas := quota.NewService(quota.Deps{Store: c.db, Judge: judge, Recorder: records, NewEventID: newEventID, Now: time.Now})
	containers := container.NewService(container.Deps{Store: c.db, NewID: uuid.NewString, Gate: asks})
	orders := order.NewService(order.Deps{
		Store: c.db, Sealer: sealer, Random: sealer, Pairs: keypair.NewMaker(1), Judge: judge, Recorder: records,
		NewID:          func() order.ID { return order.ID(uuid.NewString()) },
		NewSecretID:    func() secret.ID { return secret.ID(uuid.NewString()) },
		NewContainerID: func() container.ID { return container.ID(uuid.NewString()) },
		NewEventID:     newEventID, Now: time.Now,
	})
	t.Cleanup(func() {
		if err := orders.Close(); err != nil {
			t.Errorf("close orders: %v", err)
		}
	})
	users := realm.NewService(realm.Deps{
		Store: c.db, Sealer: sealer, Judge: judge, Recorder: records, Passwords: passwords,
		NewID:      func() string { return strings.ReplaceAll(uuid.NewString(), "-", "") },
		NewEventID: newEventID, Now: frozen,
	})
	project := c.logIn(t, users)
	c.barbican = mount(t, &barbican.API{
		Secrets: secrets, Containers: containers, Quotas: quotas, TransportKeys: transport.NewService(asks), SecretStores: stores, Identity: users,
		Orders: orders, Healthy: c.db.Ready, Log: log,
	}) + "/v1/secrets"
	c.csms = mount(t, &csms.API{
		Secrets: secrets, Identity: users, Log: log,
		Events:     event.NewService(event.Deps{Store: c.db, Gate: asks, NewID: uuid.NewString, Most: 30}),
		Signatures: &aksk.Verifier{Keys: users, Now: frozen, Skew: 15 * time.Minute, MaxBody: 1 << 20},
	}) + "/v1/" + project + "/secrets"
	return c
}

// budgetDatabase is a PostgreSQL server for this test.
func budgetDatabase(t *testing.T) *postgres.DB {
	t.Helper()
	dir, err := os.MkdirTemp("", "strongroom-e2e-budget-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx := context.WithoutCancel(t.Context())
	server, err := cluster.Start(ctx, cluster.Config{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := server.CreateDatabase(ctx, "strongroom"); err != nil {
		t.Fatal(err)
	}
	cfg := postgres.Config{URL: server.URL("strongroom")}
	if _, err := postgres.Migrate(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// logIn makes a user with an access key, and logs it in with its password. It
// returns the project.
func (c *counted) logIn(t *testing.T, users *realm.Service) string {
	t.Helper()
	if err := users.Load(t.Context(), realm.Accounts{Users: []realm.Persona{{
		Name: "u", Password: "a-password", Project: "p", Roles: []string{"creator", "admin"},
		AccessKey: budgetAK, SecretKey: budgetSK,
	}}}); err != nil {
		t.Fatal(err)
	}
	login := sensitive.Take([]byte("a-password"))
	issued, err := users.Authenticate(t.Context(), auth.Principal{Family: policy.Identity}, realm.Login{
		Method: realm.Password, User: realm.UserRef{Name: "u"}, Password: login,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.access = string(issued.Token.Reveal())
	return string(issued.Grant.Project.ID)
}

func mount(t *testing.T, d api.Dialect) string {
	t.Helper()
	s := httptest.NewServer(api.Handler(telemetry.NewRequestID, func(string, string, int, time.Duration) {}, d))
	t.Cleanup(s.Close)
	return s.URL
}

// identity is how a request shows who sends it.
type identity func(t *testing.T, r *http.Request)

func (c *counted) byToken(_ *testing.T, r *http.Request) { r.Header.Set("X-Auth-Token", c.access) }

func (c *counted) byKey(t *testing.T, r *http.Request) {
	t.Helper()
	if err := aksk.Sign(r, budgetAK, sensitive.Take([]byte(budgetSK)), c.now, "host"); err != nil {
		t.Fatal(err)
	}
}

// call sends a request and returns what it answers, and what it cost.
func (c *counted) call(t *testing.T, who identity, status int, method, url, contentType, body string) (answer, spent) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if accepted, ok := strings.CutPrefix(contentType, "accept "); ok {
		req.Header.Set("Accept", accepted)
	} else if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	who(t, req)
	before := spent{c.db.RoundTrips(), c.token.Calls()}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s %s = %d, want %d: %s", method, url, resp.StatusCode, status, read)
	}
	return answer{resp.StatusCode, resp.Header, read}, spent{c.db.RoundTrips() - before.sql, c.token.Calls() - before.token}
}

// spent is what a request cost.
type spent struct{ sql, token uint64 }

func (s spent) String() string { return fmt.Sprintf("%d SQL and %d token", s.sql, s.token) }

// spending is one operation: before makes what it needs and returns its URL.
type spending struct {
	name   string
	before func(t *testing.T) string
	status int
	method string
	send   func(t *testing.T) (contentType, body string)
	most   spent // DESIGN §5
	is     spent // what it is today: less is a reason to change this, more is a fault
}

// Content types of what is sent, and once of what is asked for.
const asJSON, asText, acceptText = "application/json", "text/plain", "accept text/plain"

// What each operation costs when everything is warm: authentication adds
// nothing to it, by access token or by signature.
func TestBudgets(t *testing.T) {
	c := newCounted(t)
	for _, who := range []struct {
		name string
		by   identity
		all  []spending
	}{
		{"Barbican by access token", c.byToken, c.barbicanSpending()},
		{"orders by access token", c.byToken, c.orderSpending()},
		{"CSMS by access token", c.byToken, c.csmsSpending(c.byToken)},
		{"CSMS by signature", c.byKey, c.csmsSpending(c.byKey)},
	} {
		for _, op := range who.all {
			t.Run(who.name+"/"+op.name, func(t *testing.T) {
				var got spent
				for range 2 { // the first one prepares statements and fills caches
					url := op.before(t)
					var contentType, body string
					if op.send != nil {
						contentType, body = op.send(t)
					}
					_, got = c.call(t, who.by, op.status, op.method, url, contentType, body)
				}
				if got.sql > op.most.sql || got.token > op.most.token {
					t.Errorf("cost %v, and may cost %v", got, op.most)
				} else if got != op.is {
					t.Errorf("cost %v, want %v", got, op.is)
				}
			})
		}
	}
}

// sameJSON is the body each time.
func sameJSON(body string) func(*testing.T) (string, string) {
	return func(*testing.T) (string, string) { return asJSON, body }
}

// always is the URL of every time.
func always(url string) func(*testing.T) string { return func(*testing.T) string { return url } }

func (c *counted) barbicanSpending() []spending {
	const whole = `{"name":"s","payload":"p","payload_content_type":"text/plain"}`
	make := func(body, after string) func(*testing.T) string {
		return func(t *testing.T) string {
			a, _ := c.call(t, c.byToken, 201, "POST", c.barbican, asJSON, body)
			var made struct {
				Ref string `json:"secret_ref"`
			}
			a.json(t, &made)
			url := c.barbican + "/" + filepath.Base(made.Ref)
			c.call(t, c.byToken, 201, "PUT", url+"/metadata", asJSON, `{"metadata":{"k":"v"}}`)
			return url + after
		}
	}
	return []spending{
		{"create with its payload", always(c.barbican), 201, "POST", sameJSON(whole), spent{2, 1}, spent{1, 1}},
		{"create without a payload", always(c.barbican), 201, "POST", sameJSON(`{"name":"s"}`), spent{2, 0}, spent{1, 0}},
		{"second step", make(`{"name":"s"}`, ""), 204, "PUT", func(*testing.T) (string, string) { return asText, "p" }, spent{2, 1}, spent{2, 1}},
		{"show", make(whole, ""), 200, "GET", nil, spent{1, 0}, spent{1, 0}},
		{"payload", make(whole, "/payload"), 200, "GET", nil, spent{1, 1}, spent{1, 1}},
		{"payload, as the older form asks for it", make(whole, ""), 200, "GET", func(*testing.T) (string, string) { return acceptText, "" }, spent{1, 1}, spent{1, 1}},
		{"list", always(c.barbican + "?limit=5&sort=created:desc"), 200, "GET", nil, spent{3, 0}, spent{1, 0}},
		{"all metadata", make(whole, "/metadata"), 200, "GET", nil, spent{1, 0}, spent{1, 0}},
		{"one metadatum", make(whole, "/metadata/k"), 200, "GET", nil, spent{1, 0}, spent{1, 0}},
		{"replace metadata", make(whole, "/metadata"), 201, "PUT", sameJSON(`{"metadata":{"a":"b"}}`), spent{2, 0}, spent{2, 0}},
		{"add metadata", make(whole, "/metadata"), 201, "POST", sameJSON(`{"key":"a","value":"b"}`), spent{2, 0}, spent{2, 0}},
		{"change metadata", make(whole, "/metadata/k"), 200, "PUT", sameJSON(`{"key":"k","value":"b"}`), spent{2, 0}, spent{2, 0}},
		{"remove metadata", make(whole, "/metadata/k"), 204, "DELETE", nil, spent{2, 0}, spent{2, 0}},
		{"delete", make(whole, ""), 204, "DELETE", nil, spent{2, 0}, spent{2, 0}},
		{"a secret that is not there", always(c.barbican + "/0a1b2c3d-0000-4000-8000-000000000001"), 404, "GET", nil, spent{1, 0}, spent{1, 0}},
	}
}

// orderSpending: an order is stored and completed. The token gives a key's
// bytes and wraps each payload, and wraps and unwraps a passphrase meanwhile.
func (c *counted) orderSpending() []spending {
	const key = `{"type":"key","meta":{"algorithm":"aes","bit_length":256}}`
	const pair = `{"type":"asymmetric","meta":{"algorithm":"ec","bit_length":256`
	orders := strings.TrimSuffix(c.barbican, "secrets") + "orders"
	placed := func(t *testing.T) string {
		a, _ := c.call(t, c.byToken, 202, "POST", orders, asJSON, key)
		var made struct {
			Ref string `json:"order_ref"`
		}
		a.json(t, &made)
		return orders + "/" + filepath.Base(made.Ref)
	}
	return []spending{
		{"a key", always(orders), 202, "POST", sameJSON(key), spent{2, 2}, spent{2, 2}},
		{"a pair", always(orders), 202, "POST", sameJSON(pair + `}}`), spent{2, 2}, spent{2, 2}},
		{"a pair with a passphrase", always(orders), 202, "POST", sameJSON(pair + `,"passphrase":"p"}}`), spent{2, 5}, spent{2, 5}},
		{"show", placed, 200, "GET", nil, spent{1, 0}, spent{1, 0}},
		{"list", always(orders + "?limit=5"), 200, "GET", nil, spent{3, 0}, spent{1, 0}},
		{"delete", placed, 204, "DELETE", nil, spent{2, 0}, spent{2, 0}},
	}
}

func (c *counted) csmsSpending(who identity) []spending {
	var name string // of the secret that before made last
	make := func(after string) func(*testing.T) string {
		return func(t *testing.T) string {
			name = "s-" + uuid.NewString()
			c.call(t, who, 200, "POST", c.csms, asJSON, `{"name":"`+name+`","secret_string":"v"}`)
			c.call(t, who, 200, "PUT", c.csms+"/"+name+"/stages/own", asJSON, `{"version_id":"v1"}`)
			return c.csms + "/" + name + after
		}
	}
	fresh := func(*testing.T) (string, string) {
		return asJSON, `{"name":"s-` + uuid.NewString() + `","secret_string":"v"}`
	}
	return []spending{
		{"create", always(c.csms), 200, "POST", fresh, spent{2, 1}, spent{1, 1}},
		{"show", make(""), 200, "GET", nil, spent{1, 0}, spent{1, 0}},
		{"list", always(c.csms + "?limit=5"), 200, "GET", nil, spent{3, 0}, spent{1, 0}},
		{"update", make(""), 200, "PUT", sameJSON(`{"description":"d"}`), spent{2, 0}, spent{2, 0}},
		{"add a version", make("/versions"), 200, "POST", sameJSON(`{"secret_string":"w"}`), spent{2, 1}, spent{2, 1}},
		{"list versions", make("/versions"), 200, "GET", nil, spent{3, 0}, spent{1, 0}},
		{"show a version", make("/versions/v1"), 200, "GET", nil, spent{1, 1}, spent{1, 1}},
		{"show the latest version", make("/versions/latest"), 200, "GET", nil, spent{1, 1}, spent{1, 1}},
		{"update a version", make("/versions/v1"), 200, "PUT", sameJSON(fmt.Sprintf(`{"expire_time":%d}`, time.Now().Add(time.Hour).UnixMilli())), spent{2, 0}, spent{2, 0}},
		{"show a stage", make("/stages/own"), 200, "GET", nil, spent{1, 0}, spent{1, 0}},
		{"move a stage", make("/stages/another"), 200, "PUT", sameJSON(`{"version_id":"v1"}`), spent{2, 0}, spent{2, 0}},
		{"delete a stage", make("/stages/own"), 204, "DELETE", nil, spent{2, 0}, spent{2, 0}},
		{"delete", make(""), 200, "DELETE", nil, spent{2, 0}, spent{2, 0}},
		{"a secret that is not there", always(c.csms + "/nobody"), 404, "GET", nil, spent{1, 0}, spent{1, 0}},
	}
}
