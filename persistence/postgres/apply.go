package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/secret"
)

// changeShape names one statement of Apply.
type changeShape struct {
	add, put, drop, purge, expires, tags, tell bool
	task                                       taskPart
}

func shapeOf(c secret.Change, task taskPart) changeShape {
	return changeShape{c.Add != nil, len(c.Put) > 0, len(c.Drop) > 0, len(c.Purge) > 0, c.Expires != nil, c.Tags != nil, tells(c), task}
}

// tells reports whether somebody is to hear of the change. The revision that it
// compares says that the subscription is still what it was.
func tells(c secret.Change) bool { return c.Tell != "" && c.Secret.Event != "" }

// applyTexts has the statement of each shape, made once.
var applyTexts = func() map[changeShape]string {
	texts := map[changeShape]string{}
	for bits := range 1 << 7 {
		on := func(i int) bool { return bits>>i&1 == 1 }
		for task := noTask; task <= endTask; task++ {
			shape := changeShape{on(0), on(1), on(2), on(3), on(4), on(5), on(6), task}
			texts[shape] = shape.text()
		}
	}
	return texts
}()

// The first parameters of Apply are project, UUID, revision, time, the event's
// UUID and the event; then come the changing columns.
const changingFrom = 7

// text writes the statement: the secret is changed if it has the revision, and
// all the rest happens if the secret was changed.
func (c changeShape) text() string {
	at := changingFrom + columns(changing)
	take := func(n int) string {
		p := params(at, n)
		at += n
		return p
	}
	var before, guard, after string
	held := "true"
	if c.add {
		number, id := take(1), take(1)
		rest := take(columns(versionColumns) - 2)
		before = `kek AS (` + heldKEK("$1", id, take(1)) + `),`
		guard = ` AND EXISTS (SELECT FROM kek)`
		held = `EXISTS (SELECT FROM kek)`
		after += `,
		v AS (
			INSERT INTO secret_versions (project, secret, ` + versionColumns + `)
			SELECT project, id, ` + number + `, ` + id + `, ` + rest + ` FROM s
		)`
	}
	if c.put {
		names, versions, since := take(1), take(1), take(1)
		after += `,
		put AS (
			INSERT INTO secret_stages (project, secret, name, version, since)
			SELECT s.project, s.id, p.name, p.version, p.since
			FROM s, unnest(` + names + `::text[], ` + versions + `::int[], ` + since + `::timestamptz[]) p (name, version, since)
			ON CONFLICT ON CONSTRAINT secret_stages_pkey DO UPDATE SET version = excluded.version, since = excluded.since
		)`
	}
	if c.drop {
		after += `,
		dropped AS (
			DELETE FROM secret_stages t USING s
			WHERE t.project = $1 AND t.secret = $2 AND t.name = ANY (` + take(1) + `::text[])
		)`
	}
	if c.purge {
		after += `,
		purged AS (
			DELETE FROM secret_versions v USING s
			WHERE v.project = $1 AND v.secret = $2 AND v.number = ANY (` + take(1) + `::int[])
		)`
	}
	if c.expires {
		after += `,
		expires AS (
			UPDATE secret_versions v SET expires_at = ` + take(1) + ` FROM s
			WHERE v.project = $1 AND v.secret = $2 AND v.number = ` + take(1) + `
		)`
	}
	if c.tags {
		keys, values := take(1), take(1)
		after += `,
		tagged AS (
			INSERT INTO secret_tags (project, secret, key, value)
			SELECT s.project, s.id, p.key, p.value FROM s, unnest(` + keys + `::text[], ` + values + `::text[]) p (key, value)
			ON CONFLICT ON CONSTRAINT secret_tags_pkey DO UPDATE SET value = excluded.value
		),
		untagged AS (
			DELETE FROM secret_tags t USING s
			WHERE t.project = $1 AND t.secret = $2 AND t.key = ANY (` + take(1) + `::text[])
		)`
	}
	var returning string
	if c.tell {
		returning = told
		f := firing{id: "$5", at: "$4", kind: take(1) + "::text", version: take(1) + "::int", until: take(1) + "::timestamptz"}
		after += notice("s", f)
	}
	after += c.task.text(take)
	return `
		WITH ` + before + `
		s AS (
			UPDATE secrets s SET revision = revision + 1, ` + assignments(changing, changingFrom) + `
			WHERE s.project = $1 AND s.id = $2 AND s.revision = $3 AND ` + alive("s", "$4") + guard + `
			RETURNING s.project, s.id` + returning + `
		)` + after + `,
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, $5, $4, $6 FROM s
		)
		SELECT EXISTS (SELECT FROM s), ` + held + `,
			(SELECT s.revision FROM secrets s WHERE s.project = $1 AND s.id = $2 AND ` + alive("s", "$4") + `)`
}

// Apply implements secret.Store.
func (db *DB) Apply(ctx context.Context, c secret.Change, ev audit.Event) error {
	return db.apply(ctx, c, taskChange{}, ev)
}

// apply compares the revision and swaps, in one statement; task is what else
// happens then.
func (db *DB) apply(ctx context.Context, c secret.Change, task taskChange, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	args := append([]any{
		string(c.Secret.Project), string(c.Secret.ID), c.Secret.Revision, ev.At, ev.ID, string(record),
	}, changed(c.Secret)...)
	args = append(append(args, db.rest(c)...), task.arguments()...)
	var done, held bool
	var revision sql.NullInt64
	err = db.row(ctx, "secret_apply", applyTexts[shapeOf(c, task.part)], args...).Scan(&done, &held, &revision)
	switch {
	case violates(err, "secrets_event"):
		return secret.ErrNoEvent
	case err != nil:
		return fmt.Errorf("change secret: %w", err)
	case done:
		return nil
	case !revision.Valid:
		return secret.ErrNotFound
	case revision.Int64 == c.Secret.Revision && !held:
		return envelope.ErrKEKGone
	}
	return secret.ErrStale
}

// rest are the arguments of the parts that c has, in the order of text.
func (db *DB) rest(c secret.Change) []any {
	var args []any
	if c.Add != nil {
		args = append(versionValues(*c.Add), db.otherwise(c.Add.Sealed))
	}
	if len(c.Put) > 0 {
		args = append(args, stageArrays(c.Put)...)
	}
	if len(c.Drop) > 0 {
		var names pq.StringArray
		for _, stage := range c.Drop {
			names = append(names, string(stage))
		}
		args = append(args, names)
	}
	if len(c.Purge) > 0 {
		var numbers pq.Int64Array
		for _, n := range c.Purge {
			numbers = append(numbers, int64(n))
		}
		args = append(args, numbers)
	}
	if c.Expires != nil {
		args = append(args, nullable(c.Expires.At), int64(c.Expires.Number))
	}
	if c.Tags != nil {
		args = append(args, tagArguments(*c.Tags)...)
	}
	if tells(c) {
		args = append(args, toldOf(c)...)
	}
	return args
}

// toldOf says which version a change is told of: the new one, else the one that
// is current now.
func toldOf(c secret.Change) []any {
	if c.Add != nil {
		return []any{string(c.Tell), int64(c.Add.Number), nullable(c.Add.ExpiresAt)}
	}
	return []any{string(c.Tell), int64(c.Secret.Current.Version), nil}
}

// deleteText deletes a secret, if it fulfils condition, too. Versions, stages,
// metadata, tags and consumers go with the secret's row, by their foreign keys.
func deleteText(condition string, tell bool) string {
	var returning, notices string
	if tell {
		returning = told
		notices = notice("s", firing{id: "$4", at: "$3", kind: "'" + string(event.Deleted) + "'", version: "NULL::int", until: "NULL::timestamptz"})
	}
	return `
		WITH s AS (
			DELETE FROM secrets s
			WHERE s.project = $1 AND s.id = $2 AND ` + alive("s", "$3") + condition + `
			RETURNING s.project, s.id` + returning + `
		),
		directory AS (
			DELETE FROM secret_directory d USING s WHERE d.id = s.id
		)` + notices + `,
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, $4, $3, $5 FROM s
		)
		SELECT EXISTS (SELECT FROM s)`
}

const unused = ` NOT EXISTS (SELECT FROM secret_consumers c WHERE c.project = $1 AND c.secret = $2)`

const stillThere = `EXISTS (SELECT FROM secrets s WHERE s.project = $1 AND s.id = $2 AND `

// The statements of Delete and DeleteUnused, by whether the secret has a
// subscription.
var deleteAnyTexts, deleteUnusedTexts = func() (deleteAny, deleteUnused map[bool]string) {
	deleteAny, deleteUnused = map[bool]string{}, map[bool]string{}
	for _, tell := range []bool{false, true} {
		subscribed := ` AND s.event IS NULL`
		if tell {
			subscribed = ` AND coalesce(s.event, '') <> ''`
		}
		deleteAny[tell] = deleteText(subscribed, tell) + `,
			NOT EXISTS (SELECT FROM s) AND ` + stillThere + alive("s", "$3") + `)`
		deleteUnused[tell] = deleteText(` AND s.revision = $6 AND`+unused, tell) + `,
			` + unused + `,
			` + stillThere + alive("s", "$3") + `)`
	}
	return deleteAny, deleteUnused
}()

// Delete implements secret.Store.
func (db *DB) Delete(ctx context.Context, s secret.Secret, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	var gone, stays bool
	err = db.row(ctx, "secret_delete", deleteAnyTexts[s.Event != ""],
		string(s.Project), string(s.ID), ev.At, ev.ID, string(record)).Scan(&gone, &stays)
	switch {
	case err != nil:
		return fmt.Errorf("delete secret: %w", err)
	case stays:
		return secret.ErrStale
	case !gone:
		return secret.ErrNotFound
	}
	db.tallies.sample("secrets", s.Project, string(s.ID))
	return nil
}

// DeleteUnused implements secret.Store.
func (db *DB) DeleteUnused(ctx context.Context, s secret.Secret, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	var gone, unused, found bool
	err = db.row(ctx, "secret_delete_unused", deleteUnusedTexts[s.Event != ""],
		string(s.Project), string(s.ID), ev.At, ev.ID, string(record), s.Revision).Scan(&gone, &unused, &found)
	switch {
	case err != nil:
		return fmt.Errorf("delete secret: %w", err)
	case gone:
		db.tallies.sample("secrets", s.Project, string(s.ID))
		return nil
	case !found:
		return secret.ErrNotFound
	case !unused:
		return secret.ErrInUse
	}
	return secret.ErrStale
}
