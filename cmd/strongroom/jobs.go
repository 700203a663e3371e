package main

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/jobs"
)

const (
	tokensPerPurge   = 10_000 // dead access tokens, in one run
	secretsPerPurge  = 200    // in one statement
	talliedPerSettle = 50_000 // rows, in one run
)

// startJobs begins the work in the background and returns what ends it and
// waits for it. Two nodes that do the same do no harm: a lease saves work.
func (p *parts) startJobs() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	shared := p.db.Leases(uuid.NewString())
	type shift struct {
		lease jobs.Lease
		jobs.Job
	}
	all := []shift{
		{shared, jobs.Job{Name: "purge-access-tokens", Every: p.cfg.Jobs.PurgeEvery, Run: func(ctx context.Context) error {
			_, err := p.realm.PurgeTokens(ctx, tokensPerPurge)
			return err
		}}},
		{shared, jobs.Job{Name: "purge-secrets", Every: p.cfg.Jobs.PurgeEvery, Run: p.purgeSecrets}},
		// Each node settles what it has seen itself.
		{jobs.Alone{}, jobs.Job{Name: "settle-tallies", Every: p.cfg.Jobs.SettleEvery, Run: func(ctx context.Context) error {
			_, err := p.db.Settle(ctx, talliedPerSettle)
			return err
		}}},
		// Who makes an order finishes it in most cases; this is for those whose
		// server died, and for those that wait for the token. Each order is
		// claimed by itself, so every node does this.
		{jobs.Alone{}, jobs.Job{Name: "resume-orders", Every: 2 * time.Second, Run: p.orders.Resume}},
		// Each rotation is claimed by itself, too.
		{jobs.Alone{}, jobs.Job{Name: "rotate-secrets", Every: p.cfg.CSMS.Rotation.Every, Run: p.rotateDue}},
		{shared, jobs.Job{Name: "forget-rotations", Every: time.Hour, Run: p.forgetRotations}},
	}
	for _, j := range p.notificationJobs(ctx) {
		all = append(all, shift{jobs.Alone{}, j})
	}
	for _, j := range all {
		run := j.Run
		j.Run = func(ctx context.Context) error {
			began := time.Now()
			err := run(ctx)
			p.metrics.Job(j.Name, time.Since(began), err)
			return err
		}
		wait.Go(func() { jobs.Loop(ctx, p.log, j.lease, j.Job) })
	}
	wait.Go(func() { p.keepRotating(ctx) })
	return func() {
		cancel()
		wait.Wait()
	}
}

// purgeSecrets goes on for half the time that a run has; what is left then is
// for the next.
func (p *parts) purgeSecrets(ctx context.Context) error {
	enough := time.Now().Add(p.cfg.Jobs.PurgeEvery / 2)
	for n := secretsPerPurge; n == secretsPerPurge && time.Now().Before(enough); {
		var err error
		if n, err = p.secrets.Purge(ctx, time.Now().Add(-p.cfg.Jobs.PurgeAfter), secretsPerPurge); err != nil {
			return err
		}
		if n > 0 {
			p.log.Info("secrets whose time was over are removed", zap.Int("secrets", n))
		}
	}
	return nil
}
