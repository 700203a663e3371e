package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
)

var (
	_ event.Store  = (*DB)(nil)
	_ event.Outbox = (*DB)(nil)
)

const eventColumns = `project, name, id, types, state, target_type, target_id, target_name, created_at, updated_at`

// eventRow is an event on its way out of the database.
type eventRow struct {
	event          event.Event
	project, state string
	types          pq.StringArray
}

func (r *eventRow) dest() []any {
	e := &r.event
	return []any{
		&r.project, &e.Name, &e.ID, &r.types, &r.state,
		&e.Target.Type, &e.Target.ID, &e.Target.Name, &e.CreatedAt, &e.UpdatedAt,
	}
}

func (r *eventRow) take() event.Event {
	e := r.event
	e.Project, e.State = auth.ProjectID(r.project), event.State(r.state)
	for _, t := range r.types {
		e.Types = append(e.Types, event.Type(t))
	}
	e.CreatedAt, e.UpdatedAt = e.CreatedAt.UTC(), e.UpdatedAt.UTC()
	return e
}

func typeArray(types []event.Type) pq.StringArray {
	var out pq.StringArray
	for _, t := range types {
		out = append(out, string(t))
	}
	return out
}

// createEventText takes the project's turn before it counts, as quotas do: of
// two who would take the last place one sees the other.
var createEventText = `
	WITH room AS (SELECT secret_event_room($1, $14) AS free),
	e AS (
		INSERT INTO secret_events (` + eventColumns + `)
		SELECT ` + params(1, columns(eventColumns)) + ` FROM room WHERE room.free
		RETURNING project
	),
	recorded AS (
		INSERT INTO audit_events (project, id, at, event)
		SELECT project, $11::uuid, $12::timestamptz, $13 FROM e
	)
	SELECT EXISTS (SELECT FROM e), EXISTS (SELECT FROM secret_events o WHERE o.project = $1 AND o.name = $2)`

// CreateEvent implements event.Store.
func (db *DB) CreateEvent(ctx context.Context, e event.Event, most int64, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	var created, taken bool
	err = db.row(ctx, "event_create", createEventText,
		string(e.Project), e.Name, e.ID, typeArray(e.Types), string(e.State),
		e.Target.Type, e.Target.ID, e.Target.Name, e.CreatedAt, e.UpdatedAt,
		ev.ID, ev.At, string(record), most).Scan(&created, &taken)
	switch {
	case violates(err, "secret_events_pkey"):
		return event.ErrNameTaken
	case err != nil:
		return fmt.Errorf("create event: %w", err)
	case created:
		return nil
	case taken:
		return event.ErrNameTaken
	}
	return event.ErrFull
}

const findEventText = `SELECT ` + eventColumns + ` FROM secret_events WHERE project = $1 AND name = $2`

// FindEvent implements event.Store.
func (db *DB) FindEvent(ctx context.Context, p auth.ProjectID, name string) (event.Event, error) {
	var r eventRow
	err := db.row(ctx, "event_find", findEventText, string(p), name).Scan(r.dest()...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return event.Event{}, event.ErrNotFound
	case err != nil:
		return event.Event{}, fmt.Errorf("read event: %w", err)
	}
	return r.take(), nil
}

const listEventsText = `
	SELECT ` + eventColumns + ` FROM secret_events
	WHERE project = $1 AND name > $2 ORDER BY name LIMIT $3`

// ListEvents implements event.Store.
func (db *DB) ListEvents(ctx context.Context, p auth.ProjectID, after string, limit int) ([]event.Event, error) {
	var found []event.Event
	err := db.query(ctx, "event_list", listEventsText, []any{string(p), after, int64(limit)}, func(scan func(...any) error) error {
		var r eventRow
		if err := scan(r.dest()...); err != nil {
			return err
		}
		found = append(found, r.take())
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return found, nil
}

// updateEventText sets what is not NULL and leaves the rest as it was, so that
// of two changes of different parts both are kept.
const updateEventText = `
	WITH e AS (
		UPDATE secret_events SET updated_at = greatest(updated_at, $4), types = coalesce($6::text[], types),
			state = coalesce($7, state), target_type = coalesce($8, target_type),
			target_id = coalesce($9, target_id), target_name = coalesce($10, target_name)
		WHERE project = $1 AND name = $2
		RETURNING ` + eventColumns + `
	),
	recorded AS (
		INSERT INTO audit_events (project, id, at, event)
		SELECT project, $3, $4, $5 FROM e
	)
	SELECT ` + eventColumns + ` FROM e`

// UpdateEvent implements event.Store.
func (db *DB) UpdateEvent(ctx context.Context, e event.Event, u event.Update, ev audit.Event) (event.Event, error) {
	record, err := ev.JSON()
	if err != nil {
		return event.Event{}, fmt.Errorf("encode event: %w", err)
	}
	args := []any{string(e.Project), e.Name, ev.ID, ev.At, string(record), nil, nil, nil, nil, nil}
	if u.Types != nil {
		args[5] = typeArray(u.Types)
	}
	if u.State != nil {
		args[6] = string(*u.State)
	}
	if u.Target != nil {
		args[7], args[8], args[9] = u.Target.Type, u.Target.ID, u.Target.Name
	}
	var r eventRow
	err = db.row(ctx, "event_update", updateEventText, args...).Scan(r.dest()...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return event.Event{}, event.ErrNotFound
	case err != nil:
		return event.Event{}, fmt.Errorf("change event: %w", err)
	}
	return r.take(), nil
}

const deleteEventText = `
	WITH e AS (
		DELETE FROM secret_events WHERE project = $1 AND name = $2 RETURNING project
	),
	recorded AS (
		INSERT INTO audit_events (project, id, at, event)
		SELECT project, $3, $4, $5 FROM e
	)
	SELECT EXISTS (SELECT FROM e)`

// DeleteEvent implements event.Store.
func (db *DB) DeleteEvent(ctx context.Context, e event.Event, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	var gone bool
	err = db.row(ctx, "event_delete", deleteEventText, string(e.Project), e.Name, ev.ID, ev.At, string(record)).Scan(&gone)
	switch {
	case violates(err, "secrets_event"):
		return event.ErrInUse
	case err != nil:
		return fmt.Errorf("delete event: %w", err)
	case !gone:
		return event.ErrNotFound
	}
	return nil
}
