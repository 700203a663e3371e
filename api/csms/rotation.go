package csms

import (
	"net/http"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/secret"
)

const maxRotationConfig = 1024 // characters

// parseRotationConfig reads the text of a database secret. It is stored and
// echoed as it came; this only checks it.
func parseRotationConfig(s string) (rotation.Config, error) {
	if s == "" {
		return rotation.Config{}, missing("rotation_config")
	}
	if _, ok := rotation.LooseObject(s); !ok {
		return rotation.Config{}, invalid("rotation_config")
	}
	c, err := rotation.ParseConfig(s)
	switch {
	case c.Instance == "":
		return c, fault.New(fault.Invalid, "The value of parameter rotation_config is invalid: it names no instance.")
	case err != nil:
		return c, fault.New(fault.Invalid, "The value of parameter rotation_config is invalid: its sub type is neither SingleUser nor MultiUser.")
	}
	return c, nil
}

// rotationConfigText checks what is asked of the text in any secret.
func rotationConfigText(s string) error {
	if utf8.RuneCountInString(s) > maxRotationConfig {
		return invalid("rotation_config")
	}
	return short("rotation_config", s, maxRotationConfig*utf8.UTFMax)
}

type rotateAnswer struct {
	VersionID  string `json:"version_id"`
	SecretName string `json:"secret_name"`
	TaskID     string `json:"rotation_task_id"`
}

// rotate serves POST /v1/{project_id}/secrets/{secret_name}/rotate. It answers
// once the task is there to be seen; a body is not looked at.
func (a *API) rotate(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locate(r, who, policy.SecretRotate, rotation.Wanted)
	if err != nil {
		return err
	}
	t, err := a.Rotations.Rotate(r.Context(), l)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, rotateAnswer{secret.Version{Number: t.Version}.Label(), l.Handle(), t.ID})
	return nil
}

// taskBody is one rotation (csms.md §7.4).
type taskBody struct {
	ID        string          `json:"task_id"`
	Name      string          `json:"secret_name"`
	FuncURN   string          `json:"rotation_func_urn"`
	Status    rotation.Status `json:"task_status"`
	Operate   string          `json:"operate_type"`
	Time      int64           `json:"task_time"`
	Attempts  int             `json:"attempt_nums"`
	ErrorCode string          `json:"task_error_code"`
	ErrorText string          `json:"task_error_msg"`
}

type tasksAnswer struct {
	Total      int        `json:"total"`
	Tasks      []taskBody `json:"tasks"`
	NextMarker *string    `json:"next_marker"`
}

// listTasks serves GET /v1/{project_id}/csms/tasks.
func (a *API) listTasks(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	if err := a.Rotations.MayList(r.Context(), who); err != nil {
		return err
	}
	q, err := taskQuery(r)
	if err != nil {
		return err
	}
	page, err := a.Rotations.Tasks(r.Context(), who, q)
	if err != nil {
		return err
	}
	out := tasksAnswer{Total: page.Total, Tasks: []taskBody{}}
	for _, t := range page.Tasks {
		operate := "manual"
		if t.Auto {
			operate = "auto"
		}
		out.Tasks = append(out.Tasks, taskBody{
			t.ID, t.Name, t.FuncURN, t.Status, operate, ms(t.StartedAt), t.Attempts, t.ErrorCode, t.ErrorText,
		})
	}
	if page.More {
		out.NextMarker = &out.Tasks[len(out.Tasks)-1].ID
	}
	reply(w, http.StatusOK, out)
	return nil
}

var errTaskIDAlone = fault.New(fault.Invalid, "The parameter task_id must be the only one.")

// taskQuery reads the parameters. An empty one counts as not given, as clients
// send what nobody set.
func taskQuery(r *http.Request) (rotation.Query, error) {
	q, err := parameters(r)
	if err != nil {
		return rotation.Query{}, err
	}
	in := rotation.Query{
		ID: q.Get("task_id"), Name: q.Get("secret_name"), Status: rotation.Status(q.Get("status")), After: q.Get("marker"),
	}
	if in.Limit, err = limitOf(q); err != nil {
		return in, err
	}
	switch {
	case in.ID != "" && (in.Name != "" || in.Status != "" || in.After != "" || q.Has("limit")):
		return in, errTaskIDAlone
	case in.ID != "" && !isUUID(in.ID):
		return in, invalid("task_id")
	case in.After != "" && !isUUID(in.After):
		return in, invalid("marker")
	case in.Name != "" && !legal(in.Name, true):
		return in, invalid("secret_name")
	case in.Status != "" && in.Status != rotation.Succeeded && in.Status != rotation.Failed:
		return in, invalid("status")
	}
	return in, nil
}

func (a *API) rotationRoutes() []route {
	return []route{
		{method: "POST", path: "/v1/{project_id}/secrets/{secret_name}/rotate", handle: a.rotate, nested: true}, // 8
		{method: "GET", path: "/v1/{project_id}/csms/tasks", handle: a.listTasks},                               // 30
	}
}
