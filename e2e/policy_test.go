package e2e

import (
	"syscall"
	"testing"
)

// barbican.policy chooses the rules of the whole server: a creator may make
// secrets under the legacy ones and under both, and not under the new ones.
func TestPolicySetting(t *testing.T) {
	in := install(t)
	for _, tc := range []struct {
		policy string
		want   int
	}{{"legacy", 201}, {"new", 403}, {"union", 201}} {
		t.Setenv("STRONGROOM_BARBICAN__POLICY", tc.policy)
		in.serve(t)
		in.login(t).must(t, tc.want, "POST", in.url["key-manager"]+"/v1/secrets", anySecret)
		if err := in.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := in.cmd.Wait(); err != nil {
			t.Fatalf("serve under %s: %v", tc.policy, err)
		}
	}
}
