package barbican

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/secretstore"
	"github.com/strongroom-kms/strongroom/transport"
)

// API is the Key Manager API. Services and Log are required, and Identity
// unless NoAuth is set; nothing may be changed after Mount.
type API struct {
	Secrets       *secret.Service
	Containers    *container.Service
	Quotas        *quota.Service
	TransportKeys *transport.Service
	SecretStores  *secretstore.Service
	Orders        *order.Service
	Identity      Identity
	// NoAuth believes what X-Project-Id, X-User-Id and X-Roles say (§3.2). For
	// development only.
	NoAuth bool
	// Host is the public base URL, without /v1. Empty: what each request says.
	Host    string
	AuthURL string // where to get an access token; told with every 401
	Version string // of the server
	Limits  Limits
	Healthy func(context.Context) error // nil: always healthy
	Now     func() time.Time            // nil: time.Now
	Log     *zap.Logger
}

// Identity turns access tokens into who asks: fault.Unauthenticated where one
// of them is not good. *realm.Service and *keystone.Client are.
type Identity interface {
	ByTokens(ctx context.Context, t auth.Tokens) (auth.Principal, error)
}

// Limits are the operator's; zero ones have the defaults of §20.2.
type Limits struct {
	MaxPayload       int // bytes as sent, 20,000
	MaxPayloadTenant int // the same in the older URL form, 10,000
	MaxBody          int // bytes of a JSON body, 25,000
	DefaultPage      int // 10
	MaxPage          int // 100
}

func (l Limits) orDefaults() Limits {
	return Limits{
		MaxPayload:       cmp.Or(l.MaxPayload, 20_000),
		MaxPayloadTenant: cmp.Or(l.MaxPayloadTenant, 10_000),
		MaxBody:          cmp.Or(l.MaxBody, 25_000),
		DefaultPage:      cmp.Or(l.DefaultPage, 10),
		MaxPage:          cmp.Or(l.MaxPage, 100),
	}
}

// route is one operation. Its path is in today's form; the older one follows
// from it.
type route struct {
	method, path string
	maxBody      int // bytes
	handle       handler
}

// routes is what the API does behind authentication.
func (a *API) routes() []route {
	body := a.Limits.MaxBody
	upload := max(a.Limits.MaxPayload, a.Limits.MaxPayloadTenant)
	all := []route{
		{"GET", "/v1/secrets/{id}", 0, a.getSecret},
		{"PUT", "/v1/secrets/{id}", upload, a.putPayload},
		{"DELETE", "/v1/secrets/{id}", 0, a.deleteSecret},
		{"GET", "/v1/secrets/{id}/payload", 0, a.getPayload},
		{"GET", "/v1/secrets", 0, a.listSecrets},
		{"POST", "/v1/secrets", body, a.createSecret},
		{"GET", "/v1/secrets/{id}/metadata", 0, a.getMetadata},
		{"PUT", "/v1/secrets/{id}/metadata", body, a.putMetadata},
		{"POST", "/v1/secrets/{id}/metadata", body, a.addMetadatum},
		{"GET", "/v1/secrets/{id}/metadata/{key}", 0, a.getMetadatum},
		{"PUT", "/v1/secrets/{id}/metadata/{key}", body, a.changeMetadatum},
		{"DELETE", "/v1/secrets/{id}/metadata/{key}", 0, a.deleteMetadatum},
		{"GET", "/v1", 0, a.getVersion},
	}
	return slices.Concat(all,
		a.quotaRoutes(),
		a.transportKeyRoutes(),
		a.aclRoutes(),
		a.consumerRoutes(),
		a.containerRoutes(),
		a.secretStoreRoutes(),
		a.orderRoutes(),
	)
}

// open is what needs no authentication.
func (a *API) open() []route {
	return []route{
		{"GET", "/", 0, a.listVersions},
		{"GET", "/healthcheck", 0, a.healthcheck},
	}
}

// Mount adds the routes of this dialect to r, and decides what r answers where
// nobody has a route. It panics on a missing dependency: that is a wiring
// mistake, and the program must not start with it.
func (a *API) Mount(r *mux.Router) {
	if a.Secrets == nil || a.Containers == nil || a.Orders == nil || a.Quotas == nil || a.TransportKeys == nil ||
		a.SecretStores == nil || a.Log == nil || (a.Identity == nil && !a.NoAuth) {
		panic("barbican.API: incomplete")
	}
	a.Limits = a.Limits.orDefaults()
	a.Host = strings.TrimRight(a.Host, "/")
	if a.Now == nil {
		a.Now = time.Now
	}
	known, anyone := a.dialect(a.caller), a.dialect(nobody)
	a.mount(r, known, a.routes())
	a.mount(r, anyone, a.open())
	r.PathPrefix("/v1/").Handler(a.serve(known, route{path: "/v1/", handle: unknownPath}))
	r.NotFoundHandler = a.serve(anyone, route{path: "unmatched", handle: unknownPath})
}

// mount adds each path once, with all its methods, so that it can answer 405
// itself: after the object was found, before anything else (§6.2).
func (a *API) mount(r *mux.Router, d wire.Dialect, routes []route) {
	byPath := map[string]methods{}
	var paths []string
	for _, rt := range routes {
		if byPath[rt.path] == nil {
			byPath[rt.path] = methods{}
			paths = append(paths, rt.path)
		}
		byPath[rt.path][rt.method] = a.serve(d, rt)
	}
	for _, path := range paths {
		allowed := strings.Join(slices.Sorted(maps.Keys(byPath[path])), ", ")
		byPath[path][otherMethod] = a.serve(d, route{path: path, handle: notAllowed(path, allowed)})
	}
	for _, path := range paths {
		handleBoth(r, path, byPath[path])
	}
	older := r.MatcherFunc(namesProject).Subrouter()
	for _, path := range paths {
		if slices.Contains(olderCollections, collectionIn(path)) {
			handleBoth(older, "/v1/{project}"+strings.TrimPrefix(path, "/v1"), byPath[path])
		}
	}
}

// handleBoth serves a path with and without a slash at its end: the same
// route, never a redirect.
func handleBoth(r *mux.Router, path string, h http.Handler) {
	r.Handle(path, h)
	if path != "/" {
		r.Handle(path+"/", h)
	}
}

// methods are the operations of one path.
type methods map[string]http.Handler

// otherMethod stands for every method that a path does not have.
const otherMethod = ""

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, ok := m[r.Method]
	if !ok {
		h = m[otherMethod]
	}
	h.ServeHTTP(w, r)
}

// dialect is how this family of clients is told who they are and what failed.
func (a *API) dialect(who func(*http.Request) (auth.Principal, error)) wire.Dialect {
	return wire.Dialect{Identify: who, WriteFault: a.writeFault}
}

// serve makes an http.Handler of a route.
func (a *API) serve(d wire.Dialect, rt route) http.Handler {
	log := a.Log.With(zap.String("route", strings.TrimSpace(rt.method+" "+rt.path)))
	return withRequestID(d.Serve(log, int64(rt.maxBody), a.begin(rt.handle)))
}
