package realm_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
)

// What proves a request costs nothing while it is remembered, for five seconds
// and not one more, and nothing is guessed while the database is away.
func TestWarmProofsAskNobody(t *testing.T) {
	t.Parallel()
	w := build(t)
	token, _ := w.as("alice", w.red)
	for name, prove := range map[string]func() error{
		"ByToken":   func() error { _, err := w.ByToken(t.Context(), token); return err },
		"AccessKey": func() error { _, err := w.AccessKey(t.Context(), "AKALICE1"); return err },
		"InProject": func() error {
			_, err := w.InProject(t.Context(), auth.AccessKey{ID: "AKALICE1", User: w.alice.ID, Project: w.red.ID}, w.red.ID)
			return err
		},
	} {
		w.must(prove())
		trips, calls := w.store.trips.Load(), w.token.Calls()
		w.store.away.Store(true)
		w.must(prove())
		if got := w.store.trips.Load() - trips; got != 0 {
			t.Errorf("%s: %d round trips while warm", name, got)
		}
		if got := w.token.Calls() - calls; got != 0 {
			t.Errorf("%s: %d token calls while warm", name, got)
		}
		w.pass(5 * time.Second)
		w.want(name+" with the database away", prove(), fault.Unavailable)
		w.store.away.Store(false)
		w.must(prove())
	}
}

// What another node revoked is refused here within five seconds.
func TestRevocationElsewhere(t *testing.T) {
	t.Parallel()
	w := build(t)
	here := realm.NewService(w.deps)
	token, who := w.as("alice", w.red)
	_, err := here.ByToken(t.Context(), token)
	w.must(err)
	key, err := here.AccessKey(t.Context(), "AKALICE1")
	w.must(err)
	w.must(w.Revoke(t.Context(), who, token))
	_, err = w.UpdateAccessKey(t.Context(), realm.Operator(), key.ID, new(false), nil)
	w.must(err)
	_, err = w.AccessKey(t.Context(), key.ID)
	w.want("a disabled key on this node", err, fault.Unauthenticated)
	w.pass(5 * time.Second)
	_, err = here.ByToken(t.Context(), token)
	w.want("the token", err, fault.Unauthenticated)
	_, err = here.AccessKey(t.Context(), key.ID)
	w.want("the key", err, fault.Unauthenticated)
}

func TestAccessKeys(t *testing.T) {
	t.Parallel()
	w := build(t)
	k, err := w.AccessKey(t.Context(), "AKALICE1")
	w.must(err)
	if string(k.Secret.Reveal()) != "alice's secret key" || k.User != w.alice.ID || k.Project != w.red.ID {
		t.Errorf("key %+v", k)
	}
	who, err := w.InProject(t.Context(), k, w.red.ID)
	w.must(err)
	if roles(who) != "creator member reader" || who.Method != auth.BySignature || who.Credential != k.ID ||
		who.Project != w.red.ID || who.UserName != "alice" || who.Domain != "default" {
		t.Errorf("principal %+v", who)
	}
	for name, p := range map[string]auth.ProjectID{
		"no role there": w.blue.ID, "no such project": auth.ProjectID(newID()), "the domain": auth.InDomain,
		"nothing": "", "no identifier": "\x00'", "very long": auth.ProjectID(strings.Repeat("a", 1<<16)),
	} {
		_, err := w.InProject(t.Context(), k, p)
		w.want(name, err, fault.Denied)
	}
	for name, id := range map[string]string{
		"unknown": "AKNOBODY", "empty": "", "no identifier": "\x00", "very long": strings.Repeat("A", 1<<16),
	} {
		_, err := w.AccessKey(t.Context(), id)
		w.want(name, err, fault.Unauthenticated)
	}
	stored, err := w.store.FindAccessKey(t.Context(), k.ID)
	w.must(err)
	if stored.Secret.Len() != 0 || strings.Contains(string(stored.Sealed.Body), "secret") {
		t.Error("the secret is stored in the clear")
	}

	_, err = w.UpdateUser(t.Context(), realm.Operator(), w.alice.ID, realm.UserChange{Enabled: new(false)})
	w.must(err)
	_, err = w.AccessKey(t.Context(), k.ID)
	w.want("of a disabled user", err, fault.Unauthenticated)
	_, err = w.InProject(t.Context(), k, w.red.ID)
	w.want("principal of a disabled user", err, fault.Denied)
}

func TestConfinedKeysStayInTheirProject(t *testing.T) {
	t.Parallel()
	w := build(t)
	w.must(w.Assign(t.Context(), realm.Operator(), auth.Assignment{Project: w.blue.ID, User: w.alice.ID, Role: w.role("member")}))
	_, alice := w.as("alice", w.red)
	for _, tc := range []struct {
		confined bool
		want     bool
	}{{false, true}, {true, false}} {
		made, err := w.CreateAccessKey(t.Context(), alice, realm.NewAccessKey{User: alice.User, Project: w.red.ID, Confined: tc.confined})
		w.must(err)
		k, err := w.AccessKey(t.Context(), made.ID)
		w.must(err)
		_, err = w.InProject(t.Context(), k, w.red.ID)
		w.must(err)
		if _, err = w.InProject(t.Context(), k, w.blue.ID); (err == nil) != tc.want {
			t.Errorf("confined %v in another project: %v", tc.confined, err)
		}
		who, err := w.ByAccessKey(t.Context(), k)
		w.must(err)
		_, err = w.CreateAccessKey(t.Context(), who, realm.NewAccessKey{User: alice.User})
		if (err == nil) != tc.want {
			t.Errorf("confined %v makes another key: %v", tc.confined, err)
		}
	}
	_, err := w.CreateAccessKey(t.Context(), alice, realm.NewAccessKey{User: alice.User, Project: auth.ProjectID(newID())})
	w.want("a key in a project that is not there", err, fault.Denied)
}

func TestAppCredsDoLess(t *testing.T) {
	t.Parallel()
	w := build(t)
	_, alice := w.as("alice", w.red)
	c, secret, err := w.CreateAppCred(t.Context(), alice, alice.User, realm.NewAppCred{
		Name: "robot", Roles: []realm.RoleRef{{Name: "Reader"}},
	})
	w.must(err)
	login := realm.Login{Method: realm.AppCredential, AppCred: c.ID, Secret: secret}
	token := w.login(login)
	who, err := w.ByToken(t.Context(), token)
	w.must(err)
	if roles(who) != "reader" || who.Project != w.red.ID || who.Credential != c.ID {
		t.Errorf("principal %+v", who)
	}
	byName := login
	byName.AppCred, byName.User = "robot", realm.UserRef{Name: "alice", Domain: realm.DomainRef{ID: "default"}}
	w.login(byName)

	wrong := login
	wrong.Secret = text("not it")
	_, err = w.Authenticate(t.Context(), caller, wrong)
	w.want("a wrong secret", err, fault.Unauthenticated)
	elsewhere := login
	elsewhere.Scope = inProject(w.blue)
	_, err = w.Authenticate(t.Context(), caller, elsewhere)
	w.want("another scope", err, fault.Denied)
	again := realm.Login{Method: realm.Token, Token: text(token), Scope: realm.Scope{Kind: realm.Nothing}}
	_, err = w.Authenticate(t.Context(), caller, again)
	w.want("another scope for its token", err, fault.Denied)
	again.Scope = inProject(w.red)
	if who, err := w.ByToken(t.Context(), w.login(again)); err != nil || roles(who) != "reader" {
		t.Errorf("a token for its token: %+v, %v", who, err)
	}

	_, _, err = w.CreateAppCred(t.Context(), who, who.User, realm.NewAppCred{Name: "better"})
	w.want("a restricted one makes another", err, fault.Denied)
	_, err = w.CreateAccessKey(t.Context(), who, realm.NewAccessKey{User: who.User})
	w.want("a restricted one makes an access key", err, fault.Denied)
	_, _, err = w.CreateAppCred(t.Context(), alice, alice.User, realm.NewAppCred{Name: "admin", Roles: []realm.RoleRef{{Name: "admin"}}})
	w.want("a role that is not held", err, fault.Invalid)
	_, admin := w.as("admin", w.red)
	_, _, err = w.CreateAppCred(t.Context(), admin, alice.User, realm.NewAppCred{Name: "theirs"})
	w.want("somebody else's", err, fault.Denied)

	w.must(w.DeleteAppCred(t.Context(), alice, alice.User, c.ID))
	_, err = w.ByToken(t.Context(), token)
	w.want("a token of a deleted one", err, fault.Unauthenticated)
}

func TestAppCredsWithAChosenSecretExpire(t *testing.T) {
	t.Parallel()
	w := build(t)
	_, alice := w.as("alice", w.red)
	_, _, err := w.CreateAppCred(t.Context(), alice, alice.User, realm.NewAppCred{Name: "late", ExpiresAt: w.deps.Now().Add(-time.Second)})
	w.want("one that is past already", err, fault.Invalid)
	c, _, err := w.CreateAppCred(t.Context(), alice, alice.User, realm.NewAppCred{
		Name: "chosen", Secret: text("a person's choice"), ExpiresAt: w.deps.Now().Add(time.Hour),
	})
	w.must(err)
	if _, hash, err := w.store.FindAppCred(t.Context(), c.ID); err != nil || !strings.HasPrefix(hash, "$argon2id$") {
		t.Errorf("a chosen secret is kept as %.10s, %v", hash, err)
	}
	login := realm.Login{Method: realm.AppCredential, AppCred: c.ID, Secret: text("a person's choice")}
	issued, err := w.Authenticate(t.Context(), caller, login)
	w.must(err)
	if issued.Grant.ExpiresAt.After(c.ExpiresAt) {
		t.Error("a token outlives its application credential")
	}
	w.pass(time.Hour + time.Second)
	_, err = w.Authenticate(t.Context(), caller, login)
	w.want("after it expired", err, fault.Unauthenticated)
}

func TestProjectsByRegion(t *testing.T) {
	t.Parallel()
	w := build(t)
	_, alice := w.as("alice", w.red)
	_, admin := w.as("admin", w.red)
	k, err := w.AccessKey(t.Context(), "AKALICE1")
	w.must(err)
	signed, err := w.ByAccessKey(t.Context(), k)
	w.must(err)
	for _, tc := range []struct {
		who  auth.Principal
		name string
		want string
	}{
		{alice, "cn-north-4", "cn-north-4"}, {signed, "cn-north-4", "cn-north-4"}, {admin, "cn-north-4", "cn-north-4"},
		{alice, "cn-north-1", ""}, {alice, "red", "red"}, {alice, "blue", ""}, {alice, "", "red"},
		{admin, "blue", "blue"}, {admin, "", "blue red"},
	} {
		found, err := w.Projects(t.Context(), tc.who, realm.ProjectQuery{Name: tc.name})
		w.must(err)
		var got []string
		for _, p := range found {
			got = append(got, p.Name)
			if tc.name == "cn-north-4" && p.ID != w.red.ID {
				t.Errorf("the region is project %s", p.ID)
			}
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s asks for %q: %v, want %s", tc.who.UserName, tc.name, got, tc.want)
		}
	}
	real, err := w.CreateProject(t.Context(), realm.Operator(), realm.ProjectChange{Name: new("cn-north-4")})
	w.must(err)
	w.must(w.Assign(t.Context(), realm.Operator(), auth.Assignment{Project: real.ID, User: w.alice.ID, Role: w.role("member")}))
	found, err := w.Projects(t.Context(), alice, realm.ProjectQuery{Name: "cn-north-4"})
	w.must(err)
	if len(found) != 1 || found[0].ID != real.ID {
		t.Errorf("a project that is called like the region: %+v", found)
	}
}

// Everybody may see themselves; nobody but an administrator sees or changes
// anybody else; and every refusal is on record.
func TestTheGate(t *testing.T) {
	t.Parallel()
	w := build(t)
	_, alice := w.as("alice", w.red)
	_, admin := w.as("admin", w.red)
	for name, op := range map[string]func(who auth.Principal) error{
		"show a user":    func(who auth.Principal) error { _, err := w.User(t.Context(), who, w.admin.ID); return err },
		"list users":     func(who auth.Principal) error { _, err := w.Users(t.Context(), who, realm.UserQuery{}); return err },
		"show a project": func(who auth.Principal) error { _, err := w.Project(t.Context(), who, w.blue.ID); return err },
		"list roles":     func(who auth.Principal) error { _, err := w.Roles(t.Context(), who, ""); return err },
		"list assignments": func(who auth.Principal) error {
			_, err := w.Assignments(t.Context(), who, auth.Assignment{})
			return err
		},
		"list access keys": func(who auth.Principal) error { _, err := w.AccessKeys(t.Context(), who, ""); return err },
		"list app creds":   func(who auth.Principal) error { _, err := w.AppCreds(t.Context(), who, w.admin.ID, ""); return err },
		"make a project": func(who auth.Principal) error {
			_, err := w.CreateProject(t.Context(), who, realm.ProjectChange{Name: new(newID())})
			return err
		},
		"make a role": func(who auth.Principal) error {
			_, err := w.CreateRole(t.Context(), who, realm.RoleChange{Name: new(newID())})
			return err
		},
		"make a user": func(who auth.Principal) error {
			_, err := w.CreateUser(t.Context(), who, realm.UserChange{Name: new(newID())})
			return err
		},
		"give a role": func(who auth.Principal) error {
			return w.Assign(t.Context(), who, auth.Assignment{Project: w.blue.ID, User: w.admin.ID, Role: w.role("member")})
		},
		"make somebody's access key": func(who auth.Principal) error {
			_, err := w.CreateAccessKey(t.Context(), who, realm.NewAccessKey{User: w.admin.ID})
			return err
		},
		"delete a user that is not there": func(who auth.Principal) error {
			err := w.DeleteUser(t.Context(), who, auth.UserID(newID()))
			if errors.Is(err, realm.ErrNoUser) {
				return nil
			}
			return err
		},
	} {
		w.want("alice may "+name, op(alice), fault.Denied)
		if ev := w.records.last(); ev.Outcome != audit.Denied || ev.Initiator.User != string(alice.User) || ev.Rule == "" {
			t.Errorf("%s: record %+v", name, ev)
		}
		if err := op(admin); err != nil {
			t.Errorf("an administrator may not %s: %v", name, err)
		}
	}
	if _, err := w.User(t.Context(), alice, alice.User); err != nil {
		t.Errorf("alice sees herself: %v", err)
	}
	if _, err := w.Users(t.Context(), alice, realm.UserQuery{Name: "alice"}); err != nil {
		t.Errorf("alice finds herself: %v", err)
	}
	if _, err := w.Project(t.Context(), alice, w.red.ID); err != nil {
		t.Errorf("alice sees her project: %v", err)
	}
	if _, err := w.Assignments(t.Context(), alice, auth.Assignment{User: alice.User}); err != nil {
		t.Errorf("alice sees her roles: %v", err)
	}
	if _, err := w.UpdateUser(t.Context(), alice, alice.User, realm.UserChange{Name: new("root")}); fault.KindOf(err) != fault.Denied {
		t.Errorf("alice changes herself: %v", err)
	}
}

func TestEveryChangeIsOnRecord(t *testing.T) {
	t.Parallel()
	w := build(t)
	want := map[string]bool{"role.create": true, "project.create": true, "user.create": true, "assignment.create": true, "access_key.create": true}
	for _, ev := range w.store.Events() {
		delete(want, ev.Action)
		if ev.ID == "" || ev.At.IsZero() || ev.Outcome != audit.Success || ev.Family != policy.Operator.String() {
			t.Errorf("event %+v", ev)
		}
	}
	if len(want) > 0 {
		t.Errorf("not on record: %v", want)
	}
}

// Many logins, readers and changes at once; for the race detector.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	w := build(t)
	token, who := w.as("alice", w.red)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for range 50 {
				if _, err := w.ByToken(t.Context(), token); err != nil {
					t.Error(err)
				}
				if _, err := w.AccessKey(t.Context(), "AKALICE1"); err != nil {
					t.Error(err)
				}
				if n == 0 {
					if _, err := w.UpdateUser(t.Context(), realm.Operator(), who.User, realm.UserChange{Email: new("a@b")}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	w.must(w.Revoke(t.Context(), who, token))
	for range 8 {
		all.Go(func() {
			_, err := w.ByToken(t.Context(), token)
			w.want("after revocation", err, fault.Unauthenticated)
		})
	}
	all.Wait()
}

func TestLoadIsRepeatable(t *testing.T) {
	t.Parallel()
	w := build(t)
	accounts, err := realm.ReadAccounts(strings.NewReader(`{"roles":["creator"],"projects":["red"],"users":[
		{"name":"alice","password":"another","project":"blue","roles":["member"],"access_key":"AKALICE1","secret_key":"another secret"}]}`))
	w.must(err)
	for range 2 {
		w.must(w.Load(t.Context(), accounts))
	}
	w.login(byPassword("alice", "another", inProject(w.blue)))
	w.login(byPassword("alice", "another", inProject(w.red)))
	k, err := w.AccessKey(t.Context(), "AKALICE1")
	w.must(err)
	if string(k.Secret.Reveal()) != "another secret" {
		t.Error("the access key kept its old secret")
	}
	before := len(w.store.Events())
	w.must(w.Load(t.Context(), realm.Accounts{Users: accounts.Users}))
	for _, ev := range w.store.Events()[before:] {
		if ev.Action != "assignment.create" {
			t.Errorf("a second load did %s", ev.Action)
		}
	}
	for name, bad := range map[string]string{
		"unknown member": `{"user":[]}`, "not an object": `[]`, "two objects": `{}{}`, "a user without project": `{"users":[{"name":"x"}]}`,
		"half an access key": `{"users":[{"name":"x","project":"y","access_key":"z"}]}`, "nothing": ``,
	} {
		_, err := realm.ReadAccounts(strings.NewReader(bad))
		w.want(name, err, fault.Invalid)
	}
}

// Whoever wrote the file has to find the mistake, and nobody else its secrets.
func TestAccountsAreRefusedByName(t *testing.T) {
	t.Parallel()
	for file, says := range map[string]string{
		`{"user":[]}`: `there is no member "user"`,
		`{"users":[{"name":"x","pasword":"hunter2"}]}`:        `there is no member "pasword"`,
		`{"users":[{"name":"x","password":7}]}`:               "users.password has the wrong type",
		`{"users":[{"name":"x","roles":"creator"}]}`:          "users.roles has the wrong type",
		`{"users":[{"name":"x","password":"hunter2" "a":1}]}`: "not JSON, at byte 44",
		`[]`: "not a JSON object",
	} {
		_, err := realm.ReadAccounts(strings.NewReader(file))
		if got := fault.PublicText(err); got != "accounts: "+says {
			t.Errorf("%s: %q, want %q", file, got, "accounts: "+says)
		}
	}
}
