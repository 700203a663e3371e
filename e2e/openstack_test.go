package e2e

import (
	"strings"
	"testing"

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
