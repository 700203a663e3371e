package hsm

import "context"

// Refresh asks every worker for its status, as its supervisor does now and
// then.
func (t *Token) Refresh(ctx context.Context) error {
	for _, s := range t.pool.now.Load().workers {
		if err := s.member.refresh(ctx, s.worker, limits{soft: t.cfg.OpTimeout, hard: t.cfg.HardDeadline}); err != nil {
			return err
		}
	}
	return nil
}
