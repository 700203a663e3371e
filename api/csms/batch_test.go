package csms_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/quota"
)

func (rm *room) bring(body string) answer {
	rm.Helper()
	return rm.do("POST", base+"/batch-import", body)
}

func TestBatchImport(t *testing.T) {
	rm := open(t)
	rm.secret("taken", "x")
	// CSMS-144
	rm.bring(`{"secrets":[{"name":"good","secret_string":"1"},{"name":"taken","secret_string":"2"}]}`).ok().
		wants("2", "total").wants("1", "success").wants("1", "failed").
		wants(`[{"error_msg":"A secret of that name exists.","name":"taken"}]`, "error_list")
	rm.do("GET", base+"/good/versions/v1", "").ok().wants(`"1"`, "version", "secret_string")

	// Each by the rules of a creation, whatever becomes of the others.
	before := len(rm.store.Events())
	rm.bring(`{"secrets":[{"name":"a b","secret_string":"1"},{"secret_string":"1"},{"name":5},{},{"name":"both","secret_string":"1","secret_binary":"eA=="},
		{"name":"key","kms_key_id":"`+seedKey+`","secret_binary":"eA=="},{"name":"twice","secret_string":"1"},{"name":"twice","secret_string":"2"}]}`).ok().
		wants("8", "total").wants("2", "success").wants("6", "failed").
		wants(`[{"error_msg":"The value of parameter name is invalid.","name":"a b"},{"error_msg":"The parameter name is missing.","name":""},`+
			`{"error_msg":"The parameter name must be a string.","name":""},{"error_msg":"The parameter name is missing.","name":""},`+
			`{"error_msg":"Only one of secret_string and secret_binary may be given.","name":"both"},{"error_msg":"A secret of that name exists.","name":"twice"}]`, "error_list")
	rm.do("GET", base+"/key", "").ok().wants(`"`+seedKey+`"`, "secret", "kms_key_id")
	rm.do("GET", base+"/twice/versions/v1", "").ok().wants(`"1"`, "version", "secret_string")
	var made []string
	for _, ev := range rm.store.Events()[before:] {
		made = append(made, ev.Rule+" "+ev.Target.Name)
	}
	if got := strings.Join(made, ", "); got != "csms:secret:create key, csms:secret:create twice" {
		t.Errorf("recorded %s", got)
	}

	rm.bring(`{"secrets":[{"name":"`+strings.Repeat("n", 65)+`","secret_string":"x"}]}`).ok().wants(`""`, "error_list", 0, "name")

	many := strings.TrimSuffix(strings.Repeat(`{"name":"a b"},`, 101), ",")
	rm.bring(`{"secrets":[`+strings.TrimSuffix(strings.Repeat(`{"name":"a b"},`, 100), ",")+`]}`).ok().wants("100", "failed")
	for body, code := range map[string]string{
		`{}`: "CSMS.0002", `{"secrets":[]}`: "CSMS.0002", `{"secrets":null}`: "CSMS.0002", `{"secrets":[` + many + `]}`: "CSMS.0002",
		`{"secrets":{}}`: "CSMS.0004", `{"secrets":["a"]}`: "CSMS.0004", `{`: "CSMS.0004", ``: "CSMS.0004",
	} {
		rm.bring(body).fault(400, code)
	}
	rm.as("rita").bring(`not JSON`).fault(403, "CSMS.0302")
}

func TestBatchImportWithoutRoomOrToken(t *testing.T) {
	rm := open(t)
	rm.store.Quotas = quota.Limits{quota.Secrets: 1}
	rm.bring(`{"secrets":[{"name":"a","secret_string":"1"},{"name":"b","secret_string":"2"}]}`).ok().wants("1", "success").wants("1", "failed").wants(`"b"`, "error_list", 0, "name")
	rm.store.Quotas = nil
	rm.token.SetAway(true)
	a := rm.bring(`{"secrets":[{"name":"c","secret_string":"hunter2"}]}`).ok().wants("1", "failed")
	if strings.Contains(a.raw+fmt.Sprint(rm.logs.All()), "hunter2") || rm.logs.FilterMessage("import failed").Len() != 1 {
		t.Errorf("answer %s, logged %v", a.raw, rm.logs.All())
	}
}

func (rm *room) values(names ...string) answer {
	rm.Helper()
	return rm.do("POST", base+"/batch-get-secret-value", jsonText(map[string]any{"secret_name_list": names}))
}

func TestBatchValueRead(t *testing.T) {
	rm := open(t)
	rm.secret("a", "value of a")
	rm.secret("b", "old")
	rm.do("POST", base+"/b/versions", `{"secret_binary":"AAE="}`).ok()
	rm.secret("pending", "x")
	rm.pend("pending")
	// CSMS-148
	rm.values("a", "missing").ok().wants("1", "total_count").wants(`"value of a"`, "versions", 0, "secret_string").
		wants(`"a"`, "versions", 0, "version_metadata", "secret_name").wants(`["SYSCURRENT"]`, "versions", 0, "version_metadata", "version_stages")
	a := rm.values("b", "pending", "a", "b").ok().wants("2", "total_count").wants(`"AAE="`, "versions", 0, "secret_binary").wants(`"v2"`, "versions", 0, "version_metadata", "id")
	if a.header.Get("Cache-Control") != "no-store" {
		t.Error("an answer with values may be kept")
	}
	rm.values("missing", "pending").ok().wants("0", "total_count").wants("[]", "versions")

	rm.record.events = nil
	rm.values("a", "missing")
	var got []audit.Outcome
	for _, ev := range rm.record.events {
		got = append(got, ev.Outcome)
		if ev.Rule != "csms:secret:batchGetSecretValue" {
			t.Errorf("recorded %+v", ev)
		}
	}
	if fmt.Sprint(got) != "[success missing]" {
		t.Errorf("recorded %v", got)
	}
	rm.as("nora").values("a").fault(403, "CSMS.0302")
	rm.as("nora").values("missing").fault(403, "CSMS.0302")

	many := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprint("n", i)
	}
	rm.values(many[:100]...).ok()
	rm.values(many...).fault(400, "CSMS.0002")
	rm.values("a", "a b").fault(400, "CSMS.0002")
	rm.do("POST", base+"/batch-get-secret-value", `{}`).fault(400, "CSMS.0002")
	rm.do("POST", base+"/batch-get-secret-value", `{"secret_name_list":"a"}`).fault(400, "CSMS.0004")
	rm.token.SetAway(true)
	rm.values("a").fault(503, "CSMS.0914")
}

// A rule for one secret, and one for its master key.
func TestBatchValueReadByRules(t *testing.T) {
	rm := openWith(t, options{rules: `
		@id("a") permit (principal in Role::"operator-made", action in [Action::"csms:secret:batchGetSecretValue"], resource) when { resource.name != "b" };`})
	rm.secret("a", "1")
	rm.secret("b", "2")
	rm.create(`{"name":"c","secret_string":"3","kms_key_id":"` + seedKey + `"}`).ok()
	oscar := rm.as("oscar")
	oscar.values("a", "b").ok().wants("1", "total_count").wants(`"1"`, "versions", 0, "secret_string")
	oscar.values("a", "c").ok().wants("1", "total_count") // c is sealed under a key that oscar may not use
	oscar.values("b").fault(403, "CSMS.0302")
	rm.values("a", "b", "c").ok().wants("3", "total_count")
}
