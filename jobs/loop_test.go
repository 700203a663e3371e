package jobs_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/strongroom-kms/strongroom/jobs"
)

// An hour passes in a millisecond: synctest gives the bubble its own clock.
func TestLoopSurvivesFailuresAndStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		core, logs := observer.New(zap.ErrorLevel)
		runs := 0
		go jobs.Loop(ctx, zap.New(core), jobs.Alone{}, jobs.Job{
			Name:  "rewrap",
			Every: 10 * time.Minute,
			Run: func(context.Context) error {
				runs++
				return errors.New("token is away")
			},
		})
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		if runs != 6 {
			t.Errorf("%d runs in an hour, want 6", runs)
		}
		if n := logs.FilterMessage("job failed").FilterField(zap.String("job", "rewrap")).Len(); n != 6 {
			t.Errorf("%d failures in the log, want 6", n)
		}
		stop()
		time.Sleep(time.Hour)
		if runs != 6 {
			t.Errorf("%d runs after the stop", runs-6)
		}
	})
}

type taken struct{ ttl time.Duration }

func (l *taken) Claim(_ context.Context, _ string, ttl time.Duration) (bool, error) {
	l.ttl = ttl
	return false, nil
}

func TestLoopLeavesAJobToWhoHasItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var lease taken
		go jobs.Loop(ctx, zap.NewNop(), &lease, jobs.Job{
			Name:  "purge",
			Every: time.Minute,
			Run:   func(context.Context) error { t.Error("ran without the lease"); return nil },
		})
		time.Sleep(time.Hour)
		stop()
		synctest.Wait()
		if lease.ttl != time.Minute {
			t.Errorf("claimed for %v, want as long as a run may take", lease.ttl)
		}
	})
}

// A run that hangs is stopped when the next is due, and Loop does not return
// before its run has.
func TestLoopBoundsARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var runs, ended int
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			jobs.Loop(ctx, zap.NewNop(), jobs.Alone{}, jobs.Job{
				Name:  "expire",
				Every: time.Minute,
				Run: func(ctx context.Context) error {
					runs++
					<-ctx.Done()
					time.Sleep(time.Second)
					ended++
					return ctx.Err()
				},
			})
		}()
		time.Sleep(5*time.Minute + 30*time.Second)
		stop()
		<-returned
		if runs < 3 || runs != ended {
			t.Errorf("%d runs began and %d ended before Loop returned, want at least 3 of each", runs, ended)
		}
	})
}
