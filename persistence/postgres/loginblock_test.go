package postgres_test

import (
	"testing"

	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/storetest"
)

func TestLoginBlock(t *testing.T) {
	t.Parallel()
	storetest.RunLoginBlock(t, func(t *testing.T) func(string) storetest.LoginBlock {
		db := pgtest.Open(t)
		return func(node string) storetest.LoginBlock { return db.LoginBlock(node) }
	})
}
