package csms

import (
	"net/http"
	"strings"

	"github.com/gorilla/mux"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
)

func (a *API) eventRoutes() []route {
	const (
		events = "/v1/{project_id}/csms/events"
		one    = events + "/{event_name}"
	)
	return []route{
		{method: "POST", path: events, handle: a.createEvent, nested: true},                                      // 18
		{method: "GET", path: events, handle: a.listEvents, nested: true},                                        // 19
		{method: "GET", path: one, handle: a.showEvent, nested: true},                                            // 20
		{method: "PUT", path: one, handle: a.updateEvent, nested: true},                                          // 21
		{method: "DELETE", path: one, handle: a.deleteEvent, nested: true},                                       // 22
		{method: "GET", path: "/v1/{project_id}/csms/notification-records", handle: a.listRecords, nested: true}, // 23
	}
}

type targetBody struct {
	Type string `json:"target_type"`
	ID   string `json:"target_id"`
	Name string `json:"target_name"`
}

type eventBody struct {
	Name         string       `json:"name"`
	EventID      string       `json:"event_id"`
	EventTypes   []event.Type `json:"event_types"`
	State        event.State  `json:"state"`
	CreateTime   int64        `json:"create_time"`
	UpdateTime   int64        `json:"update_time"`
	Notification targetBody   `json:"notification"`
}

type eventAnswer struct {
	Event eventBody `json:"event"`
}

type eventsAnswer struct {
	Events   []eventBody `json:"events"`
	PageInfo pageInfo    `json:"page_info"`
}

func eventOf(e event.Event) eventBody {
	return eventBody{
		Name: e.Name, EventID: e.ID, EventTypes: e.Types, State: e.State,
		CreateTime: ms(e.CreatedAt), UpdateTime: ms(e.UpdatedAt), Notification: targetBody(e.Target),
	}
}

// createEvent serves POST /v1/{project_id}/csms/events.
func (a *API) createEvent(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	if err := a.Events.MayCreate(r.Context(), who); err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	name := f.text("name")
	u, err := eventParts(f)
	switch {
	case err != nil:
		return err
	case name == "":
		return missing("name")
	case !legal(name, false):
		return invalid("name")
	case u.Types == nil:
		return missing("event_types")
	case u.State == nil:
		return missing("state")
	case u.Target == nil:
		return missing("notification")
	}
	e, err := a.Events.Create(r.Context(), who, event.New{Name: name, Types: u.Types, State: *u.State, Target: *u.Target})
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, eventAnswer{eventOf(e)})
	return nil
}

// eventParts reads what creation and update have in common: what is not there
// is nil.
func eventParts(f *fields) (u event.Update, err error) {
	list, state, to := f.list("event_types"), f.optional("state"), f.object("notification")
	var target event.Target
	if to != nil {
		target = event.Target{Type: to.text("target_type"), ID: to.text("target_id"), Name: to.text("target_name")}
	}
	if f.err != nil {
		return u, f.err
	}
	if list != nil {
		u.Types = make([]event.Type, len(list))
		for i, t := range list {
			u.Types[i] = event.Type(t)
		}
		if !event.Known(u.Types) {
			return u, invalid("event_types")
		}
	}
	if state != nil {
		s := event.State(*state)
		if u.State = &s; s != event.Enabled && s != event.Disabled {
			return u, invalid("state")
		}
	}
	if to != nil {
		u.Target = &target
		return u, reachable(target)
	}
	return u, nil
}

// reachable checks the form of a target. Whether there is one shows when
// something is sent there.
func reachable(t event.Target) error {
	switch {
	case t.Type == "":
		return missing("target_type")
	case t.Type != "SMN":
		return invalid("target_type")
	case t.ID == "":
		return missing("target_id")
	case !event.TargetID(t.ID):
		return invalid("target_id")
	case t.Name == "":
		return missing("target_name")
	case !legal(t.Name, false):
		return invalid("target_name")
	}
	return nil
}

// listEvents serves GET /v1/{project_id}/csms/events.
func (a *API) listEvents(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	if err := a.Events.MayList(r.Context(), who); err != nil {
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
	after := q.Get("marker")
	if after != "" && !legal(after, true) {
		return invalid("marker")
	}
	found, more, err := a.Events.List(r.Context(), who, after, limit)
	if err != nil {
		return err
	}
	out := eventsAnswer{Events: []eventBody{}}
	keys := make([]string, 0, len(found))
	for _, e := range found {
		out.Events = append(out.Events, eventOf(e))
		keys = append(keys, e.Name)
	}
	out.PageInfo = page(keys, more)
	reply(w, http.StatusOK, out)
	return nil
}

// eventName is what the path calls the event; see pathName.
func eventName(r *http.Request) string {
	return strings.ToValidUTF8(strings.ReplaceAll(mux.Vars(r)["event_name"], "\x00", "\uFFFD"), "\uFFFD")
}

// showEvent serves GET /v1/{project_id}/csms/events/{event_name}.
func (a *API) showEvent(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	e, err := a.Events.Show(r.Context(), who, eventName(r))
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, eventAnswer{eventOf(e)})
	return nil
}

// updateEvent serves PUT /v1/{project_id}/csms/events/{event_name}.
func (a *API) updateEvent(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	if err := a.Events.MayUpdate(r.Context(), who, eventName(r)); err != nil {
		return err
	}
	f, err := readFields(r)
	if err != nil {
		return err
	}
	u, err := eventParts(f)
	if err != nil {
		return err
	}
	e, err := a.Events.Update(r.Context(), who, eventName(r), u)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, eventAnswer{eventOf(e)})
	return nil
}

// deleteEvent serves DELETE /v1/{project_id}/csms/events/{event_name}.
func (a *API) deleteEvent(w http.ResponseWriter, r *http.Request, who auth.Principal) error {
	if err := a.Events.Delete(r.Context(), who, eventName(r)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
