package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What services that use python-barbicanclient and castellan do, each script
// in testdata one kind of thing.
func TestPythonClients(t *testing.T) {
	for _, tc := range []struct{ name, script, argument string }{
		{"secrets", "barbicanclient_secrets.py", ""},
		{"castellan stores", "castellan_journey.py", "store"},
		{"orders", "barbicanclient_orders.py", ""},
		{"containers", "barbicanclient_containers.py", ""},
		{"ACLs of secrets", "barbicanclient_acls.py", "secret"},
		{"ACLs of containers", "barbicanclient_acls.py", "container"},
		{"castellan has keys made", "castellan_journey.py", "create"},
	} {
		t.Run(tc.name, func(t *testing.T) { journey(t, tc.script, tc.argument) })
	}
}

// journey runs a script with Debian's Python, which is the one that has
// Debian's clients.
func journey(t *testing.T, script, argument string) {
	t.Helper()
	needs(t, "/usr/bin/python3")
	for _, module := range []string{"barbicanclient", "castellan"} {
		if _, err := os.Stat("/usr/lib/python3/dist-packages/" + module); err != nil {
			missing(t, err)
		}
	}
	path, err := filepath.Abs(filepath.Join("testdata", script))
	if err != nil {
		t.Fatal(err)
	}
	if out := run(t, server(t), "/usr/bin/python3", path, argument); !strings.Contains(out, "journey done") {
		t.Errorf("it said:\n%s", out)
	}
}
