package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

var writing = map[string]func(*bench){
	"CSMSNameIsUnique":          csmsNameIsUnique,
	"BarbicanNamesRepeat":       barbicanNamesRepeat,
	"CreateWantsTheEvent":       createWantsTheEvent,
	"CreateWantsAnActiveKEK":    createWantsAnActiveKEK,
	"DeleteLeavesNothing":       deleteLeavesNothing,
	"DeleteSparesTheNeighbours": deleteSparesTheNeighbours,
	"DeletedNameIsFree":         deletedNameIsFree,
	"CallerThatLeftIsTold":      callerThatLeftIsTold,
}

// refused checks that a create fails with want and stores nothing.
func (b *bench) refused(s secret.Secret, v *secret.Version, want error) {
	b.Helper()
	before, err := b.s.Rows(b.p)
	b.must(err)
	if err := b.s.Create(b.ctx(), s, v, b.event()); !errors.Is(err, want) {
		b.Errorf("Create: %v, want %v", err, want)
	}
	after, err := b.s.Rows(b.p)
	b.must(err)
	if diff := cmp.Diff(before, after); diff != "" {
		b.Errorf("a refused create changed rows (-before +after):\n%s", diff)
	}
}

func csmsNameIsUnique(b *bench) {
	k := b.kek("k")
	b.create(b.secretNamed(policy.Huawei, "db"), k)
	s, v := b.sealed(b.secretNamed(policy.Huawei, "db"), 1, k)
	b.refused(s, &v, secret.ErrNameTaken)
	s = b.secretNamed(policy.Huawei, "db")
	b.refused(s, nil, secret.ErrNameTaken)
	b.createEmpty(policy.Huawei, "DB")
	b.createEmpty(policy.KeyManager, "db")
	other := b.secretNamed(policy.Huawei, "db")
	other.Project = "another project"
	b.must(b.s.Create(b.ctx(), other, nil, b.event()))
}

func barbicanNamesRepeat(b *bench) {
	b.createEmpty(policy.KeyManager, "same")
	b.createEmpty(policy.KeyManager, "same")
	b.createEmpty(policy.Huawei, "same")
	b.createEmpty(policy.KeyManager, "same")
}

func createWantsTheEvent(b *bench) {
	k := b.kek("k")
	s, v := b.sealed(b.secretNamed(policy.Huawei, "s"), 1, k)
	s.Event = "changed"
	b.refused(s, &v, secret.ErrNoEvent)
	b.must(b.s.AddEvent("another project", "changed"))
	b.refused(s, nil, secret.ErrNoEvent)
	b.must(b.s.AddEvent(b.p, "changed"))
	b.must(b.s.Create(b.ctx(), s, &v, b.event()))
}

func createWantsAnActiveKEK(b *bench) {
	k := b.kek("k")
	for _, tc := range []struct {
		state     kek.State
		disabled  bool
		masterKey string
	}{
		{kek.DecryptOnly, false, "enabled"},
		{kek.Retired, false, "enabled"},
		{kek.Scheduled, false, "enabled"},
		{kek.Destroying, false, "enabled"},
		{kek.Destroyed, false, "enabled"},
		{kek.Active, true, "enabled"},
		{kek.Active, false, "disabled"},
		{kek.Active, false, "pending_deletion"},
	} {
		b.must(b.s.SetKEK(b.p, k.ID, tc.state, tc.disabled))
		b.must(b.s.SetMasterKey(b.p, k.MasterKey, tc.masterKey))
		s, v := b.sealed(b.secretNamed(policy.Huawei, "s"), 1, k)
		b.refused(s, &v, envelope.ErrKEKGone)
	}
	foreign := b.kekIn("another project", "k")
	pending, err := b.s.Prepare(b.ctx(), newMasterKey(b.p, "pending", b.now), envelope.KEKID(uuid.NewString()), b.now.Add(time.Minute))
	b.must(err)
	for _, k := range []kek.Version{foreign, pending, {ID: envelope.KEKID(uuid.NewString())}} {
		s, v := b.sealed(b.secretNamed(policy.Huawei, "s"), 1, k)
		b.refused(s, &v, envelope.ErrKEKGone)
	}
}

// furnish gives a secret something in every table.
func (b *bench) furnish(s secret.Secret, k kek.Version) secret.Secret {
	b.Helper()
	s = b.create(s, k)
	s = b.addVersion(s, 2, k, map[secret.Stage]secret.Mark{"mine": {Version: 1, Since: b.now}})
	b.must(b.s.ReplaceMetadata(b.ctx(), s, map[string]string{"a": "1", "b": "2"}, b.event()))
	return s
}

func deleteLeavesNothing(b *bench) {
	k := b.kek("k")
	s := b.furnish(b.secretNamed(policy.Huawei, "s"), k)
	s.Revision = 99 // whatever it is
	b.must(b.s.Delete(b.ctx(), s, b.event()))
	b.gone(s)
	n, err := b.s.Rows(b.p)
	b.must(err)
	for table, rows := range n {
		if want := map[string]int{"audit_events": 4}[table]; rows != want {
			b.Errorf("%d rows are left in %s, want %d", rows, table, want)
		}
	}
	b.must(b.s.SetKEK(b.p, k.ID, kek.DecryptOnly, false))
	if err := b.s.Retire(b.ctx(), k); err != nil {
		b.Errorf("the KEK is still in use: %v", err)
	}
}

func deleteSparesTheNeighbours(b *bench) {
	k := b.kek("k")
	s := b.furnish(b.secretNamed(policy.Huawei, "s"), k)
	other := b.furnish(b.secretNamed(policy.Huawei, "t"), k)
	foreign := s
	foreign.Project = "another project"
	if err := b.s.Delete(b.ctx(), foreign, b.event()); !errors.Is(err, secret.ErrNotFound) {
		b.Errorf("Delete from another project: %v", err)
	}
	before := b.find(secret.Anywhere(other.ID), secret.Want{Sealed: true, Versions: true, Metadata: true})
	b.must(b.s.Delete(b.ctx(), s, b.event()))
	after := b.find(secret.Anywhere(other.ID), secret.Want{Sealed: true, Versions: true, Metadata: true})
	if diff := cmp.Diff(before, after); diff != "" {
		b.Errorf("the neighbour changed (-before +after):\n%s", diff)
	}
}

func deletedNameIsFree(b *bench) {
	for range 3 {
		s := b.createEmpty(policy.Huawei, "again")
		b.must(b.s.Delete(b.ctx(), s, b.event()))
	}
}

func callerThatLeftIsTold(b *bench) {
	k := b.kek("k")
	ctx, cancel := context.WithCancel(b.ctx())
	cancel()
	s, v := b.sealed(b.secretNamed(policy.Huawei, "s"), 1, k)
	check := func(name string, err error) {
		b.Helper()
		if fault.KindOf(err) != fault.Unavailable {
			b.Errorf("%s: %v, want unavailable", name, err)
		}
	}
	check("Create", b.s.Create(ctx, s, &v, b.event()))
	_, err := b.s.Find(ctx, secret.Anywhere(s.ID), all, b.now)
	check("Find", err)
	_, err = b.s.Lease(ctx, b.p, "k", 1)
	check("Lease", err)
	if n := b.rows("secrets"); n != 0 {
		b.Errorf("%d secrets, want none", n)
	}
}
