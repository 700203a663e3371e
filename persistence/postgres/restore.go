package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/secret"
)

// restoreText is createSealedText for many versions, all under one KEK, with
// stages, tags and user metadata. None of
// them is news, so no event fires. Times are those that the secret had; the event's is
// when all this happens.
var restoreText = func() string {
	at := versionFrom
	take := func(casts ...string) string {
		var list []string
		for _, c := range casts {
			list = append(list, params(at, 1)+"::"+c)
			at++
		}
		return strings.Join(list, ", ")
	}
	kek, otherwise := take("uuid"), take("text")
	versions := take("int[]", "bytea[]", "bytea[]", "text[]", "timestamptz[]", "timestamptz[]")
	stages := take("text[]", "int[]", "timestamptz[]")
	metadata, tags := take("text[]", "text[]"), take("text[]", "text[]")
	told := `CASE WHEN p.expires_at <= ` + params(eventFrom+1, 1) + ` THEN p.expires_at END` // when it expired, not now
	return `
		WITH kek AS (` + heldKEK("$1", kek, otherwise) + `),` + createRoom + `,
		s AS (
			INSERT INTO secrets (` + fixed + `, ` + changing + `)
			SELECT ` + restoredValues() + ` FROM kek, room WHERE room.free
			RETURNING project, id, event
		),
		v AS (
			INSERT INTO secret_versions (project, secret, kek, number, wrapped_dek, body, content_type, created_at, expires_at, expiry_told)
			SELECT s.project, s.id, kek.id, p.number, p.wrapped_dek, p.body, p.content_type, p.created_at, p.expires_at, ` + told + `
			FROM s, kek, unnest(` + versions + `) p (number, wrapped_dek, body, content_type, created_at, expires_at)
		),
		stages AS (
			INSERT INTO secret_stages (project, secret, name, version, since)
			SELECT s.project, s.id, p.name, p.version, p.since FROM s, unnest(` + stages + `) p (name, version, since)
		),
		metadata AS (
			INSERT INTO secret_metadata (project, secret, key, value)
			SELECT s.project, s.id, p.key, p.value FROM s, unnest(` + metadata + `) p (key, value)
		),
		tags AS (
			INSERT INTO secret_tags (project, secret, key, value)
			SELECT s.project, s.id, p.key, p.value FROM s, unnest(` + tags + `) p (key, value)
		),` + createRest
}()

// restoredValues are the secret's values, an event among them only where the
// project has it.
func restoredValues() string {
	var list []string
	for i, column := range strings.Split(fixed+`, `+changing, ",") {
		p := params(1+i, 1)
		if strings.TrimSpace(column) == "event" {
			p = `(SELECT e.name FROM secret_events e WHERE e.project = $1 AND e.name = ` + p + `)`
		}
		list = append(list, p)
	}
	return strings.Join(list, ", ")
}

// Restore implements secret.Store, in one statement like Create.
func (db *DB) Restore(ctx context.Context, f secret.Found, ev audit.Event) (string, error) {
	record, err := ev.JSON()
	if err != nil {
		return "", fmt.Errorf("encode event: %w", err)
	}
	sealed := f.Versions[0].Sealed
	args := append(append(fixedValues(f.Secret), changed(f.Secret)...), ev.ID, ev.At, string(record), db.limit(countedSecrets),
		string(sealed.KEK.ID), db.otherwise(sealed))
	args = append(args, versionArrays(f.Versions)...)
	args = append(args, stageArrays(f.Stages)...)
	var keys, values pq.StringArray
	for k, v := range f.Metadata {
		keys, values = append(keys, k), append(values, v)
	}
	var tagKeys, tagValues pq.StringArray
	for _, t := range f.Tags {
		tagKeys, tagValues = append(tagKeys, t.Key), append(tagValues, t.Value)
	}
	return db.created(ctx, "secret_restore", f.Secret, ev.At, restoreText, append(args, keys, values, tagKeys, tagValues))
}

// versionArrays has one array for each column of the versions.
func versionArrays(versions []secret.Version) []any {
	var numbers pq.Int64Array
	var wrapped, bodies pq.ByteaArray
	var types, created pq.StringArray
	var expires []sql.NullString
	for _, v := range versions {
		numbers = append(numbers, int64(v.Number))
		wrapped, bodies = append(wrapped, v.Sealed.WrappedDEK), append(bodies, v.Sealed.Body)
		types, created = append(types, v.ContentType), append(created, timeText(v.CreatedAt))
		var at sql.NullString
		if v.ExpiresAt != nil {
			at = sql.NullString{String: timeText(*v.ExpiresAt), Valid: true}
		}
		expires = append(expires, at)
	}
	return []any{numbers, wrapped, bodies, types, created, pq.Array(expires)}
}

// stageArrays has one array for each column of the stages.
func stageArrays(stages map[secret.Stage]secret.Mark) []any {
	var names, since pq.StringArray
	var versions pq.Int64Array
	for stage, mark := range stages {
		names = append(names, string(stage))
		versions = append(versions, int64(mark.Version))
		since = append(since, timeText(mark.Since))
	}
	return []any{names, versions, since}
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
