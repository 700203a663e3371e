package postgres

import (
	"context"
	"fmt"
	"time"
)

// Leases are one process's claims to background work.
type Leases struct {
	db     *DB
	holder string
}

// Leases returns the claims of the process that calls itself holder, a UUID.
func (db *DB) Leases(holder string) *Leases { return &Leases{db: db, holder: holder} }

const claimText = `
	INSERT INTO job_leases (name, holder, until)
	VALUES ($1, $2, now() + $3 * interval '1 microsecond')
	ON CONFLICT ON CONSTRAINT job_leases_pkey DO UPDATE SET holder = excluded.holder, until = excluded.until
	WHERE job_leases.until <= now() OR job_leases.holder = excluded.holder`

// Claim reports whether this process does the named work now, and keeps others
// from it for ttl. The database's clock counts: the processes' own may differ.
func (l *Leases) Claim(ctx context.Context, name string, ttl time.Duration) (bool, error) {
	n, err := l.db.exec(ctx, "job_claim", claimText, name, l.holder, ttl.Microseconds())
	if err != nil {
		return false, fmt.Errorf("claim job: %w", err)
	}
	return n == 1, nil
}
