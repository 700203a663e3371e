package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/persistence/cluster"
	"github.com/strongroom-kms/strongroom/softhsm"
)

// installation is what an operator runs: a database and a token of their own,
// a configuration file, and `strongroom serve`.
type installation struct {
	dir      string
	config   string
	database *cluster.Cluster
	token    softhsm.Token
	url      map[string]string // by listener
	env      []string          // more of the configuration
	cmd      *exec.Cmd
	log      *os.File
}

// install makes an installation with one user.
func install(t *testing.T) *installation {
	t.Helper()
	in := installEmpty(t)
	in.command(t, "", "project", "create", "--config", in.config, "p1")
	in.command(t, "pw-of-operator\n", "user", "create", "--config", in.config, "--password-file", "-", "u1")
	in.command(t, "", "role", "create", "--config", in.config, "creator")
	in.command(t, "", "role", "grant", "--config", in.config, "creator", "--user", "u1", "--project", "p1")
	return in
}

func installEmpty(t *testing.T) *installation {
	t.Helper()
	needs(t, "softhsm2-util")
	top := os.TempDir()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		top = "/dev/shm"
	}
	dir, err := os.MkdirTemp(top, "strongroom-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	in := &installation{dir: dir, config: filepath.Join(dir, "serve.yaml"), url: map[string]string{}}
	t.Cleanup(func() { os.RemoveAll(dir) })
	in.startDatabase(t)
	t.Cleanup(func() { in.stopDatabase(t) })
	if in.token, err = softhsm.Provision(t.Context(), filepath.Join(dir, "token")); err != nil {
		t.Fatal(err)
	}
	in.writeConfig(t)
	in.command(t, "", "config", "check", "--config", in.config)
	in.command(t, "", "migrate", "up", "--config", in.config)
	in.command(t, "", "migrate", "status", "--config", in.config)
	return in
}

func (in *installation) startDatabase(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	c, err := cluster.Start(ctx, cluster.Config{Dir: filepath.Join(in.dir, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CreateDatabase(ctx, "strongroom"); err != nil {
		t.Fatal(err)
	}
	in.database = c
}

func (in *installation) stopDatabase(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	if err := in.database.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func (in *installation) writeConfig(t *testing.T) {
	t.Helper()
	var b strings.Builder
	b.WriteString("listeners:\n")
	for _, name := range []string{"identity", "key-manager", "csms", "admin"} {
		address := freeAddress(t)
		fmt.Fprintf(&b, "  - {name: %s, address: %q, dialects: [%s]}\n", name, address, name)
		in.url[name] = "http://" + address
	}
	dsn := filepath.Join(in.dir, "db-url")
	if err := os.WriteFile(dsn, []byte(in.database.URL("strongroom")), 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "db: {url_file: %q}\n", dsn)
	fmt.Fprintf(&b, "hsm:\n  worker: %q\n  tokens:\n    - uri: %q\n      env: {SOFTHSM2_CONF: %q}\n",
		filepath.Join(filepath.Dir(strongroom(t)), "strongroom-hsm"), in.token.URI, in.token.Conf)
	fmt.Fprintf(&b, "identity: {endpoints: {key_manager: %q, csms: %q, identity: %q}}\n",
		in.url["key-manager"], in.url["csms"], in.url["identity"])
	fmt.Fprintf(&b, "audit: {journal: %q}\n", filepath.Join(in.dir, "audit.journal"))
	if err := os.WriteFile(in.config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// freeAddress is a loopback address that nobody uses and that no outgoing
// connection will be given before the server binds it.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if socket, err := net.Listen("tcp", address); err == nil {
			socket.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// command runs an operator's command and returns what it printed.
func (in *installation) command(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), strongroom(t), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("strongroom %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// serve starts the server and waits until it answers, ready or not.
func (in *installation) serve(t *testing.T) {
	t.Helper()
	var err error
	if in.log, err = os.Create(filepath.Join(in.dir, "log")); err != nil {
		t.Fatal(err)
	}
	in.cmd = exec.Command(strongroom(t), "serve", "--config", in.config)
	in.cmd.Stderr = in.log
	in.cmd.Env = append(os.Environ(), in.env...)
	if err := in.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if in.cmd.ProcessState == nil {
			in.cmd.Process.Signal(syscall.SIGTERM)
			if err := in.cmd.Wait(); err != nil {
				t.Errorf("serve: %v", err)
			}
		}
		if t.Failed() {
			said, _ := os.ReadFile(in.log.Name())
			t.Logf("the server said:\n%s", tail(said, 8000))
		}
	})
	eventually(t, 20*time.Second, "the server answers", func() bool {
		resp, err := http.Get(in.url["admin"] + "/livez")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// eventually waits for something to become true; it fails the test otherwise.
func eventually(t *testing.T, within time.Duration, what string, ask func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ask(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v still not: %s", within, what)
		}
	}
}

func (in *installation) ready(t *testing.T) (bool, string) {
	t.Helper()
	a := (&client{}).ask(t, "GET", in.url["admin"]+"/readyz")
	return a.Status == http.StatusOK, string(a.Body)
}

// ask is do where any status is fine.
func (c *client) ask(t *testing.T, method, url string) answer {
	t.Helper()
	a, err := c.do(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (in *installation) login(t *testing.T) *client { return in.loginTo(t, "p1") }

func (in *installation) loginTo(t *testing.T, project string) *client {
	t.Helper()
	domain := map[string]string{"name": "Default"}
	c := &client{Client: http.Client{Timeout: 30 * time.Second}}
	a := c.must(t, 201, "POST", in.url["identity"]+"/v3/auth/tokens", map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{
			"user": map[string]any{"name": "u1", "password": "pw-of-operator", "domain": domain},
		}},
		"scope": map[string]any{"project": map[string]any{"name": project, "domain": domain}},
	}})
	c.token = a.Header.Get("X-Subject-Token")
	return c
}

var anySecret = map[string]any{"name": "s", "payload": "p", "payload_content_type": "text/plain"}

// The database goes and comes back: 503 with Retry-After meanwhile, in the
// dialect's own shape, and no restart.
func TestDatabaseDownAndUp(t *testing.T) {
	in := install(t)
	in.serve(t)
	c := in.login(t)
	secrets := in.url["key-manager"] + "/v1/secrets"
	var made struct {
		Ref string `json:"secret_ref"`
	}
	c.must(t, 201, "POST", secrets, anySecret).json(t, &made)

	in.stopDatabase(t)
	a := c.must(t, 503, "GET", made.Ref+"/payload", nil)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	var body struct {
		Code  int    `json:"code"`
		Title string `json:"title"`
	}
	if a.json(t, &body); body.Code != 503 || body.Title == "" {
		t.Errorf("body %s", a.Body)
	}
	if ok, why := in.ready(t); ok || !strings.Contains(why, "database") {
		t.Errorf("ready %v: %s", ok, why)
	}

	in.startDatabase(t)
	eventually(t, 15*time.Second, "ready again", func() bool { ok, _ := in.ready(t); return ok })
	if a := c.must(t, 200, "GET", made.Ref+"/payload", nil); string(a.Body) != "p" {
		t.Errorf("payload %q", a.Body)
	}
}

// The token goes and comes back: metadata is served meanwhile, payloads wait
// and then get 503, and no restart.
func TestTokenAwayAndBack(t *testing.T) {
	in := install(t)
	in.serve(t)
	c := in.login(t)
	var made struct {
		Ref string `json:"secret_ref"`
	}
	c.must(t, 201, "POST", in.url["key-manager"]+"/v1/secrets", anySecret).json(t, &made)
	tokens := filepath.Join(filepath.Dir(in.token.Conf), "tokens")
	if err := os.Rename(tokens, tokens+".away"); err != nil {
		t.Fatal(err)
	}
	a := c.must(t, 503, "GET", made.Ref+"/payload", nil)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	c.must(t, 200, "GET", made.Ref, nil)
	eventually(t, 15*time.Second, "not ready", func() bool { ok, _ := in.ready(t); return !ok })
	if err := os.Rename(tokens+".away", tokens); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "ready again", func() bool { ok, _ := in.ready(t); return ok })
	c.must(t, 200, "GET", made.Ref+"/payload", nil)
}

// A wrong PIN is tried once, also by a server that is started again, and
// readiness says so. It takes an operator, or the right one in the file.
func TestWrongPIN(t *testing.T) {
	in := install(t)
	right, err := os.ReadFile(in.token.PINFile)
	if err != nil {
		t.Fatal(err)
	}
	replacePIN(t, in.token.PINFile, []byte("00000000-wrong"))
	in.serve(t)
	in.logins(t, 1)
	in.stop(t)

	in.serve(t)
	in.logins(t, 0)
	if said := in.said(t); !strings.Contains(said, "PIN is not tried: the token refused it") {
		t.Errorf("nobody hears why the second server does not log in:\n%s", said)
	}
	if out := in.command(t, "", "hsm", "unblock", "--config", in.config); !strings.Contains(out, "once more") {
		t.Errorf("hsm unblock: %s", out)
	}
	in.logins(t, 1)

	replacePIN(t, in.token.PINFile, right)
	eventually(t, 15*time.Second, "ready with the right PIN", func() bool { ok, _ := in.ready(t); return ok })
	in.login(t).must(t, 201, "POST", in.url["key-manager"]+"/v1/secrets", anySecret)
}

// logins fails the test unless this server has tried the PIN so many times,
// was refused each time, and leaves it at that.
func (in *installation) logins(t *testing.T, want int) {
	t.Helper()
	eventually(t, 10*time.Second, "not ready because of the PIN", func() bool {
		ok, why := in.ready(t)
		return !ok && strings.Contains(why, "refused the PIN") && strings.Count(in.said(t), "PIN was rejected") >= want
	})
	time.Sleep(3 * time.Second) // a respawn loop would try again and again
	said := in.said(t)
	for _, line := range []string{"PIN was rejected", "worker lost"} {
		if n := strings.Count(said, line); n != want {
			t.Errorf("%q is logged %d times, want %d", line, n, want)
		}
	}
	a := (&client{}).ask(t, "GET", in.url["admin"]+"/metrics")
	for line := range strings.Lines(string(a.Body)) {
		if strings.HasPrefix(line, "strongroom_worker_respawns_total") && !strings.HasSuffix(line, " 0\n") {
			t.Errorf("workers were respawned: %s", line)
		}
	}
}

// said is the log of the server that runs now.
func (in *installation) said(t *testing.T) string {
	t.Helper()
	said, err := os.ReadFile(in.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

// stop ends the server as a service manager does.
func (in *installation) stop(t *testing.T) {
	t.Helper()
	if err := in.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := in.cmd.Wait(); err != nil {
		t.Errorf("serve: %v", err)
	}
}

func replacePIN(t *testing.T, file string, pin []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", pin, 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// A copy of the whole database with the programs, but without the token, opens
// nothing and holds nothing in the clear.
func TestDumpWithoutTokenOpensNothing(t *testing.T) {
	needs(t, "pg_dump", "psql")
	in := install(t)
	in.serve(t)
	c := in.login(t)
	const canary = "canary-7f3a-plaintext"
	var made struct {
		Ref string `json:"secret_ref"`
	}
	c.must(t, 201, "POST", in.url["key-manager"]+"/v1/secrets",
		map[string]any{"payload": canary, "payload_content_type": "text/plain"}).json(t, &made)
	dump, err := exec.CommandContext(t.Context(), "pg_dump", "-d", in.database.URL("strongroom")).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, clear := range []string{canary, "pw-of-operator", c.token} {
		if bytes.Contains(dump, []byte(clear)) || bytes.Contains(dump, fmt.Appendf(nil, "%x", clear)) {
			t.Errorf("the dump holds %q", clear)
		}
	}

	thief := install(t)
	for _, sql := range []string{"DROP SCHEMA public CASCADE; CREATE SCHEMA public;", string(dump)} {
		cmd := exec.CommandContext(t.Context(), "psql", "-q", "-d", thief.database.URL("strongroom"))
		cmd.Stdin = strings.NewReader(sql)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	thief.serve(t)
	stolen := thief.login(t) // the passwords are in the dump as hashes, and known to this test
	a := stolen.ask(t, "GET", thief.url["key-manager"]+"/v1/secrets/"+filepath.Base(made.Ref)+"/payload")
	if a.Status < 500 || bytes.Contains(a.Body, []byte(canary)) {
		t.Errorf("without the token the payload is answered %d %s", a.Status, a.Body)
	}
}

// The commands of an operator, and what they print.
func TestOperatorCommands(t *testing.T) {
	in := install(t)
	var keys []map[string]string
	out := in.command(t, "", "credential", "create", "--config", in.config, "--user", "u1", "--project", "p1", "-o", "json")
	if err := json.Unmarshal([]byte(out), &keys); err != nil || len(keys) != 1 || keys[0]["secret_key"] == "" {
		t.Fatalf("credential create: %v\n%s", err, out)
	}
	if out := in.command(t, "", "credential", "list", "--config", in.config, "--user", "u1"); !strings.Contains(out, keys[0]["access_key"]) || strings.Contains(out, keys[0]["secret_key"]) {
		t.Errorf("credential list:\n%s", out)
	}
	in.command(t, "", "credential", "delete", "--config", in.config, keys[0]["access_key"])
	if out := in.command(t, "", "user", "list", "--config", in.config); !strings.Contains(out, "u1") {
		t.Errorf("user list:\n%s", out)
	}
	if out := in.command(t, "", "config", "show", "--config", in.config); !strings.Contains(out, "key-manager") {
		t.Errorf("config show:\n%s", out)
	}
	for _, tc := range []struct {
		code int
		args []string
	}{
		{0, []string{"version"}},
		{2, []string{"serve"}},
		{2, []string{"dev", "--no-such-flag"}},
		{1, []string{"user", "delete", "--config", in.config, "nobody"}},
		{2, []string{"project", "purge", "--config", in.config, "some-id"}},
		{78, []string{"config", "check", "--config", in.token.Conf}},
	} {
		cmd := exec.CommandContext(t.Context(), strongroom(t), tc.args...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != tc.code {
			t.Errorf("strongroom %s: exit code %d, want %d\n%s", strings.Join(tc.args, " "), got, tc.code, out)
		}
	}
	in.stopDatabase(t)
	cmd := exec.CommandContext(t.Context(), strongroom(t), "user", "list", "--config", in.config)
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 69 {
		t.Errorf("without a database: exit code %d, want 69\n%s", cmd.ProcessState.ExitCode(), out)
	}
	in.startDatabase(t)
}
