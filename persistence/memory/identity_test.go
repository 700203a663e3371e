package memory_test

import (
	"context"
	"testing"

	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/memory"
	"github.com/strongroom-kms/strongroom/persistence/storetest"
)

func TestRealm(t *testing.T) {
	t.Parallel()
	storetest.RunIdentity(t, func(*testing.T) storetest.Realm {
		keys, r := new(memory.Store), memory.NewRealm()
		r.Active = func(ctx context.Context, project string, under envelope.MasterKey) (envelope.KEKID, error) {
			l, err := keys.Lease(ctx, project, under, 0)
			return l.KEK.ID, err
		}
		return storetest.Realm{Store: r, Keys: keys}
	})
}
