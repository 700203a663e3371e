package csms_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/api/csms"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/secret"
)

const (
	seedKey = "0d0466b0-e727-4d9c-b35d-f84bb474a37f"
	seed003 = `{"name":"demo","kms_key_id":"` + seedKey + `","secret_string":"this is a demo secret string"}`
	users   = `{"users":[{"name":"root","password":"p"}]}`
	single  = `{"rds_instance_id":"i","Secret_sub_type":"SingleUser"}`
)

// CSMS-001, CSMS-006, CSMS-007, by either way to authenticate.
func TestCreateAnswersTheSecret(t *testing.T) {
	for _, caller := range []string{"alice", "ak:ALICE"} {
		rm := open(t).as(caller)
		a := rm.create(`{"name":"demo","secret_string":"x"}`).ok()
		now := fmt.Sprint(rm.clock.now().UnixMilli())
		for member, want := range map[string]string{
			"name": `"demo"`, "state": `"ENABLED"`, "description": `""`, "secret_type": `"COMMON"`, "auto_rotation": "false",
			"scheduled_delete_time": "null", "rotation_period": "null", "rotation_config": "null", "rotation_time": "null",
			"next_rotation_time": "null", "event_subscriptions": "[]", "enterprise_project_id": `"0"`, "rotation_func_urn": "null",
		} {
			a.wants(want, "secret", member)
		}
		if got := fmt.Sprintf("%.0f", a.at("secret", "create_time")); got != now || len(got) != 13 || a.at("secret", "update_time") != a.at("secret", "create_time") {
			t.Errorf("times %s", a.raw)
		}
		id, _ := a.at("secret", "id").(string)
		if _, err := uuid.Parse(id); err != nil {
			t.Errorf("id %q", id)
		}
		if strings.Contains(a.raw, "secret_string") || strings.Contains(a.raw, "secret_binary") {
			t.Errorf("the value comes back: %s", a.raw)
		}
		rm.do("GET", base+"/demo", "").ok().wants(jsonText(a.at("secret")), "secret") // CSMS-061
	}
}

func TestCreateRefuses(t *testing.T) {
	rm := open(t)
	long := strings.Repeat("x", 32769)
	named := func(name string) string { return jsonText(map[string]any{"name": name, "secret_string": "x"}) }
	plus := func(members string) string { return `{"name":"n","secret_string":"x",` + members + `}` }
	rds := func(config, value string) string {
		return jsonText(map[string]any{"name": "n", "secret_type": "RDS", "rotation_config": config, "secret_string": value})
	}
	for _, tc := range []struct{ name, body, code string }{
		{"CSMS-008 no name", `{"secret_string":"x"}`, "CSMS.0002"},
		{"CSMS-008 a null name", `{"name":null,"secret_string":"x"}`, "CSMS.0002"},
		{"CSMS-008 a name in capitals", `{"Name":"n","secret_string":"x"}`, "CSMS.0002"},
		{"CSMS-009 an empty name", named(""), "CSMS.0002"},
		{"CSMS-009 a name of 65", named(strings.Repeat("n", 65)), "CSMS.0002"},
		{"CSMS-009 a name with a space", named("a b"), "CSMS.0002"},
		{"CSMS-009 a name with a dot", named("a.b"), "CSMS.0002"},
		{"CSMS-009 a name with a slash", named("a/b"), "CSMS.0002"},
		{"CSMS-009 a name beyond ASCII", named("é"), "CSMS.0002"},
		{"CSMS-009 a name with a line break", named("a\n"), "CSMS.0002"},
		{"CSMS-016 no value", `{"name":"n"}`, "CSMS.0002"},
		{"CSMS-016 an empty value", `{"name":"n","secret_string":""}`, "CSMS.0002"},
		{"CSMS-016 two empty values", `{"name":"n","secret_string":"","secret_binary":""}`, "CSMS.0002"},
		{"CSMS-017 two values", plus(`"secret_binary":"eA=="`), "CSMS.0002"},
		{"CSMS-020 a text of 32769 bytes", `{"name":"n","secret_string":"` + long + `"}`, "CSMS.0002"},
		{"CSMS-021 33000 bytes in 11000 characters", `{"name":"n","secret_string":"` + strings.Repeat("中", 11000) + `"}`, "CSMS.0002"},
		{"CSMS-022 no base64", `{"name":"n","secret_binary":"%%%"}`, "CSMS.0002"},
		{"CSMS-022 base64 without padding", `{"name":"n","secret_binary":"eA"}`, "CSMS.0002"},
		{"CSMS-022 base64 with stray bits", `{"name":"n","secret_binary":"eB=="}`, "CSMS.0002"},
		{"CSMS-022 base64 in lines", `{"name":"n","secret_binary":"eHh4\n"}`, "CSMS.0002"},
		{"CSMS-022 the other base64", `{"name":"n","secret_binary":"_-8="}`, "CSMS.0002"},
		{"CSMS-022 32769 bytes", `{"name":"n","secret_binary":"` + base64.StdEncoding.EncodeToString([]byte(long)) + `"}`, "CSMS.0002"},
		{"CSMS-025 a description of 2049", plus(`"description":"` + long[:2049] + `"`), "CSMS.0002"},
		{"CSMS-025 a NUL in the description", plus(`"description":"a\u0000b"`), "CSMS.0002"},
		{"CSMS-026 a key that is no UUID", plus(`"kms_key_id":"demo"`), "CSMS.0002"},
		{"CSMS-026 a key without hyphens", plus(`"kms_key_id":"0d0466b0e7274d9cb35df84bb474a37f"`), "CSMS.0002"},
		{"CSMS-026 a key in capitals", plus(`"kms_key_id":"` + strings.ToUpper(seedKey) + `"`), "CSMS.0002"},
		{"CSMS-026 a key beyond hex", plus(`"kms_key_id":"zd0466b0-e727-4d9c-b35d-f84bb474a37f"`), "CSMS.0002"},
		{"CSMS-026 another alias", plus(`"kms_key_id":"alias/other"`), "CSMS.0002"},
		{"CSMS-032 an unknown type", plus(`"secret_type":"FOO"`), "CSMS.0002"},
		{"CSMS-035 no rotation_config", rds("", users), "CSMS.0002"},
		{"CSMS-036 a sub type of three", rds(`{"rds_instance_id":"i","Secret_sub_type":"Triple"}`, users), "CSMS.0002"},
		{"CSMS-036 no sub type", rds(`{"rds_instance_id":"i"}`, users), "CSMS.0002"},
		{"CSMS-036 no instance", rds(`{"rds_instance_id":"","SecretSubType":"SingleUser"}`, users), "CSMS.0002"},
		{"CSMS-036 no JSON", rds(`{"rds`, users), "CSMS.0002"},
		{"CSMS-037 a value without users", rds(single, `{"user":"x"}`), "CSMS.0002"},
		{"CSMS-037 a value that is no object", rds(single, `x`), "CSMS.0002"},
		{"CSMS-037 no users", rds(single, `{"users":[]}`), "CSMS.0002"},
		{"CSMS-037 three users", rds(single, `{"users":[{"name":"a","password":""},{"name":"b","password":""},{"name":"c","password":""}]}`), "CSMS.0002"},
		{"CSMS-037 a user without a name", rds(single, `{"users":[{"name":"","password":"p"}]}`), "CSMS.0002"},
		{"CSMS-037 a user without a password", rds(single, `{"users":[{"name":"a"}]}`), "CSMS.0002"},
		{"CSMS-037 one user for two", rds(`{"InstanceId":"i","SecretSubType":"MultiUser"}`, users), "CSMS.0002"},
		{"CSMS-038 a rotation_config of 1025", plus(`"rotation_config":"` + long[:1025] + `"`), "CSMS.0002"},
		{"CSMS-038 a NUL in it", plus(`"rotation_config":"\u0000"`), "CSMS.0002"},
		{"CSMS-039 no period", plus(`"auto_rotation":true`), "CSMS.0002"},
		{"CSMS-039 an empty period", plus(`"auto_rotation":true,"rotation_period":""`), "CSMS.0002"},
		{"CSMS-044 two events", plus(`"event_subscriptions":["a","b"]`), "CSMS.0002"},
		{"CSMS-044 an event with a space", plus(`"event_subscriptions":["a b"]`), "CSMS.0002"},
		{"CSMS-043 an unknown event", plus(`"event_subscriptions":["unknown"]`), "CSMS.0005"},
		{"CSMS-045 a project of 37", plus(`"enterprise_project_id":"` + long[:37] + `"`), "CSMS.0002"},
		{"a function of 256", plus(`"rotation_func_urn":"` + long[:256] + `"`), "CSMS.0002"},
		{"CSMS-046 half an object", `{"name":"n"`, "CSMS.0004"},
		{"CSMS-046 an array", `[]`, "CSMS.0004"},
		{"CSMS-046 nothing", ``, "CSMS.0004"},
		{"CSMS-046 null", `null`, "CSMS.0004"},
		{"CSMS-046 invalid UTF-8", "{\"name\":\"\xff\",\"secret_string\":\"x\"}", "CSMS.0004"},
		{"CSMS-046 half a surrogate pair", plus(`"description":"\ud800"`), "CSMS.0004"},
		{"CSMS-046 a number for a name", `{"name":5,"secret_string":"x"}`, "CSMS.0004"},
		{"CSMS-046 a number for a text", `{"name":"n","secret_string":5}`, "CSMS.0004"},
		{"CSMS-046 a text for a flag", plus(`"auto_rotation":"true"`), "CSMS.0004"},
		{"CSMS-046 a text for a list", plus(`"event_subscriptions":"a"`), "CSMS.0004"},
		{"CSMS-046 a list of numbers", plus(`"event_subscriptions":[1]`), "CSMS.0004"},
		{"CSMS-046 the shape before the name", `{"name":"a b","secret_string":"x","description":{}}`, "CSMS.0004"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rm.in(t).create(tc.body).fault(400, tc.code)
		})
	}
	rm.do("GET", base, "").ok().wants("[]", "secrets")
}

func TestRotationPeriods(t *testing.T) {
	rm := open(t)
	create := func(t *testing.T, kind, period string) answer {
		return rm.in(t).create(jsonText(map[string]any{
			"name": kind + "-" + period, "secret_type": kind, "rotation_config": single, "secret_string": users,
			"auto_rotation": true, "rotation_period": period,
		}))
	}
	for _, period := range []string{"5h", "366d", "8761h", "1w", "6", "6H", "-1d", "1d12h", "99999999999999999999d", "1.5d", "0d"} {
		t.Run("CSMS-041 not "+period, func(t *testing.T) { create(t, "RDS", period).fault(400, "CSMS.0002") })
	}
	for period, want := range map[string]time.Duration{
		"6h": 6 * time.Hour, "360m": 6 * time.Hour, "21600s": 6 * time.Hour,
		"1d": 24 * time.Hour, "365d": 8760 * time.Hour, "8760h": 8760 * time.Hour,
	} {
		for _, kind := range []string{"RDS", "COMMON"} { // CSMS-191
			t.Run("CSMS-040 "+kind+" "+period, func(t *testing.T) {
				a := create(t, kind, period).ok().wants(`"`+period+`"`, "secret", "rotation_period").wants("true", "secret", "auto_rotation")
				next, _ := a.at("secret", "next_rotation_time").(float64)
				made, _ := a.at("secret", "create_time").(float64)
				if got := time.Duration(next-made) * time.Millisecond; got != want {
					t.Errorf("next rotation after %v, want %v", got, want)
				}
			})
		}
	}
	rm.create(`{"name":"stored","secret_string":"x","rotation_period":"7h"}`).ok().
		wants(`"7h"`, "secret", "rotation_period").wants("null", "secret", "next_rotation_time")
}

func TestCreateAccepts(t *testing.T) {
	rm := open(t)
	rm.event("on-change")
	two := `{'users':[{'name':'a','password':'it\'s "x"'},{'name':'b','password':''}]}`
	for _, tc := range []struct {
		name, members string
		want          map[string]string
	}{
		{"CSMS-010 a name of 64", `"name":"` + strings.Repeat("n", 64) + `"`, nil},
		{"CSMS-010 a name with marks", `"name":"A_-9"`, nil},
		{"CSMS-018 a binary value beside an empty text", `"name":"c","secret_binary":"eA==","secret_string":""`, nil},
		{"CSMS-025 a description of 2048 bytes", `"name":"e","description":"` + strings.Repeat("é", 1024) + `"`, nil},
		{"CSMS-026 no key in three ways", `"name":"f","kms_key_id":""`, nil},
		{"CSMS-026 the default key by its alias", `"name":"g","kms_key_id":"csms/default"`, nil},
		{"CSMS-026 the default key by a prefix", `"name":"h","kms_key_id":"alias/csms/default"`, nil},
		{"CSMS-033 a database secret", `"name":"i","secret_type":"RDS","rotation_config":` + jsonText(single) + `,"secret_string":` + jsonText(users),
			map[string]string{"secret_type": `"RDS"`, "rotation_config": jsonText(single)}},
		{"CSMS-033 in the answer's spelling", `"name":"j","secret_type":"RDS","rotation_config":"{\"RDSInstanceId\":\"i\",\"SecretSubType\":\"SingleUser\"}","secret_string":` + jsonText(users), nil},
		{"CSMS-034 in the SDK's spelling, for two users", `"name":"k","secret_type":"RDS-FG","rotation_config":"{\"InstanceId\":\"i\",\"SecretSubType\":\"MultiUser\"}","secret_string":` + jsonText(two),
			map[string]string{"secret_type": `"RDS-FG"`}},
		{"CSMS-034 in single quotes", `"name":"l","secret_type":"GaussDB-FG","rotation_config":"{ 'InstanceId' : 'i', 'SecretSubType':'SingleUser'}","secret_string":` + jsonText(users), nil},
		{"CSMS-034 as bytes", `"name":"m","secret_type":"RDS","rotation_config":` + jsonText(single) + `,"secret_string":"","secret_binary":"` + base64.StdEncoding.EncodeToString([]byte(users)) + `"`, nil},
		{"a free rotation_config", `"name":"n","rotation_config":"anything {"`, map[string]string{"rotation_config": `"anything {"`}},
		{"CSMS-042 an event", `"name":"o","event_subscriptions":["on-change"]`, map[string]string{"event_subscriptions": `["on-change"]`}},
		{"no event in one empty name", `"name":"p","event_subscriptions":[""]`, map[string]string{"event_subscriptions": `[]`}},
		{"CSMS-045 an enterprise project", `"name":"q","enterprise_project_id":"` + seedKey + `"`, map[string]string{"enterprise_project_id": `"` + seedKey + `"`}},
		{"a function", `"name":"r","rotation_func_urn":"urn:fss:x"`, map[string]string{"rotation_func_urn": `"urn:fss:x"`}},
		{"CSMS-047 an unknown member", `"name":"s","color":{"a":[1]}`, nil},
		{"nulls for what is absent", `"name":"t","description":null,"secret_type":null,"auto_rotation":null,"event_subscriptions":null,"secret_binary":null`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := "{" + tc.members + "}"
			if !strings.Contains(tc.members, "secret_string") {
				body = `{"secret_string":"x",` + tc.members + "}"
			}
			a := rm.in(t).create(body).ok()
			for member, want := range tc.want {
				a.wants(want, "secret", member)
			}
		})
	}
}

func TestNames(t *testing.T) {
	rm := open(t)
	first := rm.secret("demo", "x")
	rm.create(`{"name":"demo","secret_string":"y"}`).fault(409, "CSMS.0101")                      // CSMS-011
	rm.secret("Demo", "x")                                                                        // CSMS-012
	rm.as("bob").do("POST", "/v1/"+theirs+"/secrets", `{"name":"demo","secret_string":"x"}`).ok() // CSMS-013

	rm.pend("Demo")
	rm.create(`{"name":"Demo","secret_string":"y"}`).fault(409, "CSMS.0101") // CSMS-014

	rm.do("DELETE", base+"/demo", "").ok()
	again := rm.secret("demo", "x") // CSMS-015
	if again.at("secret", "id") == first.at("secret", "id") {
		t.Error("an ID came back")
	}

	dotted := openWith(t, options{Config: csms.Config{AllowDotInNames: true}})
	dotted.secret("a.b", "x")
	dotted.do("GET", base+"/a.b", "").ok()
}

func TestValuesComeBack(t *testing.T) {
	rm := open(t)
	for i, text := range []string{
		"x", strings.Repeat("x", 32768), // CSMS-019
		"<&>\"\\ ' \n\t \U0001F600 \x00 \u2028", // CSMS-024
	} {
		name := fmt.Sprintf("text-%d", i)
		rm.secret(name, text)
		a := rm.do("GET", base+"/"+name+"/versions/v1", "").ok()
		if a.at("version", "secret_string") != text {
			t.Errorf("text %d came back as %q", i, a.at("version", "secret_string"))
		}
		if _, both := a.body["version"].(map[string]any)["secret_binary"]; both {
			t.Errorf("text %d came back as bytes too", i)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Error("a value may be cached")
		}
	}
	all := make([]byte, 32768)
	for i := range all {
		all[i] = byte(i % 256)
	}
	for i, raw := range [][]byte{{0}, {0xff, 0xfe}, []byte("text"), all} { // CSMS-023
		name, b64 := fmt.Sprintf("binary-%d", i), base64.StdEncoding.EncodeToString(raw)
		rm.create(jsonText(map[string]any{"name": name, "secret_binary": b64})).ok()
		a := rm.do("GET", base+"/"+name+"/versions/v1", "").ok()
		if a.at("version", "secret_binary") != b64 || a.at("version", "secret_string") != nil { // CSMS-111
			t.Errorf("binary %d came back as %.80s", i, a.raw)
		}
	}
}

func TestValueLimitIsConfigurable(t *testing.T) {
	rm := openWith(t, options{Config: csms.Config{MaxValue: math.MaxInt}})
	body := func(n int) string {
		return jsonText(map[string]any{"name": "n", "secret_string": strings.Repeat("x", n)})
	}
	rm.create(body(secret.MaxPayload+1)).fault(400, "CSMS.0002")
	rm.create(body(secret.MaxPayload)).ok()
}

func TestDefaultKeyIsMadeOnce(t *testing.T) { // CSMS-004, CSMS-005
	rm := open(t)
	var wg sync.WaitGroup
	ids := make([]any, 20)
	for i := range ids {
		wg.Go(func() {
			ids[i] = rm.secret(fmt.Sprintf("s%d", i), "x").at("secret", "kms_key_id")
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || len(fmt.Sprint(id)) != 36 {
			t.Errorf("keys %v", ids)
			break
		}
	}
}

func TestNamedKey(t *testing.T) {
	rm := open(t)
	rm.create(seed003).ok().wants(`"`+seedKey+`"`, "secret", "kms_key_id") // CSMS-027
	body := strings.Replace(seed003, "demo", "second", 1)
	rm.create(body).ok().wants(`"`+seedKey+`"`, "secret", "kms_key_id")                // CSMS-002
	rm.as("bob").do("POST", "/v1/"+theirs+"/secrets", seed003).fault(400, "CSMS.0401") // CSMS-030

	strict := openWith(t, options{strictKeys: true})
	strict.create(seed003).fault(400, "CSMS.0401") // CSMS-192
	strict.do("GET", base, "").ok().wants("[]", "secrets")

	for _, state := range []string{"disabled", "pending_deletion", "pending_import"} { // CSMS-028
		rm.keyState(seedKey, state)
		rm.create(strings.Replace(seed003, "demo", "third", 1)).fault(400, "CSMS.0401")
	}
	for _, o := range []options{{}, {strictKeys: true}} { // CSMS-194
		gone := openWith(t, o)
		id := gone.secret("demo", "x").at("secret", "kms_key_id").(string)
		if err := gone.store.DestroyMasterKey(ours, envelope.MasterKey(id)); err != nil {
			t.Fatal(err)
		}
		gone.create(strings.NewReplacer("demo", "again", seedKey, id).Replace(seed003)).fault(400, "CSMS.0401")
	}
}

// CSMS-031, CSMS-193, CSMS-050: what a caller lacks.
func TestCreateNeedsRights(t *testing.T) {
	rm := openWith(t, options{rules: `
		@id("create") permit (principal in Role::"operator-made", action in [Action::"csms:secret:create"], resource);
		@id("no-dek") forbid (principal in Role::"admin", action in [Action::"kms:dek:create"], resource);`})
	rm.create(seed003).fault(403, "CSMS.0302")            // CSMS-031
	rm.create(`{"name":"demo","secret_string":"x"}`).ok() // the default key needs no right of its own

	keyless := openWith(t, options{rules: `
		@id("most") permit (principal in Role::"operator-made", action in [Action::"csms:secret:create", Action::"kms:dek:create"], resource);`})
	keyless.as("oscar").create(seed003).fault(403, "CSMS.0302") // CSMS-193
	keyless.do("GET", base, "").ok().wants("[]", "secrets")

	for _, caller := range []string{"nora", "rita", "ak:NORA"} {
		open(t).as(caller).create("not even JSON").fault(403, "CSMS.0302") // CSMS-050
	}
}

// A version needs the right to seal under the secret's key, too (csms.md §10),
// unless that is the project's default.
func TestVersionNeedsRights(t *testing.T) {
	rm := openWith(t, options{rules: `
		@id("write") permit (principal in Role::"operator-made", action in [Action::"csms:secret:createVersion"], resource);`})
	rm.create(seed003).ok()
	rm.secret("plain", "x")
	oscar := rm.as("oscar")
	oscar.do("POST", base+"/demo/versions", `{"secret_string":"y"}`).fault(403, "CSMS.0302")
	oscar.do("POST", base+"/plain/versions", `{"secret_string":"y"}`).ok()
	rm.wantStages("v1[SYSCURRENT]")
	rm.do("POST", base+"/demo/versions", `{"secret_string":"y"}`).ok()
}

func TestBodyLimit(t *testing.T) { // CSMS-051, SIG-007
	for _, caller := range []string{"alice", "ak:ALICE"} {
		rm := openWith(t, options{Config: csms.Config{MaxBody: 1000}}).as(caller)
		rm.create(`{"name":"n","secret_string":"`+strings.Repeat("x", 1000)+`"}`).fault(413, "CSMS.0913")
		rm.create(`{"name":"n","secret_string":"` + strings.Repeat("x", 100) + `"}`).ok()
	}
}

func TestDescriptionsNeverHoldAnError(t *testing.T) {
	rm := open(t)
	rm.sealer.sealErr = errors.New("hunter2")
	if a := rm.create(`{"name":"n","secret_string":"x"}`).fault(500, "CSMS.0001"); strings.Contains(a.raw, "hunter2") {
		t.Errorf("the cause leaves the server: %s", a.raw)
	}
}
