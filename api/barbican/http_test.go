package barbican_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/barbican"
	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// curl waits for 100 Continue before it sends a file. Who is not let in must
// not be asked for it.
func TestExpectContinue(t *testing.T) {
	w := newWorld(t).furnish()
	for who, want := range map[string]string{"u1": "HTTP/1.1 100 Continue", "garbage": "HTTP/1.1 401 Unauthorized", "obs": "HTTP/1.1 403 Forbidden"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "PUT /v1/secrets/%s HTTP/1.1\r\nHost: h\r\nX-Auth-Token: %s\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
			w.names["S0"], who)
		in := bufio.NewReader(conn)
		line, err := in.ReadString('\n')
		if err != nil || strings.TrimSpace(line) != want {
			t.Errorf("%s: %q, %v; want %q", who, line, err, want)
		}
		if who != "u1" {
			continue
		}
		if _, err := io.WriteString(conn, "hello"); err != nil {
			t.Fatal(err)
		}
		in.ReadString('\n') // the empty line after 100
		if line, err := in.ReadString('\n'); err != nil || strings.TrimSpace(line) != "HTTP/1.1 204 No Content" {
			t.Errorf("after the body: %q, %v", line, err)
		}
	}
}

func TestUploadMayBeChunked(t *testing.T) {
	w := newWorld(t).furnish()
	for _, tc := range []struct{ size, want int }{{20_001, 413}, {20_000, 204}} {
		body := io.MultiReader(strings.NewReader(strings.Repeat("x", tc.size))) // of no known length
		req, err := http.NewRequestWithContext(t.Context(), "PUT", w.url+w.fill("/v1/secrets/{S0}"), body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", "u1")
		req.Header.Set("Content-Type", "application/octet-stream")
		if a := w.send(req); a.code != tc.want {
			t.Errorf("%d bytes: %d %s", tc.size, a.code, a.body)
		}
	}
	holds("", strings.Repeat("x", 20_000))(t, w, answer{})
}

func TestOneOfManyUploadsWins(t *testing.T) {
	w := newWorld(t).furnish()
	var mu sync.Mutex
	codes := map[int]int{}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			a := w.do("u1", "PUT /v1/secrets/{S0}", "Content-Type: text/plain", fmt.Sprint("upload ", i))
			mu.Lock()
			defer mu.Unlock()
			codes[a.code]++
		})
	}
	wait.Wait()
	if codes[204] != 1 || codes[409] != 7 {
		t.Errorf("answers %v, want one 204 and seven 409", codes)
	}
}

func TestTokenAwayIs503(t *testing.T) {
	w := newWorld(t).furnish()
	w.token.SetAway(true)
	for do, want := range map[string]int{
		"GET /v1/secrets/{ST}/payload": 503, "PUT /v1/secrets/{S0}": 503, "GET /v1/secrets/{ST}": 200, "GET /v1/secrets": 200,
	} {
		a := w.do("u1", do, "Content-Type: text/plain", "hunter2")
		if a.code != want || (want == 503) != (a.header.Get("Retry-After") != "") {
			t.Errorf("%s: %d, Retry-After %q", do, a.code, a.header.Get("Retry-After"))
		}
		if want == 503 {
			a.isError(t)
		}
	}
	if w.logs.Len() != 2 {
		t.Errorf("%d log lines, want one per failed request", w.logs.Len())
	}
	for _, line := range w.logs.All() {
		m := line.ContextMap()
		if id, _ := m["request"].(string); !strings.HasPrefix(id, "req-") || m["route"] == nil || strings.Contains(fmt.Sprint(m), "hunter2") {
			t.Errorf("logged %v", m)
		}
	}
	w.token.SetAway(false)
	if a := w.do("u1", "GET /v1/secrets/{ST}/payload", "", ""); a.code != 200 {
		t.Errorf("with the token back: %d", a.code)
	}
}

// What the journal has says who asked for what, and how it ended.
func TestRefusalsAndReadsAreRecorded(t *testing.T) {
	w := newWorld(t).furnish()
	w.journal.events = nil
	for _, r := range []struct{ as, do string }{
		{"obs", "POST /v1/secrets"}, {"x", "GET /v1/secrets/{ST}"}, {"u1", "GET /v1/secrets/{NX}"},
		{"u1", "GET /v1/secrets/{ST}/payload"}, {"u1", "GET /v1/secrets/{S0}/payload"},
	} {
		w.do(r.as, r.do, "", "")
	}
	want := []struct {
		user, rule string
		outcome    audit.Outcome
	}{
		{"obs", "secrets:post", audit.Denied}, {"x", "secret:get", audit.Denied}, {"u1", "secret:get", audit.Missing},
		{"u1", "secret:decrypt", audit.Success}, {"u1", "secret:decrypt", audit.Missing},
	}
	if len(w.journal.events) != len(want) {
		t.Fatalf("%d events, want %d: %+v", len(w.journal.events), len(want), w.journal.events)
	}
	for i, ev := range w.journal.events {
		if ev.Initiator.User != want[i].user || ev.Rule != want[i].rule || ev.Outcome != want[i].outcome ||
			ev.Family != "key-manager" || !strings.HasPrefix(ev.Request, "req-") || ev.Initiator.From == "" {
			t.Errorf("event %d: %+v, want %+v", i, ev, want[i])
		}
	}
}

// DESIGN §5: round trips to the database and calls of the token, once the
// project's key is there.
func TestBudgets(t *testing.T) {
	w := newWorld(t).furnish()
	w.do("u1", "PUT /v1/secrets/{S0}/metadata", "", `{"metadata":{"k":"v"}}`)
	for _, name := range []string{"S1", "S2"} {
		w.make(name, `{}`)
	}
	cases := []struct {
		do, body    string
		want        int
		trips, hsms int64
	}{
		{"GET /v1/secrets/{ST}/payload", "", 200, 1, 1},
		{"GET /v1/secrets/{ST}", "", 200, 1, 0},
		{"GET /v1/secrets/{S0}/metadata", "", 200, 1, 0},
		{"GET /v1/secrets/{S0}/metadata/k", "", 200, 1, 0},
		{"POST /v1/secrets", `{"payload":"x","payload_content_type":"text/plain"}`, 201, 2, 1},
		{"POST /v1/secrets", `{}`, 201, 1, 0},
		{"PUT /v1/secrets/{S1}", "x", 204, 2, 1},
		{"PUT /v1/secrets/{ST}", "x", 409, 1, 0},
		{"GET /v1/secrets?limit=100&sort=name", "", 200, 3, 0},
		{"PATCH /v1/secrets/{ST}", "", 405, 1, 0},
		{"GET /v1/nothing", "", 404, 0, 0},
	}
	for _, tc := range cases { // the first use prepares each statement
		w.do("u1", strings.Replace(tc.do, "{S1}", "{S2}", 1), "Content-Type: text/plain", tc.body)
	}
	for _, tc := range cases {
		headers := ""
		if strings.HasPrefix(tc.do, "PUT") {
			headers = "Content-Type: text/plain"
		}
		trips, calls := int64(w.db.RoundTrips()), w.token.Calls()
		a := w.do("u1", tc.do, headers, tc.body)
		trips, calls = int64(w.db.RoundTrips())-trips, w.token.Calls()-calls
		if a.code != tc.want || trips > tc.trips || calls != tc.hsms {
			t.Errorf("%s: %d with %d round trips and %d token calls, want %d with at most %d and %d", tc.do, a.code, trips, calls, tc.want, tc.trips, tc.hsms)
		}
	}
}

// DESIGN §3: what a Huawei client stored is a secret here too.
func TestSecretsOfTheOtherFamily(t *testing.T) {
	w := newWorld(t)
	csms := auth.Principal{User: "hw", Project: projectP, Roles: []string{"admin", "csms:admin"}, Family: policy.Huawei, Method: auth.BySignature}
	name := "prod/db"
	made, err := w.secrets.Create(t.Context(), csms, secret.New{
		Name: &name, Kind: "COMMON", Payload: sensitive.Take([]byte("hello")), ContentType: secret.Text,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.names["C"] = string(made.ID)
	a := w.do("u1", "GET /v1/secrets/{C}", "", "")
	hasText(t, w, a)
	hasMembers(allMembers, "content_types")(t, w, a)
	if m := a.json(); m["name"] != name || m["secret_type"] != "opaque" || m["creator_id"] != "hw" {
		t.Errorf("shows %s", a.body)
	}
	if a := w.do("u1", "GET /v1/secrets/{C}/payload", "Accept: text/plain", ""); a.code != 200 || a.body != "hello" {
		t.Errorf("payload: %d %q", a.code, a.body)
	}
	if a := w.do("u1", "PUT /v1/secrets/{C}", "Content-Type: text/plain", "x"); a.code != 409 {
		t.Errorf("PUT: %d", a.code)
	}
	// Neither family can disable a secret yet, so the test does it in the store.
	found, err := w.db.Find(t.Context(), secret.Anywhere(made.ID), secret.Want{}, w.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	found.Secret.State = secret.Disabled
	if err := w.db.Apply(t.Context(), secret.Change{Secret: found.Secret}, audit.Event{ID: uuid.NewString(), At: w.clock.now(), Project: projectP}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []row{
		{do: "GET /v1/secrets/{C}/payload", want: 409},
		{do: "GET /v1/secrets/{C}", want: 200},
		{do: "DELETE /v1/secrets/{C}", want: 204},
	} {
		r.in(t, w)
	}
}

// A slow client gets what it asked for or is cut off by the listener; it keeps
// nobody else waiting.
func TestSlowUploadHoldsNobodyUp(t *testing.T) {
	w := newWorld(t).furnish()
	r, slow := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "PUT", w.url+w.fill("/v1/secrets/{S0}"), r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", "u1")
	req.Header.Set("Content-Type", "text/plain")
	done := make(chan answer)
	go func() { done <- w.send(req) }()
	if _, err := slow.Write([]byte("first half, ")); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if a := w.do("u1", "GET /v1/secrets/{ST}/payload", "", ""); a.code != 200 || time.Since(start) > 5*time.Second {
		t.Errorf("meanwhile: %d after %v", a.code, time.Since(start))
	}
	if _, err := slow.Write([]byte("second half")); err != nil {
		t.Fatal(err)
	}
	slow.Close()
	if a := <-done; a.code != 204 {
		t.Errorf("%d %s", a.code, a.body)
	}
	holds("", "first half, second half")(t, w, answer{})
}

func TestMountRefusesAnIncompleteAPI(t *testing.T) {
	w := newWorld(t)
	for name, drop := range map[string]func(*barbican.API){
		"secrets":        func(a *barbican.API) { a.Secrets = nil },
		"containers":     func(a *barbican.API) { a.Containers = nil },
		"orders":         func(a *barbican.API) { a.Orders = nil },
		"quotas":         func(a *barbican.API) { a.Quotas = nil },
		"transport keys": func(a *barbican.API) { a.TransportKeys = nil },
		"secret stores":  func(a *barbican.API) { a.SecretStores = nil },
		"identity":       func(a *barbican.API) { a.Identity = nil },
		"log":            func(a *barbican.API) { a.Log = nil },
	} {
		api := *w.api
		drop(&api)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no %s: Mount went through", name)
				}
			}()
			api.Mount(mux.NewRouter())
		}()
	}
}
