package csms_test

import (
	"fmt"
	"strings"
	"testing"
)

func (rm *room) password(body string) answer {
	rm.Helper()
	return rm.do("POST", csmsPath+"/generate-password", body)
}

func TestGeneratePassword(t *testing.T) {
	rm := open(t)
	const letters, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"
	for _, tc := range []struct {
		name, body string
		length     int
		each       []string // classes of which there is something
		none       string
	}{
		{"CSMS-145", `{}`, 32, nil, " "},
		{"CSMS-145 no body", ``, 32, nil, " "},
		{"CSMS-146", `{"length":16,"exclude_punctuation":true,"require_each_included_type":true}`, 16,
			[]string{letters, strings.ToUpper(letters), digits}, " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"},
		{"the shortest", `{"length":8,"require_each_included_type":true,"include_space":true}`, 8, []string{letters, strings.ToUpper(letters), digits, " "}, ""},
		{"the longest", `{"length":128,"exclude_characters":"abc0","password_policy_name":""}`, 128, nil, "abc0 "},
		{"small letters and signs", `{"exclude_uppercase":true,"exclude_numbers":true}`, 32, nil, strings.ToUpper(letters) + digits},
	} {
		seen := map[any]bool{}
		for range 20 {
			a := rm.password(tc.body).ok()
			p, _ := a.at("password").(string)
			if len(p) != tc.length || tc.none != "" && strings.ContainsAny(p, tc.none) || len(a.body) != 1 || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %s", tc.name, a.raw)
			}
			for _, class := range tc.each {
				if !strings.ContainsAny(p, class) {
					t.Errorf("%s: nothing of %s", tc.name, class)
				}
			}
			seen[p] = true
		}
		if len(seen) != 20 {
			t.Errorf("%s: a password came twice", tc.name)
		}
	}
	// CSMS-145: of all four classes.
	var all strings.Builder
	for range 20 {
		all.WriteString(rm.password("").ok().at("password").(string))
	}
	for _, class := range []string{letters, strings.ToUpper(letters), digits, "!#%+-/=?@^_~"} {
		if !strings.ContainsAny(all.String(), class) {
			t.Errorf("never anything of %s", class)
		}
	}
	if got := fmt.Sprint(rm.record.events, rm.logs.All(), rm.store.Events()); strings.Contains(got, all.String()[:32]) {
		t.Error("a password is on record")
	}
}

func TestPasswordsThatThereAreNone(t *testing.T) {
	rm := open(t)
	for _, tc := range []struct{ name, body, code string }{
		{"CSMS-147", `{"exclude_lowercase":true,"exclude_uppercase":true,"exclude_numbers":true,"exclude_punctuation":true}`, "CSMS.0002"},
		{"CSMS-147 by characters", `{"exclude_lowercase":true,"exclude_uppercase":true,"exclude_punctuation":true,"exclude_characters":"0123456789"}`, "CSMS.0002"},
		{"CSMS-147 a whole class", `{"require_each_included_type":true,"exclude_characters":"0123456789"}`, "CSMS.0002"},
		{"a short one", `{"length":7}`, "CSMS.0002"},
		{"a long one", `{"length":129}`, "CSMS.0002"},
		{"none at all", `{"length":0}`, "CSMS.0002"},
		{"half of one", `{"length":8.5}`, "CSMS.0002"},
		{"a policy that is not there", `{"password_policy_name":"strong"}`, "CSMS.0005"},
		{"a length in quotes", `{"length":"16"}`, "CSMS.0004"},
		{"a word for a flag", `{"include_space":"yes"}`, "CSMS.0004"},
		{"a list", `[]`, "CSMS.0004"},
	} {
		rm.password(tc.body).fault(400, tc.code)
	}
	rm.as("nora").password("not JSON").fault(403, "CSMS.0302")
}
