package csms_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
)

const prefix = ")CloudSecretManagementBackupV1.com"

func (rm *room) backup(name string) string {
	rm.Helper()
	a := rm.do("POST", base+"/"+name+"/backup", "").ok()
	if got := a.header.Get("Cache-Control"); got != "no-store" || len(a.body) != 1 {
		rm.Errorf("Cache-Control %q, %d members", got, len(a.body))
	}
	blob, _ := a.at("secret_blob").(string)
	return blob
}

func (rm *room) restore(blob string) answer {
	rm.Helper()
	return rm.do("POST", base+"/restore", jsonText(map[string]any{"secret_blob": blob}))
}

// CSMS-138.
func TestBackupIsABlob(t *testing.T) {
	t.Parallel()
	rm := open(t)
	rm.secret("demo", "open sesame")
	blob := rm.backup("demo")
	rest, ok := strings.CutPrefix(blob, prefix)
	if !ok || strings.Count(rest, ".") != 4 || len(blob) > 5<<20 {
		t.Errorf("blob %.60s", blob)
	}
	if strings.Contains(blob, "open sesame") || strings.Contains(blob, "b3BlbiBzZXNhbWU") {
		t.Error("the value is in the blob")
	}
}

// CSMS-139, CSMS-140.
func TestRestoreAfterDelete(t *testing.T) {
	t.Parallel()
	rm := open(t)
	rm.event("ev")
	created := rm.create(`{"name":"demo","secret_string":"one","description":"d","event_subscriptions":["ev"]}`).ok()
	rm.do("POST", base+"/demo/versions", `{"secret_binary":"AAH/","version_stages":["SYSCURRENT","blue"],"expire_time":1893456000000}`).ok()
	rm.do("POST", base+"/demo/versions", `{"secret_string":"three","version_stages":["SYSPENDING"]}`).ok()
	paths := []string{"/versions", "/versions/v1", "/versions/v2", "/versions/v3", "/versions/latest", "/stages/blue", "/stages/SYSPREVIOUS", "/stages/SYSPENDING"}
	before := map[string]string{}
	for _, p := range paths {
		before[p] = rm.do("GET", base+"/demo"+p, "").ok().raw
	}
	blob := rm.backup("demo")
	rm.restore(blob).fault(409, "CSMS.0101")
	rm.do("DELETE", base+"/demo", "").ok()
	rm.clock.pass(time.Hour)

	back := rm.restore(blob).ok()
	if back.at("secret", "id") == created.at("secret", "id") {
		t.Error("the restored secret has its former UUID")
	}
	back.wants(`"ENABLED"`, "secret", "state").wants(`"d"`, "secret", "description").wants(`["ev"]`, "secret", "event_subscriptions")
	back.wants(fmt.Sprintf("%.0f", created.at("secret", "create_time")), "secret", "create_time")
	back.wants(fmt.Sprint(rm.clock.now().UnixMilli()), "secret", "update_time")
	for _, p := range paths {
		if after := rm.do("GET", base+"/demo"+p, "").ok().raw; after != before[p] {
			t.Errorf("%s was\n%sand is\n%s", p, before[p], after)
		}
	}
	rm.do("POST", base+"/demo/versions", `{"secret_string":"x"}`).ok().wants(`"v4"`, "version_metadata", "id")
	rm.restore(blob).fault(409, "CSMS.0101")
}

// CSMS-141.
func TestAlteredBlob(t *testing.T) {
	t.Parallel()
	rm := open(t)
	rm.secret("demo", "x")
	blob := rm.backup("demo")
	rm.do("DELETE", base+"/demo", "").ok()
	for i := 0; i < len(blob); i += 1 + len(blob)/97 {
		other := []byte(blob)
		other[i]++
		rm.restore(string(other)).fault(400, "CSMS.0910")
	}
	for _, other := range []string{"x", prefix, strings.TrimPrefix(blob, prefix), blob + "\n", " " + blob, blob + "=", blob[:len(blob)-1], prefix + "...."} {
		rm.restore(other).fault(400, "CSMS.0910")
	}
	rm.restore(blob).ok()
}

// CSMS-142. Another project of the domain may have it.
func TestBlobStaysInItsDomain(t *testing.T) {
	t.Parallel()
	rm := open(t)
	rm.secret("demo", "x")
	blob := rm.backup("demo")
	body := jsonText(map[string]any{"secret_blob": blob})
	bob := rm.people.tokens["bob"]
	bob.ProjectDomain = "another"
	rm.people.tokens["bob"] = bob
	rm.as("bob").do("POST", "/v1/"+theirs+"/secrets/restore", body).fault(400, "CSMS.0910")
	bob.ProjectDomain = ""
	rm.people.tokens["bob"] = bob
	rm.as("bob").do("POST", "/v1/"+theirs+"/secrets/restore", body).ok()
	rm.as("bob").do("GET", "/v1/"+theirs+"/secrets/demo/versions/latest", "").ok().wants(`"x"`, "version", "secret_string")
}

// CSMS-143.
func TestRestoreWantsABlob(t *testing.T) {
	t.Parallel()
	rm := open(t)
	for _, body := range []string{`{}`, `{"secret_blob":null}`, `{"secret_blob":""}`} {
		rm.do("POST", base+"/restore", body).fault(400, "CSMS.0002")
	}
	rm.do("POST", base+"/restore", `{"secret_blob":7}`).fault(400, "CSMS.0004")
	rm.do("POST", base+"/restore", ``).fault(400, "CSMS.0004")
	rm.restore(prefix+strings.Repeat("A", 5<<20-len(prefix)+1)).fault(400, "CSMS.0002")
	rm.restore(prefix+strings.Repeat("A", 5<<20-len(prefix))).fault(400, "CSMS.0910")
	rm.restore(strings.Repeat("A", 12<<20)).fault(http.StatusRequestEntityTooLarge, "CSMS.0913")
}

// Backups obey what showing a value does; restoring what creating does.
func TestWhoMayBackUpAndRestore(t *testing.T) {
	t.Parallel()
	rm := open(t)
	rm.secret("demo", "x")
	blob := rm.backup("demo")
	rm.as("nora").do("POST", base+"/demo/backup", "").fault(403, "CSMS.0302")
	rm.as("nora").do("POST", base+"/missing/backup", "").fault(403, "CSMS.0302")
	rm.do("POST", base+"/missing/backup", "").fault(404, "CSMS.0106")
	rm.as("nora").do("POST", base+"/restore", `{`).fault(403, "CSMS.0302")
	rm.as("bob").do("POST", base+"/demo/backup", "").fault(403, "APIGW.0302")
	for state, code := range map[secret.State]string{secret.Disabled: "CSMS.0109", secret.Frozen: "CSMS.0109"} {
		rm.change("demo", func(s *secret.Secret) { s.State = state })
		rm.do("POST", base+"/demo/backup", "").fault(403, code)
	}
	rm.pend("demo")
	rm.do("POST", base+"/demo/backup", "").fault(400, "CSMS.0103")
	rm.do("DELETE", base+"/demo", "").ok()
	rm.store.Quotas = quota.Limits{quota.Secrets: 0}
	rm.restore(blob).fault(400, "CSMS.0202")
}

// The key of the blob is unusable, or an event is gone.
func TestRestoreWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	rm := open(t)
	const keyID = "0d0466b0-e727-4d9c-b35d-f84bb474a37f"
	rm.create(`{"name":"demo","secret_string":"x","kms_key_id":"` + keyID + `"}`).ok()
	blob := rm.backup("demo")
	rm.do("DELETE", base+"/demo", "").ok()
	rm.keyState(keyID, "pending_deletion")
	rm.restore(blob).fault(400, "CSMS.0401")
	rm.keyState(keyID, "enabled")
	rm.restore(blob).ok().wants(`"`+keyID+`"`, "secret", "kms_key_id").wants(`[]`, "secret", "event_subscriptions")
}

// Secrets of the other family leave by the name that CSMS gives them.
func TestBackupOfBarbicansSecret(t *testing.T) {
	t.Parallel()
	rm := open(t)
	id := string(rm.barbican("", secret.Binary, "\x00\x01"))
	blob := rm.backup(id)
	rm.restore(blob).ok().wants(`"`+id+`"`, "secret", "name")
	empty := rm.barbican("empty", "", "")
	rm.do("POST", base+"/empty/backup", "").fault(404, "CSMS.0005")
	rm.do("POST", base+"/"+string(empty)+"/backup", "").fault(404, "CSMS.0005")
}
