package soak_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/strongroom-kms/strongroom/persistence/pgtest"
)

func TestMain(m *testing.M) {
	// One secret needs more than twenty versions before anything is purged:
	// rapid's thirty steps are too few. The command line still wins.
	if err := flag.Set("rapid.steps", "100"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(pgtest.Main(m))
}

// long is what a test does in make test, or with SOAK set what it does in make
// soak.
func long(test, soak int) int {
	if os.Getenv("SOAK") != "" {
		return soak
	}
	return test
}
