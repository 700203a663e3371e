package postgres_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/jobs"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
)

// One process at a time has a job, until its claim lapses; it may claim again
// before.
func TestLeases(t *testing.T) {
	t.Parallel()
	db := pgtest.Open(t)
	a, b := db.Leases(uuid.NewString()), db.Leases(uuid.NewString())
	const brief = 300 * time.Millisecond
	for i, step := range []struct {
		who  jobs.Lease
		name string
		ttl  time.Duration
		want bool
	}{
		{a, "purge", brief, true},
		{b, "purge", brief, false},
		{b, "other", time.Hour, true},
		{a, "other", time.Hour, false},
		{a, "purge", brief, true},
	} {
		if got, err := step.who.Claim(t.Context(), step.name, step.ttl); got != step.want || err != nil {
			t.Errorf("step %d: %v, %v, want %v", i, got, err, step.want)
		}
	}
	time.Sleep(brief + 50*time.Millisecond)
	if got, err := b.Claim(t.Context(), "purge", time.Hour); !got || err != nil {
		t.Errorf("after it lapsed: %v, %v", got, err)
	}
	if got, err := a.Claim(t.Context(), "purge", time.Hour); got || err != nil {
		t.Errorf("while another one has it: %v, %v", got, err)
	}
}

func TestOneOfManyClaims(t *testing.T) {
	t.Parallel()
	db := pgtest.Open(t)
	won := make(chan bool, 16)
	for range cap(won) {
		go func() {
			got, err := db.Leases(uuid.NewString()).Claim(t.Context(), "purge", time.Hour)
			if err != nil {
				t.Error(err)
			}
			won <- got
		}()
	}
	n := 0
	for range cap(won) {
		if <-won {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d of %d have the job", n, cap(won))
	}
}
