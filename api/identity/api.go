package identity

import (
	"net/http"
	"strings"

	"github.com/gorilla/mux"
	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
)

// API is the identity API. Realm and Log are required.
type API struct {
	Realm *realm.Service
	// Verifier checks AK/SK signatures. Nil: there are only access tokens.
	Verifier Verifier
	Catalog  Catalog
	// Alone says that no other dialect is on the listener: GET / and paths that
	// nobody has are this one's then.
	Alone bool
	Log   *zap.Logger
}

// Verifier checks a request that was signed with an access key, and returns
// the key. *aksk.Verifier is one.
type Verifier interface {
	Verify(r *http.Request) (auth.AccessKey, error)
}

const maxBody = 64 << 10 // bytes

// route is one operation.
type route struct {
	method, path string
	handle       wire.Handler
}

// Mount adds the routes of this dialect to r. The tables are the whole
// surface: what is not in them does not exist.
func (a *API) Mount(r *mux.Router) {
	if a.Realm == nil || a.Log == nil {
		panic("identity.API: incomplete")
	}
	known := wire.Dialect{Identify: a.identify, WriteFault: writeFault}
	anyone := wire.Dialect{Identify: nobody, WriteFault: writeFault}
	a.mount(r, anyone, a.open())
	a.mount(r, known, a.routes())
	if a.Alone {
		r.NotFoundHandler = a.serve(anyone, route{path: "unmatched", handle: notFound})
		r.MethodNotAllowedHandler = a.serve(anyone, route{path: "unmatched", handle: notAllowed})
	}
}

func (a *API) mount(r *mux.Router, d wire.Dialect, routes []route) {
	for _, rt := range routes {
		h := a.serve(d, rt)
		r.Handle(rt.path, h).Methods(rt.method)
		if rt.path != "/" {
			r.Handle(rt.path+"/", h).Methods(rt.method) // never a redirect
		}
	}
}

// serve adds the headers that every answer has.
func (a *API) serve(d wire.Dialect, rt route) http.Handler {
	h := d.Serve(a.Log.With(zap.String("route", rt.method+" "+rt.path)), maxBody, rt.handle)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "X-Auth-Token")
		if strings.HasPrefix(rt.path, "/v3/auth/tokens") {
			w.Header().Set("Vary", "X-Auth-Token, X-Subject-Token")
			w.Header().Set("Cache-Control", "no-store")
		}
		if id := wire.RequestID(r.Context()); id != "" {
			w.Header().Set("X-Openstack-Request-Id", id)
		}
		h.ServeHTTP(w, r)
	})
}

// open is what needs nobody to be known.
func (a *API) open() []route {
	open := []route{
		{"GET", "/v3", a.showVersion},
		{"POST", "/v3/auth/tokens", a.issueToken},
		{"POST", "/v3/users/{user}/password", a.changePassword},
	}
	if a.Alone {
		open = append(open, route{"GET", "/", a.listVersions})
	}
	return open
}

// routes is everything else.
func (a *API) routes() []route {
	return []route{
		{"GET", "/v3/auth/tokens", a.showToken},
		{"HEAD", "/v3/auth/tokens", a.showToken},
		{"DELETE", "/v3/auth/tokens", a.revokeToken},
		{"GET", "/v3/auth/projects", a.ownProjects},
		{"GET", "/v3/auth/domains", a.listDomains},
		{"GET", "/v3/auth/catalog", a.showCatalog},

		{"GET", "/v3/projects", a.listProjects},
		{"POST", "/v3/projects", a.createProject},
		{"GET", "/v3/projects/{project}", a.showProject},
		{"PATCH", "/v3/projects/{project}", a.updateProject},
		{"DELETE", "/v3/projects/{project}", a.deleteProject},
		{"GET", "/v3/domains", a.listDomains},
		{"GET", "/v3/domains/{domain}", a.showDomain},

		{"GET", "/v3/users", a.listUsers},
		{"POST", "/v3/users", a.createUser},
		{"GET", "/v3/users/{user}", a.showUser},
		{"PATCH", "/v3/users/{user}", a.updateUser},
		{"DELETE", "/v3/users/{user}", a.deleteUser},
		{"GET", "/v3/users/{user}/projects", a.userProjects},
		{"GET", "/v3/users/{user}/groups", emptyList("groups")},
		{"GET", "/v3/groups", emptyList("groups")},

		{"GET", "/v3/roles", a.listRoles},
		{"POST", "/v3/roles", a.createRole},
		{"GET", "/v3/roles/{role}", a.showRole},
		{"PATCH", "/v3/roles/{role}", a.updateRole},
		{"DELETE", "/v3/roles/{role}", a.deleteRole},
		{"GET", "/v3/role_assignments", a.listAssignments},
		{"GET", "/v3/projects/{project}/users/{user}/roles", a.assignedRoles},
		{"PUT", "/v3/projects/{project}/users/{user}/roles/{role}", a.assign},
		{"GET", "/v3/projects/{project}/users/{user}/roles/{role}", a.checkAssignment},
		{"HEAD", "/v3/projects/{project}/users/{user}/roles/{role}", a.checkAssignment},
		{"DELETE", "/v3/projects/{project}/users/{user}/roles/{role}", a.unassign},
		{"GET", "/v3/domains/{domain}/users/{user}/roles", a.assignedRoles},
		{"PUT", "/v3/domains/{domain}/users/{user}/roles/{role}", a.assign},
		{"GET", "/v3/domains/{domain}/users/{user}/roles/{role}", a.checkAssignment},
		{"HEAD", "/v3/domains/{domain}/users/{user}/roles/{role}", a.checkAssignment},
		{"DELETE", "/v3/domains/{domain}/users/{user}/roles/{role}", a.unassign},

		{"GET", "/v3/users/{user}/application_credentials", a.listAppCreds},
		{"POST", "/v3/users/{user}/application_credentials", a.createAppCred},
		{"GET", "/v3/users/{user}/application_credentials/{credential}", a.showAppCred},
		{"DELETE", "/v3/users/{user}/application_credentials/{credential}", a.deleteAppCred},

		{"GET", "/v3/credentials", a.listCredentials},
		{"POST", "/v3/credentials", a.createCredential},
		{"GET", "/v3/credentials/{key}", a.showCredential},
		{"DELETE", "/v3/credentials/{key}", a.deleteAccessKey},
		{"GET", "/v3/users/{user}/credentials/OS-EC2", a.listEC2},
		{"POST", "/v3/users/{user}/credentials/OS-EC2", a.createEC2},
		{"GET", "/v3/users/{user}/credentials/OS-EC2/{key}", a.showEC2},
		{"DELETE", "/v3/users/{user}/credentials/OS-EC2/{key}", a.deleteAccessKey},
		{"GET", "/v3.0/OS-CREDENTIAL/credentials", a.listPermanent},
		{"POST", "/v3.0/OS-CREDENTIAL/credentials", a.createPermanent},
		{"GET", "/v3.0/OS-CREDENTIAL/credentials/{key}", a.showPermanent},
		{"PUT", "/v3.0/OS-CREDENTIAL/credentials/{key}", a.updatePermanent},
		{"DELETE", "/v3.0/OS-CREDENTIAL/credentials/{key}", a.deleteAccessKey},

		{"GET", "/v3/services", a.listServices},
		{"GET", "/v3/services/{service}", a.showService},
		{"GET", "/v3/endpoints", a.listEndpoints},
		{"GET", "/v3/endpoints/{endpoint}", a.showEndpoint},
		{"GET", "/v3/regions", a.listRegions},
		{"GET", "/v3/regions/{region}", a.showRegion},
	}
}

// nobody is the caller of a route that asks for none; the realm wants to know
// where the request came from all the same.
func nobody(r *http.Request) (auth.Principal, error) { return door(r, auth.Principal{}), nil }

// door says through which door a principal came.
func door(r *http.Request, who auth.Principal) auth.Principal {
	who.Family = policy.Identity
	who.Request = wire.RequestID(r.Context())
	who.From = wire.Remote(r)
	return who
}

var errNoToken = fault.New(fault.Unauthenticated, "The request you have made requires authentication.")

// identify finds out who is asking: by access token, or by a signature where
// there is none.
func (a *API) identify(r *http.Request) (auth.Principal, error) {
	who, err := a.prove(r)
	return door(r, who), err
}

func (a *API) prove(r *http.Request) (auth.Principal, error) {
	if token := r.Header.Get("X-Auth-Token"); token != "" {
		return a.Realm.ByToken(r.Context(), token)
	}
	if a.Verifier == nil || r.Header.Get("Authorization") == "" {
		return auth.Principal{}, errNoToken
	}
	k, err := a.Verifier.Verify(r)
	if err != nil {
		return auth.Principal{}, err
	}
	return a.Realm.ByAccessKey(r.Context(), k)
}

// id reads an identifier of the path. What no identifier looks like is not
// there, and is not worth a question to the store.
func id(r *http.Request, name string, missing error) (string, error) {
	s := mux.Vars(r)[name]
	if len(s) > 128 || !clean(s) {
		return "", missing
	}
	return s, nil
}

// base is this API's own URL as the client wrote it, up to /v3.
func (a *API) base(r *http.Request) string {
	if a.Catalog.Identity != "" {
		return strings.TrimRight(a.Catalog.Identity, "/")
	}
	return origin(r)
}

func notFound(http.ResponseWriter, *http.Request, auth.Principal) error { return errNoPath }

func notAllowed(http.ResponseWriter, *http.Request, auth.Principal) error { return errMethod }

func noContent(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// emptyList answers with none of what this identity does not have.
func emptyList(what string) wire.Handler {
	return func(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
		wire.WriteJSON(w, http.StatusOK, map[string]any{what: []any{}, "links": linksBody{Self: r.URL.Path}})
		return nil
	}
}
