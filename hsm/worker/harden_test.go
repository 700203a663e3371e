package worker_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/strongroom-kms/strongroom/hsm/worker"
)

// hardened marks the process that TestHarden starts: what Harden does cannot
// be undone, so it is done in a process of its own.
const hardened = "STRONGROOM_TEST_HARDENED"

func TestMain(m *testing.M) {
	if os.Getenv(hardened) != "" {
		if err := reportHardening(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestHarden(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), hardened+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// reportHardening hardens this process and says what is missing. Locked memory
// depends on the limit, so it is not asked for.
func reportHardening() error {
	if err := worker.Harden(); err != nil && !strings.HasPrefix(err.Error(), "locked memory: ") {
		return err
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || n != 0 {
		return fmt.Errorf("dumpable: %d, %v", n, err)
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil || core.Cur != 0 || core.Max != 0 {
		return fmt.Errorf("core limit: %+v, %v", core, err)
	}
	threads, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(threads) < 2 {
		return fmt.Errorf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		status, err := os.ReadFile(thread)
		if err != nil {
			return err
		}
		if !strings.Contains(string(status), "NoNewPrivs:\t1") {
			return fmt.Errorf("%s may gain privileges", thread)
		}
	}
	return nil
}
