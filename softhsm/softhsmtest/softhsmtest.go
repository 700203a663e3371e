// Package softhsmtest makes a SoftHSM2 token for one test, gone when it ends.
//
// Without SoftHSM2 the test is skipped on a laptop and fails where
// REQUIRE_SOFTHSM is set, as it is in make test: a skip nobody sees is a test
// nobody runs.
package softhsmtest

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/strongroom-kms/strongroom/softhsm"
)

// Provision returns a token of its own for one test.
func Provision(tb testing.TB) softhsm.Token {
	tb.Helper()
	return ProvisionIn(tb, Dir(tb))
}

// ProvisionIn returns the token of folder dir, and makes it where there is
// none: for tests that move a token away or open it twice.
func ProvisionIn(tb testing.TB, dir string) softhsm.Token {
	tb.Helper()
	tok, err := softhsm.Provision(context.WithoutCancel(tb.Context()), dir)
	if errors.Is(err, softhsm.ErrMissing) && os.Getenv("REQUIRE_SOFTHSM") == "" {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return tok
}

// Dir returns a folder that disappears with the test. It is on tmpfs where
// there is one: generating a key takes 0.7 ms there and 40 to 100 ms on a
// disk, which SoftHSM syncs each time.
func Dir(tb testing.TB) string {
	tb.Helper()
	const tmpfs = "/dev/shm"
	if info, err := os.Stat(tmpfs); err != nil || !info.IsDir() {
		return tb.TempDir()
	}
	dir, err := os.MkdirTemp(tmpfs, "strongroom-softhsm-")
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("remove token folder: %v", err)
		}
	})
	return dir
}
