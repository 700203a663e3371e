package csms

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
)

// allowed is what one path answers, by method.
type allowed map[string]http.Handler

func (m allowed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setRequestID(w, r)
	if h, ok := m[r.Method]; ok {
		h.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Allow", strings.Join(slices.Sorted(maps.Keys(m)), ", "))
	writeFault(w, r, errMethod)
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
