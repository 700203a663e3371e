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
