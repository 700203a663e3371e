package barbican

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// call is one request. Its methods are the checks that routes share; a handler
// makes them in the order of §6.2.
type call struct {
	api     *API
	w       http.ResponseWriter
	r       *http.Request
	who     auth.Principal
	version microversion
	project auth.ProjectID // that the path names; empty in today's form
}

// handler answers one call, or says why not.
type handler func(*call) error

// requestIDHeader in the form that http.Header keeps it.
const requestIDHeader = "X-Openstack-Request-Id"

// withRequestID tells the client the ID of its request, whatever the answer.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := wire.RequestID(r.Context())
		if id == "" {
			id = "req-" + uuid.NewString()
			r = r.WithContext(wire.WithRequestID(r.Context(), id))
		}
		w.Header().Set(requestIDHeader, id)
		next.ServeHTTP(w, r)
	})
}

// begin makes the checks that come right after authentication and are the same
// for every route.
func (a *API) begin(h handler) wire.Handler {
	return func(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
		v, err := requested(r.Header[versionHeader])
		if err != nil {
			return err
		}
		w.Header().Set(versionHeader, "key-manager "+v.String())
		w.Header().Set("Vary", "OpenStack-API-Version")
		c := &call{api: a, w: w, r: r, who: who, version: v, project: projectInPath(r.URL.Path)}
		if c.project != "" && c.project != who.Project {
			return a.Secrets.Trespass(r.Context(), who, c.project, errForeignPath)
		}
		return h(c)
	}
}

var errForeignPath = fault.New(fault.Denied, "The project in the path is not the caller's.")

func unknownPath(*call) error { return errUnknownPath }

// notAllowed answers for the methods that a path does not have. A path that
// names an object is 404 first if there is none.
func notAllowed(path, allowed string) handler {
	return func(c *call) error {
		if _, ok := mux.Vars(c.r)["id"]; ok {
			if err := c.exists(collectionIn(path)); err != nil {
				return err
			}
		}
		return errMethod(allowed)
	}
}

// exists says why there is no such object of a collection as the path names.
func (c *call) exists(collection string) (err error) {
	switch collection {
	case "secrets":
		_, err = c.locate(policy.SecretShow, secret.Want{})
	case "containers":
		_, err = c.locateContainer(policy.ContainerShow, container.Want{})
	case "secret-stores":
		_, err = c.locateStore(policy.StoreShow)
	case "orders":
		_, err = c.locateOrder(policy.OrderShow)
	}
	return err
}

// locate finds the secret that the path names, for an operation that act is
// the name of. The older form of a path sees the caller's project only.
func (c *call) locate(act policy.Action, want secret.Want) (*secret.Located, error) {
	text, err := c.id()
	if err != nil {
		return nil, err
	}
	id := secret.ID(text)
	h := secret.Anywhere(id)
	if c.project != "" {
		h = secret.Within(c.project, id)
	}
	return c.api.Secrets.Locate(c.r.Context(), c.who, act, h, want)
}

// locateFor finds the secret that the path names, and makes all checks before
// the body of a call that answers nothing but JSON.
func (c *call) locateFor(act policy.Action, want secret.Want) (*secret.Located, error) {
	sec, err := c.locate(act, want)
	if err != nil {
		return nil, err
	}
	if err := c.acceptsJSON(); err != nil {
		return nil, err
	}
	return sec, sec.May(c.r.Context(), act)
}

// here is the reference of the secret that the path names.
func (c *call) here() string { return c.ref(secret.ID(mux.Vars(c.r)["id"])) }

// id is the UUID in the path.
func (c *call) id() (string, error) {
	text := mux.Vars(c.r)["id"]
	if !isUUIDv4(text) {
		return "", errBadID
	}
	return text, nil
}

var errBadID = fault.New(fault.NotFound, "The id in the path is not a valid UUID of version 4.")

// isUUIDv4 reports whether text is the one form that ids are handed out in.
func isUUIDv4(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.Version() == 4 && id.Variant() == uuid.RFC4122 && id.String() == text
}

// acceptsJSON is the check of Accept on routes that answer nothing but JSON
// (§5.1).
func (c *call) acceptsJSON() error {
	if accepts(c.r.Header["Accept"], mediaJSON) {
		return nil
	}
	return errNotAcceptable
}

// object reads a JSON body after the check of its Content-Type. schema is what
// messages call it.
func (c *call) object(schema string) (object, error) {
	if err := c.sendsJSON(); err != nil {
		return object{}, err
	}
	return c.anyObject(schema)
}

// sendsJSON is the check of Content-Type.
func (c *call) sendsJSON() error {
	if mediaType(c.r.Header.Get("Content-Type")) != mediaJSON {
		return errNotJSON
	}
	return nil
}

// anyObject reads a JSON body whatever its Content-Type is.
func (c *call) anyObject(schema string) (object, error) {
	members, err := wire.ReadObject(c.r)
	if err != nil {
		return object{}, err
	}
	trimStrings(members)
	return object{schema, members}, nil
}

// maxPayload is how many bytes of payload this form of the API takes.
func (c *call) maxPayload() int {
	if c.project != "" {
		return c.api.Limits.MaxPayloadTenant
	}
	return c.api.Limits.MaxPayload
}

// collection is the URL of the caller's secrets.
func (c *call) collection() string { return c.collectionOf("secrets") }

// collectionOf is the URL of what the caller has of a kind, in the form that
// the request itself used.
func (c *call) collectionOf(kind string) string {
	if c.project != "" {
		return c.base() + "/v1/" + url.PathEscape(string(c.project)) + "/" + kind
	}
	return c.base() + "/v1/" + kind
}

func (c *call) ref(id secret.ID) string { return c.collection() + "/" + string(id) }

// base is the public URL of the service without /v1. What the operator
// configured cannot be overridden by a request (§7.4).
func (c *call) base() string {
	if c.api.Host != "" {
		return c.api.Host
	}
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	forwarded, _, _ := strings.Cut(c.r.Header.Get("X-Forwarded-Proto"), ",")
	if f := strings.ToLower(strings.TrimSpace(forwarded)); f == "http" || f == "https" {
		scheme = f
	}
	return scheme + "://" + c.r.Host
}
