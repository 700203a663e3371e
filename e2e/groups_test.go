package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/hsm"
	"github.com/strongroom-kms/strongroom/softhsm"
)

// withGroups gives an installation a second token, as a token group of its
// own, and says so in its configuration.
func (in *installation) withGroups(t *testing.T) softhsm.Token {
	t.Helper()
	second, err := softhsm.Provision(t.Context(), filepath.Join(in.dir, "second"))
	if err != nil {
		t.Fatal(err)
	}
	in.setGroups(t, map[string]softhsm.Token{"default": in.token, "second": second})
	return second
}

var hsmSection = regexp.MustCompile(`(?s)  (tokens|groups):.*?\nidentity:`)

func (in *installation) setGroups(t *testing.T, groups map[string]softhsm.Token) {
	t.Helper()
	text, err := os.ReadFile(in.config)
	if err != nil {
		t.Fatal(err)
	}
	list := "  groups:\n"
	for name, token := range groups {
		list += fmt.Sprintf("    - {name: %s, tokens: [{uri: %q, env: {SOFTHSM2_CONF: %q}}]}\n", name, token.URI, token.Conf)
	}
	changed := hsmSection.ReplaceAllLiteralString(string(text), list+"  default_group: default\nidentity:")
	if !strings.Contains(changed, "multiple_secret_stores") {
		changed += "barbican: {multiple_secret_stores: true}\n"
	}
	if err := os.WriteFile(in.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	in.command(t, "", "config", "check", "--config", in.config)
}

// beside is one more node of the same installation.
func (in *installation) beside(t *testing.T) *installation {
	t.Helper()
	text, err := os.ReadFile(in.config)
	if err != nil {
		t.Fatal(err)
	}
	other := &installation{dir: filepath.Join(in.dir, "beside"), database: in.database, token: in.token, url: map[string]string{}}
	if err := os.Mkdir(other.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	other.config = filepath.Join(other.dir, "serve.yaml")
	changed := strings.ReplaceAll(string(text), filepath.Join(in.dir, "audit.journal"), filepath.Join(other.dir, "audit.journal"))
	for name, url := range in.url {
		address := freeAddress(t)
		changed = strings.ReplaceAll(changed, strings.TrimPrefix(url, "http://"), address)
		other.url[name] = "http://" + address
	}
	if err := os.WriteFile(other.config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return other
}

// keysIn counts the keys of a token, asking the token itself.
func keysIn(t *testing.T, token softhsm.Token) int {
	t.Helper()
	tok, err := hsm.Open(t.Context(), hsm.Config{
		Worker: filepath.Join(filepath.Dir(strongroom(t)), "strongroom-hsm"),
		Tokens: []hsm.TokenConfig{{URI: token.URI, Env: token.Env}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	ids, err := tok.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(ids)
}

// whole waits until each group takes work.
func (in *installation) whole(t *testing.T) {
	t.Helper()
	eventually(t, 30*time.Second, "each group takes work", func() bool {
		_, why := in.ready(t)
		return strings.Contains(why, `"status":"ok"`)
	})
}

func hide(t *testing.T, token softhsm.Token) (back func()) {
	t.Helper()
	tokens := filepath.Join(filepath.Dir(token.Conf), "tokens")
	if err := os.Rename(tokens, tokens+".away"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Rename(tokens+".away", tokens); err != nil {
			t.Fatal(err)
		}
	}
}

// secretStores are the ids of the stores by name.
func secretStores(t *testing.T, c *client, in *installation) map[string]string {
	t.Helper()
	var list struct {
		Stores []struct {
			Name   string `json:"name"`
			Ref    string `json:"secret_store_ref"`
			Global bool   `json:"global_default"`
		} `json:"secret_stores"`
	}
	c.must(t, 200, "GET", in.url["key-manager"]+"/v1/secret-stores", nil).json(t, &list)
	ids := map[string]string{}
	for _, s := range list.Stores {
		ids[s.Name] = filepath.Base(s.Ref)
		if s.Global != (s.Name == "default") {
			t.Errorf("store %s, the global one: %v", s.Name, s.Global)
		}
	}
	return ids
}

// storedBy makes a secret and returns its id.
func storedBy(t *testing.T, c *client, in *installation) string {
	t.Helper()
	var made struct {
		Ref string `json:"secret_ref"`
	}
	c.must(t, 201, "POST", in.url["key-manager"]+"/v1/secrets", anySecret).json(t, &made)
	return filepath.Base(made.Ref)
}

// Two tokens are used at once, each for the projects that want it: the keys
// are where they should be, what is away is away alone, and a preference that
// one node was told counts on the other.
func TestTokenGroups(t *testing.T) {
	in := install(t)
	second := in.withGroups(t)
	in.command(t, "", "project", "create", "--config", in.config, "p2")
	in.command(t, "", "role", "grant", "--config", in.config, "creator", "--user", "u1", "--project", "p2")
	in.command(t, "", "role", "grant", "--config", in.config, "admin", "--user", "u1", "--project", "p1")
	in.serve(t)
	in.whole(t)
	a, b := in.loginTo(t, "p1"), in.loginTo(t, "p2")
	stores := in.url["key-manager"] + "/v1/secret-stores/"
	id := secretStores(t, a, in)

	a.must(t, 204, "POST", stores+id["second"]+"/preferred", nil)
	ofA, ofB := storedBy(t, a, in), storedBy(t, b, in)
	payload := func(in *installation, id string) string {
		return in.url["key-manager"] + "/v1/secrets/" + id + "/payload"
	}
	a.must(t, 200, "GET", payload(in, ofA), nil)
	b.must(t, 200, "GET", payload(in, ofB), nil)
	if first, other := keysIn(t, in.token), keysIn(t, second); first != 1 || other != 1 {
		t.Errorf("%d keys in the first token and %d in the second, want one each", first, other)
	}

	back := hide(t, second)
	if got := a.must(t, 503, "GET", payload(in, ofA), nil); got.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.must(t, 200, "GET", payload(in, ofB), nil)
	storedBy(t, b, in)
	eventually(t, 15*time.Second, "readiness names the group", func() bool {
		ok, why := in.ready(t)
		return ok && strings.Contains(why, `"status":"degraded"`) && strings.Contains(why, `"token group second":"key hardware`) && strings.Contains(why, `"token group default":"ok"`)
	})
	metrics := string(a.ask(t, "GET", in.url["admin"]+"/metrics").Body)
	for group, usable := range map[string]int{"default": 1, "second": 0} {
		line := regexp.MustCompile(fmt.Sprintf(`strongroom_token_usable\{group="%s",token="[^"]*"\} %d\n`, group, usable))
		if !line.MatchString(metrics) {
			t.Errorf("no metric says that group %s is %d", group, usable)
		}
	}
	back()
	in.whole(t)
	a.must(t, 200, "GET", payload(in, ofA), nil)

	other := in.beside(t)
	other.serve(t)
	other.whole(t)
	if again := secretStores(t, a, other); fmt.Sprint(again) != fmt.Sprint(id) {
		t.Errorf("the nodes call the stores %v and %v", id, again)
	}
	storedBy(t, a, other) // it remembers the key of the second group
	a.must(t, 204, "POST", stores+id["default"]+"/preferred", nil)
	moved := storedBy(t, a, other)
	a.must(t, 204, "POST", stores+id["second"]+"/preferred", nil)
	back = hide(t, second)
	a.must(t, 200, "GET", payload(other, moved), nil)
	back()

	if out := in.command(t, "", "hsm", "unblock", "--config", in.config); strings.Count(out, "once more") != 2 {
		t.Errorf("hsm unblock speaks of other than two tokens:\n%s", out)
	}
	in.stop(t)
	in.setGroups(t, map[string]softhsm.Token{"default": in.token})
	out, err := exec.CommandContext(t.Context(), strongroom(t), "serve", "--config", in.config).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 78 || !strings.Contains(string(out), `1 project prefers the token group "second"`) {
		t.Errorf("without the preferred group: %v\n%s", err, out)
	}
	a.must(t, 204, "DELETE", other.url["key-manager"]+"/v1/secret-stores/"+id["second"]+"/preferred", nil)
	in.serve(t)
	a.must(t, 503, "GET", payload(in, ofA), nil)
	a.must(t, 200, "GET", payload(in, moved), nil)
	if said := in.said(t); !strings.Contains(said, "a token group that is not configured holds keys") ||
		!strings.Contains(said, "no token group called second is configured") {
		t.Errorf("the log does not say what is missing:\n%s", tail([]byte(said), 4000))
	}
}

// strongroom dev may have one more token to try that with.
func TestDevWithTokenGroups(t *testing.T) {
	s := start(t, "--token-group", "second")
	c := demo(t, s)
	a := c.must(t, http.StatusOK, "GET", s.Env["KEY_MANAGER_URL"]+"/v1/secret-stores", nil)
	var list struct {
		Stores []json.RawMessage `json:"secret_stores"`
	}
	if a.json(t, &list); len(list.Stores) != 2 {
		t.Errorf("the stores are %s", a.Body)
	}
}
