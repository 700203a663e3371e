// Package admin is for whoever runs the server: is it alive, may it take
// requests, what does it count, how much does it log.
package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gorilla/mux"
)

// Check says what is wrong with one part, in a sentence without a secret; nil
// while it works. It honours ctx.
type Check struct {
	Name string
	Kind string // of several of a kind, one that works is enough; empty: no other is like it
	Ask  func(ctx context.Context) error
}

// API serves the admin listener. It has no authentication of its own: it
// belongs on loopback or behind client certificates.
type API struct {
	Metrics  http.Handler
	LogLevel http.Handler // GET and PUT {"level":"debug"}
	Checks   []Check      // decide whether the server takes requests
	Draining func() bool  // stopping: not ready any more
	Version  func() any
}

// askFor bounds one look at all parts.
const askFor = 2 * time.Second

// Mount adds the routes to r.
func (a *API) Mount(r *mux.Router) {
	r.HandleFunc("/livez", a.live).Methods(http.MethodGet)
	r.HandleFunc("/readyz", a.ready).Methods(http.MethodGet)
	r.HandleFunc("/healthz", a.health).Methods(http.MethodGet)
	r.Handle("/metrics", a.Metrics).Methods(http.MethodGet)
	r.Handle("/loglevel", a.LogLevel).Methods(http.MethodGet, http.MethodPut)
	r.HandleFunc("/version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, a.Version())
	}).Methods(http.MethodGet)
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, map[string]string{"error": "no such path"})
	})
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusMethodNotAllowed, map[string]string{"error": "no such method here"})
	})
}

// live says that the process answers. It looks at nothing else: a token that
// is away must not have the server restarted.
func (a *API) live(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, status{Status: "ok"})
}

// status is the answer of all three.
type status struct {
	Status string            `json:"status"` // ok, degraded, unavailable, draining
	Parts  map[string]string `json:"parts,omitempty"`
}

// code is what a balancer looks at. A server that does a part of its work stays
// in: the others probably miss the same part, and then nobody would be left.
func (s status) code() int {
	if s.Status == "ok" || s.Status == "degraded" {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

// ready says whether requests may be sent here.
func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	s := a.look(r.Context())
	code := s.code()
	if code != http.StatusOK {
		w.Header().Set("Retry-After", "1")
	}
	if s.Status == "ok" && !r.URL.Query().Has("verbose") {
		s.Parts = nil
	}
	answer(w, code, s)
}

// health is the same with every part, for people.
func (a *API) health(w http.ResponseWriter, r *http.Request) {
	s := a.look(r.Context())
	answer(w, s.code(), s)
}

func (a *API) look(ctx context.Context) status {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	s := status{Status: "ok", Parts: map[string]string{}}
	works := map[string]bool{} // by kind: one of it at least
	for _, c := range a.Checks {
		s.Parts[c.Name] = "ok"
		err := c.Ask(ctx)
		if err != nil {
			s.Parts[c.Name] = err.Error()
			s.Status = "degraded"
		}
		kind := cmp.Or(c.Kind, c.Name)
		works[kind] = works[kind] || err == nil
	}
	for _, one := range works {
		if !one {
			s.Status = "unavailable"
		}
	}
	if a.Draining() {
		s.Status = "draining"
	}
	return s
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the client went away: nobody is left to tell
}
