package softhsmtest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sys/unix"

	"github.com/strongroom-kms/strongroom/hsm"
)

// Open returns a token that disappears with the test, behind a worker process
// of its own: one process has one SOFTHSM2_CONF. It takes work.
func Open(tb testing.TB) *hsm.Token {
	tb.Helper()
	return OpenConfig(tb, nil)
}

// OpenConfig is Open with a configuration that change, if any, has altered.
func OpenConfig(tb testing.TB, change func(*hsm.Config)) *hsm.Token {
	tb.Helper()
	cfg := Config(tb)
	if change != nil {
		change(&cfg)
	}
	tok, err := hsm.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := tok.Close(); err != nil {
			tb.Errorf("close token: %v", err)
		}
	})
	for end := time.Now().Add(30 * time.Second); tok.Ready() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("token is not ready: %v", tok.Ready())
		}
	}
	return tok
}

// Config makes a token for one test and returns how to open it: for tests that
// open it twice or close it early.
func Config(tb testing.TB) hsm.Config {
	tb.Helper()
	soft := Provision(tb)
	return hsm.Config{
		Worker: Worker(tb),
		Tokens: []hsm.TokenConfig{{URI: soft.URI, Env: soft.Env, Sessions: 4}},
		Log:    zaptest.NewLogger(tb, zaptest.Level(zap.WarnLevel)),
	}
}

// Worker returns the path of strongroom-hsm, built from this tree once in a
// test process.
func Worker(tb testing.TB) string {
	tb.Helper()
	path, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

const workerPackage = "github.com/strongroom-kms/strongroom/cmd/strongroom-hsm"

// build makes strongroom-hsm in a folder that all test processes of one user
// share. The go command does not link again what is there already; the lock
// keeps two of them from doing so at once. What runs is a copy under a name of
// its own, since a program that runs cannot be overwritten.
var build = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(os.TempDir(), "strongroom-worker-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		return "", fmt.Errorf("%s is not ours alone: %v", dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // which also unlocks
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	built := filepath.Join(dir, "strongroom-hsm")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", built, workerPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the worker: %w\n%s", err, out)
	}
	return runnable(dir, built)
})

// runnable copies built to a name made of its content, unless that is there,
// and clears away copies that nobody has used for a day.
func runnable(dir, built string) (string, error) {
	program, err := os.ReadFile(built)
	if err != nil {
		return "", err
	}
	path := fmt.Sprintf("%s-%x", built, sha256.Sum256(program))
	if _, err := os.Stat(path); err == nil {
		return path, os.Chtimes(path, time.Time{}, time.Now())
	}
	old, err := filepath.Glob(built + "-*")
	if err != nil {
		return "", err
	}
	for _, o := range old {
		if info, err := os.Stat(o); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.Remove(o) // the next run tries again
		}
	}
	tmp := filepath.Join(dir, "new")
	if err := os.WriteFile(tmp, program, 0o700); err != nil {
		return "", err
	}
	return path, os.Rename(tmp, path)
}
