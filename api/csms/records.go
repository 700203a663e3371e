package csms

import (
	"cmp"
	"net/http"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
)

type recordBody struct {
	EventName  string       `json:"event_name"`
	Trigger    event.Type   `json:"trigger_event_type"`
	CreateTime int64        `json:"create_time"`
	SecretName string       `json:"secret_name"`
	SecretType string       `json:"secret_type"`
	TargetName string       `json:"notification_target_name"`
	TargetID   string       `json:"notification_target_id"`
	Content    string       `json:"notification_content"`
	Status     event.Status `json:"notification_status"`
}

type recordsAnswer struct {
	Records  []recordBody `json:"records"`
	PageInfo pageInfo     `json:"page_info"`
}

// listRecords serves GET /v1/{project_id}/csms/notification-records. Its
// markers are identifiers, which the records themselves do not show.
func (a *API) listRecords(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	if err := a.Events.MayListNotifications(r.Context(), who); err != nil {
		return err
	}
	q, err := parameters(r)
	if err != nil {
		return err
	}
	limit, err := limitOf(q)
	if err != nil {
		return err
	}
	before := q.Get("marker")
	if before != "" && !isUUID(before) {
		return invalid("marker")
	}
	found, more, err := a.Events.Notifications(r.Context(), who, before, limit)
	if err != nil {
		return err
	}
	out := recordsAnswer{Records: []recordBody{}}
	keys := make([]string, 0, len(found))
	for _, n := range found {
		out.Records = append(out.Records, recordBody{
			EventName: n.Event, Trigger: n.Type, CreateTime: ms(n.At),
			SecretName: n.Secret.Name, SecretType: cmp.Or(n.Secret.Kind, common),
			TargetName: n.Target.Name, TargetID: n.Target.ID, Content: string(n.Content()), Status: n.Status,
		})
		keys = append(keys, n.ID)
	}
	out.PageInfo = page(keys, more)
	reply(w, http.StatusOK, out)
	return nil
}
