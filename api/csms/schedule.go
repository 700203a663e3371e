package csms

import (
	"net/http"
	"strconv"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// The recovery window in days (csms.md §4.6).
const (
	minWindow     = 7
	maxWindow     = 30
	defaultWindow = 30
)

func (a *API) scheduleRoutes() []route {
	const tasks = "/v1/{project_id}/secrets/{secret_name}/scheduled-deleted-tasks"
	return []route{
		{method: "POST", path: tasks + "/create", handle: a.scheduleDeletion}, // 6
		{method: "POST", path: tasks + "/cancel", handle: a.cancelDeletion},   // 7
	}
}

// scheduleDeletion serves POST …/scheduled-deleted-tasks/create.
func (a *API) scheduleDeletion(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locate(r, who, policy.SecretSchedule, secret.Want{})
	if err != nil {
		return err
	}
	f, err := readFieldsIfAny(r)
	if err != nil {
		return err
	}
	days, err := window(f)
	if err != nil {
		return err
	}
	sec, err := l.Schedule(r.Context(), time.Duration(days)*24*time.Hour)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, secretAnswer{bodyOf(sec)})
	return nil
}

// window reads recovery_window_in_days: a number, or one in quotes.
func window(f *fields) (int64, error) {
	const name = "recovery_window_in_days"
	n, err := f.numeral(name)
	if err != nil {
		return 0, err
	}
	if n == nil {
		return defaultWindow, nil
	}
	if *n < minWindow || *n > maxWindow {
		return 0, invalid(name)
	}
	return *n, nil
}

// cancelDeletion serves POST …/scheduled-deleted-tasks/cancel, whatever its
// body.
func (a *API) cancelDeletion(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	l, err := a.locate(r, who, policy.SecretUnschedule, secret.Want{})
	if err != nil {
		return err
	}
	sec, err := l.Unschedule(r.Context())
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, secretAnswer{bodyOf(sec)})
	return nil
}

// numeral is number for members that clients also send as a text of digits.
func (f *fields) numeral(name string) (*int64, error) {
	s, ok := f.members[name].(string)
	if !ok {
		return f.number(name)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || !decimal(s) {
		return nil, invalid(name)
	}
	return &n, nil
}
