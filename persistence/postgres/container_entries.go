package postgres

import (
	"context"
	"fmt"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/container"
)

// entryText wraps one change of a container's entries. change is a CTE that
// begins where the container is c and the secret is held, and returns the rows
// it changed; $1 to $7 are project, container, the event's time, UUID and text,
// secret, name.
func entryText(change string) string {
	return `
		WITH c AS (
			SELECT c.project, c.id FROM containers c
			WHERE c.project = $1 AND c.id = $2
			FOR KEY SHARE OF c
		),
		held AS (
			SELECT s.id FROM secrets s
			WHERE s.project = $1 AND s.id = $6 AND ` + alive("s", "$3") + `
			FOR KEY SHARE OF s
		),
		e AS (` + change + `),
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, $4, $3, $5 FROM e
		)
		SELECT EXISTS (SELECT FROM c), EXISTS (SELECT FROM held), EXISTS (SELECT FROM e)`
}

var (
	addEntryText = entryText(`
			INSERT INTO container_secrets (project, container, secret, name)
			SELECT c.project, c.id, held.id, $7 FROM c, held
			ON CONFLICT ON CONSTRAINT container_secrets_pair DO NOTHING
			RETURNING project`)
	removeEntryText = entryText(`
			DELETE FROM container_secrets e USING c, held
			WHERE e.project = $1 AND e.container = $2 AND e.secret = $6 AND e.name IS NOT DISTINCT FROM $7
			RETURNING e.project`)
)

// AddEntry implements container.Store.
func (db *DB) AddEntry(ctx context.Context, c container.Container, e container.Entry, ev audit.Event) error {
	return db.changeEntry(ctx, "container_secret_add", addEntryText, c, e, ev, container.ErrHasSecret)
}

// RemoveEntry implements container.Store.
func (db *DB) RemoveEntry(ctx context.Context, c container.Container, e container.Entry, ev audit.Event) error {
	return db.changeEntry(ctx, "container_secret_remove", removeEntryText, c, e, ev, container.ErrLacksSecret)
}

// changeEntry runs one change of entries. refused is the error where both are
// there and nothing was changed.
func (db *DB) changeEntry(ctx context.Context, name, text string, c container.Container, e container.Entry, ev audit.Event, refused error) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	var found, held, done bool
	err = db.row(ctx, name, text, string(c.Project), string(c.ID), ev.At, ev.ID, string(record),
		secretUUID(e.Secret), nullable(e.Name)).Scan(&found, &held, &done)
	switch {
	case err != nil:
		return fmt.Errorf("change container: %w", err)
	case !found:
		return container.ErrNotFound
	case !held:
		return container.ErrNoSecret
	case !done:
		return refused
	}
	return nil
}
