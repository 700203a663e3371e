package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/quota"
)

// registrationText wraps one change of a container's consumers. change is CTEs
// that begin where the container is held, and the last of them, done, has the
// rows that changed; told is a second column before the container's. $1 to $5 are project, container, the event's time, UUID
// and text. The container's columns are those before the change, which a
// statement does not see itself.
func registrationText(change, told string) string {
	return `
		WITH held AS (
			SELECT c.project, c.id FROM containers c
			WHERE c.project = $1 AND c.id = $2
			FOR KEY SHARE OF c
		),` + change + `,
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, $4, $3, $5 FROM done
		)
		SELECT EXISTS (SELECT FROM done), ` + told + `, ` + containerColumns + containerContents + `
		FROM held h JOIN containers c ON c.project = h.project AND c.id = h.id`
}

var (
	addContainerConsumerText = registrationText(room(countedContainerConsumers, "$9", "$10", "$3")+`,
		done AS (
			INSERT INTO container_consumers (project, container, id, name, url, registrar, created_at, updated_at)
			SELECT project, id, $6::uuid, $7, $8, $9, $3, $3 FROM held, room WHERE room.free
			ON CONFLICT ON CONSTRAINT container_consumers_pair DO NOTHING
			RETURNING project
		),
		touched AS (
			UPDATE containers c SET updated_at = $3 FROM done
			WHERE c.project = $1 AND c.id = $2
		)`, "(SELECT free FROM room)")
	removeContainerConsumerText = registrationText(`
		known AS (
			SELECT u.registrar FROM container_consumers u JOIN held ON u.project = held.project AND u.container = held.id
			WHERE u.name = $6 AND u.url = $7
		),
		done AS (
			DELETE FROM container_consumers u USING held
			WHERE u.project = $1 AND u.container = $2 AND u.name = $6 AND u.url = $7
			  AND (u.registrar = $8 OR u.project = $8)
			RETURNING u.project
		)`, "(SELECT registrar FROM known)")
)

// AddContainerConsumer implements container.Store. Whether there is room comes
// before whether such a party is registered (barbican.md §10).
func (db *DB) AddContainerConsumer(ctx context.Context, c container.Container, n container.Consumer, ev audit.Event) (container.Container, error) {
	var fresh, free bool
	now, err := db.changeConsumers(ctx, "container_consumer_add", addContainerConsumerText, c, ev, []any{&fresh, &free},
		n.ID, n.Name, n.URL, string(n.Registrar), db.limit(countedContainerConsumers))
	switch {
	case err != nil:
		return now, err
	case !free:
		return container.Container{}, quota.Reached(quota.Consumers)
	case fresh:
		now.UpdatedAt = ev.At
	}
	if at, there := slices.BinarySearchFunc(now.Consumers, n.Party, partyOrder); !there {
		now.Consumers = slices.Insert(now.Consumers, at, n.Party)
	}
	return now, nil
}

func partyOrder(a, b container.Party) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.URL, b.URL))
}

// RemoveContainerConsumer implements container.Store.
func (db *DB) RemoveContainerConsumer(ctx context.Context, c container.Container, p container.Party, by auth.ProjectID, ev audit.Event) (container.Container, error) {
	var gone bool
	var registrar sql.NullString
	now, err := db.changeConsumers(ctx, "container_consumer_remove", removeContainerConsumerText, c, ev, []any{&gone, &registrar},
		p.Name, p.URL, string(by))
	switch {
	case err != nil:
		return now, err
	case !gone && registrar.Valid && by != now.Project && registrar.String != string(by):
		return container.Container{}, container.ErrNotRegistrar
	case !gone: // or somebody else was faster
		return container.Container{}, container.ErrNoConsumer
	}
	now.Consumers = slices.DeleteFunc(now.Consumers, func(o container.Party) bool { return o == p })
	return now, nil
}

// changeConsumers runs one change. told is where the two columns before the
// container's go.
func (db *DB) changeConsumers(ctx context.Context, name, text string, c container.Container, ev audit.Event, told []any, args ...any) (container.Container, error) {
	record, err := ev.JSON()
	if err != nil {
		return container.Container{}, fmt.Errorf("encode event: %w", err)
	}
	var r containerRow
	args = append([]any{string(c.Project), string(c.ID), ev.At, ev.ID, string(record)}, args...)
	err = db.row(ctx, name, text, args...).Scan(append(told, r.dest(container.Want{Contents: true})...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return container.Container{}, container.ErrNotFound
	}
	if err != nil {
		return container.Container{}, fmt.Errorf("change consumers: %w", err)
	}
	return r.take()
}

const containerConsumerColumns = `u.id, u.name, u.url, u.registrar, u.created_at, u.updated_at`

// containerConsumerDest are the targets of containerConsumerColumns.
func containerConsumerDest(c *container.Consumer) []any {
	return []any{&c.ID, &c.Name, &c.URL, &c.Registrar, &c.CreatedAt, &c.UpdatedAt}
}

// inUTC is c with its times in UTC.
func inUTC(c container.Consumer) container.Consumer {
	c.CreatedAt, c.UpdatedAt = c.CreatedAt.UTC(), c.UpdatedAt.UTC()
	return c
}

const (
	countContainerConsumersText = `
		SELECT count(*) FROM container_consumers u WHERE u.project = $1 AND u.container = $2`
	listContainerConsumersText = `
		SELECT (` + countContainerConsumersText + `), ` + containerConsumerColumns + `
		FROM container_consumers u
		WHERE u.project = $1 AND u.container = $2
		ORDER BY u.name, u.url LIMIT $3 OFFSET $4`
	findContainerConsumerText = `
		SELECT ` + containerConsumerColumns + `
		FROM container_consumers u
		WHERE u.project = $1 AND u.container = $2 AND u.id = $3`
)

// ListContainerConsumers implements container.Store. A page past the end has no
// row to carry the count, and only then a second statement counts.
func (db *DB) ListContainerConsumers(ctx context.Context, c container.Container, limit, offset int) ([]container.Consumer, int, error) {
	var found []container.Consumer
	var total int
	args := []any{string(c.Project), string(c.ID)}
	err := db.query(ctx, "container_consumer_list", listContainerConsumersText, append(args, int64(limit), int64(offset)), func(scan func(...any) error) error {
		var n container.Consumer
		if err := scan(append([]any{&total}, containerConsumerDest(&n)...)...); err != nil {
			return err
		}
		found = append(found, inUTC(n))
		return nil
	})
	if err == nil && len(found) == 0 && offset > 0 {
		err = db.row(ctx, "container_consumer_count", countContainerConsumersText, args...).Scan(&total)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list consumers: %w", err)
	}
	return found, total, nil
}

// FindContainerConsumer implements container.Store.
func (db *DB) FindContainerConsumer(ctx context.Context, c container.Container, id string) (container.Consumer, error) {
	if !isUUID(id) {
		return container.Consumer{}, container.ErrNoConsumer
	}
	var n container.Consumer
	err := db.row(ctx, "container_consumer_find", findContainerConsumerText, string(c.Project), string(c.ID), id).Scan(containerConsumerDest(&n)...)
	if errors.Is(err, sql.ErrNoRows) {
		return n, container.ErrNoConsumer
	}
	if err != nil {
		return n, fmt.Errorf("find consumer: %w", err)
	}
	return inUTC(n), nil
}
