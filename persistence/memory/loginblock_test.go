package memory_test

import (
	"testing"

	"github.com/strongroom-kms/strongroom/persistence/memory"
	"github.com/strongroom-kms/strongroom/persistence/storetest"
)

func TestLoginBlock(t *testing.T) {
	t.Parallel()
	storetest.RunLoginBlock(t, func(*testing.T) func(string) storetest.LoginBlock {
		shared := new(memory.LoginBlocks)
		return func(node string) storetest.LoginBlock { return shared.Node(node) }
	})
}
