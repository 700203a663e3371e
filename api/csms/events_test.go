package csms_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// noEvents is where a room over a store made of memory has its events: nowhere.
type noEvents struct{}

func (noEvents) CreateEvent(context.Context, event.Event, int64, audit.Event) error {
	return event.ErrFull
}

func (noEvents) FindEvent(context.Context, auth.ProjectID, string) (event.Event, error) {
	return event.Event{}, event.ErrNotFound
}

func (noEvents) ListEvents(context.Context, auth.ProjectID, string, int) ([]event.Event, error) {
	return nil, nil
}

func (noEvents) UpdateEvent(context.Context, event.Event, event.Update, audit.Event) (event.Event, error) {
	return event.Event{}, event.ErrNotFound
}

func (noEvents) DeleteEvent(context.Context, event.Event, audit.Event) error {
	return event.ErrNotFound
}

func (noEvents) ListNotifications(context.Context, auth.ProjectID, time.Time, string, int) ([]event.Notification, error) {
	return nil, nil
}

const (
	eventsPath  = csmsPath + "/events"
	recordsPath = csmsPath + "/notification-records"
	topic       = "urn:smn:cn-north-4:0123:topic"
)

// openEvents is a room over PostgreSQL, and the courier of its node.
func openEvents(t *testing.T, to event.Sender) (*room, *event.Courier) {
	t.Helper()
	db := pgtest.Open(t)
	rm := openWith(t, options{db: db})
	senders := map[string]event.Sender{}
	if to != nil {
		senders[topic] = to
	}
	return rm, event.NewCourier(event.CourierDeps{
		Outbox: db, Senders: senders, NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
		Now: rm.clock.now, RetryFor: time.Hour, Observe: func(event.Notification, event.Status, time.Duration, error) {},
	})
}

// with is the body of an event, with some members changed; nil takes one away.
func with(change map[string]any) string {
	body := map[string]any{
		"name": "on-change", "event_types": event.Types, "state": "ENABLED",
		"notification": map[string]any{"target_type": "SMN", "target_id": topic, "target_name": "topic"},
	}
	for name, v := range change {
		if body[name] = v; v == nil {
			delete(body, name)
		}
	}
	return jsonText(body)
}

type m = map[string]any

func TestEvents(t *testing.T) {
	t.Parallel()
	rm, _ := openEvents(t, nil)
	made := rm.do("POST", eventsPath, with(nil)).ok() // CSMS-149
	made.wants(`"on-change"`, "event", "name").wants(`"ENABLED"`, "event", "state").
		wants(`{"target_id":"`+topic+`","target_name":"topic","target_type":"SMN"}`, "event", "notification").
		wants(fmt.Sprint(rm.clock.now().UnixMilli()), "event", "create_time").
		wants(`["SECRET_VERSION_CREATED","SECRET_VERSION_EXPIRED","SECRET_ROTATED","SECRET_ROTATED_FAILED","SECRET_DELETED"]`, "event", "event_types")
	if id, _ := made.at("event", "event_id").(string); !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(id) {
		t.Errorf("event_id %q", id)
	}
	rm.do("POST", eventsPath, with(nil)).inner(409, "CSMS.0904") // CSMS-153
	rm.do("GET", eventsPath+"/on-change", "").ok().wants(`"on-change"`, "event", "name")
	for _, method := range []string{"GET", "PUT", "DELETE"} { // CSMS-155
		rm.do(method, eventsPath+"/none", `{}`).inner(404, "CSMS.0005")
	}
	rm.clock.pass(time.Second)
	rm.do("PUT", eventsPath+"/on-change", `{"state":"DISABLED"}`).ok(). // CSMS-156
										wants(`"DISABLED"`, "event", "state").wants(`"`+topic+`"`, "event", "notification", "target_id").
										wants(fmt.Sprint(rm.clock.now().UnixMilli()), "event", "update_time").
										wants(fmt.Sprint(rm.clock.now().UnixMilli()-1000), "event", "create_time")
	rm.do("PUT", eventsPath+"/on-change", `{"event_types":["SECRET_ROTATED"],"state":"ENABLED"}`).ok().
		wants(`["SECRET_ROTATED"]`, "event", "event_types")
	rm.do("PUT", eventsPath+"/on-change", `{}`).ok().wants(`["SECRET_ROTATED"]`, "event", "event_types")
	rm.create(`{"name":"demo","secret_string":"x","event_subscriptions":["on-change"]}`).ok()
	rm.do("DELETE", eventsPath+"/on-change", "").inner(400, "CSMS.0905") // CSMS-157
	rm.do("PUT", base+"/demo", `{"event_subscriptions":[]}`).ok()
	rm.do("DELETE", eventsPath+"/on-change", "").done()
	rm.do("PUT", base+"/demo", `{"event_subscriptions":["on-change"]}`).fault(400, "CSMS.0005")
}

func TestEventBodies(t *testing.T) {
	t.Parallel()
	rm, _ := openEvents(t, nil)
	to := func(kind, id, name any) m {
		all := m{}
		for k, v := range (m{"target_type": kind, "target_id": id, "target_name": name}) {
			if v != nil {
				all[k] = v
			}
		}
		return m{"notification": all}
	}
	many := slices.Repeat([]string{"SECRET_ROTATED"}, 13)
	for _, tc := range []struct {
		name   string
		change m
		code   string
	}{
		{"CSMS-150 no name", m{"name": nil}, "CSMS.0002"},
		{"CSMS-150 no event_types", m{"event_types": nil}, "CSMS.0002"},
		{"CSMS-150 no state", m{"state": nil}, "CSMS.0002"},
		{"CSMS-150 no notification", m{"notification": nil}, "CSMS.0002"},
		{"a name with a dot", m{"name": "a.b"}, "CSMS.0002"},
		{"a long name", m{"name": strings.Repeat("a", 65)}, "CSMS.0002"},
		{"CSMS-151 an unknown type", m{"event_types": []string{"SECRET_READ"}}, "CSMS.0002"},
		{"CSMS-151 a type twice", m{"event_types": []string{"SECRET_ROTATED", "SECRET_ROTATED"}}, "CSMS.0002"},
		{"CSMS-151 13 types", m{"event_types": many}, "CSMS.0002"},
		{"CSMS-151 no type", m{"event_types": []string{}}, "CSMS.0002"},
		{"a type that is a number", m{"event_types": []int{1}}, "CSMS.0004"},
		{"an unknown state", m{"state": "SLEEPING"}, "CSMS.0002"},
		{"CSMS-152 another target_type", to("EMAIL", topic, "t"), "CSMS.0002"},
		{"CSMS-152 a target_id with a space", to("SMN", "urn smn", "t"), "CSMS.0002"},
		{"a long target_id", to("SMN", strings.Repeat("a", 257), "t"), "CSMS.0002"},
		{"no target_id", to("SMN", nil, "t"), "CSMS.0002"},
		{"no target_name", to("SMN", topic, nil), "CSMS.0002"},
		{"no target_type", to(nil, topic, "t"), "CSMS.0002"},
		{"a target_name with a dot", to("SMN", topic, "a.b"), "CSMS.0002"},
		{"a target that is a text", m{"notification": topic}, "CSMS.0004"},
		{"a target_id that is a number", to("SMN", 5, "t"), "CSMS.0004"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rm := rm.in(t)
			rm.do("POST", eventsPath, with(tc.change)).inner(400, tc.code)
		})
	}
	rm.do("GET", eventsPath, "").ok().wants("[]", "events").wants(`{"current_count":0,"next_marker":null,"previous_marker":null}`, "page_info")
	rm.do("POST", eventsPath, with(m{"name": "e"})).ok()
	for _, change := range []string{`{"event_types":[]}`, `{"state":"x"}`, `{"notification":{"target_type":"SMN"}}`} {
		rm.do("PUT", eventsPath+"/e", change).inner(400, "CSMS.0002")
	}
}

func TestEventPages(t *testing.T) { // CSMS-154
	t.Parallel()
	rm, _ := openEvents(t, nil)
	for i := range 30 {
		rm.do("POST", eventsPath, with(m{"name": fmt.Sprintf("e%02d", i)})).ok()
	}
	rm.do("POST", eventsPath, with(m{"name": "more"})).inner(400, "CSMS.0906")
	page := rm.do("GET", eventsPath+"?limit=20", "").ok().
		wants(`{"current_count":20,"next_marker":"e19","previous_marker":"e00"}`, "page_info")
	page.wants(`"e00"`, "events", 0, "name")
	rm.do("GET", eventsPath+"?limit=20&marker=e19", "").ok().wants(`"e20"`, "events", 0, "name").
		wants(`{"current_count":10,"next_marker":null,"previous_marker":"e20"}`, "page_info")
	rm.do("GET", eventsPath+"?marker=e29", "").ok().wants("[]", "events")
	for _, q := range []string{"limit=0", "limit=1001", "limit=x", "marker=a%20b"} {
		rm.do("GET", eventsPath+"?"+q, "").inner(400, "CSMS.0002")
	}
	rm.as("bob").do("GET", eventsPath, "").fault(403, "APIGW.0302")
	rm.as("rita").do("GET", eventsPath, "").ok()
	rm.as("rita").do("POST", eventsPath, "{").inner(403, "CSMS.0302")
	rm.as("nora").do("GET", eventsPath+"/none", "").inner(403, "CSMS.0302")
	rm.as("nora").do("GET", recordsPath, "").inner(403, "CSMS.0302")
}

// inbox takes what it is sent, unless it is told why not.
type inbox struct {
	got []event.Notification
	why error
}

func (b *inbox) Send(_ context.Context, n event.Notification) error {
	if b.why == nil {
		b.got = append(b.got, n)
	}
	return b.why
}

func TestNotificationRecords(t *testing.T) {
	t.Parallel()
	to := &inbox{}
	rm, courier := openEvents(t, to)
	deliver := func() {
		t.Helper()
		rm.clock.pass(10 * time.Minute)
		if err := courier.Deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rm.do("POST", eventsPath, with(nil)).ok()
	rm.create(`{"name":"demo","secret_string":"hunter2","event_subscriptions":["on-change"]}`).ok()
	rm.do("POST", base+"/demo/versions", `{"secret_string":"hunter3"}`).ok() // CSMS-158
	deliver()
	all := rm.do("GET", recordsPath, "").ok().
		wants(`"SECRET_VERSION_CREATED"`, "records", 0, "trigger_event_type").wants(`"SUCCESS"`, "records", 0, "notification_status").
		wants(`"demo"`, "records", 0, "secret_name").wants(`"COMMON"`, "records", 0, "secret_type").
		wants(`"on-change"`, "records", 0, "event_name").wants(`"topic"`, "records", 0, "notification_target_name").
		wants(`"`+topic+`"`, "records", 0, "notification_target_id").wants("2", "page_info", "current_count")
	var content struct {
		EventName, EventType, EventTime string
		Data                            struct{ SecretName, VersionID string }
	}
	text, _ := all.at("records", 0, "notification_content").(string)
	if err := json.Unmarshal([]byte(text), &content); err != nil || content.Data.SecretName != "demo" || content.Data.VersionID != "v2" || strings.Contains(all.raw, "hunter") {
		t.Errorf("content %s, %v", text, err)
	}
	if len(to.got) != 2 {
		t.Errorf("%d delivered", len(to.got))
	}
	rm.expires(courier) // CSMS-159

	to.why = errors.New("nobody answers")
	rm.do("POST", base+"/demo/versions", `{"secret_string":"x"}`).ok()
	deliver()
	rm.do("GET", recordsPath+"?limit=1", "").ok().wants(`"FAIL"`, "records", 0, "notification_status") // CSMS-161

	before := rm.do("GET", recordsPath, "").ok().at("page_info", "current_count")
	rm.do("PUT", eventsPath+"/on-change", `{"state":"DISABLED"}`).ok()
	rm.do("POST", base+"/demo/versions", `{"secret_string":"x"}`).ok()
	if after := rm.do("GET", recordsPath, "").ok().at("page_info", "current_count"); after != before { // CSMS-160
		t.Errorf("%v records after a version while the event is disabled, %v before", after, before)
	}
	rm.pages(int(before.(float64)))
	rm.clock.pass(94 * 24 * time.Hour)
	rm.do("GET", recordsPath, "").ok().wants("[]", "records") // CSMS-162
}

// expires lets the time of a version pass, twice.
func (rm *room) expires(courier *event.Courier) {
	rm.Helper()
	for range 2 {
		at := rm.clock.now().Add(time.Hour).UnixMilli()
		rm.do("PUT", base+"/demo/versions/v2", fmt.Sprintf(`{"expire_time":%d}`, at)).ok()
		rm.clock.pass(2 * time.Hour)
		for _, want := range []int{1, 0} {
			if n, err := courier.Expire(rm.Context()); err != nil || n != want {
				rm.Errorf("told of %d expiries, %v", n, err)
			}
		}
		rm.do("GET", recordsPath, "").ok().wants(`"SECRET_VERSION_EXPIRED"`, "records", 0, "trigger_event_type")
	}
}

// pages reads all records one by one: newest first, each once.
func (rm *room) pages(want int) {
	rm.Helper()
	marker, last, n := "", int64(1)<<62, 0
	for {
		a := rm.do("GET", recordsPath+"?limit=1&marker="+marker, "").ok()
		at := int64(a.at("records", 0, "create_time").(float64))
		if at > last {
			rm.Errorf("record %d is newer than the one before", n)
		}
		last, n = at, n+1
		next, more := a.at("page_info", "next_marker").(string)
		if !more {
			break
		}
		marker = next
	}
	if n != want {
		rm.Errorf("%d records page by page, %d at once", n, want)
	}
	for _, q := range []string{"limit=0", "marker=x", "limit=1001"} {
		rm.do("GET", recordsPath+"?"+q, "").inner(400, "CSMS.0002")
	}
}
