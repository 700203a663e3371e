package barbican

import (
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
)

// maxToken is longer than any access token in use; what is longer is not worth
// asking about.
const maxToken = 16 << 10 // bytes

// maxName limits what a caller may call a project or a user (§3.4).
const maxName = 255 // characters

var (
	errNoToken   = fault.New(fault.Unauthenticated, "Authentication is required.")
	errNoProject = fault.New(fault.Invalid, "X-Project-Id is missing.")
	errBadCaller = fault.New(fault.Invalid, "X-Project-Id, X-User-Id and X-Roles must be printable UTF-8, the first two of at most 255 characters.")
)

// nobody is who asks for what needs no authentication.
func nobody(*http.Request) (auth.Principal, error) { return auth.Principal{}, nil }

// caller says who asks (§3).
func (a *API) caller(r *http.Request) (auth.Principal, error) {
	who, err := a.identified(r)
	who.Family = policy.KeyManager
	who.Request = wire.RequestID(r.Context())
	who.From = wire.Remote(r)
	return who, err
}

func (a *API) identified(r *http.Request) (auth.Principal, error) {
	if a.NoAuth {
		return selfDeclared(r)
	}
	// All other identity headers are for servers behind a proxy that validated
	// them. From a client they mean nothing.
	t := auth.Tokens{User: r.Header.Get("X-Auth-Token"), Service: r.Header.Get("X-Service-Token")}
	if t.User == "" || len(t.User) > maxToken || len(t.Service) > maxToken {
		return auth.Principal{}, errNoToken
	}
	who, err := a.Identity.ByTokens(r.Context(), t)
	if err == nil && who.Project == "" {
		return auth.Principal{}, errNoToken
	}
	return who, err
}

// selfDeclared is no-auth mode (§3.2): the caller says who it is. The older
// form of a path names the project by itself.
func selfDeclared(r *http.Request) (auth.Principal, error) {
	project, user, roles := r.Header.Get("X-Project-Id"), r.Header.Get("X-User-Id"), r.Header.Get("X-Roles")
	if project == "" {
		project = string(projectInPath(r.URL.Path))
	}
	if project == "" {
		return auth.Principal{}, errNoProject
	}
	if !printable(project) || !printable(user) || !printable(roles) || tooLong(project) || tooLong(user) || auth.ProjectID(project).Reserved() {
		return auth.Principal{}, errBadCaller
	}
	who := auth.Principal{User: auth.UserID(user), Project: auth.ProjectID(project), Method: auth.ByHeader}
	if strings.TrimSpace(roles) == "" {
		roles = "admin"
	}
	for role := range strings.SplitSeq(roles, ",") {
		if role = strings.ToLower(strings.TrimSpace(role)); role != "" {
			who.Roles = append(who.Roles, role)
		}
	}
	return who, nil
}

// printable reports whether s can be stored and logged.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func tooLong(name string) bool { return utf8.RuneCountInString(name) > maxName }

// firstSegments can follow /v1/ in today's form, so in that place they are not
// a project (§20.3).
var firstSegments = []string{
	"secrets", "containers", "orders", "quotas", "project-quotas", "secret-stores", "transport_keys", "cas",
}

// olderCollections are served in the older form, too.
var olderCollections = []string{"secrets", "containers", "orders"}

// collectionIn is what follows /v1/ in a path of today's form.
func collectionIn(path string) string {
	collection, _, _ := strings.Cut(strings.TrimPrefix(path, "/v1/"), "/")
	return collection
}

// projectInPath is the project that a path of the older form names:
// /v1/{project}/secrets and what is below it.
func projectInPath(path string) auth.ProjectID {
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return ""
	}
	project, rest, _ := strings.Cut(rest, "/")
	collection, _, _ := strings.Cut(rest, "/")
	if !slices.Contains(olderCollections, collection) || slices.Contains(firstSegments, project) {
		return ""
	}
	return auth.ProjectID(project)
}

// namesProject lets a route of the older form match only such paths.
func namesProject(r *http.Request, _ *mux.RouteMatch) bool { return projectInPath(r.URL.Path) != "" }
