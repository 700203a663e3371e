// Package e2e tests the whole product: the built binaries, a real database, a
// real token, and the clients that people have, used as their own manuals say.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/e2e/devserver"
)

// binaries is where this run's strongroom and strongroom-hsm are.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "strongroom-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binaries = dir
		code := m.Run()
		if keystones.keystone != nil {
			if err := keystones.keystone.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = max(code, 1)
			}
		}
		if shared.server != nil {
			if err := shared.server.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = max(code, 1)
			}
		}
		return code
	}())
}

// build compiles both programs, once: the server as it ships, without cgo.
var build = sync.OnceValue(func() error {
	for _, b := range []struct{ cgo, path string }{{"0", "./cmd/strongroom"}, {"1", "./cmd/strongroom-hsm"}} {
		cmd := exec.Command("go", "build", "-o", binaries+"/", b.path)
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+b.cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", b.path, err, out)
		}
	}
	return nil
})

func strongroom(t *testing.T) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(binaries, "strongroom")
}

// needs skips where a client is not installed, unless make test says that all
// of them are.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, err)
		}
	}
}

func missing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("REQUIRE_CLIENTS") == "" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// start runs a server for one test.
func start(t *testing.T, args ...string) *devserver.Server {
	t.Helper()
	needs(t, "softhsm2-util")
	s, err := devserver.Start(t.Context(), strongroom(t), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		said, _ := s.Log()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", tail(said, 8000))
		}
	})
	return s
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// shared is the server that the clients' journeys use.
var shared struct {
	once   sync.Once
	server *devserver.Server
	err    error
}

func server(t *testing.T) *devserver.Server {
	t.Helper()
	needs(t, "softhsm2-util")
	bin := strongroom(t)
	shared.once.Do(func() {
		accounts, err := filepath.Abs("testdata/accounts.json")
		if err != nil {
			shared.err = err
			return
		}
		// Not the test's context: the server outlives the first test.
		shared.server, shared.err = devserver.Start(context.Background(), bin, "--accounts", accounts)
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// run runs a client with the variables of env.sh and returns what it printed.
func run(t *testing.T, s *devserver.Server, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = s.Environ()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.Bytes(), errOut.Bytes())
	}
	return out.String()
}

// shell runs a script with the variables of env.sh, as a second terminal does.
func shell(t *testing.T, s *devserver.Server, script string) string {
	t.Helper()
	return run(t, s, "bash", "-euo", "pipefail", "-c", "source "+filepath.Join(s.Dir, "env.sh")+"\n"+script)
}

// answer is one response, read whole.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

func (a answer) json(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.Body, into); err != nil {
		t.Fatalf("%v in %s", err, a.Body)
	}
}

// client calls a server over HTTP as one user.
type client struct {
	http.Client
	token string

	user, project string // their identifiers
}

// do sends one request; a body that is not a string is sent as JSON.
func (c *client) do(method, url string, body any, headers ...string) (answer, error) {
	var reader io.Reader
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return answer{}, err
	}
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return answer{}, err
		}
		reader = bytes.NewReader(text)
		req.Header.Set("Content-Type", "application/json")
	}
	if reader != nil {
		req.Body = io.NopCloser(reader)
	}
	if c.token != "" {
		req.Header.Set("X-Auth-Token", c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b}, errors.Join(err, resp.Body.Close())
}

// must is do with a status that it has to answer.
func (c *client) must(t *testing.T, status int, method, url string, body any, headers ...string) answer {
	t.Helper()
	a, err := c.do(method, url, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	if a.Status != status {
		t.Fatalf("%s %s = %d, want %d: %s", method, url, a.Status, status, a.Body)
	}
	return a
}

// as logs a user in, scoped to a project.
func as(t *testing.T, s *devserver.Server, user, password, project string) *client {
	t.Helper()
	domain := map[string]string{"name": "Default"}
	c := &client{Client: http.Client{Timeout: 30 * time.Second}}
	a := c.must(t, http.StatusCreated, http.MethodPost, s.Env["OS_AUTH_URL"]+"/auth/tokens", map[string]any{"auth": map[string]any{
		"identity": map[string]any{
			"methods":  []string{"password"},
			"password": map[string]any{"user": map[string]any{"name": user, "password": password, "domain": domain}},
		},
		"scope": map[string]any{"project": map[string]any{"name": project, "domain": domain}},
	}})
	c.token = a.Header.Get("X-Subject-Token")
	var said struct {
		Token struct {
			User struct {
				ID string `json:"id"`
			} `json:"user"`
			Project struct {
				ID string `json:"id"`
			} `json:"project"`
		} `json:"token"`
	}
	a.json(t, &said)
	c.user, c.project = said.Token.User.ID, said.Token.Project.ID
	return c
}

// demo is the user of env.sh.
func demo(t *testing.T, s *devserver.Server) *client {
	t.Helper()
	return as(t, s, s.Env["OS_USERNAME"], s.Env["OS_PASSWORD"], s.Env["OS_PROJECT_NAME"])
}
