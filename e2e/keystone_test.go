package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/e2e/devserver"
	"github.com/strongroom-kms/strongroom/e2e/keystonetest"
)

// keystones has the one Keystone of this run.
var keystones struct {
	once     sync.Once
	keystone *keystonetest.Keystone
	err      error
}

// keystonePeople have their names for passwords.
var keystonePeople = realm.Accounts{
	Projects: []string{"alpha", "beta", "doomed"},
	Users: []realm.Persona{
		{Name: "ks-admin", Project: "alpha", Roles: []string{"admin"}},
		{Name: "ks-creator", Project: "alpha", Roles: []string{"creator"}},
		{Name: "ks-observer", Project: "alpha", Roles: []string{"observer"}},
		{Name: "ks-audit", Project: "alpha", Roles: []string{"audit"}},
		{Name: "ks-member", Project: "alpha", Roles: []string{"member"}},
		{Name: "ks-reader", Project: "alpha", Roles: []string{"reader"}},
		{Name: "ks-other", Project: "beta", Roles: []string{"creator"}},
		{Name: "ks-doomed", Project: "doomed", Roles: []string{"creator"}},
		{Name: "ks-nova", Project: "service", Roles: []string{"service"}},
	},
}

// keystone starts Debian's Keystone, once.
func keystone(t *testing.T) *keystonetest.Keystone {
	t.Helper()
	needs(t, keystonetest.Programs...)
	keystones.once.Do(func() {
		ctx := context.Background() // it outlives the first test
		if keystones.keystone, keystones.err = keystonetest.Start(ctx); keystones.err != nil {
			return
		}
		for i, u := range keystonePeople.Users {
			keystonePeople.Users[i].Password = u.Name
		}
		keystones.err = keystones.keystone.Load(ctx, keystonePeople)
	})
	if keystones.err != nil {
		t.Fatal(keystones.err)
	}
	return keystones.keystone
}

// cloud is a Strongroom beside a Keystone.
type cloud struct {
	*installation
	*keystonetest.Keystone
	secrets string // URL
}

// cacheTTL is as short as may be.
const cacheTTL = time.Second

// behindKeystone runs a server whose callers Keystone knows, and which is in
// Keystone's catalog.
func behindKeystone(t *testing.T, policy string) *cloud {
	t.Helper()
	k := keystone(t)
	in := installEmpty(t)
	in.env = []string{
		"STRONGROOM_BARBICAN__POLICY=" + policy,
		"STRONGROOM_IDENTITY__MODE=keystone",
		"STRONGROOM_IDENTITY__KEYSTONE__URL=" + k.URL,
		"STRONGROOM_IDENTITY__KEYSTONE__USERNAME=" + keystonetest.ServiceUser,
		"STRONGROOM_IDENTITY__KEYSTONE__PASSWORD_FILE=" + k.ServicePassword,
		"STRONGROOM_IDENTITY__KEYSTONE__CACHE_TTL=" + cacheTTL.String(),
	}
	in.serve(t)
	if err := k.Endpoint(t.Context(), "key-manager", "strongroom", in.url["key-manager"]); err != nil {
		t.Fatal(err)
	}
	return &cloud{in, k, in.url["key-manager"] + "/v1/secrets"}
}

// as is one of keystonePeople, with a token for a scope.
func (c *cloud) as(t *testing.T, user string, scope any) *client {
	t.Helper()
	token, err := c.Login(t.Context(), user, user, scope)
	if err != nil {
		t.Fatal(err)
	}
	return &client{Client: http.Client{Timeout: 30 * time.Second}, token: token}
}

func (c *cloud) in(t *testing.T, user, project string) *client {
	t.Helper()
	return c.as(t, user, keystonetest.InProject(project))
}

// admin is one request of Keystone's administrator.
func (c *cloud) admin(t *testing.T, method, path string, body, into any) {
	t.Helper()
	if err := c.Call(t.Context(), method, path, body, into); err != nil {
		t.Fatal(err)
	}
}

type object = map[string]any

func TestKeystone(t *testing.T) {
	c := behindKeystone(t, "legacy")
	for _, tc := range []struct {
		name string
		test func(*testing.T, *cloud)
	}{
		{"Clients", keystoneClients},
		{"LegacyRoles", keystoneLegacyRoles},
		{"Scopes", keystoneScopes},
		{"CSMS", keystoneCSMS},
		{"Revocation", keystoneRevocation},
		{"EndOfAProject", keystoneEndOfAProject},
		{"ServiceToken", keystoneServiceToken},
		{"ApplicationCredential", keystoneApplicationCredential},
		{"AwayAndBack", keystoneAwayAndBack},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, c) })
	}
}

// Other people's clients find the service in Keystone's catalog.
func keystoneClients(t *testing.T, c *cloud) {
	needs(t, "openstack")
	s := &devserver.Server{Env: map[string]string{}}
	for _, v := range c.Environ("ks-creator", "ks-creator", "alpha") {
		name, value, _ := strings.Cut(v, "=")
		s.Env[name] = value
	}
	ref := oneColumn(t, s, "Secret href", "secret", "store", "--name", "of-keystone", "--payload", "p")
	if !strings.HasPrefix(ref, c.secrets) {
		t.Fatalf("stored as %q", ref)
	}
	if got := oneColumn(t, s, "Payload", "secret", "get", ref, "--payload"); got != "p" {
		t.Errorf("payload %q", got)
	}
	if got := run(t, s, "openstack", "secret", "list", "--name", "of-keystone"); !strings.Contains(got, ref) {
		t.Errorf("secret list:\n%s", got)
	}
	run(t, s, "openstack", "secret", "delete", ref)

	needs(t, "/usr/bin/python3")
	script, err := filepath.Abs("testdata/barbicanclient_secrets.py")
	if err != nil {
		t.Fatal(err)
	}
	if out := run(t, s, "/usr/bin/python3", script); !strings.Contains(out, "journey done") {
		t.Errorf("it said:\n%s", out)
	}
}

func (c *cloud) store(t *testing.T, who *client) (ref string) {
	t.Helper()
	var made struct {
		Ref string `json:"secret_ref"`
	}
	who.must(t, 201, "POST", c.secrets, anySecret).json(t, &made)
	return made.Ref
}

// granted is what one role gets for storing, listing, reading and deleting.
type granted struct{ store, list, payload, remove int }

func (c *cloud) rights(t *testing.T, roles map[string]granted) {
	t.Helper()
	owner := c.in(t, "ks-admin", "alpha")
	for user, want := range roles {
		project := "alpha"
		if user == "ks-other" {
			project = "beta"
		}
		who := c.in(t, user, project)
		ref := c.store(t, owner)
		got := granted{
			store:   who.status(t, "POST", c.secrets, anySecret),
			list:    who.status(t, "GET", c.secrets, nil),
			payload: who.status(t, "GET", ref+"/payload", nil),
			remove:  who.status(t, "DELETE", ref, nil),
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", user, got, want)
		}
	}
}

func (c *client) status(t *testing.T, method, url string, body any) int {
	t.Helper()
	a, err := c.do(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return a.Status
}

func keystoneLegacyRoles(t *testing.T, c *cloud) {
	c.rights(t, map[string]granted{
		"ks-admin":    {201, 200, 200, 204},
		"ks-creator":  {201, 200, 200, 204},
		"ks-observer": {403, 200, 200, 403},
		"ks-audit":    {403, 403, 403, 403},
		"ks-reader":   {403, 403, 403, 403},
		"ks-other":    {201, 200, 403, 403},
	})
}

// The new rules speak of member and reader; Keystone says itself which roles
// come with which.
func TestKeystoneNewPolicy(t *testing.T) {
	behindKeystone(t, "new").rights(t, map[string]granted{
		"ks-admin":   {201, 200, 200, 204},
		"ks-member":  {201, 200, 200, 204},
		"ks-reader":  {403, 403, 403, 403},
		"ks-creator": {403, 403, 403, 403},
	})
}

func keystoneScopes(t *testing.T, c *cloud) {
	admin, err := c.User(t.Context(), "admin", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Grant(t.Context(), "/domains/default", admin, "admin"); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]func() (string, error){
		"unscoped": func() (string, error) {
			return c.Login(t.Context(), "ks-creator", "ks-creator", keystonetest.Unscoped())
		},
		"domain":  func() (string, error) { return c.Login(t.Context(), "admin", c.AdminPassword, keystonetest.InDomain()) },
		"system":  func() (string, error) { return c.Login(t.Context(), "admin", c.AdminPassword, keystonetest.InSystem()) },
		"garbage": func() (string, error) { return "gAAAAABgarbage", nil },
		"long":    func() (string, error) { return strings.Repeat("x", 10_000), nil },
	} {
		text, err := token()
		if err != nil {
			t.Fatal(name, err)
		}
		a := (&client{token: text}).must(t, 401, "GET", c.secrets, nil)
		if got := a.Header.Get("WWW-Authenticate"); got != `Keystone uri="`+c.URL+`/v3"` {
			t.Errorf("%s: WWW-Authenticate %q", name, got)
		}
	}
	c.in(t, "ks-creator", "alpha").must(t, 200, "GET", c.secrets, nil)
}

// The other family takes Keystone's tokens, too. Those of the built-in identity
// beside it are nobody's here.
func keystoneCSMS(t *testing.T, c *cloud) {
	project, err := c.Project(t.Context(), "alpha")
	if err != nil {
		t.Fatal(err)
	}
	who := c.in(t, "ks-admin", "alpha")
	secrets := c.url["csms"] + "/v1/" + project + "/secrets"
	who.must(t, 200, "POST", secrets, object{"name": "of-keystone", "secret_string": "v"})
	a := who.must(t, 200, "GET", secrets+"/of-keystone/versions/latest", nil)
	if !strings.Contains(string(a.Body), `"v"`) {
		t.Errorf("latest version: %s", a.Body)
	}
	other, err := c.Project(t.Context(), "beta")
	if err != nil {
		t.Fatal(err)
	}
	who.must(t, 403, "GET", c.url["csms"]+"/v1/"+other+"/secrets", nil)

	c.command(t, "", "project", "create", "--config", c.config, "p1")
	c.command(t, "pw-of-operator\n", "user", "create", "--config", c.config, "--password-file", "-", "u1")
	c.command(t, "", "role", "grant", "--config", c.config, "admin", "--user", "u1", "--project", "p1")
	c.login(t).must(t, 401, "GET", c.secrets, nil)
}

// soon waits for a status that has to come within the time that answers are
// remembered.
func (c *client) soon(t *testing.T, status int, url string) {
	t.Helper()
	eventually(t, cacheTTL+5*time.Second, "another status", func() bool { return c.status(t, "GET", url, nil) == status })
}

func keystoneRevocation(t *testing.T, c *cloud) {
	who := c.in(t, "ks-creator", "alpha")
	who.must(t, 200, "GET", c.secrets, nil)
	if err := c.Revoke(t.Context(), who.token); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	who.soon(t, 401, c.secrets)
	if took := time.Since(began); took > cacheTTL+time.Second {
		t.Errorf("a revoked token worked for %v", took)
	}
}

// A project that is disabled, and one that is deleted: an operator then removes
// what it left behind.
func keystoneEndOfAProject(t *testing.T, c *cloud) {
	who := c.in(t, "ks-doomed", "doomed")
	ref := c.store(t, who)
	project, err := c.Project(t.Context(), "doomed")
	if err != nil {
		t.Fatal(err)
	}
	set := func(enabled bool) {
		c.admin(t, "PATCH", "/projects/"+project, object{"project": object{"enabled": enabled}}, nil)
	}
	set(false)
	who.soon(t, 401, ref)
	set(true)
	who = c.in(t, "ks-doomed", "doomed")
	who.must(t, 200, "GET", ref+"/payload", nil)

	c.admin(t, "DELETE", "/projects/"+project, nil, nil)
	who.soon(t, 401, ref)
	purge := []string{"project", "purge", "--config", c.config, project}
	for _, want := range []string{"removed 1\n", "removed 0\n"} {
		if out := c.command(t, "", append(purge, "--yes")...); !strings.HasSuffix(out, want) {
			t.Errorf("project purge: %q, want %q", out, want)
		}
	}
}

// A service finishes what a user began before the user's token ended.
func keystoneServiceToken(t *testing.T, c *cloud) {
	nova := c.in(t, "ks-nova", "service").token
	who := c.in(t, "ks-creator", "alpha")
	who.must(t, 200, "GET", c.secrets, nil, "X-Service-Token", nova)
	who.must(t, 401, "GET", c.secrets, nil, "X-Service-Token", "gAAAAABgarbage")
	who.must(t, 401, "GET", c.secrets, nil, "X-Service-Token", who.token) // without the role

	old := &client{token: c.expired(t)}
	old.must(t, 401, "GET", c.secrets, nil)
	old.must(t, 200, "GET", c.secrets, nil, "X-Service-Token", nova)
	old.must(t, 401, "GET", c.secrets, nil, "X-Service-Token", who.token)
	old.must(t, 401, "GET", c.secrets, nil)
}

// expired is a token of a user of alpha that has just run out. Keystone issues
// such with a life of seconds only where its configuration says so.
func (c *cloud) expired(t *testing.T) string {
	t.Helper()
	c.reconfigure(t, "[token]\nexpiration = 1\n")
	token := c.in(t, "ks-creator", "alpha").token
	c.reconfigure(t, "")
	time.Sleep(time.Second)
	return token
}

// reconfigure restarts Keystone with more of a configuration.
func (c *cloud) reconfigure(t *testing.T, more string) {
	t.Helper()
	file := filepath.Join(c.Keystone.Dir, "keystone.conf")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	base, _, _ := strings.Cut(string(text), "# more\n")
	if err := os.WriteFile(file, []byte(base+"# more\n"+more), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// An application credential works with the roles that it has, in the project
// that it is for; one whose access rules nobody would keep to does not.
func keystoneApplicationCredential(t *testing.T, c *cloud) {
	who := c.in(t, "ks-creator", "alpha")
	user, err := c.User(t.Context(), "ks-creator", "")
	if err != nil {
		t.Fatal(err)
	}
	made := func(in object) (id, secret string) {
		var out struct {
			Credential struct{ ID, Secret string } `json:"application_credential"`
		}
		body := object{"application_credential": in}
		if err := c.CallAs(t.Context(), who.token, "POST", "/users/"+user+"/application_credentials", body, &out); err != nil {
			t.Fatal(err)
		}
		return out.Credential.ID, out.Credential.Secret
	}
	for name, tc := range map[string]struct {
		in   object
		want int
	}{
		"plain":        {object{"name": "plain"}, 200},
		"access rules": {object{"name": "ruled", "access_rules": []object{{"service": "key-manager", "method": "GET", "path": "/v1/secrets"}}}, 401},
	} {
		id, secret := made(tc.in)
		token, err := c.LoginCredential(t.Context(), id, secret)
		if err != nil {
			t.Fatal(name, err)
		}
		(&client{token: token}).must(t, tc.want, "GET", c.secrets, nil)
	}
}

// Keystone goes and comes back: new tokens get 503 with Retry-After, those that
// are remembered work on, and nobody restarts anything.
func keystoneAwayAndBack(t *testing.T, c *cloud) {
	known, unknown := c.in(t, "ks-creator", "alpha"), c.in(t, "ks-observer", "alpha")
	known.must(t, 200, "GET", c.secrets, nil)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a := unknown.must(t, 503, "GET", c.secrets, nil)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if time.Since(began) > 3*time.Second {
		t.Errorf("503 took %v", time.Since(began))
	}
	known.soon(t, 503, c.secrets)
	if ok, why := c.ready(t); !ok {
		t.Errorf("not ready: %s", why)
	}
	if err := c.Restart(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "served again", func() bool { return known.status(t, "GET", c.secrets, nil) == 200 })
	unknown.must(t, 200, "GET", c.secrets, nil)
}
