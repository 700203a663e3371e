package keystone

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/auth"
)

// errNotToken says nothing of what came instead: it might hold a token.
var errNotToken = errors.New("Keystone's answer is not one about a token")

// body is what we want to know of a token; Keystone says more.
type body struct {
	Token struct {
		ExpiresAt string `json:"expires_at"`
		User      struct {
			ID     string `json:"id"`
			Name   string `json:"name"`
			Domain struct {
				ID string `json:"id"`
			} `json:"domain"`
		} `json:"user"`
		Project *struct {
			ID     string `json:"id"`
			Domain struct {
				ID string `json:"id"`
			} `json:"domain"`
		} `json:"project"`
		Roles []struct {
			Name string `json:"name"`
		} `json:"roles"`
		Credential *struct {
			ID          string            `json:"id"`
			AccessRules []json.RawMessage `json:"access_rules"`
		} `json:"application_credential"`
		Trust *struct {
			ID string `json:"id"`
		} `json:"OS-TRUST:trust"`
	} `json:"token"`
}

// readAnswer reads what Keystone says of a token that it knows. One that is
// good for a domain, for the system or for nothing has no project.
func readAnswer(text []byte) (answer, error) {
	var b body
	if err := json.Unmarshal(text, &b); err != nil {
		return answer{}, errNotToken
	}
	t := b.Token
	expires, err := time.Parse(time.RFC3339, t.ExpiresAt)
	if err != nil || !named(t.User.ID) {
		return answer{}, errNotToken
	}
	who := auth.Principal{
		User: auth.UserID(t.User.ID), UserName: clean(t.User.Name), Domain: clean(t.User.Domain.ID), Method: auth.ByToken,
	}
	if t.Project != nil {
		if !named(t.Project.ID) || auth.ProjectID(t.Project.ID).Reserved() {
			return answer{}, errNotToken
		}
		who.Project, who.ProjectDomain = auth.ProjectID(t.Project.ID), clean(t.Project.Domain.ID)
	}
	for _, r := range t.Roles {
		if name := strings.ToLower(clean(r.Name)); name != "" && !slices.Contains(who.Roles, name) {
			who.Roles = append(who.Roles, name)
		}
	}
	switch {
	case t.Credential != nil && len(t.Credential.AccessRules) > 0:
		// Keystone tells only who says that it keeps to them, and we do not.
		return answer{}, errBadToken
	case t.Credential != nil:
		who.Credential = clean(t.Credential.ID)
	case t.Trust != nil:
		who.Credential = clean(t.Trust.ID)
	}
	return answer{who: who, expires: expires}, nil
}

// maxName is how long an identifier may be, in characters (barbican.md §3.4).
const maxName = 255

// named reports whether id can stand in the database and in the log.
func named(id string) bool { return id != "" && clean(id) == id }

// clean is a text that may stand in an audit event, or nothing.
func clean(s string) string {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxName || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}
