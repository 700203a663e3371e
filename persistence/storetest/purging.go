package storetest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

var purging = map[string]func(*bench){
	"PurgeRemovesWhatEnded": purgeRemovesWhatEnded,
	"PurgeLeavesWhatLives":  purgeLeavesWhatLives,
	"PurgeGoesByTheProject": purgeGoesByTheProject,
	"PurgeRacesWithRestore": purgeRacesWithRestore,
	"PurgesRace":            purgesRace,
}

// ending stores a secret with a payload that ends at a moment.
func (b *bench) ending(name string, expiration, deleteAt *time.Time) secret.Secret {
	b.Helper()
	b.tick()
	s := b.secretNamed(policy.Huawei, name)
	s.Expiration, s.DeleteAt = expiration, deleteAt
	if deleteAt != nil {
		s.State = secret.PendingDelete
	}
	s, v := b.sealed(s, 1, b.kek(name))
	b.must(b.s.Create(b.ctx(), s, &v, b.event()))
	return s
}

func (b *bench) purged(s ...secret.Secret) (gone []secret.Purged) {
	for _, s := range s {
		gone = append(gone, secret.Purged{ID: s.ID, Event: b.event()})
	}
	return gone
}

// ended are the names of what Ended returns.
func (b *bench) ended(before time.Time, limit int) (names []string) {
	b.Helper()
	all, err := b.s.Ended(b.ctx(), before, limit)
	b.must(err)
	for _, e := range all {
		if string(e.Project) == b.p {
			names = append(names, e.Name)
		}
	}
	return names
}

func purgeRemovesWhatEnded(b *bench) {
	at := func(m int) *time.Time { return ptr(noon.Add(time.Hour + time.Duration(m)*time.Minute)) }
	expires := b.ending("expires", at(1), nil)
	due := b.ending("due", nil, at(0))
	both := b.ending("both", at(9), at(2))
	later := b.ending("later", at(3), nil)
	b.ending("never", nil, nil)
	b.must(b.s.AddMetadatum(b.ctx(), expires, secret.Metadatum{Key: "k", Value: "v"}, b.event()))
	if got := b.ended(*at(-1), 9); len(got) != 0 {
		b.Errorf("too early, %v has ended", got)
	}
	if got := b.ended(*at(2), 9); !slices.Equal(got, []string{"due", "expires", "both"}) {
		b.Errorf("%v has ended, want what did, in that order", got)
	}
	if got := b.ended(*at(2), 2); !slices.Equal(got, []string{"due", "expires"}) {
		b.Errorf("%v are the first two", got)
	}
	events := b.rows("audit_events")
	n, err := b.s.Purge(b.ctx(), b.project(), b.purged(expires, due, both, later), *at(2))
	b.must(err)
	if n != 3 {
		b.Errorf("%d purged, want the 3 that ended", n)
	}
	for table, want := range map[string]int{
		"secrets": 2, "secret_directory": 2, "secret_versions": 2, "secret_metadata": 0, "audit_events": events + 3,
	} {
		if got := b.rows(table); got != want {
			b.Errorf("%d rows of %s, want %d", got, table, want)
		}
	}
	if got := b.ended(*at(2), 9); len(got) != 0 {
		b.Errorf("%v is still there", got)
	}
	if n, err = b.s.Purge(b.ctx(), b.project(), b.purged(expires), *at(2)); n != 0 || err != nil || b.rows("audit_events") != events+3 {
		b.Errorf("a second time, %d are purged, %v", n, err)
	}
	if n, err = b.s.Purge(b.ctx(), b.project(), nil, *at(2)); n != 0 || err != nil {
		b.Errorf("of nothing, %d are purged, %v", n, err)
	}
}

func purgeLeavesWhatLives(b *bench) {
	s := b.ending("s", ptr(noon.Add(time.Hour)), nil)
	if n, err := b.s.Purge(b.ctx(), b.project(), b.purged(s), noon.Add(time.Hour-time.Second)); n != 0 || err != nil {
		b.Errorf("%d purged, %v", n, err)
	}
	b.find(secret.Anywhere(s.ID), all)
}

func purgeGoesByTheProject(b *bench) {
	s := b.ending("s", ptr(noon.Add(time.Hour)), nil)
	if n, err := b.s.Purge(b.ctx(), "another project", b.purged(s), noon.Add(2*time.Hour)); n != 0 || err != nil {
		b.Errorf("%d purged, %v", n, err)
	}
	if b.rows("secrets") != 1 {
		b.Error("it is gone")
	}
}

// Whoever is first wins: a secret that was restored in time stays, whatever the
// purge saw before, and one that is purged cannot be restored.
func purgeRacesWithRestore(b *bench) {
	due := noon.Add(time.Hour)
	for i := range 10 {
		s := b.ending(fmt.Sprint("s", i), nil, &due)
		b.now = due.Add(-time.Microsecond)
		restored := s
		restored.State, restored.DeleteAt = secret.Enabled, nil
		var purged atomic.Int64
		errs := race(2, func(r int) error {
			if r == 0 {
				return b.s.Apply(b.ctx(), secret.Change{Secret: restored}, b.event())
			}
			n, err := b.s.Purge(b.ctx(), b.project(), b.purged(s), due)
			purged.Add(int64(n))
			return err
		})
		b.must(errs[1])
		_, err := b.s.Find(b.ctx(), secret.Anywhere(s.ID), all, b.now)
		if there := err == nil; there != (errs[0] == nil) || there == (purged.Load() == 1) {
			b.Errorf("restored: %v; purged: %d; then: %v", errs[0], purged.Load(), err)
		}
		b.now = noon
	}
}

// Many who purge the same remove, and record, each secret once.
func purgesRace(b *bench) {
	end := noon.Add(time.Hour)
	var all []secret.Secret
	for i := range 20 {
		all = append(all, b.ending(fmt.Sprint("s", i), &end, nil))
	}
	events := b.rows("audit_events")
	var purged atomic.Int64
	for _, err := range race(4, func(int) error {
		n, err := b.s.Purge(b.ctx(), b.project(), b.purged(all...), end)
		purged.Add(int64(n))
		return err
	}) {
		b.must(err)
	}
	if n := purged.Load(); n != 20 || b.rows("secrets") != 0 || b.rows("audit_events") != events+20 {
		b.Errorf("%d purged, %d left, %d events", n, b.rows("secrets"), b.rows("audit_events")-events)
	}
}
