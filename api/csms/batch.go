package csms

import (
	"context"
	"net/http"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/secret"
)

const (
	maxBatch = 100 // secrets that one request may be about
	maxName  = 64  // bytes of a name that is repeated to say which one failed
)

func (a *API) batchRoutes() []route {
	const secrets = "/v1/{project_id}/secrets"
	return []route{
		{method: "POST", path: secrets + "/batch-import", handle: a.importSecrets},        // 32
		{method: "POST", path: secrets + "/batch-get-secret-value", handle: a.showValues}, // 44
	}
}

type importAnswer struct {
	Errors  []importError `json:"error_list"`
	Total   int           `json:"total"`
	Success int           `json:"success"`
	Failed  int           `json:"failed"`
}

type importError struct {
	Name    string `json:"name"`
	Message string `json:"error_msg"`
}

// importSecrets serves POST /v1/{project_id}/secrets/batch-import. Each secret
// is created by itself, in order: one that fails keeps no other from being
// made.
func (a *API) importSecrets(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	ctx := r.Context()
	if err := a.Secrets.MayCreate(ctx, who); err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	items := f.objects("secrets")
	switch {
	case f.err != nil:
		return f.err
	case len(items) < 1 || len(items) > maxBatch:
		return invalid("secrets")
	}
	out := importAnswer{Errors: []importError{}, Total: len(items)}
	for _, item := range items {
		if err := ctx.Err(); err != nil {
			return err // the client left; what is made stays
		}
		if _, err := a.create(ctx, who, item); err != nil {
			out.Errors = append(out.Errors, a.importFault(r, item, err))
			continue
		}
		out.Success++
	}
	out.Failed = len(out.Errors)
	reply(w, http.StatusOK, out)
	return nil
}

// create makes one secret from its members.
func (a *API) create(ctx context.Context, who auth.Principal, f *fields) (secret.Secret, error) {
	in, err := a.newSecret(f)
	if err != nil {
		return secret.Secret{}, err
	}
	defer in.Payload.Wipe()
	return a.Secrets.Create(ctx, who, in)
}

// importFault is what a client hears of one secret that was not made. The
// answer as a whole is no fault, so what somebody should look at is logged
// here.
func (a *API) importFault(r *http.Request, item *fields, err error) importError {
	if answer := answerTo(err); answer.status >= http.StatusInternalServerError {
		a.Log.Error("import failed", zap.String("request", wire.RequestID(r.Context())), zap.Error(err), zap.Stringer("kind", fault.KindOf(err)))
	}
	name, _ := item.members["name"].(string)
	if len(name) > maxName {
		name = ""
	}
	_, body := faultOf(r, err)
	return importError{name, body.Message}
}

type valuesAnswer struct {
	TotalCount int           `json:"total_count"`
	Versions   []versionBody `json:"versions"`
}

// showValues serves POST /v1/{project_id}/secrets/batch-get-secret-value: the
// current versions of what can be read of those named.
func (a *API) showValues(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	f, err := readFields(r)
	if err != nil {
		return err
	}
	names, err := a.valuesWanted(f)
	if err != nil {
		return err
	}
	all, err := a.Secrets.RevealMany(r.Context(), who, names)
	if err != nil {
		return err
	}
	out := valuesAnswer{TotalCount: len(all), Versions: []versionBody{}}
	for _, one := range all {
		defer one.Payload.Wipe() //nolint:revive // all of them are in the one answer
		out.Versions = append(out.Versions, versionOf(one))
	}
	w.Header().Set("Cache-Control", "no-store")
	reply(w, http.StatusOK, out)
	return nil
}

// valuesWanted reads whose values are wanted; each name counts once. Without a
// list the vendor opens all of a project's secrets, which nobody here may.
func (a *API) valuesWanted(f *fields) ([]string, error) {
	const member = "secret_name_list"
	given := f.list(member)
	switch {
	case f.err != nil:
		return nil, f.err
	case len(given) == 0:
		return nil, missing(member)
	case len(given) > maxBatch:
		return nil, invalid(member)
	}
	var names []string
	seen := map[string]bool{}
	for _, n := range given {
		if !legal(n, a.Config.AllowDotInNames) {
			return nil, invalid(member)
		}
		if !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	return names, nil
}
