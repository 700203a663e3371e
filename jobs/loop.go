// Package jobs decides when background work is done. The work itself is a
// method of the domain that does a bounded piece, may stop anywhere and may run
// twice; what it changes is guarded by compare-and-swap, so nothing here has to
// be right for the data to be.
package jobs

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// Job is a piece of work and how often it is due.
type Job struct {
	Name  string
	Every time.Duration
	// Run gets a context that ends when the next run is due.
	Run func(context.Context) error
}

// Lease keeps the nodes of an installation from doing the same work at once.
// It saves work and no more: it may be lost, and two nodes may hold it.
type Lease interface {
	// Claim reports whether this node does the named job now. The claim
	// lapses by itself after ttl.
	Claim(ctx context.Context, name string, ttl time.Duration) (bool, error)
}

// Alone is the lease of an installation that has one node.
type Alone struct{}

// Claim always succeeds.
func (Alone) Claim(context.Context, string, time.Duration) (bool, error) { return true, nil }

// Loop runs j each time it is due, the first time after j.Every, and returns
// when ctx ends and the run under way has stopped. A run that fails is logged
// and tried again when it is next due.
func Loop(ctx context.Context, log *zap.Logger, lease Lease, j Job) {
	log = log.With(zap.String("job", j.Name))
	due := time.NewTicker(j.Every)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-due.C:
		}
		if ctx.Err() != nil { // both were ready
			return
		}
		began := time.Now()
		ran, err := j.once(ctx, lease)
		switch {
		case ctx.Err() != nil: // stopping; what is left is for the next process
		case err != nil:
			log.Error("job failed", zap.Error(err), zap.Duration("took", time.Since(began)))
		case ran:
			log.Debug("job done", zap.Duration("took", time.Since(began)))
		}
	}
}

// once runs the job if this node has its lease.
func (j Job) once(ctx context.Context, lease Lease) (ran bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, j.Every)
	defer cancel()
	mine, err := lease.Claim(ctx, j.Name, j.Every)
	if err != nil || !mine {
		return false, err
	}
	return true, j.Run(ctx)
}
