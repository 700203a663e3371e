package main

import (
	"context"
	"sync"
	"time"

	"github.com/strongroom-kms/strongroom/jobs"
)

// tokensPerPurge bounds how many dead access tokens one run removes.
const tokensPerPurge = 10_000

// startJobs begins the work in the background and returns what ends it and
// waits for it.
func (p *parts) startJobs() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for _, j := range []jobs.Job{
		{Name: "purge-access-tokens", Every: time.Minute, Run: func(ctx context.Context) error {
			_, err := p.realm.PurgeTokens(ctx, tokensPerPurge)
			return err
		}},
		// Each node settles what it has seen itself.
		{Name: "settle-tallies", Every: 10 * time.Second, Run: p.db.Settle},
	} {
		run := j.Run
		j.Run = func(ctx context.Context) error {
			began := time.Now()
			err := run(ctx)
			p.metrics.Job(j.Name, time.Since(began), err)
			return err
		}
		// Two nodes that purge at once do no harm, so no lease is needed.
		wait.Go(func() { jobs.Loop(ctx, p.log, jobs.Alone{}, j) })
	}
	return func() {
		cancel()
		wait.Wait()
	}
}
