package csms_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/secret"
)

func TestHSMAway(t *testing.T) { // CSMS-184
	rm := open(t)
	rm.secret("demo", "x")
	rm.token.SetAway(true)
	for _, a := range []answer{
		rm.create(`{"name":"half","secret_string":"x"}`), rm.add(""), rm.do("GET", base+"/demo/versions/v1", ""),
	} {
		a.fault(503, "CSMS.0914")
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", a.what)
		}
	}
	rm.do("GET", base+"/demo", "").ok()
	rm.do("PUT", base+"/demo", `{"description":"still"}`).ok()
	rm.wantStages("v1[SYSCURRENT]")
	rm.do("GET", base+"/half", "").fault(404, "CSMS.0106")
	rm.token.SetAway(false)
	rm.do("GET", base+"/demo/versions/v1", "").ok().wants(`"x"`, "version", "secret_string")
}

func TestDamagedRow(t *testing.T) { // CSMS-185
	rm := open(t)
	rm.secret("a", "value of a")
	rm.secret("b", "value of b")
	rm.store.swap("a", "b")
	for _, name := range []string{"a", "b"} {
		a := rm.do("GET", base+"/"+name+"/versions/v1", "").fault(500, "CSMS.0001")
		if strings.Contains(a.raw, "value of") || a.at("error_msg") == "Internal error." {
			t.Errorf("answer %s", a.raw)
		}
		rm.do("GET", base+"/"+name, "").ok()
	}
	rm.store.swap("a", "b")
	rm.do("GET", base+"/a/versions/v1", "").ok().wants(`"value of a"`, "version", "secret_string")
}

func TestFaultsOfTheStore(t *testing.T) {
	for _, k := range fault.Kinds {
		rm := open(t)
		rm.secret("demo", "x")
		rm.sealer.openErr = fmt.Errorf("open: %w", fault.Wrap(k, "public "+k.String(), errors.New("hunter2")))
		a := rm.do("GET", base+"/demo/versions/v1", "")
		if a.status < 400 || strings.Contains(a.raw, "hunter2") || !strings.Contains(a.raw, "Public ") {
			t.Errorf("%v: %d %s", k, a.status, a.raw)
		}
		if logged := strings.Contains(fmt.Sprint(rm.logs.All()), "hunter2"); logged != (a.status >= 500) {
			t.Errorf("%v: logged %v", k, rm.logs.All())
		}
	}
}

func TestRecordAway(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "hunter2")
	rm.record.broken = true
	rm.do("GET", base+"/demo/versions/v1", "").fault(503, "CSMS.0914")
	rm.as("nora").do("GET", base+"/demo", "").fault(503, "CSMS.0914")
}

func TestRecords(t *testing.T) { // CSMS-183, CSMS-186
	rm := open(t)
	rm.as("ak:ALICE").secret("demo", "hunter2")
	rm.do("POST", base+"/demo/versions", `{"secret_string":"hunter2"}`).ok()
	rm.do("GET", base+"/demo/versions/v1", "").ok()
	rm.do("DELETE", base+"/demo", "").ok()
	changes := rm.store.Events()
	var got []string
	for _, ev := range append(changes, rm.record.events...) {
		got = append(got, fmt.Sprintf("%s %s %s %s %s %s", ev.Rule, ev.Initiator.User, ev.Initiator.Method, ev.Project, ev.Target.Name, ev.Outcome))
		if b, err := ev.JSON(); err != nil || strings.Contains(string(b), "hunter2") || ev.Request != "req-"+ours || ev.Initiator.From != "192.0.2.1" {
			t.Errorf("event %s %v", b, err)
		}
	}
	want := []string{
		"csms:secret:create alice signature " + ours + " demo success",
		"csms:secret:createVersion alice token " + ours + " demo success",
		"csms:secret:delete alice token " + ours + " demo success",
		"csms:secret:getVersion alice token " + ours + " demo success",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("events\n%s", strings.Join(got, "\n"))
	}
	if s := fmt.Sprint(rm.logs.All()); strings.Contains(s, "hunter2") {
		t.Errorf("logged %s", s)
	}
}

func TestRefusalsAreRecorded(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "x")
	rm.as("nora").do("GET", base+"/demo", "").fault(403, "CSMS.0302")
	rm.do("GET", base+"/none", "").fault(404, "CSMS.0106")
	var got []audit.Outcome
	for _, ev := range rm.record.events {
		got = append(got, ev.Outcome)
	}
	if fmt.Sprint(got) != "[denied missing]" {
		t.Errorf("%v", got)
	}
}

func TestRuleForOneSecret(t *testing.T) { // CSMS-187
	rm := openWith(t, options{rules: `
		@id("a") permit (principal in Role::"operator-made", action in [Action::"csms:secret:getVersion"], resource) when { resource.name == "a" };`})
	rm.secret("a", "x")
	rm.secret("b", "x")
	oscar := rm.as("oscar")
	oscar.do("GET", base+"/a/versions/v1", "").ok()
	oscar.do("GET", base+"/b/versions/v1", "").fault(403, "CSMS.0302")
	oscar.do("GET", base, "").fault(403, "CSMS.0302")
	oscar.do("GET", base+"/a", "").fault(403, "CSMS.0302")
}

func TestRuleForOneStage(t *testing.T) { // CSMS-188
	rm := openWith(t, options{rules: `
		@id("current") permit (principal in Role::"operator-made", action in [Action::"csms:secret:getVersion"], resource)
		when { context has stage && context.stage == "SYSCURRENT" };`})
	rm.secret("demo", "x")
	rm.add("").ok()
	oscar := rm.as("oscar")
	oscar.do("GET", base+"/demo/versions/latest", "").ok()
	oscar.do("GET", base+"/demo/versions/v1", "").fault(403, "CSMS.0302")
	oscar.do("GET", base+"/demo/versions/v99", "").fault(403, "CSMS.0302")
}

// DESIGN §3: what a Barbican client made, as CSMS shows it.
func TestSecretsOfTheOtherFamily(t *testing.T) {
	rm := open(t)
	s := rm.barbican("plain", secret.Text, "text")
	rm.barbican("latin", secret.Text, "\xe9")
	rm.barbican("der", secret.Binary, "text")
	rm.barbican("pkcs8", secret.PKCS8, "text")
	rm.barbican("twice", secret.Text, "1")
	second := rm.barbican("twice", secret.Text, "2")
	empty := rm.barbican("", "", "")

	rm.do("GET", base+"/plain", "").ok().wants(`"`+string(s)+`"`, "secret", "id").wants(`"ENABLED"`, "secret", "state").
		wants(`"COMMON"`, "secret", "secret_type").wants(`"0"`, "secret", "enterprise_project_id")
	rm.do("GET", base+"/"+string(s), "").ok().wants(`"plain"`, "secret", "name")
	rm.do("GET", base+"/plain/versions/latest", "").ok().wants(`"text"`, "version", "secret_string").wants(`["SYSCURRENT"]`, "version", "version_metadata", "version_stages")
	rm.do("GET", base+"/latin/versions/v1", "").ok().wants(`"6Q=="`, "version", "secret_binary")
	rm.do("GET", base+"/der/versions/v1", "").ok().wants(`"dGV4dA=="`, "version", "secret_binary")
	rm.do("GET", base+"/pkcs8/versions/v1", "").ok().wants(`"dGV4dA=="`, "version", "secret_binary")
	rm.do("GET", base+"/twice", "").fault(404, "CSMS.0106")
	rm.do("GET", base+"/"+string(second), "").ok().wants(`"`+string(second)+`"`, "secret", "name")

	// Without a payload: no version, no key.
	path := base + "/" + string(empty)
	rm.do("GET", path, "").ok().wants("null", "secret", "kms_key_id").wants(`"`+string(empty)+`"`, "secret", "name")
	rm.do("GET", path+"/versions", "").ok().wants("[]", "version_metadatas")
	rm.do("GET", path+"/versions/latest", "").fault(404, "CSMS.0005")
	rm.do("GET", path+"/stages/SYSCURRENT", "").fault(404, "CSMS.0005")
	rm.do("PUT", path+"/versions/latest", `{"expire_time":9999999999999}`).fault(404, "CSMS.0005")
	rm.do("POST", path+"/versions", `{"secret_string":"x"}`).ok().wants(`"v1"`, "version_metadata", "id")
	rm.do("GET", path+"/versions/latest", "").ok().wants(`"x"`, "version", "secret_string")
}
