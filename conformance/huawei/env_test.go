package huawei

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// needed are the variables that the SDK's samples and the SDK itself read.
var needed = []string{
	"CLOUD_SDK_AK", "CLOUD_SDK_SK",
	"HUAWEICLOUD_SDK_REGION_CSMS_CN_NORTH_4", "HUAWEICLOUD_SDK_IAM_ENDPOINT", "SSL_CERT_DIR",
	"OS_PROJECT_ID", "OS_USERNAME", "OS_PASSWORD", "OS_USER_DOMAIN_NAME",
}

// TestMain sources env.sh before anything opens a TLS connection: the roots
// that SSL_CERT_DIR names are read once per process.
func TestMain(m *testing.M) {
	if err := source(os.Getenv("STRONGROOM_ENV")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func source(file string) error {
	if file == "" {
		return fmt.Errorf("STRONGROOM_ENV must name the env.sh of a running `strongroom dev`: these tests talk to a real server and to nothing else")
	}
	// The shell prints only what we ask for, separated by what no value has.
	script := `set -e; . "$1"; shift; for n; do eval "printf '%s=%s\0' \"\$n\" \"\${$n-}\""; done`
	out, err := exec.Command("sh", append([]string{"-c", script, "sh", file}, needed...)...).Output()
	if err != nil {
		return fmt.Errorf("source STRONGROOM_ENV=%s: %w", file, err)
	}
	for pair := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" {
			return fmt.Errorf("%s does not set %s", file, name)
		}
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}
