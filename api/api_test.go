package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/api"
	"github.com/strongroom-kms/strongroom/api/wire"
)

type things struct{}

func (things) Mount(r *mux.Router) {
	r.HandleFunc("/v1/things/{id}", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("X-Id", wire.RequestID(req.Context()))
		w.WriteHeader(http.StatusTeapot)
	}).Methods(http.MethodGet)
}

type seen struct {
	route, method string
	status        int
}

func TestRequestsAreObservedByRoute(t *testing.T) {
	var got []seen
	h := api.Handler(func() string { return "req-1" }, func(route, method string, status int, _ time.Duration) {
		got = append(got, seen{route, method, status})
	}, things{})
	for _, r := range []struct{ method, path string }{
		{"GET", "/v1/things/7"}, {"GET", "/elsewhere"}, {"POST", "/v1/things/7"}, {"BREW", "/x"},
	} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(r.method, r.path, nil))
	}
	want := []seen{
		{"/v1/things/{id}", "GET", 418}, {"unmatched", "GET", 404}, {"unmatched", "POST", 405}, {"unmatched", "other", 404},
	}
	if !slices.Equal(got, want) {
		t.Errorf("observed %v\nwant     %v", got, want)
	}
}

func TestRequestIDReachesTheHandler(t *testing.T) {
	h := api.Handler(func() string { return "req-1" }, func(string, string, int, time.Duration) {}, things{})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/v1/things/7", nil))
	if got := w.Header().Get("X-Id"); got != "req-1" {
		t.Errorf("the handler saw request ID %q", got)
	}
}

func TestNoPathIsRedirected(t *testing.T) { // SIG-006
	h := api.Handler(func() string { return "" }, func(string, string, int, time.Duration) {}, things{})
	for _, path := range []string{"//v1/things/7", "/v1//things/7", "/v1/things/7/", "/v1/./things/7", "/v1/things/../7", "/v1/things/%2e%2e/7"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", path, nil))
		if w.Code/100 == 3 {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestServerDrainsRunningRequests(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, err := api.Listen([]api.Listener{{Name: "a", Address: "127.0.0.1:0", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "done")
	})}}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan string)
	go func() {
		resp, err := http.Get("http://" + s.Addr("a"))
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	<-entered
	drained := make(chan error)
	go func() { drained <- s.Shutdown(context.WithoutCancel(t.Context())) }()
	select {
	case err := <-drained:
		t.Fatalf("stopped with a request under way: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if got := <-answer; got != "done" {
		t.Errorf("the running request got %q", got)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestTakenAddressFailsTheStart(t *testing.T) {
	s, err := api.Listen([]api.Listener{{Name: "a", Address: "127.0.0.1:0"}}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = api.Listen([]api.Listener{{Name: "b", Address: s.Addr("a")}}, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "listen for b") {
		t.Errorf("second listener on one address: %v", err)
	}
}
