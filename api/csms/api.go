package csms

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/gorilla/mux"
	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/secret"
)

// API serves CSMS v1. All fields are required; Config's zero value is the
// vendor's behaviour.
type API struct {
	Secrets    *secret.Service
	Rotations  *rotation.Service
	Events     *event.Service
	Identity   Identity
	Signatures *aksk.Verifier
	Log        *zap.Logger
	Config     Config
}

// Identity knows who may act where. *realm.Service is one.
type Identity interface {
	// ByToken returns whom an access token stands for, in the project that it
	// is for; an unknown or expired one is fault.Unauthenticated.
	ByToken(ctx context.Context, token string) (auth.Principal, error)
	// InProject returns the key's user in a project; fault.Denied where that
	// user has no role there, or there is no such project.
	InProject(ctx context.Context, k auth.AccessKey, p auth.ProjectID) (auth.Principal, error)
}

// Config is what an operator may set.
type Config struct {
	// AllowDotInNames takes secret names with dots, as some revisions of the
	// documents and the Terraform provider do.
	AllowDotInNames bool
	// MaxValue is the size of a value in bytes, up to secret.MaxPayload; zero
	// is DefaultMaxValue.
	MaxValue int
	// MaxBody is the size of a request body in bytes; zero is DefaultMaxBody.
	MaxBody int64
}

// The vendor's limits.
const (
	DefaultMaxValue = 32 << 10
	DefaultMaxBody  = 12 << 20
)

func (c Config) maxValue() int {
	if c.MaxValue == 0 {
		return DefaultMaxValue
	}
	return min(c.MaxValue, secret.MaxPayload)
}

func (c Config) maxBody() int64 {
	if c.MaxBody == 0 {
		return DefaultMaxBody
	}
	return c.MaxBody
}

// route is one operation of the dialect.
type route struct {
	method, path string
	handle       wire.Handler
	nested       bool // its faults are an object inside error (csms.md §1.5)
}

// routes is the whole surface: what is not in it does not exist. Numbers are
// those of csms.md §3.
func (a *API) routes() []route {
	const (
		secrets  = "/v1/{project_id}/secrets"
		one      = secrets + "/{secret_name}"
		versions = one + "/versions"
		version  = versions + "/{version_id}"
		stage    = one + "/stages/{stage_name}"
	)
	return slices.Concat([]route{
		{method: "POST", path: secrets, handle: a.createSecret}, // 1
		{method: "GET", path: secrets, handle: a.listSecrets},   // 2
		{method: "GET", path: one, handle: a.showSecret},        // 3
		{method: "PUT", path: one, handle: a.updateSecret},      // 4
		{method: "DELETE", path: one, handle: a.deleteSecret},   // 5
		{method: "POST", path: versions, handle: a.addVersion},  // 11
		{method: "GET", path: versions, handle: a.listVersions}, // 12
		{method: "GET", path: version, handle: a.showVersion},   // 13
		{method: "PUT", path: version, handle: a.updateVersion}, // 14
		{method: "GET", path: stage, handle: a.showStage},       // 15
		{method: "PUT", path: stage, handle: a.updateStage},     // 16
		{method: "DELETE", path: stage, handle: a.deleteStage},  // 17
	},
		a.scheduleRoutes(),
		a.backupRoutes(),
		a.eventRoutes(),
		a.tagRoutes(),
		a.batchRoutes(),
		a.passwordRoutes(),
		a.rotationRoutes(),
	)
}

// Mount adds the routes of this dialect to r, each with and without a slash at
// its end, and all of /v1/ for paths that are not there. It answers what no
// dialect on the listener has. r must not clean paths.
func (a *API) Mount(r *mux.Router) {
	r.MatcherFunc(malformed).Handler(a.refuseMalformed())
	routes := a.routes()
	slices.SortStableFunc(routes, func(x, y route) int { return cmp.Compare(fixedFirst(x.path), fixedFirst(y.path)) })
	for _, rt := range routes {
		in := wire.Dialect{Identify: a.identify, WriteFault: writeFault}
		if rt.nested {
			in.WriteFault = writeNestedFault
		}
		log := a.Log.With(zap.String("route", rt.method+" "+rt.path))
		h := numbered(in.Serve(log, a.Config.maxBody(), rt.handle))
		r.Handle(rt.path, h).Methods(rt.method)
		r.Handle(rt.path+"/", h).Methods(rt.method) // never a redirect
	}
	for _, rt := range routes {
		h := refuseMethod(routes, rt.path)
		r.Handle(rt.path, h)
		r.Handle(rt.path+"/", h)
	}
	none := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { writeFault(w, r, errNoRoute) })
	r.PathPrefix("/v1/").Handler(none)
	r.NotFoundHandler = none
	r.MethodNotAllowedHandler = none
}

// identify returns who asks, in the project of the path. An access token is
// for one project; a signature is for all projects of its user.
func (a *API) identify(r *http.Request) (auth.Principal, error) {
	project := auth.ProjectID(mux.Vars(r)["project_id"])
	var who auth.Principal
	var err error
	if signed(r) {
		who, err = a.bySignature(r, project)
	} else if who, err = a.holder(r); err == nil && (who.Project == "" || who.Project != project || project.Reserved()) {
		err = errForeignProject
	}
	who.Family = policy.Huawei
	who.Request = wire.RequestID(r.Context())
	who.From = wire.Remote(r)
	if errors.Is(err, errForeignProject) {
		err = a.Secrets.Trespass(r.Context(), who, project, err)
	}
	if err != nil {
		return auth.Principal{}, err
	}
	return who, nil
}

func (a *API) bySignature(r *http.Request, project auth.ProjectID) (auth.Principal, error) {
	key, err := a.Signatures.Verify(r)
	if err != nil {
		return auth.Principal{}, err
	}
	// Only a signed header is the client's word; anybody can add another.
	if aksk.Covers(r, "x-project-id") && r.Header.Get("X-Project-Id") != string(project) || !plausible(project) {
		return signer(key), errForeignProject
	}
	who, err := a.Identity.InProject(r.Context(), key, project)
	if fault.KindOf(err) == fault.Denied {
		return signer(key), fault.Wrap(fault.Denied, errForeignProject.Public, errors.Join(errForeignProject, err))
	}
	return who, err
}

// signer is who a key belongs to, in no project.
func signer(k auth.AccessKey) auth.Principal {
	return auth.Principal{User: k.User, Method: auth.BySignature, Credential: k.ID}
}

// plausible reports whether p may be a project at all. Nothing else goes to a
// database, which would refuse some byte sequences with an error.
func plausible(p auth.ProjectID) bool {
	for i := range len(p) {
		if p[i] <= ' ' || p[i] > '~' {
			return false
		}
	}
	return len(p) <= 255 && !p.Reserved()
}
