package realm_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/fault"
)

func TestScopes(t *testing.T) {
	t.Parallel()
	w := build(t)
	w.must(w.Assign(t.Context(), realm.Operator(), auth.Assignment{
		Project: auth.InDomain, User: w.alice.ID, Role: w.role("creator"),
	}))
	closed, err := w.CreateProject(t.Context(), realm.Operator(), realm.ProjectChange{Name: new("closed"), Enabled: new(false)})
	w.must(err)
	w.must(w.Assign(t.Context(), realm.Operator(), auth.Assignment{Project: closed.ID, User: w.alice.ID, Role: w.role("member")}))
	other := realm.DomainRef{Name: "Other"}
	for _, tc := range []struct {
		name    string
		scope   realm.Scope
		project auth.ProjectID // of the principal
		roles   string
		denied  bool
	}{
		{name: "whatever is the default project", project: w.red.ID, roles: "creator member reader"},
		{name: "unscoped", scope: realm.Scope{Kind: realm.Nothing}},
		{name: "project by ID", scope: inProject(w.red), project: w.red.ID, roles: "creator member reader"},
		{name: "project by name", scope: realm.Scope{Kind: realm.ToProject, Name: "red"}, project: w.red.ID, roles: "creator member reader"},
		{name: "project by name and domain", scope: realm.Scope{Kind: realm.ToProject, Name: "red", Domain: realm.DomainRef{Name: "default"}}, project: w.red.ID, roles: "creator member reader"},
		{name: "project by the region's name", scope: realm.Scope{Kind: realm.ToProject, Name: "cn-north-4"}, project: w.red.ID, roles: "creator member reader"},
		{name: "domain", scope: realm.Scope{Kind: realm.ToDomain, Domain: realm.DomainRef{ID: "default"}}, roles: "creator"},
		{name: "project of another domain", scope: realm.Scope{Kind: realm.ToProject, Name: "red", Domain: other}, denied: true},
		{name: "project without a role", scope: inProject(w.blue), denied: true},
		{name: "project that is disabled", scope: inProject(closed), denied: true},
		{name: "project that is not there", scope: realm.Scope{Kind: realm.ToProject, Project: auth.ProjectID(newID())}, denied: true},
		{name: "project name that is not there", scope: realm.Scope{Kind: realm.ToProject, Name: "nothing"}, denied: true},
		{name: "another region", scope: realm.Scope{Kind: realm.ToProject, Name: "cn-north-1"}, denied: true},
		{name: "the domain as a project", scope: realm.Scope{Kind: realm.ToProject, Project: auth.InDomain}, denied: true},
		{name: "another domain", scope: realm.Scope{Kind: realm.ToDomain, Domain: other}, denied: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			issued, err := w.Authenticate(t.Context(), caller, byPassword("alice", "alice's", tc.scope))
			if tc.denied {
				w.want(tc.name, err, fault.Unauthenticated)
				return
			}
			w.must(err)
			who, err := w.ByToken(t.Context(), string(issued.Token.Reveal()))
			w.must(err)
			if who.Project != tc.project || roles(who) != tc.roles || who.User != w.alice.ID || who.UserName != "alice" {
				t.Errorf("principal %+v, want project %s and roles %s", who, tc.project, tc.roles)
			}
		})
	}
}

func (w *world) role(name string) auth.RoleID {
	w.t.Helper()
	found, err := w.store.ListRoles(w.t.Context(), name)
	w.must(err)
	return found[0].ID
}

// A name that nobody has, a wrong password and a disabled user are one answer,
// in words and in work.
func TestFailedLoginsAreAlike(t *testing.T) {
	t.Parallel()
	w := build(t)
	_, err := w.CreateUser(t.Context(), realm.Operator(), realm.UserChange{Name: new("off"), Enabled: new(false), Password: new(text("right"))})
	w.must(err)
	_, err = w.CreateUser(t.Context(), realm.Operator(), realm.UserChange{Name: new("nopassword")})
	w.must(err)
	var texts []string
	for _, l := range []realm.Login{
		byPassword("alice", "wrong", realm.Scope{}),
		byPassword("nobody", "wrong", realm.Scope{}),
		byPassword("off", "right", realm.Scope{}),
		byPassword("nopassword", "", realm.Scope{}),
		{Method: realm.Password, Password: text("alice's"), User: realm.UserRef{Name: "alice", Domain: realm.DomainRef{Name: "elsewhere"}}},
		{Method: realm.Password, Password: text("x"), User: realm.UserRef{ID: auth.UserID(newID())}},
		byPassword("alice", "alice's", inProject(w.blue)),
	} {
		began := time.Now()
		_, err := w.Authenticate(t.Context(), caller, l)
		took := time.Since(began)
		w.want("login", err, fault.Unauthenticated)
		texts = append(texts, err.Error())
		if err.Error() != texts[0] {
			t.Errorf("%q and %q", err, texts[0])
		}
		// Less than any argon2 of 19 MiB takes.
		if took < 2*time.Millisecond {
			t.Errorf("refused after %v, before a password was hashed", took)
		}
		if ev := w.records.last(); ev.Outcome != audit.Denied || ev.Action != "token.issue" || ev.Initiator.From != caller.From {
			t.Errorf("record %+v", ev)
		}
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	w := build(t)
	for _, name := range []string{"alice", "nobody"} {
		for range 10 {
			_, err := w.Authenticate(t.Context(), caller, byPassword(name, "guess", realm.Scope{}))
			w.want("guess", err, fault.Unauthenticated)
		}
		_, err := w.Authenticate(t.Context(), caller, byPassword(name, name+"'s", realm.Scope{}))
		w.want("locked", err, fault.Denied)
	}
	w.login(byPassword("admin", "admin's", realm.Scope{})) // others are not
	w.pass(31 * time.Second)
	w.login(byPassword("alice", "alice's", realm.Scope{}))
	_, err := w.Authenticate(t.Context(), caller, byPassword("alice", "guess", realm.Scope{}))
	w.want("after a success", err, fault.Unauthenticated)
	w.login(byPassword("alice", "alice's", realm.Scope{}))
}

// A token for a token lives no longer than the first one.
func TestRescopingKeepsTheExpiry(t *testing.T) {
	t.Parallel()
	w := build(t)
	first, err := w.Authenticate(t.Context(), caller, byPassword("alice", "alice's", realm.Scope{Kind: realm.Nothing}))
	w.must(err)
	w.pass(time.Hour)
	second, err := w.Authenticate(t.Context(), caller, realm.Login{Method: realm.Token, Token: first.Token, Scope: inProject(w.red)})
	w.must(err)
	if !second.Grant.ExpiresAt.Equal(first.Grant.ExpiresAt) {
		t.Errorf("the second token lives until %v, the first until %v", second.Grant.ExpiresAt, first.Grant.ExpiresAt)
	}
	if got := strings.Join(second.Grant.Methods, " "); got != "password token" {
		t.Errorf("methods %s", got)
	}
	w.pass(23 * time.Hour)
	for name, token := range map[string]realm.Issued{"first": first, "second": second} {
		_, err := w.ByToken(t.Context(), string(token.Token.Reveal()))
		w.want(name, err, fault.Unauthenticated)
		_, err = w.Authenticate(t.Context(), caller, realm.Login{Method: realm.Token, Token: token.Token})
		w.want("a token for the "+name, err, fault.Unauthenticated)
	}
}

func TestTokensAreUnguessableAndNotKept(t *testing.T) {
	t.Parallel()
	w := build(t)
	seen := map[string]bool{}
	for range 3 {
		issued, err := w.Authenticate(t.Context(), caller, byPassword("alice", "alice's", realm.Scope{}))
		w.must(err)
		token := string(issued.Token.Reveal())
		if len(token) != 64 || seen[token] || strings.Trim(token, "0123456789abcdef") != "" {
			t.Errorf("token of %d characters", len(token))
		}
		seen[token] = true
		if s := fmt.Sprintf("%v %+v %#v %s", issued, issued, issued, issued.Token); strings.Contains(s, token) {
			t.Error("a token prints")
		}
	}
	for _, ev := range w.store.Events() {
		line, err := ev.JSON()
		w.must(err)
		for token := range seen {
			if strings.Contains(string(line), token) {
				t.Error("a token is on record")
			}
		}
		for _, secret := range []string{"alice's secret key", "admin's"} {
			if strings.Contains(string(line), secret) {
				t.Errorf("a secret is on record: %s", line)
			}
		}
	}
}

func TestBadTokens(t *testing.T) {
	t.Parallel()
	w := build(t)
	token, _ := w.as("alice", w.red)
	for name, bad := range map[string]string{
		"empty": "", "short": token[1:], "long": token + "A", "very long": strings.Repeat("A", 1<<20),
		"another": strings.Repeat("A", 64), "with NUL": token[:63] + "\x00", "not UTF-8": token[:63] + "\xff",
	} {
		_, err := w.ByToken(t.Context(), bad)
		w.want(name, err, fault.Unauthenticated)
	}
}

func TestWhoEndsATokenEndsIt(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world, token string, who auth.Principal) error{
		"its owner": func(w *world, token string, who auth.Principal) error { return w.Revoke(w.t.Context(), who, token) },
		"an administrator": func(w *world, token string, _ auth.Principal) error {
			_, admin := w.as("admin", w.red)
			return w.Revoke(w.t.Context(), admin, token)
		},
		"a new password": func(w *world, _ string, who auth.Principal) error {
			return w.ChangePassword(w.t.Context(), caller, who.User, text("alice's"), text("new"))
		},
		"a password set by an operator": func(w *world, _ string, who auth.Principal) error {
			_, err := w.UpdateUser(w.t.Context(), realm.Operator(), who.User, realm.UserChange{Password: new(text("new"))})
			return err
		},
		"disabling the user": func(w *world, _ string, who auth.Principal) error {
			_, err := w.UpdateUser(w.t.Context(), realm.Operator(), who.User, realm.UserChange{Enabled: new(false)})
			return err
		},
		"deleting the user": func(w *world, _ string, who auth.Principal) error {
			return w.DeleteUser(w.t.Context(), realm.Operator(), who.User)
		},
		"disabling the project": func(w *world, _ string, who auth.Principal) error {
			_, err := w.UpdateProject(w.t.Context(), realm.Operator(), who.Project, realm.ProjectChange{Enabled: new(false)})
			return err
		},
		"deleting the project": func(w *world, _ string, who auth.Principal) error {
			return w.DeleteProject(w.t.Context(), realm.Operator(), who.Project)
		},
		"taking the last roles": func(w *world, _ string, who auth.Principal) error {
			return errors.Join(
				w.Unassign(w.t.Context(), realm.Operator(), auth.Assignment{Project: who.Project, User: who.User, Role: w.role("member")}),
				w.Unassign(w.t.Context(), realm.Operator(), auth.Assignment{Project: who.Project, User: who.User, Role: w.role("creator")}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := build(t)
			token, who := w.as("alice", w.red)
			w.must(end(w, token, who))
			_, err := w.ByToken(t.Context(), token) // at once, on this node
			w.want("the token", err, fault.Unauthenticated)
		})
	}
}
