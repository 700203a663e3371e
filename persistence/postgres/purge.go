package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/secret"
)

// endedText looks into all projects: it is no request's business.
var endedText = `
	SELECT s.project, s.id, coalesce(s.name, s.id::text)
	FROM secrets s
	WHERE ` + endOf("s") + ` <= $1
	ORDER BY ` + endOf("s") + `
	LIMIT $2`

// Ended implements secret.Store.
func (db *DB) Ended(ctx context.Context, before time.Time, limit int) ([]secret.Ended, error) {
	var ended []secret.Ended
	err := db.query(ctx, "secret_ended", endedText, []any{before, limit}, func(scan func(...any) error) error {
		var project, id, name string
		if err := scan(&project, &id, &name); err != nil {
			return err
		}
		ended = append(ended, secret.Ended{Project: auth.ProjectID(project), ID: secret.ID(id), Name: name})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find ended secrets: %w", err)
	}
	return ended, nil
}

// purgeText removes secrets of project $1, whose UUIDs are $2, unless they end
// after $3; $4 to $6 are the events' time, UUIDs and texts. What is locked is
// found again by its place: no plan can go wrong there. A deletion whose time
// somebody moves just now is locked, and left alone.
var purgeText = `
	WITH held AS (
		SELECT h.place, h.id
		FROM unnest($2::uuid[]) w (id)
		CROSS JOIN LATERAL (
			SELECT s.ctid AS place, s.id FROM secrets s
			WHERE s.project = $1 AND s.id = w.id AND NOT (` + alive("s", "$3") + `)
			FOR UPDATE SKIP LOCKED
		) h
	),
	s AS (
		DELETE FROM secrets s WHERE s.ctid = ANY (ARRAY(SELECT place FROM held)) RETURNING s.project, s.id` + told + `
	),
	directory AS (
		DELETE FROM secret_directory d WHERE d.id = ANY (ARRAY(SELECT id FROM s))
	),
	event AS (
		INSERT INTO audit_events (project, id, at, event)
		SELECT $1, w.event, $4, w.record
		FROM unnest($2::uuid[], $5::uuid[], $6::text[]) w (id, event, record) JOIN s ON s.id = w.id
	)` + notice(`unnest($2::uuid[], $5::uuid[]) w (id, event) JOIN s ON s.id = w.id`, firing{
	id: "w.event", at: "$4", kind: "'" + string(event.Deleted) + "'", version: "NULL::int", until: "NULL::timestamptz",
}) + `
	SELECT count(*) FROM s`

// Purge implements secret.Store. Versions, stages, metadata and consumers go
// with the secret's row, by their foreign keys, and so does its place in
// containers.
func (db *DB) Purge(ctx context.Context, p auth.ProjectID, gone []secret.Purged, before time.Time) (int, error) {
	if len(gone) == 0 {
		return 0, nil
	}
	var ids, events, records pq.StringArray
	for _, g := range gone {
		record, err := g.Event.JSON()
		if err != nil {
			return 0, fmt.Errorf("encode event: %w", err)
		}
		ids, events, records = append(ids, string(g.ID)), append(events, g.Event.ID), append(records, string(record))
	}
	var n int
	err := db.row(ctx, "secret_purge", purgeText,
		string(p), ids, before, gone[0].Event.At, events, records).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("purge secrets: %w", err)
	}
	if n > 0 {
		db.tallies.note("secrets", string(p))
	}
	return n, nil
}
