package hsm_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/strongroom-kms/strongroom/hsm"
)

// What a module prints is logged and never fatal.
func TestModuleMayPrint(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	cfg := fakeConfig(t, folder(t))
	cfg.Log = zap.New(core)
	tok := openFake(t, cfg)
	if err := unwrap(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Second, "the line is logged", func() bool {
		for _, e := range logs.FilterMessage("worker says").All() {
			if line, ok := e.ContextMap()["line"].(string); ok && line == "module prints something" {
				return true
			}
		}
		return false
	})
}

// A worker does not outlive its server, whatever it is doing.
func TestWorkerEndsWhenTheServerIsKilled(t *testing.T) {
	t.Parallel()
	s := folder(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{serverVar + "=" + string(s)}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "server has a worker", func() bool { return s.lines("worker") == 1 })
	text, _ := s.text("worker")
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	eventually(t, 5*time.Second, "worker is gone", func() bool {
		stat, err := os.ReadFile(filepath.Join("/proc", text, "stat"))
		return err != nil || strings.Contains(string(stat), ") Z ") || syscall.Kill(pid, 0) != nil
	})
}

// A worker sees what its module needs and nothing else of our environment.
func TestWorkerEnvironmentIsSmall(t *testing.T) {
	t.Setenv("STRONGROOM_DATABASE_URL", "postgres://hunter2")
	tok := openFake(t, fakeConfig(t, folder(t)))
	eventually(t, 5*time.Second, "ready", func() bool { return tok.Ready() == nil })
	env, err := os.ReadFile(filepath.Join("/proc", pidOf(t, tok), "environ"))
	if err != nil {
		t.Fatal(err)
	}
	for e := range bytes.SplitSeq(bytes.Trim(env, "\x00"), []byte{0}) {
		name, value, _ := strings.Cut(string(e), "=")
		if name != scriptVar && name != "GLIBC_TUNABLES" && name != "CREDENTIALS_DIRECTORY" {
			t.Errorf("the worker sees %s", name)
		}
		if name == "GLIBC_TUNABLES" && value != "glibc.malloc.perturb=165" {
			t.Errorf("%s=%s", name, value)
		}
	}
}

func pidOf(t testing.TB, tok *hsm.Token) string {
	t.Helper()
	eventually(t, 10*time.Second, "one worker", func() bool { return len(tok.PIDs()) == 1 })
	return strconv.Itoa(tok.PIDs()[0])
}
