package postgres

import (
	"context"
	"fmt"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/secret"
)

// metadataText wraps one change of a secret's metadata. change is a CTE that
// begins where the secret exists, as s, and returns the rows it changed; $1 to
// $5 are project, UUID, the event's time, UUID and text.
func metadataText(change string) string {
	return `
		WITH s AS (
			SELECT s.project, s.id FROM secrets s
			WHERE s.project = $1 AND s.id = $2 AND ` + alive("s", "$3") + `
		),
		m AS (` + change + `),
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, $4, $3, $5 FROM m
		)
		SELECT EXISTS (SELECT FROM s), EXISTS (SELECT FROM m)`
}

var (
	addMetadatumText = metadataText(`
			INSERT INTO secret_metadata (project, secret, key, value)
			SELECT project, id, $6, $7 FROM s
			ON CONFLICT DO NOTHING
			RETURNING project`)
	changeMetadatumText = metadataText(`
			UPDATE secret_metadata d SET value = $7 FROM s
			WHERE d.project = $1 AND d.secret = $2 AND d.key = $6
			RETURNING d.project`)
	removeMetadatumText = metadataText(`
			DELETE FROM secret_metadata d USING s
			WHERE d.project = $1 AND d.secret = $2 AND d.key = $6
			RETURNING d.project`)
)

// AddMetadatum implements secret.Store.
func (db *DB) AddMetadatum(ctx context.Context, s secret.Secret, m secret.Metadatum, ev audit.Event) error {
	return db.metadata(ctx, "metadatum_add", addMetadatumText, s, ev, secret.ErrMetadatum, m.Key, m.Value)
}

// ChangeMetadatum implements secret.Store.
func (db *DB) ChangeMetadatum(ctx context.Context, s secret.Secret, m secret.Metadatum, ev audit.Event) error {
	return db.metadata(ctx, "metadatum_change", changeMetadatumText, s, ev, secret.ErrNoMetadatum, m.Key, m.Value)
}

// RemoveMetadatum implements secret.Store.
func (db *DB) RemoveMetadatum(ctx context.Context, s secret.Secret, key string, ev audit.Event) error {
	return db.metadata(ctx, "metadatum_remove", removeMetadatumText, s, ev, secret.ErrNoMetadatum, key)
}

// metadata runs one change of metadata. refused is the error where the secret
// is there and nothing was changed.
func (db *DB) metadata(ctx context.Context, name, text string, s secret.Secret, ev audit.Event, refused error, args ...any) error {
	found, done, err := db.changeMetadata(ctx, name, text, s, ev, args...)
	switch {
	case err != nil:
		return err
	case !found:
		return secret.ErrNotFound
	case !done:
		return refused
	}
	return nil
}

func (db *DB) changeMetadata(ctx context.Context, name, text string, s secret.Secret, ev audit.Event, args ...any) (found, done bool, err error) {
	record, err := ev.JSON()
	if err != nil {
		return false, false, fmt.Errorf("encode event: %w", err)
	}
	args = append([]any{string(s.Project), string(s.ID), ev.At, ev.ID, string(record)}, args...)
	err = db.row(ctx, name, text, args...).Scan(&found, &done)
	switch {
	case violates(err, "secret_metadata_secret"): // deleted while the statement ran
		return false, false, nil
	case err != nil:
		return false, false, fmt.Errorf("change metadata: %w", err)
	}
	return found, done, nil
}

// A statement does not see pairs that a concurrent replacement has added since
// it began, so it must not replace those that it sees: it compares and swaps
// the secret's metadata revision, and who loses starts over.
var replaceMetadataText = metadataText(`
			UPDATE secrets r SET metadata_revision = r.metadata_revision + 1
			FROM s JOIN secrets seen ON seen.project = s.project AND seen.id = s.id
			WHERE r.project = $1 AND r.id = $2 AND r.metadata_revision = seen.metadata_revision
			RETURNING r.project, r.id
		),
		removed AS (
			DELETE FROM secret_metadata d USING m
			WHERE d.project = $1 AND d.secret = $2 AND d.key <> ALL ($6::text[])
		),
		put AS (
			INSERT INTO secret_metadata (project, secret, key, value)
			SELECT m.project, m.id, p.key, p.value FROM m, unnest($6::text[], $7::text[]) p (key, value)
			ON CONFLICT ON CONSTRAINT secret_metadata_pkey DO UPDATE SET value = excluded.value`)

// replaceTries is how often a replacement starts over; each time another one
// came first.
const replaceTries = 32

// ReplaceMetadata implements secret.Store.
func (db *DB) ReplaceMetadata(ctx context.Context, s secret.Secret, pairs map[string]string, ev audit.Event) error {
	keys, values := pq.StringArray{}, pq.StringArray{}
	for k, v := range pairs {
		keys, values = append(keys, k), append(values, v)
	}
	for range replaceTries {
		found, done, err := db.changeMetadata(ctx, "metadata_replace", replaceMetadataText, s, ev, keys, values)
		switch {
		case err != nil:
			return err
		case !found:
			return secret.ErrNotFound
		case done:
			return nil
		}
	}
	return secret.ErrStale
}
