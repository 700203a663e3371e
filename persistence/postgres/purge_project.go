package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/tenant"
)

var _ tenant.Store = (*DB)(nil)

// purged are the tables whose rows a project leaves behind, and where their
// identifiers stand besides, if anywhere. All that belongs to such a row goes with it, by its
// foreign keys.
var purged = []struct{ table, directory string }{
	{"containers", "container_directory"},
	{"secrets", "secret_directory"},
}

// purgeProjectText is one statement for all of them. Rows are chosen by primary key,
// which leads with the project.
var purgeProjectText = func() string {
	var with, counts []string
	for _, p := range purged {
		with = append(with,
			p.table+`_gone AS (
				DELETE FROM `+p.table+` WHERE project = $1 AND id = ANY (ARRAY(
					SELECT id FROM `+p.table+` WHERE project = $1 ORDER BY id LIMIT $2))
				RETURNING id
			)`)
		if p.directory != "" {
			with = append(with, p.directory+`_gone AS (
				DELETE FROM `+p.directory+` d USING `+p.table+`_gone g WHERE d.id = g.id
			)`)
		}
		counts = append(counts, `(SELECT count(*) FROM `+p.table+`_gone)`)
	}
	for _, settings := range []string{"project_quotas", "preferred_token_groups", "secret_notifications"} {
		with = append(with, settings+`_gone AS (DELETE FROM `+settings+` WHERE project = $1)`)
	}
	// Those that secrets of a later round are subscribed to go with that round.
	with = append(with, `events_gone AS (
			DELETE FROM secret_events e WHERE e.project = $1 AND NOT EXISTS (
				SELECT FROM secrets s WHERE s.project = $1 AND s.event = e.name AND s.id NOT IN (SELECT id FROM secrets_gone))
		)`)
	with = append(with, `event AS (
			INSERT INTO audit_events (project, id, at, event) VALUES ($1, $3, $4, $5)
		)`)
	return `WITH ` + strings.Join(with, `, `) + ` SELECT ` + strings.Join(counts, ` + `)
}()

// PurgeProject implements tenant.Store.
func (db *DB) PurgeProject(ctx context.Context, p auth.ProjectID, limit int, ev audit.Event) (n int, err error) {
	event, err := ev.JSON()
	if err != nil {
		return 0, fmt.Errorf("encode audit event: %w", err)
	}
	err = db.row(ctx, "project_purge", purgeProjectText, string(p), limit, ev.ID, ev.At, string(event)).Scan(&n)
	return n, err
}
