package csms

import (
	"net/http"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

func stageIn(r *http.Request) secret.Stage { return secret.Stage(mux.Vars(r)["stage_name"]) }

// showStage serves GET …/stages/{stage_name}.
func (a *API) showStage(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.find(r, who, policy.StageShow, secret.Want{Versions: true})
	if err != nil {
		return err
	}
	name := stageIn(r)
	if !legal(string(name), false) {
		return sooner(r.Context(), l, policy.StageShow, secret.ErrNoStage)
	}
	mark, err := l.Stage(r.Context(), name)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, stageAnswer{stageOf(name, mark, l.Handle())})
	return nil
}

// updateStage serves PUT …/stages/{stage_name}: creates or moves it.
func (a *API) updateStage(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	const act = policy.StageUpdate
	l, err := a.find(r, who, act, secret.Want{Versions: true})
	if err != nil {
		return err
	}
	name := stageIn(r)
	version, err := stageTarget(r, name)
	if err != nil {
		return sooner(r.Context(), l, act, err)
	}
	mark, err := l.SetStage(r.Context(), name, version)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, stageAnswer{stageOf(name, mark, l.Handle())})
	return nil
}

// stageTarget reads which version a stage is to be on. A number that no
// version can have is 0: not there, like any other.
func stageTarget(r *http.Request, name secret.Stage) (int, error) {
	f, err := readFields(r)
	if err != nil {
		return 0, err
	}
	version := f.text("version_id")
	switch {
	case f.err != nil:
		return 0, f.err
	case !legal(string(name), false):
		return 0, invalid("stage_name")
	case version == "":
		return 0, missing("version_id")
	case !versionForm(version):
		return 0, invalid("version_id")
	}
	return versionNumber(version), nil
}

// deleteStage serves DELETE …/stages/{stage_name}.
func (a *API) deleteStage(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.find(r, who, policy.StageDelete, secret.Want{Versions: true})
	if err != nil {
		return err
	}
	name := stageIn(r)
	if !legal(string(name), false) {
		return sooner(r.Context(), l, policy.StageDelete, secret.ErrNoStage)
	}
	if err := l.DropStage(r.Context(), name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
