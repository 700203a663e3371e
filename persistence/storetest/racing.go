package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

var racing = map[string]func(*bench){
	"OneActiveKEKPerKey":       oneActiveKEKPerKey,
	"OneProjectPerUUID":        oneProjectPerUUID,
	"RetireExcludesCreate":     retireExcludesCreate,
	"OneChangePerRevision":     oneChangePerRevision,
	"OneSecretPerName":         oneSecretPerName,
	"LeasesAddUp":              leasesAddUp,
	"MetadataOfOneReplacement": metadataOfOneReplacement,
	"DeleteRacesWithAll":       deleteRacesWithAll,
}

// race runs n goroutines at once and returns what each returned.
func race(n int, do func(i int) error) []error {
	var wg sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// However many make a project's first key at once, all of them see one.
func oneActiveKEKPerKey(b *bench) {
	const racers = 20
	won := make([]envelope.KEKID, racers)
	for i, err := range race(racers, func(i int) error {
		mk := newMasterKey(b.p, string(envelope.Default), b.now)
		v, err := b.s.Prepare(b.ctx(), mk, envelope.KEKID(uuid.NewString()), b.now.Add(time.Minute))
		if err != nil {
			return err
		}
		if err := b.s.Activate(b.ctx(), v, made(v)); err != nil {
			return errors.Join(err, b.s.Discard(b.ctx(), v))
		}
		won[i] = v.ID
		return nil
	}) {
		if err != nil && !errors.Is(err, kek.ErrLostRace) {
			b.Errorf("racer %d: %v", i, err)
		}
	}
	var winner envelope.KEKID
	for _, id := range won {
		if id != "" && winner != "" {
			b.Errorf("%s and %s both won", winner, id)
		}
		winner = max(winner, id)
	}
	l, err := b.s.Lease(b.ctx(), b.p, envelope.Default, 1)
	if b.must(err); l.KEK.ID != winner {
		b.Errorf("active is %s, and %s won", l.KEK.ID, winner)
	}
	left, err := b.s.Abandoned(b.ctx(), b.p, string(envelope.Default), b.now.Add(time.Hour), b.now.Add(time.Hour))
	if b.must(err); len(left) != 0 {
		b.Errorf("%d pending KEKs are left", len(left))
	}
}

// Two projects that name one UUID at once do not both get it.
func oneProjectPerUUID(b *bench) {
	for range 5 {
		id := envelope.MasterKey(uuid.NewString())
		run := uuid.NewString()
		won := 0
		for i, err := range race(8, func(i int) error {
			mk := newMasterKey(run+strconv.Itoa(i), "csms-auto-"+string(id), b.now)
			mk.ID = id
			_, err := b.s.Prepare(b.ctx(), mk, envelope.KEKID(uuid.NewString()), b.now.Add(time.Minute))
			return err
		}) {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, envelope.ErrKeyUnusable):
				b.Errorf("racer %d: %v", i, err)
			}
		}
		if won != 1 {
			b.Errorf("%d projects have one UUID", won)
		}
	}
}

// A KEK that was retired has no DEK, however closely the last secret was
// created.
func retireExcludesCreate(b *bench) {
	for round := range 20 {
		v := b.kek(fmt.Sprint("k", round))
		created := make([]secret.Secret, 8)
		errs := race(len(created)+1, func(i int) error {
			if i == len(created) {
				if err := b.s.SetKEK(b.p, v.ID, kek.DecryptOnly, false); err != nil {
					return err
				}
				return b.s.Retire(b.ctx(), v)
			}
			s, sealed := b.sealed(b.secretNamed(policy.KeyManager, ""), 1, v)
			created[i] = s
			return b.s.Create(b.ctx(), s, &sealed, b.event())
		})
		retired := errs[len(created)]
		for i, err := range errs[:len(created)] {
			switch {
			case err == nil && retired == nil:
				b.Errorf("round %d: racer %d depends on a retired KEK", round, i)
			case err == nil:
				f := b.find(secret.Anywhere(created[i].ID), secret.Want{Sealed: true})
				if !f.Version.Sealed.KEK.Usable {
					b.Errorf("round %d: racer %d is unreadable", round, i)
				}
			case !errors.Is(err, envelope.ErrKEKGone):
				b.Errorf("round %d: racer %d: %v", round, i, err)
			}
		}
		if retired != nil && fault.KindOf(retired) != fault.WrongState {
			b.Errorf("round %d: Retire: %v", round, retired)
		}
	}
}

func oneChangePerRevision(b *bench) {
	k := b.kek("k")
	s := b.create(b.secretNamed(policy.Huawei, "s"), k)
	for round := range 5 {
		won := 0
		for i, err := range race(10, func(i int) error {
			next, v := b.sealed(s, s.Latest+1, k)
			v.Sealed.WrappedDEK = []byte{byte(i)}
			next.Description = strconv.Itoa(i)
			return b.s.Apply(b.ctx(), secret.Change{Secret: next, Add: &v}, b.event())
		}) {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, secret.ErrStale):
				b.Errorf("round %d: racer %d: %v", round, i, err)
			}
		}
		if won != 1 {
			b.Errorf("round %d: %d changes from one revision", round, won)
		}
		f := b.find(secret.Anywhere(s.ID), secret.Want{Sealed: true, Versions: true})
		if f.Secret.Revision != int64(round+1) || len(f.Versions) != round+2 {
			b.Errorf("round %d: revision %d, %d versions", round, f.Secret.Revision, len(f.Versions))
		}
		if got := strconv.Itoa(int(f.Version.Sealed.WrappedDEK[0])); got != f.Secret.Description {
			b.Errorf("round %d: half of racer %s, half of %s", round, f.Secret.Description, got)
		}
		s = f.Secret
	}
}

func oneSecretPerName(b *bench) {
	k := b.kek("k")
	won := 0
	for i, err := range race(10, func(int) error {
		s, v := b.sealed(b.secretNamed(policy.Huawei, "s"), 1, k)
		return b.s.Create(b.ctx(), s, &v, b.event())
	}) {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, secret.ErrNameTaken):
			b.Errorf("racer %d: %v", i, err)
		}
	}
	if won != 1 || b.rows("secrets") != 1 || b.rows("secret_directory") != 1 || b.rows("secret_versions") != 1 {
		b.Errorf("%d won, %d secrets", won, b.rows("secrets"))
	}
}

func leasesAddUp(b *bench) {
	b.kek("k")
	seen := make([]int64, 20)
	for i, err := range race(len(seen), func(i int) error {
		l, err := b.s.Lease(b.ctx(), b.p, "k", kek.HardLimit/int64(len(seen)-2))
		seen[i] = l.Leased
		return err
	}) {
		if err != nil && !errors.Is(err, kek.ErrExhausted) {
			b.Errorf("racer %d: %v", i, err)
		}
	}
	met := map[int64]bool{}
	for _, n := range seen {
		if n != 0 && met[n] {
			b.Errorf("two leases end at %d", n)
		}
		met[n] = true
	}
	if delete(met, 0); len(met) != len(seen)-2 {
		b.Errorf("%d leases, want %d", len(met), len(seen)-2)
	}
}

func metadataOfOneReplacement(b *bench) {
	s := b.createEmpty(policy.KeyManager, "s")
	for round := range 5 {
		for i, err := range race(8, func(i int) error {
			n := strconv.Itoa(i)
			return b.s.ReplaceMetadata(b.ctx(), s, map[string]string{"who": n, "own" + n: n}, b.event())
		}) {
			if err != nil {
				b.Errorf("round %d: racer %d: %v", round, i, err)
			}
		}
		m := b.find(secret.Anywhere(s.ID), secret.Want{Metadata: true}).Metadata
		if len(m) != 2 || m["own"+m["who"]] != m["who"] {
			b.Errorf("round %d: of several replacements: %v", round, m)
		}
	}
}

// Whatever happens to a secret while it is deleted, nothing of it is left.
func deleteRacesWithAll(b *bench) {
	k := b.kek("k")
	for round := range 10 {
		s := b.furnish(b.secretNamed(policy.Huawei, fmt.Sprint("s", round)), k)
		pair := secret.Metadatum{Key: "new", Value: "v"}
		for i, err := range race(7, func(i int) error {
			switch i {
			case 0:
				return b.s.Delete(b.ctx(), s, b.event())
			case 1:
				next, v := b.sealed(s, 3, k)
				return b.s.Apply(b.ctx(), secret.Change{Secret: next, Add: &v, Put: map[secret.Stage]secret.Mark{"x": {Version: 3, Since: b.now}}}, b.event())
			case 2:
				return b.s.ReplaceMetadata(b.ctx(), s, map[string]string{"a": "3", "c": "4"}, b.event())
			case 3:
				return b.s.AddMetadatum(b.ctx(), s, pair, b.event())
			case 4:
				return b.s.ChangeMetadatum(b.ctx(), s, secret.Metadatum{Key: "b", Value: "5"}, b.event())
			case 5:
				return b.s.Apply(b.ctx(), secret.Change{Secret: s, Drop: []secret.Stage{"mine"}, Purge: []int{1}}, b.event())
			}
			_, err := b.s.Find(b.ctx(), secret.Anywhere(s.ID), secret.Want{Sealed: true, Versions: true, Metadata: true}, b.now)
			return err
		}) {
			known := errors.Is(err, secret.ErrNotFound) || errors.Is(err, secret.ErrStale) ||
				errors.Is(err, secret.ErrMetadatum) || errors.Is(err, secret.ErrNoMetadatum)
			if err != nil && (!known || i == 0) {
				b.Errorf("round %d: racer %d: %v", round, i, err)
			}
		}
		n, err := b.s.Rows(b.p)
		b.must(err)
		for table, rows := range n {
			if rows != 0 && table != "audit_events" {
				b.Errorf("round %d: %d rows are left in %s", round, rows, table)
			}
		}
	}
}
