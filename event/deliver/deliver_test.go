package deliver_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/event/deliver"
	"github.com/strongroom-kms/strongroom/sensitive"
)

var (
	oldSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("an old secret of thirty-two byte"))
	newSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a newer secret of thirty-two by."))
	loopback  = deliver.Networks{netip.MustParsePrefix("127.0.0.0/8")}
)

func notification() event.Notification {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	return event.Notification{
		ID: "01a00000-0000-7000-8000-000000000001", Project: "0123456789abcdef", At: at, Event: "on-change", Type: event.VersionCreated,
		Secret: event.Subject{ID: "s", Name: "demo", CreatedAt: at, UpdatedAt: at}, Version: 1,
	}
}

func webhook(t *testing.T, url string, own deliver.Networks) *deliver.Webhook {
	t.Helper()
	h, err := deliver.NewWebhook(deliver.WebhookConfig{
		URL: url, Secrets: sensitive.Take([]byte(oldSecret + "\n" + newSecret)), Allowed: own, Timeout: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// check says what is wrong with a message as a receiver sees it.
func check(t *testing.T, body []byte) {
	t.Helper()
	var e cloudevents.Event
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatal(err)
	}
	n := notification()
	if err := e.Validate(); err != nil || e.ID() != n.ID || e.Subject() != "demo" || !e.Time().Equal(n.At) || string(e.Data()) != string(n.Content()) ||
		e.Type() != "io.github.strongroom-kms.csms.secret.version-created" || e.Source() != "/v1/0123456789abcdef/csms/events/on-change" {
		t.Errorf("received %s, %v", body, err)
	}
}

// The library that receivers use finds every request genuine, under the old
// secret and the new one, and no altered one.
func TestWebhookIsSigned(t *testing.T) {
	t.Parallel()
	received := 0
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		received++
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		check(t, body)
		for _, secret := range []string{oldSecret, newSecret} {
			v, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Verify(body, r.Header); err != nil {
				t.Errorf("Verify: %v", err)
			}
			if v.Verify(append(body, ' '), r.Header) == nil {
				t.Error("an altered body is genuine")
			}
		}
		other, _ := standardwebhooks.NewWebhookRaw([]byte("of somebody else"))
		if other.Verify(body, r.Header) == nil {
			t.Error("genuine under anybody's secret")
		}
		if r.Header.Get("webhook-id") != notification().ID || r.Header.Get("Content-Type") != "application/cloudevents+json" || r.Method != http.MethodPost {
			t.Errorf("%s %v", r.Method, r.Header)
		}
	}))
	t.Cleanup(srv.Close)
	if err := webhook(t, srv.URL, loopback).Send(t.Context(), notification()); err != nil || received != 1 {
		t.Errorf("Send: %v, received %d", err, received)
	}
}

func TestSigningSecretsAreChecked(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "whsec_", "whsec_?", "whsec_c2hvcnQ=", "whsec_" + strings.Repeat("A", 120)} {
		_, err := deliver.NewWebhook(deliver.WebhookConfig{URL: "https://a.test", Secrets: sensitive.Take([]byte(text)), Timeout: time.Second})
		if err == nil || len(text) > 6 && strings.Contains(err.Error(), text[6:]) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Whatever is not 2xx was not delivered, no redirect is followed, nothing
// large is read, and no error tells the URL, which may be a credential.
func TestAnswersOfReceivers(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	for _, tc := range []struct {
		name string
		do   http.HandlerFunc
		ok   bool
	}{
		{"200", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) }, true},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, true},
		{"302", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				followed.Store(true)
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, false},
		{"307", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, false},
		{"410", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, false},
		{"503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, false},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the client hung up
			<-r.Context().Done()
		}, false},
		{"an endless header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("a", 1<<20)) }, false},
		{"an endless body", func(w http.ResponseWriter, _ *http.Request) {
			for range 1 << 10 {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, true},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(tc.do)
			t.Cleanup(srv.Close)
			err := webhook(t, srv.URL+"/credential", loopback).Send(t.Context(), notification())
			if (err == nil) != tc.ok || err != nil && (strings.Contains(err.Error(), "credential") || strings.Contains(err.Error(), "127.0.0.1")) {
				t.Errorf("Send: %v", err)
			}
			if followed.Load() {
				t.Error("the redirect was followed")
			}
		})
	}
}

// Addresses that a receiver's name may stand for, and whether anything is sent
// there where the operator says nothing.
func TestGuard(t *testing.T) {
	t.Parallel()
	own := deliver.Networks{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}
	for address, want := range map[string]struct{ anybody, owner bool }{
		"93.184.216.34": {true, true}, "2606:4700::1111": {true, true}, "::ffff:93.184.216.34": {true, true},
		"127.0.0.1": {}, "127.255.255.254": {}, "::1": {}, "::ffff:127.0.0.1": {}, "0.0.0.0": {}, "::": {},
		"10.0.0.1": {}, "172.16.0.1": {}, "192.168.1.1": {}, "::ffff:10.0.0.1": {}, "fd00::1": {}, "fc00::1": {},
		"169.254.169.254": {}, "fe80::1": {}, "fe80::1%eth0": {}, "::ffff:169.254.169.254": {}, "fd00:ec2::254": {},
		"100.64.0.1": {}, "100.100.100.200": {}, "198.18.0.1": {}, "192.0.0.192": {}, "224.0.0.1": {}, "255.255.255.255": {}, "240.0.0.1": {},
		"ff02::1": {}, "64:ff9b::a9fe:a9fe": {}, "2002:7f00:1::": {}, "2001::1": {}, "::7f00:1": {}, "fec0::1": {},
		"10.1.2.3": {false, true}, "::ffff:10.1.2.3": {false, true}, "fd00:1::5": {false, true}, "10.2.0.1": {},
	} {
		ip := netip.MustParseAddr(address)
		if got := deliver.May(nil, ip); got != want.anybody {
			t.Errorf("%s may be connected to: %v", address, got)
		}
		if got := deliver.May(own, ip); got != want.owner {
			t.Errorf("%s may be connected to where 10.1/16 and fd00:1::/32 are allowed: %v", address, got)
		}
	}
}

// The guard is on the socket: a name that leads inside is found out, whatever
// it looks like, and the environment's proxy does not help.
func TestNothingIsSentInside(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://93.184.216.34:1")
	received := false
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { received = true }))
	t.Cleanup(srv.Close)
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433"} {
		err := webhook(t, "http://"+host+":"+port, nil).Send(t.Context(), notification())
		if err == nil || received {
			t.Errorf("%s: sent", host)
		}
		if strings.ContainsAny(host, "[:") || host == "localhost" || host == "127.0.0.1" {
			if !errors.Is(err, event.ErrUnusable) {
				t.Errorf("%s: %v", host, err)
			}
		}
	}
	n := deliver.NewNATS(deliver.NATSConfig{URL: "nats://127.0.0.1:" + port, Subject: "s", Timeout: time.Second})
	t.Cleanup(n.Close)
	if err := n.Send(t.Context(), notification()); err == nil {
		t.Error("NATS: sent")
	}
}

// A broker in this process takes each notification once, whoever sends it
// again; without a stream, and while it is away, nothing counts as delivered.
func TestNATS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func(port int) *server.Server {
		t.Helper()
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("the broker does not start")
		}
		return s
	}
	broker := start(server.RANDOM_PORT)
	url := broker.ClientURL()
	n := deliver.NewNATS(deliver.NATSConfig{URL: url, Subject: "secrets.told", Allowed: loopback, Timeout: 2 * time.Second})
	t.Cleanup(n.Close)
	if err := n.Send(t.Context(), notification()); err == nil {
		t.Error("delivered to no stream")
	}
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "told", Subjects: []string{"secrets.*"}, Storage: jetstream.FileStorage})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := n.Send(t.Context(), notification()); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 1 {
		t.Errorf("the stream has %+v, %v", info, err)
	}
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	check(t, m.Data)
	if m.Header.Get("Nats-Msg-Id") != notification().ID {
		t.Errorf("headers %v", m.Header)
	}

	port := broker.Addr().(*net.TCPAddr).Port
	broker.Shutdown()
	broker.WaitForShutdown()
	if err := n.Send(t.Context(), notification()); err == nil {
		t.Error("delivered to a broker that is away")
	}
	broker = start(port)
	t.Cleanup(func() { broker.Shutdown(); broker.WaitForShutdown() })
	second := notification()
	second.ID = "01a00000-0000-7000-8000-000000000002"
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if err = n.Send(t.Context(), second); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("the broker is back, and: %v", err)
	}
}
