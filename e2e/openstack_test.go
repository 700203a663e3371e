package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/e2e/devserver"
)

// oneColumn runs one command of the key manager's and returns one column.
func oneColumn(t *testing.T, s *devserver.Server, column string, args ...string) string {
	t.Helper()
	return strings.TrimSpace(run(t, s, "openstack", append(args, "-f", "value", "-c", column)...))
}

func TestOpenStackUpdate(t *testing.T) {
	needs(t, "openstack")
	s := server(t)
	ref := oneColumn(t, s, "Secret href", "secret", "store", "--name", "later")
	run(t, s, "openstack", "secret", "update", ref, "now")
	if got := oneColumn(t, s, "Payload", "secret", "get", ref, "--payload"); got != "now" {
		t.Errorf("payload %q", got)
	}
}

func TestOpenStackOrders(t *testing.T) {
	needs(t, "openstack")
	s := server(t)
	key := oneColumn(t, s, "Order href", "secret", "order", "create", "key", "--name", "ordered",
		"--algorithm", "aes", "--bit-length", "256", "--mode", "cbc", "--payload-content-type", "application/octet-stream")
	secret := made(t, s, key, "Secret href")
	file := filepath.Join(t.TempDir(), "key")
	run(t, s, "openstack", "secret", "get", secret, "--file", file, "--payload_content_type", "application/octet-stream")
	if b, err := os.ReadFile(file); err != nil || len(b) != 32 {
		t.Errorf("key of %d bytes, %v", len(b), err)
	}
	pair := oneColumn(t, s, "Order href", "secret", "order", "create", "asymmetric", "--name", "pair",
		"--algorithm", "rsa", "--bit-length", "2048")
	container := made(t, s, pair, "Container href")
	if got := run(t, s, "openstack", "secret", "container", "get", container); !strings.Contains(got, "Private Key") || !strings.Contains(got, "Public Key") {
		t.Errorf("container:\n%s", got)
	}
	listed := run(t, s, "openstack", "secret", "order", "list", "--limit", "100", "-f", "value")
	for _, ref := range []string{key, pair} {
		if !strings.Contains(listed, ref) {
			t.Errorf("%s is not listed:\n%s", ref, listed)
		}
		run(t, s, "openstack", "secret", "order", "delete", ref)
	}
	if got := run(t, s, "openstack", "secret", "order", "list", "--limit", "100", "-f", "value"); strings.Contains(got, key) || strings.Contains(got, pair) {
		t.Errorf("still listed:\n%s", got)
	}
}

// made waits for an order and returns what it made.
func made(t *testing.T, s *devserver.Server, order, column string) string {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		got := strings.TrimSpace(run(t, s, "openstack", "secret", "order", "get", order, "-f", "value", "-c", "Status", "-c", column))
		for _, field := range strings.Fields(got) {
			if strings.HasPrefix(field, s.Env["KEY_MANAGER_URL"]) && strings.Contains(got, "ACTIVE") {
				return field
			}
		}
		if strings.Contains(got, "ERROR") {
			t.Fatalf("order ended as %s", got)
		}
	}
	t.Fatalf("order %s does not end", order)
	return ""
}

func TestOpenStackContainers(t *testing.T) {
	needs(t, "openstack")
	s := server(t)
	c := demo(t, s)
	for _, tc := range []struct {
		kind  string
		parts []string
		shown []string
	}{
		{"generic", []string{"left", "right"}, []string{"left=", "right="}},
		{"rsa", []string{"private_key", "public_key"}, []string{"Private Key", "Public Key"}},
		{"certificate", []string{"certificate", "private_key", "intermediates"}, []string{"Certificate", "Private Key", "Intermediates"}},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			args := []string{"secret", "container", "create", "--name", "by command", "--type", tc.kind}
			for _, part := range tc.parts {
				args = append(args, "--secret", part+"="+c.storeText(t, s.Env["KEY_MANAGER_URL"], part, part))
			}
			ref := oneColumn(t, s, "Container href", args...)
			got := run(t, s, "openstack", "secret", "container", "get", ref)
			for _, want := range append(tc.shown, "by command", "ACTIVE", tc.kind) {
				if !strings.Contains(got, want) {
					t.Errorf("container get does not say %q:\n%s", want, got)
				}
			}
			listed := run(t, s, "openstack", "secret", "container", "list", "--type", tc.kind, "--name", "by command", "-f", "value", "-c", "Container href")
			if strings.TrimSpace(listed) != ref {
				t.Errorf("listed %s, want %s", listed, ref)
			}
			run(t, s, "openstack", "secret", "container", "delete", ref)
			c.must(t, 404, "GET", ref, nil)
		})
	}
}

func TestOpenStackACL(t *testing.T) {
	needs(t, "openstack")
	s := server(t)
	bob := as(t, s, "bob", "bob-password", "beta")
	ref := demo(t, s).storeText(t, s.Env["KEY_MANAGER_URL"], "shared", "between us")
	acl := func(status int, args ...string) {
		t.Helper()
		args = append(append([]string{"acl"}, args...), ref)
		run(t, s, "openstack", args...)
		bob.must(t, status, "GET", ref+"/payload", nil, "Accept", "text/plain")
	}
	acl(403, "get")
	acl(200, "user", "add", "--user", bob.user)
	if got := oneColumn(t, s, "Users", "acl", "get", ref); !strings.Contains(got, bob.user) {
		t.Errorf("users %s", got)
	}
	acl(403, "user", "remove", "--user", bob.user)
	acl(200, "submit", "--user", bob.user, "--no-project-access")
	if got := oneColumn(t, s, "Project Access", "acl", "get", ref); got != "False" {
		t.Errorf("project access %s", got)
	}
	acl(403, "delete")
	if got := oneColumn(t, s, "Project Access", "acl", "get", ref); got != "True" {
		t.Errorf("project access after the delete: %s", got)
	}
}
