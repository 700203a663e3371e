package csms

import (
	"net/http"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

func (a *API) backupRoutes() []route {
	return []route{
		{method: "POST", path: "/v1/{project_id}/secrets/{secret_name}/backup", handle: a.backupSecret}, // 9
		{method: "POST", path: "/v1/{project_id}/secrets/restore", handle: a.restoreSecret},             // 10
	}
}

// maxBlob is the size of secret_blob in characters (csms.md §4.9).
const maxBlob = 5 << 20

type blobAnswer struct {
	Blob string `json:"secret_blob"`
}

// backupSecret serves POST /v1/{project_id}/secrets/{secret_name}/backup. It
// has no body, and none is read.
func (a *API) backupSecret(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.find(r, who, policy.SecretBackup, secret.Want{Every: true, Metadata: true, Tags: true})
	if err != nil {
		return err
	}
	blob, err := l.Backup(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	reply(w, http.StatusOK, blobAnswer{blob})
	return nil
}

// restoreSecret serves POST /v1/{project_id}/secrets/restore.
func (a *API) restoreSecret(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	if err := a.Secrets.MayCreate(r.Context(), who); err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	blob := f.text("secret_blob")
	switch {
	case f.err != nil:
		return f.err
	case blob == "":
		return missing("secret_blob")
	case len(blob) > maxBlob:
		return invalid("secret_blob")
	}
	sec, err := a.Secrets.Restore(r.Context(), who, blob)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, secretAnswer{bodyOf(sec)})
	return nil
}
