package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
)

// heldKEK keeps a KEK from being retired while the statement it is part of
// runs, and finds nothing if the KEK does not seal any more. Whatever makes a
// DEK depend on a KEK selects from it: wrapping happened before, so the KEK may
// have gone meanwhile. Any number may hold the key lock at once, beside
// updates of the row's counters. Retire has the other side.
//
// Where otherwise is not NULL, the DEK was wrapped under whatever is the
// project's default master key, and otherwise is the installation's default
// group: then the KEK has to be of the project's own group still. The statement
// sees what was preferred before it began. So once a change of the preference
// is answered, nothing that is sent afterwards, to whichever node, ends up in
// the old group.
func heldKEK(project, id, otherwise string) string {
	return `
		SELECT k.id FROM keks k
		JOIN master_keys m ON m.project = k.project AND m.id = k.master_key
		WHERE k.project = ` + project + ` AND k.id = ` + id + `
		  AND k.state = 'active' AND NOT k.disabled AND m.state = 'enabled'
		  AND (` + otherwise + `::text IS NULL OR m.is_default AND m.token_group = ` + ownGroup(project, otherwise) + `)
		FOR KEY SHARE OF k`
}

// otherwise is the argument of heldKEK.
func (db *DB) otherwise(s envelope.Sealed) any {
	if !s.AsDefault {
		return nil
	}
	return db.defaultGroup
}

// The parameters of Create: the secret's values first, then the event's, the
// operator's default for secrets, the version's, and what heldKEK must know.
var (
	secretValues = columns(fixed) + columns(changing)
	eventFrom    = secretValues + 1
	limitAt      = eventFrom + 3
	versionFrom  = limitAt + 1
)

const versionColumns = `number, kek, wrapped_dek, body, content_type, created_at, expires_at`

func versionValues(v secret.Version) []any {
	return []any{
		int64(v.Number), string(v.Sealed.KEK.ID), v.Sealed.WrappedDEK, v.Sealed.Body,
		v.ContentType, v.CreatedAt, nullable(v.ExpiresAt),
	}
}

// createText stores a secret, createSealedText one with its first version, and
// createToldText one whose first version somebody is to hear of.
var (
	createText = `
		WITH ` + createRoom + `,
		s AS (
			INSERT INTO secrets (` + fixed + `, ` + changing + `)
			SELECT ` + params(1, secretValues) + ` FROM room WHERE room.free
			RETURNING project, id, event
		),` + createRest
	createSealedText = createWithVersion(false)
	createToldText   = createWithVersion(true)
	createRoom       = room(countedSecrets, "$1", params(limitAt, 1), params(eventFrom+1, 1))
	createRest       = `
		directory AS (
			INSERT INTO secret_directory (id, project)
			SELECT id, project FROM s
		),
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, ` + params(eventFrom, 3) + ` FROM s
		)
		SELECT EXISTS (SELECT FROM s), (SELECT free FROM room), (SELECT s.event FROM s)`
)

func createWithVersion(tell bool) string {
	returning, notices := `, event`, ""
	if tell {
		returning = told // the event among them
		notices = notice("s", firing{
			id: params(eventFrom, 1), at: params(eventFrom+1, 1), kind: "'" + string(event.VersionCreated) + "'",
			version: params(versionFrom, 1), until: params(versionFrom+columns(versionColumns)-1, 1),
		})
	}
	return `
		WITH kek AS (` + heldKEK("$1", params(versionFrom+1, 1), params(versionFrom+columns(versionColumns), 1)) + `),` + createRoom + `,
		s AS (
			INSERT INTO secrets AS s (` + fixed + `, ` + changing + `)
			SELECT ` + params(1, secretValues) + ` FROM kek, room WHERE room.free
			RETURNING project, id` + returning + `
		),
		v AS (
			INSERT INTO secret_versions (project, secret, ` + versionColumns + `)
			SELECT project, id, ` + params(versionFrom, columns(versionColumns)) + ` FROM s
		)` + notices + `,` + createRest
}

// Create implements secret.Store. One statement is one round trip and one
// transaction.
func (db *DB) Create(ctx context.Context, s secret.Secret, v *secret.Version, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	args := append(append(fixedValues(s), changed(s)...), ev.ID, ev.At, string(record), db.limit(countedSecrets))
	text := createText
	if v != nil {
		if text = createSealedText; s.Event != "" {
			text = createToldText
		}
		args = append(append(args, versionValues(*v)...), db.otherwise(v.Sealed))
	}
	_, err = db.created(ctx, "secret_create", s, s.CreatedAt, text, args)
	return err
}

// created runs a statement that makes s at a moment, and says which event it
// subscribed to.
func (db *DB) created(ctx context.Context, name string, s secret.Secret, now time.Time, text string, args []any) (event string, err error) {
	var created, free bool
	var kept sql.NullString
	err = db.row(ctx, name, text, args...).Scan(&created, &free, &kept)
	switch {
	case violates(err, "secrets_name_in_project"):
		return "", db.namesake(ctx, s, now)
	case violates(err, "secrets_event"):
		return "", secret.ErrNoEvent
	case err != nil:
		return "", fmt.Errorf("create secret: %w", err)
	case !free:
		return "", db.fullFor(ctx, s, now)
	case !created:
		return "", envelope.ErrKEKGone
	}
	db.tallies.sample("secrets", s.Project, string(s.ID))
	return kept.String, nil
}

// fullFor says why there is no room for s: a name that is taken comes first
// (csms.md §4.1.1).
func (db *DB) fullFor(ctx context.Context, s secret.Secret, now time.Time) error {
	if s.Family == policy.Huawei && s.Name != nil {
		var taken bool
		err := db.row(ctx, "secret_name_taken", `
			SELECT EXISTS (
				SELECT FROM secrets s
				WHERE s.project = $1 AND s.name = $2 AND s.family = 'huawei' AND `+alive("s", "$3")+`)`,
			string(s.Project), *s.Name, now).Scan(&taken)
		if err != nil {
			return fmt.Errorf("look for the name: %w", err)
		}
		if taken {
			return secret.ErrNameTaken
		}
	}
	return quota.Reached(quota.Secrets)
}

// namesake is why the name of s is not free: the secret that has the name of s may be over, though
// no job has removed its rows yet.
func (db *DB) namesake(ctx context.Context, s secret.Secret, now time.Time) error {
	var id string
	err := db.row(ctx, "secret_namesake", `
		SELECT s.id FROM secrets s
		WHERE s.project = $1 AND s.name = $2 AND s.family = 'huawei' AND NOT (`+alive("s", "$3")+`)`,
		string(s.Project), *s.Name, now).Scan(&id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return secret.ErrNameTaken
	case err != nil:
		return fmt.Errorf("look for the name: %w", err)
	}
	return &secret.NameHeldError{By: secret.Ended{Project: s.Project, ID: secret.ID(id), Name: *s.Name}}
}

// assignments are the columns of a list, each set to its parameter.
func assignments(list string, first int) string {
	var b strings.Builder
	for i, column := range strings.Split(list, ",") {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strings.TrimSpace(column) + " = " + params(first+i, 1))
	}
	return b.String()
}
