package memory_test

import (
	"testing"

	"github.com/strongroom-kms/strongroom/persistence/memory"
	"github.com/strongroom-kms/strongroom/persistence/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Store { return new(memory.Store) })
}
