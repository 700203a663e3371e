package csms_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/secret"
)

func TestListEmpty(t *testing.T) { // CSMS-052
	open(t).do("GET", base, "").ok().wants("[]", "secrets").
		wants(`{"current_count":0,"next_marker":null,"previous_marker":null}`, "page_info")
}

// names of the secrets on a page.
func names(a answer) []string {
	a.Helper()
	var out []string
	list, ok := a.at("secrets").([]any)
	if !ok {
		a.Fatalf("no secrets in %s", a.raw)
	}
	for i := range list {
		out = append(out, a.at("secrets", i, "name").(string))
	}
	return out
}

func TestListPages(t *testing.T) { // CSMS-053, CSMS-054, CSMS-060
	rm := open(t)
	var want []string
	for i := range 120 {
		name := fmt.Sprintf("n%03d", (i*77)%120) // made in another order than listed
		rm.secret(name, "value of it")
		want = append(want, name)
	}
	slices.Sort(want)

	first := rm.do("GET", base, "").ok().wants(`{"current_count":50,"next_marker":"n049","previous_marker":"n000"}`, "page_info")
	if strings.Contains(first.raw, "value of it") || strings.Contains(first.raw, "secret_string") {
		t.Error("a list shows values")
	}
	var got []string
	marker := ""
	for _, count := range []int{50, 50, 20} {
		a := rm.do("GET", base+"?limit=50&marker="+marker, "").ok()
		if n := names(a); len(n) != count {
			t.Errorf("a page of %d, want %d", len(n), count)
		}
		got = append(got, names(a)...)
		marker, _ = a.at("page_info", "next_marker").(string)
	}
	if !slices.Equal(got, want) || marker != "" {
		t.Errorf("paged %v, then %q", got, marker)
	}
	rm.do("GET", base+"?marker=n119", "").ok().wants("[]", "secrets").
		wants(`{"current_count":0,"next_marker":null,"previous_marker":null}`, "page_info") // CSMS-055
	if got := names(rm.do("GET", base+"?limit=1000", "").ok()); len(got) != 120 {
		t.Errorf("%d at once", len(got))
	}
	rm.do("DELETE", base+"/n010", "").ok()
	if got := names(rm.do("GET", base+"?limit=2&marker=n010", "").ok()); !slices.Equal(got, []string{"n011", "n012"}) {
		t.Errorf("after one that is gone: %v", got) // CSMS-057
	}
}

func TestListParameters(t *testing.T) { // CSMS-056
	rm := open(t)
	for _, q := range []string{"limit=1001", "limit=0", "limit=-1", "limit=abc", "limit=", "limit=%2B5", "limit=1.0",
		"limit=99999999999999999999", "marker=a%20b", "marker=%00", "marker=%ff", "event_name=a%20b", "marker=" + strings.Repeat("a", 65)} {
		rm.do("GET", base+"?"+q, "").fault(400, "CSMS.0002")
	}
	for _, q := range []string{"limit=%zz", "a;b"} {
		rm.do("GET", base+"?"+q, "").fault(400, "CSMS.0003")
	}
	for _, q := range []string{"limit=1000", "limit=0001", "marker=", "event_name=", "marker=a.b", "color=red"} {
		rm.do("GET", base+"?"+q, "").ok()
	}
}

func TestListByEvent(t *testing.T) { // CSMS-058
	rm := open(t)
	rm.event("e1")
	rm.secret("a", "x")
	rm.create(`{"name":"b","secret_string":"x","event_subscriptions":["e1"]}`).ok()
	if got := names(rm.do("GET", base+"?event_name=e1", "").ok()); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%v", got)
	}
	rm.do("GET", base+"?event_name=other", "").ok().wants("[]", "secrets")
}

func TestShow(t *testing.T) {
	rm := open(t)
	a := rm.secret("demo", "x")
	id := a.at("secret", "id").(string)
	for _, path := range []string{"/demo", "/" + id, "/demo/"} { // CSMS-061, CSMS-062, CSMS-064
		rm.do("GET", base+path, "").ok().wants(jsonText(a.at("secret")), "secret")
	}
	for _, path := range []string{"/unknown", "/a%20b", "/%00", "/%ff", "/é", "/" + strings.Repeat("n", 2000), "/" + seedKey} {
		rm.do("GET", base+path, "").fault(404, "CSMS.0106") // CSMS-063
		rm.as("nora").do("GET", base+path, "").fault(403, "CSMS.0302")
	}
	rm.as("nora").do("GET", base+"/demo", "").fault(403, "CSMS.0302")
	rm.as("rita").do("GET", base+"/demo", "").ok()
}

// A name that looks like a UUID is a name first.
func TestNameLikeAnID(t *testing.T) {
	rm := open(t)
	other := rm.secret("other", "x").at("secret", "id").(string)
	rm.secret(other, "y")
	rm.do("GET", base+"/"+other, "").ok().wants(`"`+other+`"`, "secret", "name")
}

func TestUpdate(t *testing.T) {
	rm := open(t)
	rm.event("e1")
	before := rm.create(`{"name":"demo","secret_string":"x","description":"d1","rotation_config":"c","rotation_func_urn":"u"}`).ok()
	put := func(body string) answer {
		rm.Helper()
		rm.clock.pass(time.Second)
		return rm.do("PUT", base+"/demo", body)
	}
	after := put(`{"description":"d2"}`).ok().wants(`"d2"`, "secret", "description") // CSMS-065
	if after.at("secret", "update_time").(float64) <= before.at("secret", "update_time").(float64) {
		t.Error("update_time did not move")
	}
	for _, same := range []string{"id", "name", "create_time", "kms_key_id", "rotation_config", "rotation_func_urn", "secret_type", "auto_rotation"} {
		after.wants(jsonText(before.at("secret", same)), "secret", same)
	}
	put(`{"description":""}`).ok().wants(`""`, "secret", "description") // CSMS-066

	shown := rm.do("GET", base+"/demo", "").ok()
	for _, nothing := range []string{`{}`, `{"description":null,"auto_rotation":null,"kms_key_id":"","secret_string":"y","name":"z","secret_type":"RDS"}`} {
		put(nothing).ok().wants(jsonText(shown.at("secret")), "secret") // CSMS-067
	}
	put(`{"rotation_func_urn":"u2"}`).ok().wants(`"u2"`, "secret", "rotation_func_urn")
	put(`{"event_subscriptions":["e1"]}`).ok().wants(`["e1"]`, "secret", "event_subscriptions")
	for _, clear := range []string{`[]`, `[""]`, `null`} { // CSMS-070
		put(`{"event_subscriptions":["e1"]}`).ok()
		put(`{"event_subscriptions":`+clear+`}`).ok().wants("[]", "secret", "event_subscriptions")
	}
	put(`{"auto_rotation":false}`).ok()
	a := put(`{"auto_rotation":true,"rotation_period":"1d"}`).ok() // CSMS-071
	if got := a.at("secret", "next_rotation_time").(float64) - float64(rm.clock.now().UnixMilli()); got != 86400000 {
		t.Errorf("next rotation in %v ms", got)
	}
	put(`{"auto_rotation":false}`).ok().wants("null", "secret", "next_rotation_time").wants(`"1d"`, "secret", "rotation_period")
	put(`{"auto_rotation":true}`).ok() // the period is stored
	put(`{"auto_rotation":false,"rotation_period":""}`).ok().wants("null", "secret", "rotation_period")
}

func TestUpdateRefuses(t *testing.T) {
	rm := open(t)
	before := rm.secret("demo", "x")
	for _, tc := range []struct{ name, body, code string }{
		{"CSMS-069 an unknown key", `{"kms_key_id":"` + seedKey + `"}`, "CSMS.0401"},
		{"no UUID", `{"kms_key_id":"x"}`, "CSMS.0002"},
		{"a long description", `{"description":"` + strings.Repeat("x", 2049) + `"}`, "CSMS.0002"},
		{"a NUL", `{"description":"\u0000"}`, "CSMS.0002"},
		{"rotation without a period", `{"auto_rotation":true}`, "CSMS.0002"},
		{"a bad period", `{"rotation_period":"5h"}`, "CSMS.0002"},
		{"two events", `{"event_subscriptions":["a","b"]}`, "CSMS.0002"},
		{"an unknown event", `{"event_subscriptions":["a"]}`, "CSMS.0005"},
		{"a long function", `{"rotation_func_urn":"` + strings.Repeat("x", 256) + `"}`, "CSMS.0002"},
		{"a NUL in it", `{"rotation_func_urn":"\u0000"}`, "CSMS.0002"},
		{"a number", `{"description":1}`, "CSMS.0004"},
		{"nothing", ``, "CSMS.0004"},
	} {
		t.Run(tc.name, func(t *testing.T) { rm.in(t).do("PUT", base+"/demo", tc.body).fault(400, tc.code) })
	}
	rm.do("GET", base+"/demo", "").ok().wants(jsonText(before.at("secret")), "secret")
	rm.do("PUT", base+"/unknown", `{}`).fault(404, "CSMS.0106") // CSMS-073
	rm.do("PUT", base+"/unknown", `[]`).fault(404, "CSMS.0106")
	rm.as("rita").do("PUT", base+"/demo", `[]`).fault(403, "CSMS.0302")
	rm.pend("demo")
	rm.do("PUT", base+"/demo", `{"description":"y"}`).fault(400, "CSMS.0103") // CSMS-072
}

func TestUpdateOfTheKey(t *testing.T) { // CSMS-068
	rm := open(t)
	first := rm.secret("demo", "one").at("secret", "kms_key_id")
	rm.create(strings.Replace(seed003, "demo", "maker", 1)).ok()
	rm.do("PUT", base+"/demo", `{"kms_key_id":"`+seedKey+`"}`).ok().wants(`"`+seedKey+`"`, "secret", "kms_key_id")
	rm.do("POST", base+"/demo/versions", `{"secret_string":"two"}`).ok().wants(`"`+seedKey+`"`, "version_metadata", "kms_key_id")
	rm.do("GET", base+"/demo/versions/v1", "").ok().wants(jsonText(first), "version", "version_metadata", "kms_key_id").
		wants(`"one"`, "version", "secret_string")
	rm.do("GET", base+"/demo/versions/v2", "").ok().wants(`"two"`, "version", "secret_string")
	rm.do("PUT", base+"/demo", `{"kms_key_id":"csms/default"}`).ok().wants(jsonText(first), "secret", "kms_key_id")
}

func TestDelete(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "x")
	rm.as("rita").do("DELETE", base+"/demo", "").fault(403, "CSMS.0302")
	a := rm.do("DELETE", base+"/demo", "").ok() // CSMS-074
	if a.raw != "" || a.header.Get("Content-Length") != "" && a.header.Get("Content-Length") != "0" {
		t.Errorf("an answer %q", a.raw)
	}
	rm.do("GET", base+"/demo", "").fault(404, "CSMS.0106")
	rm.do("DELETE", base+"/demo", "").fault(404, "CSMS.0106") // CSMS-075
	rm.secret("demo", "y")
	rm.pend("demo")
	rm.do("DELETE", base+"/demo", "ignored").ok() // CSMS-076
}

func TestStates(t *testing.T) { // CSMS-081, CSMS-082, CSMS-086 as far as this issue goes
	rm := open(t)
	for name, change := range map[string]func(*secret.Secret){
		"pending": func(s *secret.Secret) {
			at := rm.clock.now().Add(time.Hour)
			s.State, s.DeleteAt = secret.PendingDelete, &at
		},
		"disabled": func(s *secret.Secret) { s.State = secret.Disabled },
		"frozen":   func(s *secret.Secret) { s.State = secret.Frozen },
	} {
		t.Run(name, func(t *testing.T) {
			rm := rm.in(t)
			rm.secret(name, "x")
			rm.change(name, change)
			status, code := 403, "CSMS.0109"
			if name == "pending" {
				status, code = 400, "CSMS.0103"
			}
			path := base + "/" + name
			rm.do("POST", path+"/versions", `{"secret_string":"y"}`).fault(status, code)
			rm.do("GET", path+"/versions/v1", "").fault(status, code)
			rm.do("GET", path+"/versions/latest", "").fault(status, code)
			rm.do("PUT", path+"/stages/blue", `{"version_id":"v1"}`).fault(status, code)
			rm.do("DELETE", path+"/stages/blue", "").fault(status, code)
			rm.do("PUT", path+"/versions/v1", `{"expire_time":1893456000000}`).fault(status, code)
			if name == "disabled" {
				rm.do("PUT", path, `{"description":"y"}`).ok()
			} else {
				rm.do("PUT", path, `{"description":"y"}`).fault(status, code)
			}
			a := rm.do("GET", path, "").ok()
			if (a.at("secret", "scheduled_delete_time") != nil) != (name == "pending") {
				t.Errorf("scheduled_delete_time in %s", a.raw)
			}
			rm.do("GET", path+"/versions", "").ok()
			rm.do("GET", path+"/stages/SYSCURRENT", "").ok()
			rm.do("DELETE", path, "").ok()
		})
	}
}

func TestKeyThatCannotOpen(t *testing.T) { // CSMS-113
	rm := open(t)
	id := rm.secret("demo", "x").at("secret", "kms_key_id")
	for _, state := range []string{"disabled", "pending_deletion"} {
		rm.keyState(id, state)
		rm.do("GET", base+"/demo/versions/v1", "").fault(400, "CSMS.0401")
		rm.add("").fault(400, "CSMS.0401")
		rm.do("GET", base+"/demo/versions", "").ok()
		rm.keyState(id, "enabled")
		rm.do("GET", base+"/demo/versions/v1", "").ok()
	}
}

// A path or a query that is escaped in another way is the same.
func TestEscapedPaths(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "x")
	rm.do("GET", base+"/%64emo", "").ok()
	rm.as("ak:ALICE").do("GET", base+"/%64em%6f?a="+url.QueryEscape("b c"), "").ok()
}
