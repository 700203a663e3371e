package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
)

// digestOf is what tells uses apart: each text with its length before it.
func digestOf(u secret.Use) []byte {
	h := sha256.New()
	for _, text := range []string{u.Service, u.ResourceType, u.ResourceID} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		h.Write([]byte(text))
	}
	return h.Sum(nil)
}

// consumersOf are the consumers of the secret s as JSON, oldest first.
var consumersOf = `(SELECT json_agg(json_build_object('id', c.id, 'service', c.service, 'type', c.resource_type,
			'resource', c.resource_id, 'registrar', c.registrar,
			'created', ` + micros("c.created_at") + `, 'updated', ` + micros("c.updated_at") + `) ORDER BY c.created_at, c.id)
		 FROM secret_consumers c WHERE c.project = s.project AND c.secret = s.id)`

// readConsumers reads what PostgreSQL put together; times are microseconds
// since 1970.
func readConsumers(text []byte) ([]secret.Consumer, error) {
	var rows []struct {
		ID                      secret.ConsumerID
		Service, Type, Resource string
		Registrar               auth.ProjectID
		Created, Updated        int64
	}
	if err := readJSON(text, &rows); err != nil {
		return nil, err
	}
	all := make([]secret.Consumer, 0, len(rows))
	for _, r := range rows {
		all = append(all, secret.Consumer{
			ID: r.ID, Use: secret.Use{Service: r.Service, ResourceType: r.Type, ResourceID: r.Resource},
			Registrar: r.Registrar, CreatedAt: time.UnixMicro(r.Created).UTC(), UpdatedAt: time.UnixMicro(r.Updated).UTC(),
		})
	}
	return all, nil
}

// addConsumers reads the consumers of a page of secrets in one statement.
func (db *DB) addConsumers(ctx context.Context, page []secret.Secret) error {
	at := map[secret.ID]int{}
	var projects, ids pq.StringArray
	for i := range page {
		page[i].Consumers = []secret.Consumer{}
		at[page[i].ID] = i
		projects, ids = append(projects, string(page[i].Project)), append(ids, string(page[i].ID))
	}
	if len(page) == 0 {
		return nil
	}
	return db.query(ctx, "secret_list_consumers", listConsumersText, []any{projects, ids}, func(scan func(...any) error) error {
		var id string
		var text []byte
		if err := scan(&id, &text); err != nil {
			return err
		}
		all, err := readConsumers(text)
		page[at[secret.ID(id)]].Consumers = all
		return err
	})
}

var listConsumersText = `
		SELECT s.id, ` + consumersOf + `
		FROM unnest($1::text[], $2::uuid[]) s (project, id)`

// The page is joined to the count, so that a page past the end still has a row.
// The condition on the digest is that of the index in this order.
const consumersPageText = `
		SELECT n.total, c.id, c.service, c.resource_type, c.resource_id, c.registrar, c.created_at, c.updated_at
		FROM (SELECT count(*) AS total FROM secret_consumers c WHERE c.project = $1 AND c.secret = $2) n
		LEFT JOIN (
			SELECT * FROM secret_consumers c
			WHERE c.project = $1 AND c.secret = $2 AND octet_length(c.digest) = 32
			ORDER BY c.created_at, c.id LIMIT $3 OFFSET $4
		) c ON true
		ORDER BY c.created_at, c.id`

// Consumers implements secret.Store.
func (db *DB) Consumers(ctx context.Context, s secret.Secret, limit, offset int) ([]secret.Consumer, int, error) {
	var page []secret.Consumer
	var total int
	args := []any{string(s.Project), string(s.ID), int64(limit), int64(offset)}
	err := db.query(ctx, "secret_consumers", consumersPageText, args, func(scan func(...any) error) error {
		var id, service, kind, resource, registrar sql.NullString
		var created, updated sql.NullTime
		if err := scan(&total, &id, &service, &kind, &resource, &registrar, &created, &updated); err != nil || !id.Valid {
			return err
		}
		page = append(page, secret.Consumer{
			ID: secret.ConsumerID(id.String), Use: secret.Use{Service: service.String, ResourceType: kind.String, ResourceID: resource.String},
			Registrar: auth.ProjectID(registrar.String), CreatedAt: orZero(created), UpdatedAt: orZero(updated),
		})
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list consumers: %w", err)
	}
	return page, total, nil
}

// A new consumer makes the secret's revision grow, and that is what
// DeleteUnused compares: it cannot see a consumer that was committed after it
// began. What registers at the same time as a deletion either is deleted with
// the secret or finds no secret to refer to. The quota is that of the project
// that registers.
var registerText = `
		WITH ` + room(countedSecretConsumers, "$11", "$14", "$3") + `,
		s AS (
			SELECT s.project, s.id FROM secrets s
			WHERE s.project = $1 AND s.id = $2 AND ` + alive("s", "$3") + `
		),
		c AS (
			INSERT INTO secret_consumers (project, secret, id, digest, service, resource_type, resource_id, registrar, created_at, updated_at)
			SELECT project, id, $6, $7, $8, $9, $10, $11, $12, $13 FROM s, room WHERE room.free
			ON CONFLICT ON CONSTRAINT secret_consumers_use DO NOTHING
			RETURNING project, secret
		),
		touched AS (
			UPDATE secrets t SET revision = t.revision + 1, updated_at = $13 FROM c
			WHERE t.project = $1 AND t.id = $2
		),
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, $4, $3, $5 FROM c
		)
		SELECT EXISTS (SELECT FROM s), EXISTS (SELECT FROM c), (SELECT free FROM room)`

// Register implements secret.Store.
func (db *DB) Register(ctx context.Context, s secret.Secret, c secret.Consumer, ev audit.Event) (fresh bool, err error) {
	record, err := ev.JSON()
	if err != nil {
		return false, fmt.Errorf("encode event: %w", err)
	}
	var found, free bool
	err = db.row(ctx, "secret_register", registerText,
		string(s.Project), string(s.ID), ev.At, ev.ID, string(record),
		string(c.ID), digestOf(c.Use), c.Service, c.ResourceType, c.ResourceID, string(c.Registrar), c.CreatedAt, c.UpdatedAt,
		db.limit(countedSecretConsumers),
	).Scan(&found, &fresh, &free)
	switch {
	case violates(err, "secret_consumers_secret"): // deleted while the statement ran
		return false, secret.ErrNotFound
	case err != nil:
		return false, fmt.Errorf("register consumer: %w", err)
	case !found:
		return false, secret.ErrNotFound
	case !free:
		return false, quota.Reached(quota.Consumers)
	}
	return fresh, nil
}

var unregisterText = `
		WITH s AS (
			SELECT s.project, s.id FROM secrets s
			WHERE s.project = $1 AND s.id = $2 AND ` + alive("s", "$3") + `
		),
		gone AS (
			DELETE FROM secret_consumers c USING s
			WHERE c.project = $1 AND c.secret = $2 AND c.digest = $6 AND $7 IN (c.project, c.registrar)
			RETURNING c.project
		),
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, $4, $3, $5 FROM gone
		)
		SELECT EXISTS (SELECT FROM gone), EXISTS (
			SELECT FROM secret_consumers c, s
			WHERE c.project = $1 AND c.secret = $2 AND c.digest = $6 AND $7 NOT IN (c.project, c.registrar))
		FROM s`

// Unregister implements secret.Store.
func (db *DB) Unregister(ctx context.Context, s secret.Secret, u secret.Use, by auth.ProjectID, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	var gone, foreign bool
	err = db.row(ctx, "secret_unregister", unregisterText,
		string(s.Project), string(s.ID), ev.At, ev.ID, string(record), digestOf(u), string(by),
	).Scan(&gone, &foreign)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return secret.ErrNotFound
	case err != nil:
		return fmt.Errorf("unregister consumer: %w", err)
	case foreign:
		return secret.ErrConsumerForeign
	case !gone:
		return secret.ErrNoConsumer
	}
	return nil
}
