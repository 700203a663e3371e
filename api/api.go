// Package api mounts dialects on listeners, each with a router of its own, and
// serves them. What a path means is the dialect's; what is the same for all of
// them is here: request identifiers, limits of a connection, access metrics,
// and starting and stopping.
package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
)

// Dialect is one family's routes. Mount may also set the router's handlers for
// paths and methods that nobody has; the last dialect mounted decides those.
type Dialect interface {
	Mount(r *mux.Router)
}

// Observe hears of each request that was answered. Route is the template of
// the path, or "unmatched": never the path itself, which a caller makes up.
type Observe func(route, method string, status int, took time.Duration)

// Handler mounts dialects in order on one router. No path is ever cleaned or
// redirected: a redirect turns a POST into a GET.
func Handler(newRequestID func() string, observe Observe, dialects ...Dialect) http.Handler {
	r := mux.NewRouter().SkipClean(true)
	for _, d := range dialects {
		d.Mount(r)
	}
	// A middleware runs only where a route matched, which is what it notes.
	r.Use(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if a, ok := req.Context().Value(accessKey{}).(*access); ok {
				a.note(mux.CurrentRoute(req))
			}
			next.ServeHTTP(w, req)
		})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		start := time.Now()
		a := &access{ResponseWriter: w, route: "unmatched", status: http.StatusOK}
		ctx := wire.WithRequestID(req.Context(), newRequestID())
		r.ServeHTTP(a, req.WithContext(context.WithValue(ctx, accessKey{}, a)))
		observe(a.route, method(req.Method), a.status, time.Since(start))
	})
}

type accessKey struct{}

// access notes what a request turned into.
type access struct {
	http.ResponseWriter
	route  string
	status int
	wrote  bool
}

func (a *access) note(route *mux.Route) {
	if route == nil {
		return
	}
	if t, err := route.GetPathTemplate(); err == nil {
		a.route = t
	}
}

func (a *access) WriteHeader(status int) {
	if !a.wrote && status >= 200 { // a 1xx is not the answer yet
		a.status, a.wrote = status, true
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *access) Write(b []byte) (int, error) {
	a.wrote = true
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *access) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// method is a label with a handful of values, whatever callers send.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}
