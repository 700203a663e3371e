package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/huandu/go-sqlbuilder"
	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
)

var _ container.Store = (*DB)(nil)

// containerFixed are the columns that a container is made with.
const containerFixed = `project, id, name, type, creator, created_at, updated_at`

// containerParams counts the parameters of storedContainer.
var containerParams = columns(containerFixed) + 2

// storedContainer is the CTEs that store a container with its entries, once
// where guard has a row. guard is the name of a CTE; the parameters from $first
// on are containerValues. It does not look whether the secrets exist: the
// statement that it is part of makes them, or holds them. The container is the
// one row of c.
func storedContainer(guard string, first int) string {
	arrays := first + columns(containerFixed)
	return `
		c AS (
			INSERT INTO containers (` + containerFixed + `)
			SELECT ` + params(first, columns(containerFixed)) + ` FROM ` + guard + ` LIMIT 1
			RETURNING project, id
		),
		c_directory AS (
			INSERT INTO container_directory (id, project)
			SELECT id, project FROM c
		),
		c_secrets AS (
			INSERT INTO container_secrets (project, container, secret, name)
			SELECT c.project, c.id, e.secret, e.name
			FROM c, unnest(` + params(arrays, 1) + `::uuid[], ` + params(arrays+1, 1) + `::text[]) WITH ORDINALITY e (secret, name, place)
			ORDER BY e.place
		)`
}

func containerValues(c container.Container) []any {
	ids, names := make(pq.StringArray, 0, len(c.Entries)), make([]sql.NullString, 0, len(c.Entries))
	for _, e := range c.Entries {
		ids, names = append(ids, secretUUID(e.Secret)), append(names, nullText(e.Name))
	}
	return []any{
		string(c.Project), string(c.ID), nullable(c.Name), string(c.Type), string(c.Creator), c.CreatedAt, c.UpdatedAt,
		ids, pq.Array(names),
	}
}

// noSecret is nobody's ID: all that are handed out have version 4.
const noSecret = "00000000-0000-0000-0000-000000000000"

// secretUUID is an ID that callers gave, as PostgreSQL can compare it.
func secretUUID(id secret.ID) string {
	if isUUID(string(id)) {
		return string(id)
	}
	return noSecret
}

func nullText(p *string) sql.NullString {
	if p == nil {
		return sql.NullString{}
	}
	return sql.NullString{String: *p, Valid: true}
}

// The parameters of CreateContainer: the container's, then the event's, then
// the operator's default for containers.
var createContainerText = func() string {
	ids, event := params(containerParams-1, 1)+"::uuid[]", containerParams+1
	return `
		WITH ` + room(countedContainers, "$1", params(event+3, 1), params(event+1, 1)) + `,
		held AS (
			SELECT s.id FROM secrets s
			WHERE s.project = $1 AND s.id = ANY (` + ids + `) AND ` + alive("s", params(event+1, 1)) + `
			ORDER BY s.id
			FOR KEY SHARE OF s
		),
		complete AS (
			SELECT FROM room, (SELECT count(*) AS n FROM held) h
			WHERE room.free AND h.n = (SELECT count(DISTINCT w.id) FROM unnest(` + ids + `) w (id))
		),` + storedContainer("complete", 1) + `,
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, ` + params(event, 3) + ` FROM c
		)
		SELECT EXISTS (SELECT FROM c), (SELECT free FROM room)`
}()

// CreateContainer implements container.Store. The secrets are held, so that
// none is deleted before the entries are there, which then go with it.
func (db *DB) CreateContainer(ctx context.Context, c container.Container, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	var created, free bool
	args := append(containerValues(c), ev.ID, ev.At, string(record), db.limit(countedContainers))
	err = db.row(ctx, "container_create", createContainerText, args...).Scan(&created, &free)
	switch {
	case violates(err, "container_secrets_pair"):
		return container.ErrHasSecret
	case err != nil:
		return fmt.Errorf("create container: %w", err)
	case !free:
		return quota.Reached(quota.Containers)
	case !created:
		return container.ErrNoSecret
	}
	db.tallies.sample("containers", c.Project, string(c.ID))
	return nil
}

// DeleteContainer implements container.Store. Entries and consumers go with
// the container's row, by their foreign keys.
func (db *DB) DeleteContainer(ctx context.Context, c container.Container, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	var gone bool
	err = db.row(ctx, "container_delete", deleteContainerText,
		string(c.Project), string(c.ID), ev.At, ev.ID, string(record)).Scan(&gone)
	if err != nil {
		return fmt.Errorf("delete container: %w", err)
	}
	if !gone {
		return container.ErrNotFound
	}
	db.tallies.sample("containers", c.Project, string(c.ID))
	return nil
}

const deleteContainerText = `
		WITH c AS (
			DELETE FROM containers c WHERE c.project = $1 AND c.id = $2
			RETURNING c.project, c.id
		),
		directory AS (
			DELETE FROM container_directory d USING c WHERE d.id = c.id
		),
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, $4, $3, $5 FROM c
		)
		SELECT EXISTS (SELECT FROM c)`

// containerColumns is everything of the container c but its contents, in the
// order in which containerRow scans it.
const containerColumns = `
		c.id, c.project, c.name, c.type, c.creator, c.created_at, c.updated_at,
		c.acl_private, c.acl_readers, c.acl_created_at, c.acl_updated_at`

// containerContents are the entries and consumers of the container c.
const containerContents = `,
		(SELECT json_agg(json_build_object('name', e.name, 'secret', e.secret) ORDER BY e.position)
		 FROM container_secrets e WHERE e.project = c.project AND e.container = c.id),
		(SELECT json_agg(json_build_object('name', u.name, 'url', u.url) ORDER BY u.name, u.url)
		 FROM container_consumers u WHERE u.project = c.project AND u.container = c.id)`

const (
	containerAnywhere = `
		FROM container_directory d
		JOIN containers c ON c.project = d.project AND c.id = d.id
		WHERE d.id = $1`
	containerWithin = `
		FROM containers c
		WHERE c.id = $1 AND c.project = $2`
)

// findContainerTexts has the statements by whether the handle names a project
// and whether the contents are wanted.
var findContainerTexts = map[bool]map[bool]string{
	false: {
		false: `SELECT` + containerColumns + containerAnywhere,
		true:  `SELECT` + containerColumns + containerContents + containerAnywhere,
	},
	true: {
		false: `SELECT` + containerColumns + containerWithin,
		true:  `SELECT` + containerColumns + containerContents + containerWithin,
	},
}

// FindContainer implements container.Store.
func (db *DB) FindContainer(ctx context.Context, h container.Handle, want container.Want) (container.Container, error) {
	if !isUUID(string(h.ID)) {
		return container.Container{}, container.ErrNotFound
	}
	args := []any{string(h.ID)}
	if h.Project != "" {
		args = append(args, string(h.Project))
	}
	var r containerRow
	err := db.row(ctx, "container_find", findContainerTexts[h.Project != ""][want.Contents], args...).Scan(r.dest(want)...)
	if errors.Is(err, sql.ErrNoRows) {
		return container.Container{}, container.ErrNotFound
	}
	if err != nil {
		return container.Container{}, fmt.Errorf("find container: %w", err)
	}
	return r.take()
}

// ListContainers implements container.Store. A page past the end has no row to
// carry the count, and only then a second statement counts.
func (db *DB) ListContainers(ctx context.Context, p auth.ProjectID, q container.Query) ([]container.Container, int, error) {
	count, page := containerBuilders(p, q)
	var found []container.Container
	var total int
	var unsettled string
	text, args := page.Build()
	err := db.query(ctx, "container_list", text, args, func(scan func(...any) error) error {
		var r containerRow
		if err := scan(append([]any{&total, &unsettled}, r.dest(container.Want{Contents: true})...)...); err != nil {
			return err
		}
		c, err := r.take()
		found = append(found, c)
		return err
	})
	if err == nil && len(found) == 0 && q.Offset > 0 {
		text, args = count.Build()
		err = db.row(ctx, "container_count", text, args...).Scan(&total, &unsettled)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list containers: %w", err)
	}
	db.tallies.note("containers", unsettled)
	return found, total, nil
}

// containerBuilders returns the statement that counts and the one that reads
// the page: by an index alone, and then the page's own rows with their
// contents, one by one.
func containerBuilders(p auth.ProjectID, q container.Query) (count, page sqlbuilder.Builder) {
	selected := func(columns string) *sqlbuilder.SelectBuilder {
		b := sqlbuilder.PostgreSQL.NewSelectBuilder().Select(columns).From("containers c")
		b.Where(b.Equal("c.project", string(p)), "c.type <> ''") // the index's condition
		if q.Name != "" {
			b.Where("c.name LIKE " + b.Var(closedPattern(q.Name)))
		}
		if q.Type != "" {
			b.Where(b.Equal("c.type", q.Type))
		}
		return b
	}
	count = selected("count(*), ''")
	if q.Name == "" && q.Type == "" {
		count = totalOf("containers", p, postgreSQL("SELECT 0"))
	}
	found := selected("c.project, c.id").OrderBy("c.created_at", "c.id").Limit(q.Limit).Offset(q.Offset)
	return count, postgreSQL(`
		WITH t (total, unsettled) AS MATERIALIZED ($?),
		page AS ($?)
		SELECT (SELECT total FROM t), (SELECT unsettled FROM t), `+containerColumns+containerContents+`
		FROM page p
		CROSS JOIN LATERAL (
			SELECT`+containerColumns+` FROM containers c WHERE c.project = p.project AND c.id = p.id OFFSET 0) c
		ORDER BY c.created_at, c.id`, count, found)
}
