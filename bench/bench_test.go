// Package bench measures the hot paths whole: HTTP, gate, key hierarchy, a
// real token behind a worker, and a real database.
package bench

import (
	"context"
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

	"github.com/strongroom-kms/strongroom/api"
	"github.com/strongroom-kms/strongroom/api/barbican"
	"github.com/strongroom-kms/strongroom/audit/journal"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/hsm"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/order/keypair"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy/cedar"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/secretstore"
	"github.com/strongroom-kms/strongroom/softhsm/softhsmtest"
	"github.com/strongroom-kms/strongroom/transport"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// fixture is a key-manager listener whose callers are known without a look-up:
// the cost of authentication has a benchmark of its own in auth/realm.
type fixture struct {
	db    *postgres.DB
	token *hsm.Token
	url   string
}

type anyone struct{}

func (anyone) ByTokens(context.Context, auth.Tokens) (auth.Principal, error) {
	return auth.Principal{User: "u", Project: "p", Roles: []string{"creator"}, Method: auth.ByToken}, nil
}

func open(b *testing.B) fixture {
	b.Helper()
	f := fixture{db: pgtest.Open(b), token: softhsmtest.Open(b)}
	judge, err := cedar.Load(cedar.Config{Mode: cedar.Legacy})
	if err != nil {
		b.Fatal(err)
	}
	records, err := journal.Open(filepath.Join(b.TempDir(), "journal"), journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { records.Close() })
	sealer := kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(f.token), Store: f.db, NewID: uuid.NewString, Now: time.Now})
	asks := gate.Gate{
		Judge: judge, Recorder: records,
		NewEventID: func() string { return uuid.Must(uuid.NewV7()).String() }, Now: time.Now,
	}
	newEventID := func() string { return uuid.Must(uuid.NewV7()).String() }
	orders := order.NewService(order.Deps{
		Store: f.db, Sealer: sealer, Random: sealer, Pairs: keypair.NewMaker(1), Judge: judge, Recorder: records,
		NewID:          func() order.ID { return order.ID(uuid.NewString()) },
		NewSecretID:    func() secret.ID { return secret.ID(uuid.NewString()) },
		NewContainerID: func() container.ID { return container.ID(uuid.NewString()) },
		NewEventID:     newEventID, Now: time.Now,
	})
	b.Cleanup(func() { orders.Close() })
	h := api.Handler(func() string { return "req-" + uuid.NewString() }, func(string, string, int, time.Duration) {}, &barbican.API{
		Secrets: secret.NewService(secret.Deps{
			Store: f.db, Sealer: sealer, Keys: sealer, Judge: judge, Recorder: records,
			NewID:      func() secret.ID { return secret.ID(uuid.NewString()) },
			NewEventID: newEventID,
			Now:        time.Now,
		}),
		Quotas: quota.NewService(quota.Deps{
			Store: f.db, Judge: judge, Recorder: records,
			NewEventID: func() string { return uuid.Must(uuid.NewV7()).String() }, Now: time.Now,
		}),
		TransportKeys: transport.NewService(asks),
		SecretStores: secretstore.NewService(secretstore.Deps{
			Stores: []secretstore.Store{{ID: uuid.NewString(), Name: "default", Global: true}}, Preferences: f.db, Gate: asks,
		}),
		Orders:   orders,
		Identity: anyone{},
		Log:      zap.NewNop(),
	})
	s := httptest.NewServer(h)
	b.Cleanup(s.Close)
	f.url = s.URL
	return f
}

func (f fixture) do(b *testing.B, method, url, accept, body string, status int) *http.Response {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", "t")
	req.Header.Set("Accept", accept)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != status {
		b.Fatalf("%s %s = %d, want %d", method, url, resp.StatusCode, status)
	}
	return resp
}

func (f fixture) create(b *testing.B) string {
	body := `{"name":"bench","payload":"` + strings.Repeat("x", 1024) + `","payload_content_type":"text/plain"}`
	return f.do(b, "POST", f.url+"/v1/secrets", "application/json", body, http.StatusCreated).Header.Get("Location")
}

// spent reports what the server asked of database and token per request.
func (f fixture) spent(b *testing.B, run func(*testing.PB)) {
	sql, calls := f.db.RoundTrips(), f.token.Calls()
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 8
	b.SetParallelism(4) // 8 connections on two cores
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(run)
	b.ReportMetric(float64(f.db.RoundTrips()-sql)/float64(b.N), "sql/op")
	b.ReportMetric(float64(f.token.Calls()-calls)/float64(b.N), "token/op")
}

func BenchmarkReadPayload(b *testing.B) {
	f := open(b)
	url := f.create(b) + "/payload"
	f.spent(b, func(pb *testing.PB) {
		for pb.Next() {
			f.do(b, "GET", url, "text/plain", "", http.StatusOK)
		}
	})
}

func BenchmarkCreateWithPayload(b *testing.B) {
	f := open(b)
	f.create(b)
	f.spent(b, func(pb *testing.PB) {
		for pb.Next() {
			f.create(b)
		}
	})
}
