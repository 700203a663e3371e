package postgres

import (
	"context"
	"fmt"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/secret"
)

// containerACLText wraps one change of the container's own row. $1 to $5 are
// project, UUID, the event's time, UUID and text.
func containerACLText(set string) string {
	return `
		WITH c AS (
			UPDATE containers c SET ` + set + `
			WHERE c.project = $1 AND c.id = $2
			RETURNING c.project
		),
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, $4, $3, $5 FROM c
		)
		SELECT EXISTS (SELECT FROM c)`
}

// What is NULL of $6 and $7 stays, so that two changes of different parts are
// both kept.
var (
	putContainerACLText = containerACLText(`
				acl_private = coalesce($6, c.acl_private, false),
				acl_readers = coalesce($7::text[], c.acl_readers, '{}'),
				acl_created_at = coalesce(c.acl_created_at, $3), acl_updated_at = $3, updated_at = $3`)
	dropContainerACLText = containerACLText(`
				acl_private = NULL, acl_readers = NULL, acl_created_at = NULL, acl_updated_at = NULL,
				updated_at = CASE WHEN $6 THEN $3 ELSE c.updated_at END`)
)

// PutContainerACL implements container.Store.
func (db *DB) PutContainerACL(ctx context.Context, c container.Container, change secret.ACLChange, ev audit.Event) error {
	var readers any
	if change.Readers != nil {
		all := make(pq.StringArray, 0, len(*change.Readers))
		for _, u := range *change.Readers {
			all = append(all, string(u))
		}
		readers = all
	}
	return db.changeContainer(ctx, "container_acl_put", putContainerACLText, c, ev, nullable(change.Private), readers)
}

// DropContainerACL implements container.Store.
func (db *DB) DropContainerACL(ctx context.Context, c container.Container, touch bool, ev audit.Event) error {
	return db.changeContainer(ctx, "container_acl_drop", dropContainerACLText, c, ev, touch)
}

func (db *DB) changeContainer(ctx context.Context, name, text string, c container.Container, ev audit.Event, args ...any) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	var done bool
	args = append([]any{string(c.Project), string(c.ID), ev.At, ev.ID, string(record)}, args...)
	if err := db.row(ctx, name, text, args...).Scan(&done); err != nil {
		return fmt.Errorf("change container: %w", err)
	}
	if !done {
		return container.ErrNotFound
	}
	return nil
}
