package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
)

// notificationRead is what notificationRow scans.
const notificationRead = notificationColumns + `, status, attempts, coalesce(due_at, at)`

// notificationRow is a notification on its way out of the database.
type notificationRow struct {
	n                     event.Notification
	project, kind, status string
	version               sql.NullInt64
	until                 sql.NullTime
}

func (r *notificationRow) dest() []any {
	n := &r.n
	return []any{
		&r.project, &n.ID, &n.At, &n.Event, &r.kind, &n.Target.ID, &n.Target.Name,
		&n.Secret.ID, &n.Secret.Name, &n.Secret.Kind, &n.Secret.CreatedAt, &n.Secret.UpdatedAt,
		&r.version, &r.until, &r.status, &n.Attempts, &n.DueAt,
	}
}

func (r *notificationRow) take() event.Notification {
	n := r.n
	n.Project, n.Type, n.Status = auth.ProjectID(r.project), event.Type(r.kind), event.Status(r.status)
	n.Version, n.VersionUntil = int(r.version.Int64), maybeTime(r.until)
	n.At, n.DueAt = n.At.UTC(), n.DueAt.UTC()
	n.Secret.CreatedAt, n.Secret.UpdatedAt = n.Secret.CreatedAt.UTC(), n.Secret.UpdatedAt.UTC()
	return n
}

func (db *DB) notifications(ctx context.Context, name, text string, args ...any) ([]event.Notification, error) {
	var found []event.Notification
	err := db.query(ctx, name, text, args, func(scan func(...any) error) error {
		var r notificationRow
		if err := scan(r.dest()...); err != nil {
			return err
		}
		found = append(found, r.take())
		return nil
	})
	return found, err
}

// listNotificationsText reads the primary key backwards: identifiers are in the
// order of time.
const listNotificationsText = `
	SELECT ` + notificationRead + ` FROM secret_notifications
	WHERE project = $1 AND id < $2 AND at > $3
	ORDER BY id DESC LIMIT $4`

// lastID comes after every UUID of version 7.
const lastID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

// ListNotifications implements event.Store.
func (db *DB) ListNotifications(ctx context.Context, p auth.ProjectID, since time.Time, before string, limit int) ([]event.Notification, error) {
	if before == "" {
		before = lastID
	}
	found, err := db.notifications(ctx, "notification_list", listNotificationsText, string(p), before, since, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("list notifications: %w", err)
	}
	return found, nil
}

// claimNotificationsText takes what nobody else is taking just now. A row that
// another claim changed since this statement began is judged anew when it is
// locked, and is not due any more.
const claimNotificationsText = `
	WITH due AS (
		SELECT project, id FROM secret_notifications
		WHERE due_at <= $1 AND target_id <> ALL ($3::text[])
		ORDER BY due_at LIMIT $4
		FOR UPDATE SKIP LOCKED
	),
	n AS (
		UPDATE secret_notifications n SET due_at = $2, attempts = attempts + 1
		FROM due WHERE n.project = due.project AND n.id = due.id
		RETURNING n.*
	)
	SELECT ` + notificationRead + ` FROM n`

// Claim implements event.Outbox.
func (db *DB) Claim(ctx context.Context, now, lapse time.Time, resting []string, limit int) ([]event.Notification, error) {
	return db.notifications(ctx, "notification_claim", claimNotificationsText, now, lapse, pq.StringArray(append([]string{}, resting...)), int64(limit))
}

const concludeText = `
	UPDATE secret_notifications SET status = $3, due_at = $4
	WHERE project = $1 AND id = $2 AND status <> 'SUCCESS' AND (due_at = $5 OR $3 = 'SUCCESS')`

// Conclude implements event.Outbox.
func (db *DB) Conclude(ctx context.Context, n event.Notification, s event.Status, next *time.Time) error {
	_, err := db.exec(ctx, "notification_conclude", concludeText, string(n.Project), n.ID, string(s), nullable(next), n.DueAt)
	return err
}

// fireExpiredText marks versions and tells of them at once. Two nodes that look
// at the same time do not see the same version: one skips what the other locked,
// and finds what it changed to be told.
var fireExpiredText = `
	WITH due AS (
		SELECT v.project, v.secret, v.number FROM secret_versions v
		WHERE v.expires_at <= $1 AND v.expiry_told IS DISTINCT FROM v.expires_at AND v.expires_at IS NOT NULL
		ORDER BY v.expires_at LIMIT cardinality($2::uuid[])
		FOR UPDATE SKIP LOCKED
	),
	v AS (
		UPDATE secret_versions v SET expiry_told = v.expires_at
		FROM due WHERE v.project = due.project AND v.secret = due.secret AND v.number = due.number
		RETURNING v.project, v.secret, v.number, v.expires_at
	),
	s AS (
		SELECT s.project, s.id` + told + `, v.number, v.expires_at, row_number() OVER () AS place
		FROM v CROSS JOIN LATERAL (
			SELECT s.project, s.id` + told + ` FROM secrets s
			WHERE s.project = v.project AND s.id = v.secret AND ` + alive("s", "$1") + ` OFFSET 0
		) s
	)` + notice("s", firing{
	id: "($2::uuid[])[s.place]", at: "$1", kind: "'" + string(event.VersionExpired) + "'", version: "s.number", until: "s.expires_at",
}) + `
	SELECT count(*) FROM v`

// FireExpired implements event.Outbox.
func (db *DB) FireExpired(ctx context.Context, now time.Time, ids []string) (n int, err error) {
	err = db.row(ctx, "notification_expired", fireExpiredText, now, pq.StringArray(ids)).Scan(&n)
	return n, err
}

const purgeNotificationsText = `
	DELETE FROM secret_notifications WHERE (project, id) IN (
		SELECT project, id FROM secret_notifications WHERE at < $1 ORDER BY at LIMIT $2)`

// PurgeNotifications implements event.Outbox.
func (db *DB) PurgeNotifications(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := db.exec(ctx, "notification_purge", purgeNotificationsText, before, int64(limit))
	return int(n), err
}

// fireText is one of something that happened to a secret without a change of
// it.
var fireText = `
	WITH s AS (
		SELECT s.project, s.id` + told + `, v.expires_at
		FROM secrets s
		LEFT JOIN secret_versions v ON v.project = s.project AND v.secret = s.id AND v.number = $6::int
		WHERE s.project = $1 AND s.id = $2 AND ` + alive("s", "$4") + `
	)` + notice("s", firing{id: "$3::uuid", at: "$4::timestamptz", kind: "$5::text", version: "nullif($6::int, 0)", until: "s.expires_at"}) + `
	SELECT count(*) FROM s`

// Fire implements event.Outbox.
func (db *DB) Fire(ctx context.Context, f event.Firing) error {
	var n int
	err := db.row(ctx, "notification_fire", fireText,
		string(f.Project), f.Secret, f.ID, f.At, string(f.Type), int64(f.Version)).Scan(&n)
	if err != nil {
		return fmt.Errorf("fire event: %w", err)
	}
	return nil
}
