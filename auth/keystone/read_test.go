package keystone

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
)

// What is read out of an answer can stand in the database, in the log and in a
// decision, whatever the answer was; and no project comes from anywhere but
// the token's own scope.
func FuzzReadAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"token": {"user": {"id": "u", "name": "n", "domain": {"id": "d"}}, "project": {"id": "p"}, "roles": [{"name": "Admin"}], "expires_at": "2030-01-02T03:04:05.000000Z"}}`,
		`{"token": {"user": {"id": "u"}, "domain": {"id": "d"}, "roles": [], "expires_at": "2030-01-02T03:04:05Z"}}`,
		`{"token": {"user": {"id": "u"}, "project": null, "application_credential": {"id": "a", "access_rules": [{}]}, "expires_at": "2030-01-02T03:04:05Z"}}`,
		`{"token": {"user": {"id": "u"}, "OS-TRUST:trust": {"id": "t"}, "expires_at": "2030-01-02T03:04:05Z"}}`,
		`{"token": []}`, `{}`, `null`, ``, `{"token": {"user": {"id": "\u0000"}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := readAnswer(text)
		if err != nil {
			if !errors.Is(err, errNotToken) && !errors.Is(err, errBadToken) {
				t.Errorf("error %v", err)
			}
			return
		}
		if a.who.User == "" || a.bad || a.expires.IsZero() && !strings.Contains(string(text), "0001-01-01") {
			t.Errorf("accepted %+v", a)
		}
		for _, s := range []string{string(a.who.User), a.who.UserName, a.who.Domain, string(a.who.Project), a.who.Credential} {
			if strings.ContainsFunc(s, unicode.IsControl) || len([]rune(s)) > maxName {
				t.Errorf("%q is nothing to store", s)
			}
		}
		seen := map[string]bool{}
		for _, r := range a.who.Roles {
			if r != strings.ToLower(r) || r == "" || seen[r] {
				t.Errorf("roles %q", a.who.Roles)
			}
			seen[r] = true
		}
		var scope struct {
			Token struct{ Project *struct{ ID string } }
		}
		if err := json.Unmarshal(text, &scope); err != nil {
			t.Fatal(err)
		}
		if p := scope.Token.Project; (p == nil) != (a.who.Project == "") || p != nil && p.ID != string(a.who.Project) {
			t.Errorf("project %q out of %+v", a.who.Project, p)
		}
	})
}
