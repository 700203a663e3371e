package postgres_test

import (
	"os"
	"testing"

	"github.com/strongroom-kms/strongroom/persistence/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
