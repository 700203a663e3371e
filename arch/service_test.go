package arch_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/configs"
)

// setting returns the value of the first line name=value of the unit.
func setting(t *testing.T, unit, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(unit)
	if m == nil {
		t.Fatalf("the unit has no %s", name)
	}
	return m[1]
}

// The unit and the sample configuration are halves of one thing.
func TestUnitFitsItsConfiguration(t *testing.T) {
	t.Parallel()
	unit := read(t, "deploy/strongroom.service")
	cfg, err := configs.Load(configs.Source{File: "../configs/serve.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	patience, err := time.ParseDuration(setting(t, unit, "TimeoutStopSec"))
	if err != nil || patience <= cfg.Shutdown.DrainTimeout {
		t.Errorf("systemd kills after %v, and draining may take %v (%v)", patience, cfg.Shutdown.DrainTimeout, err)
	}
	if dir := "/var/lib/" + setting(t, unit, "StateDirectory"); filepath.Dir(cfg.Audit.Journal) != dir {
		t.Errorf("the audit journal is %s, and the service may write below %s", cfg.Audit.Journal, dir)
	}
	if strings.Contains(cfg.HSM.Tokens[0].URI, "pin-source") || // which would come before the credential
		!strings.Contains(unit, "\nLoadCredential=hsm-pin:") {
		t.Error("the PIN is not where the configuration looks for it")
	}
	if cfg.Database.URL != "" || cfg.Database.URLFile != "" || !strings.Contains(unit, "\nLoadCredential=db-url:") {
		t.Error("the database's URL is not where the configuration looks for it")
	}
}

// systemd itself reads the unit, on machines that have it; ExecStart is
// replaced, since the program is not installed there.
func TestSystemdReadsTheUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("no systemd here: only the other test has read the unit")
		return
	}
	unit := read(t, "deploy/strongroom.service")
	start := setting(t, unit, "ExecStart")
	path := filepath.Join(t.TempDir(), "strongroom.service")
	if err := os.WriteFile(path, []byte(strings.Replace(unit, start, "/bin/true", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
