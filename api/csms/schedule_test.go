package csms_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/secret"
)

const (
	schedule = base + "/demo/scheduled-deleted-tasks/create"
	cancel   = base + "/demo/scheduled-deleted-tasks/cancel"
)

func (rm *room) dueIn(days int) string {
	return fmt.Sprint(rm.clock.now().Add(time.Duration(days) * 24 * time.Hour).UnixMilli())
}

func TestScheduleDeletion(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		days       int
	}{
		{"CSMS-077", `{"recovery_window_in_days":7}`, 7},
		{"CSMS-077 the most", `{"recovery_window_in_days":30}`, 30},
		{"CSMS-079 an empty body", "", 30},
		{"CSMS-079 white space", " \n", 30},
		{"CSMS-079 no member", "{}", 30},
		{"CSMS-079 null", `{"recovery_window_in_days":null,"other":1}`, 30},
		{"a number in quotes", `{"recovery_window_in_days":"15"}`, 15},
	} {
		rm := open(t)
		rm.secret("demo", "x")
		rm.clock.pass(time.Hour)
		a := rm.do("POST", schedule, tc.body).ok().wants(`"PENDING_DELETE"`, "secret", "state").wants(rm.dueIn(tc.days), "secret", "scheduled_delete_time")
		if a.at("secret", "update_time") != float64(rm.clock.now().UnixMilli()) {
			t.Errorf("%s: updated at %v", tc.name, a.at("secret", "update_time"))
		}
		rm.do("GET", base+"/demo", "").ok().wants(jsonText(a.at("secret")), "secret")
	}
}

func TestScheduleRefuses(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "x")
	for _, tc := range []struct{ name, body, code string }{
		{"CSMS-078", `{"recovery_window_in_days":6}`, "CSMS.0002"},
		{"CSMS-078", `{"recovery_window_in_days":31}`, "CSMS.0002"},
		{"CSMS-078", `{"recovery_window_in_days":0}`, "CSMS.0002"},
		{"CSMS-078", `{"recovery_window_in_days":-1}`, "CSMS.0002"},
		{"CSMS-078", `{"recovery_window_in_days":"x"}`, "CSMS.0002"},
		{"CSMS-078", `{"recovery_window_in_days":""}`, "CSMS.0002"},
		{"CSMS-078", `{"recovery_window_in_days":"+7"}`, "CSMS.0002"},
		{"CSMS-078", `{"recovery_window_in_days":7.5}`, "CSMS.0002"},
		{"CSMS-078", `{"recovery_window_in_days":1e1}`, "CSMS.0002"},
		{"CSMS-078", `{"recovery_window_in_days":99999999999999999999}`, "CSMS.0002"},
		{"CSMS-078 of another type", `{"recovery_window_in_days":true}`, "CSMS.0004"},
		{"CSMS-078 no object", `[]`, "CSMS.0004"},
		{"CSMS-078 no JSON", `{`, "CSMS.0004"},
	} {
		rm.do("POST", schedule, tc.body).fault(400, tc.code)
	}
	rm.do("GET", base+"/demo", "").ok().wants(`"ENABLED"`, "secret", "state")
	rm.do("POST", cancel, "").fault(400, "CSMS.0108") // CSMS-084
	rm.do("POST", schedule, "").ok()
	rm.do("POST", schedule, "").fault(400, "CSMS.0107") // CSMS-080
	rm.do("POST", base+"/none/scheduled-deleted-tasks/create", "").fault(404, "CSMS.0106")
	rm.do("POST", base+"/none/scheduled-deleted-tasks/cancel", "").fault(404, "CSMS.0106")
}

func TestCancelDeletion(t *testing.T) { // CSMS-083
	rm := open(t)
	rm.secret("demo", "x")
	for _, body := range []string{"", "{}", "not JSON"} {
		rm.do("POST", schedule, "").ok()
		rm.do("GET", base+"/demo/versions/v1", "").fault(400, "CSMS.0103")
		rm.do("POST", cancel, body).ok().wants(`"ENABLED"`, "secret", "state").wants("null", "secret", "scheduled_delete_time")
		rm.do("GET", base+"/demo/versions/v1", "").ok().wants(`"x"`, "version", "secret_string")
	}
	rm.do("POST", cancel, "").fault(400, "CSMS.0108")
}

func TestDueDeletion(t *testing.T) { // CSMS-085
	rm := open(t)
	rm.secret("demo", "x")
	rm.do("POST", schedule, `{"recovery_window_in_days":7}`).ok()
	rm.clock.pass(7*24*time.Hour - time.Millisecond)
	rm.do("GET", base+"/demo", "").ok()
	rm.create(`{"name":"demo","secret_string":"y"}`).fault(409, "CSMS.0101")
	rm.clock.pass(time.Millisecond)
	for _, path := range []string{base + "/demo", base + "/demo/versions", base + "/demo/versions/v1"} {
		rm.do("GET", path, "").fault(404, "CSMS.0106")
	}
	rm.do("POST", cancel, "").fault(404, "CSMS.0106")
	rm.do("DELETE", base+"/demo", "").fault(404, "CSMS.0106")
	rm.do("GET", base, "").ok().wants("[]", "secrets")

	// The job erases what is left of it, once.
	if n, err := secret.NewService(rm.deps).Purge(t.Context(), rm.clock.now(), 10); n != 1 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if rows, err := rm.store.Rows(ours); err != nil || rows["secrets"]+rows["secret_versions"] != 0 {
		t.Errorf("rows %v, %v", rows, err)
	}
	rm.secret("demo", "y")
	rm.do("GET", base+"/demo/versions/v1", "").ok().wants(`"y"`, "version", "secret_string")
}

// csms.md §2.2, operation by operation; CSMS-081, CSMS-082, CSMS-076, CSMS-086.
// What a table says of rotating and backing up is in their own tests.
func TestWhatEachStateAllows(t *testing.T) {
	states := []secret.State{secret.Disabled, secret.PendingDelete, secret.Frozen}
	off, pending := "403 CSMS.0109", "400 CSMS.0103"
	usable := []string{off, pending, off}
	changeable := []string{"", pending, off}
	always := []string{"", "", ""}
	tags := "/v1/" + ours + "/csms/{id}/tags"
	for _, op := range []struct {
		method, path, body string
		want               []string
	}{
		{"GET", base + "/demo", "", always},
		{"GET", base, "", always},
		{"GET", base + "/demo/versions", "", always},
		{"GET", base + "/demo/stages/blue", "", always},
		{"GET", tags, "", always},
		{"GET", base + "/demo/versions/v1", "", usable},
		{"POST", base + "/demo/versions", `{"secret_string":"y"}`, usable},
		{"PUT", base + "/demo", `{"description":"d"}`, changeable},
		{"PUT", base + "/demo/versions/v1", `{"expire_time":0}`, usable},
		{"PUT", base + "/demo/stages/blue", `{"version_id":"v1"}`, usable},
		{"DELETE", base + "/demo/stages/blue", "", usable},
		{"POST", tags, `{"tag":{"key":"a","value":"b"}}`, changeable},
		{"DELETE", tags + "/env", "", changeable},
		{"POST", tags + "/action", `{"action":"delete","tags":[{"key":"env"}]}`, changeable},
		{"POST", schedule, "", []string{"", "400 CSMS.0107", off}},
		{"POST", cancel, "", []string{"400 CSMS.0108", "", "400 CSMS.0108"}},
		{"DELETE", base + "/demo", "", always},
	} {
		for i, state := range states {
			rm := open(t)
			id := rm.secret("demo", "x").at("secret", "id").(string)
			rm.do("PUT", base+"/demo/stages/blue", `{"version_id":"v1"}`).ok()
			if a := rm.do("POST", strings.ReplaceAll(tags, "{id}", id), `{"tag":{"key":"env","value":"prod"}}`); a.status != http.StatusNoContent {
				t.Fatal(a.raw)
			}
			if state == secret.PendingDelete {
				rm.pend("demo")
			} else {
				rm.change("demo", func(s *secret.Secret) { s.State = state })
			}
			a := rm.do(op.method, strings.ReplaceAll(op.path, "{id}", id), op.body)
			got := ""
			if a.status >= 300 {
				got = fmt.Sprintf("%d %v", a.status, a.body["error_code"])
			}
			if got != op.want[i] {
				t.Errorf("%s while %s: %q, want %q", a.what, state, got, op.want[i])
			}
		}
	}
}

// Who may what: the actions of csms.md §10, each by itself.
func TestActionsOfOperations(t *testing.T) {
	const who = `principal in Role::"operator-made", action in [Action::"`
	csms := "/v1/" + ours + "/csms"
	for _, tc := range []struct{ action, method, path, body string }{
		{"csms:secret:scheduleDeletion", "POST", schedule, ""},
		{"csms:secret:restoreSecret", "POST", base + "/pending/scheduled-deleted-tasks/cancel", ""},
		{"csms:secret:createTag", "POST", csms + "/demo/tags", `{"tag":{"key":"a","value":"b"}}`},
		{"csms:tag:create", "POST", csms + "/demo/tags", `{"tag":{"key":"a","value":"b"}}`},
		{"csms:secret:listTags", "GET", csms + "/demo/tags", ""},
		{"csms:secret:deleteTag", "DELETE", csms + "/demo/tags/env", ""},
		{"csms:secret:batchCreateOrDeleteTags", "POST", csms + "/demo/tags/action", `{"action":"create","tags":[{"key":"a"}]}`},
		{"csms::listProjectTags", "GET", csms + "/tags", ""},
		{"csms:secret:getSecretsByTag", "POST", csms + "/resource_instances/action", `{"action":"filter"}`},
		{"csms::generatePassword", "POST", csms + "/generate-password", ""},
		{"csms:secret:create", "POST", base + "/batch-import", `{"secrets":[{"name":"n","secret_string":"x"}]}`},
		{"csms:secret:batchGetSecretValue", "POST", base + "/batch-get-secret-value", `{"secret_name_list":["demo"]}`},
	} {
		for _, allowed := range []bool{false, true} {
			rule := tc.action
			if !allowed {
				rule = "csms:secret:get"
			}
			rm := openWith(t, options{rules: `@id("one") permit (` + who + rule + `"], resource);`})
			rm.secret("demo", "x")
			rm.secret("pending", "x")
			rm.do("POST", csms+"/demo/tags", `{"tag":{"key":"env","value":"prod"}}`)
			rm.pend("pending")
			a := rm.as("oscar").do(tc.method, tc.path, tc.body)
			if !allowed {
				a.fault(403, "CSMS.0302")
			} else if a.status >= 300 {
				t.Errorf("%s with %s alone: %d %s", a.what, tc.action, a.status, a.raw)
			}
		}
	}
}
