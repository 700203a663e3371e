package csms

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
)

// fixedFirst is what paths are sorted by, so that a segment that is written out
// comes before one that may be anything: /csms/tags is no secret's path. The
// method counts, too: GET /secrets/restore shows a secret that is called so.
func fixedFirst(path string) string { return strings.ReplaceAll(path, "{", "\x7f") }

// numbered sets the request's identifier on every answer.
func numbered(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setRequestID(w, r)
		h.ServeHTTP(w, r)
	})
}

// refuseMethod answers a path with a method that it does not have.
func refuseMethod(routes []route, path string) http.Handler {
	var methods []string
	for _, rt := range routes {
		if covers(rt.path, path) {
			methods = append(methods, rt.method)
		}
	}
	slices.Sort(methods)
	allow := strings.Join(slices.Compact(methods), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		writeFault(w, r, errMethod)
	})
}

// covers reports whether a route's path is another's, or leaves open what the
// other writes out.
func covers(general, path string) bool {
	g, p := strings.Split(general, "/"), strings.Split(path, "/")
	if len(g) != len(p) {
		return false
	}
	for i := range g {
		if g[i] != p[i] && !strings.HasPrefix(g[i], "{") {
			return false
		}
	}
	return true
}

// malformed finds paths of this dialect with an empty segment, . or .. in
// them. Another server would clean them and redirect; the vendor's clients
// follow no redirect, and a cleaned path is not the one that was signed.
func malformed(r *http.Request, _ *mux.RouteMatch) bool {
	path := r.URL.Path
	if !strings.HasPrefix(strings.TrimLeft(path, "/"), "v1/") {
		return false
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		if s == "." || s == ".." || s == "" && i < len(segments)-1 {
			return true
		}
	}
	return false
}

// refuseMalformed answers such a path, once it is known who asks: a sample of
// the vendor's own forgets the secret's name and signs /secrets//versions.
func (a *API) refuseMalformed() http.Handler {
	d := wire.Dialect{Identify: a.anybody, WriteFault: writeFault}
	return d.Serve(a.Log, a.Config.maxBody(), func(http.ResponseWriter, *http.Request, auth.Principal) error {
		return errPath
	})
}

// anybody is identify without a project, since the path tells none for sure.
func (a *API) anybody(r *http.Request) (auth.Principal, error) {
	if signed(r) {
		k, err := a.Signatures.Verify(r)
		return auth.Principal{User: k.User}, err
	}
	return a.holder(r)
}

// signed says that a signature counts before an access token where a request
// has both, and that another kind of authorization is told what is wrong with
// it (aksk-signing.md §1).
func signed(r *http.Request) bool {
	return aksk.Present(r) || r.Header.Get("X-Auth-Token") == "" && r.Header.Get("Authorization") != ""
}

// holder is whom the request's access token stands for.
func (a *API) holder(r *http.Request) (auth.Principal, error) {
	token := r.Header.Get("X-Auth-Token")
	if token == "" {
		return auth.Principal{}, errNoCredentials
	}
	who, err := a.Identity.ByToken(r.Context(), token)
	if fault.KindOf(err) == fault.Unauthenticated {
		err = fault.Wrap(fault.Unauthenticated, "Incorrect IAM authentication information: decrypt token fail", err)
	}
	return who, err
}
