package keystone_test

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
)

// What needs a network: certificates, and redirects that nobody follows.
func TestTLS(t *testing.T) {
	f := newFake()
	f.set("a", token("u1", "p1", "creator", time.Hour, ""))
	server := httptest.NewTLSServer(f)
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	cfg := f.config()
	cfg.Transport, cfg.URL = nil, server.URL
	want(t, client(t, cfg), "a", fault.Unavailable) // nobody vouches for it
	cfg.Roots = roots
	want(t, client(t, cfg), "a", good)
	cfg.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	want(t, client(t, cfg), "a", fault.Unavailable) // another's certificate
	if questions, logins := f.calls(); questions != 1 || logins != 1 {
		t.Errorf("%d questions and %d logins got through", questions, logins)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s followed a redirect", r.Method, r.URL)
	}))
	defer elsewhere.Close()
	f := newFake()
	server := httptest.NewServer(f)
	defer server.Close()
	cfg := f.config()
	cfg.Transport, cfg.URL = nil, server.URL
	f.set("a", token("u1", "p1", "creator", time.Hour, ""))
	c := client(t, cfg)
	want(t, c, "a", good) // so that it has a token of its own
	for _, code := range []int{301, 302, 303, 307, 308} {
		f.misbehave(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, code) })
		want(t, c, fmt.Sprint("new-", code), fault.Unavailable)
		want(t, client(t, cfg), "new", fault.Unavailable) // at the login
	}
}

// A server that breaks the connection is away, and no token is the reason.
func TestBrokenConnection(t *testing.T) {
	f := newFake()
	server := httptest.NewServer(f)
	defer server.Close()
	cfg := f.config()
	cfg.Transport, cfg.URL = nil, server.URL
	f.set("a", token("u1", "p1", "creator", time.Hour, ""))
	c := client(t, cfg)
	want(t, c, "a", good)
	f.misbehave(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	want(t, c, "b", fault.Unavailable)
	want(t, c, "a", good)
}
