package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/huandu/go-sqlbuilder"
	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
)

// orderFixed are the columns that never change, in the order of orderValues.
const orderFixed = `project, id, kind, name, algorithm, mode, bit_length, expiration, content_type,
	shown, words, creator, request, created_at, updated_at, due_at, attempt, lapses, status`

func orderValues(c order.Claimed, due time.Time) []any {
	m := c.Meta
	words := m.Words
	if words == nil {
		words = []string{}
	}
	return []any{
		string(c.Project), string(c.ID), string(c.Kind), nullable(m.Name), m.Algorithm, nullable(m.Mode),
		int64(m.BitLength), nullable(m.Expiration), m.ContentType,
		string(m.Shown), pq.StringArray(words), string(c.Creator), c.Request, c.CreatedAt, c.UpdatedAt,
		due, int64(c.Attempt), int64(c.Lapses), string(order.Pending),
	}
}

// The parameters of CreateOrder: the order's, the event's, the operator's
// default for orders, the passphrase's, and what heldKEK must know.
var (
	orderEventFrom      = columns(orderFixed) + 1
	orderLimitAt        = orderEventFrom + 3
	orderPassphraseFrom = orderLimitAt + 1

	createOrderText = `
		WITH ` + createOrderRoom + `,
		o AS (
			INSERT INTO orders (` + orderFixed + `)
			SELECT ` + params(1, columns(orderFixed)) + ` FROM room WHERE room.free
			RETURNING project
		),` + createOrderRest
	createOrderSealedText = `
		WITH kek AS (` + heldKEK("$1", params(orderPassphraseFrom, 1), params(orderPassphraseFrom+3, 1)) + `),` + createOrderRoom + `,
		o AS (
			INSERT INTO orders (` + orderFixed + `, kek, wrapped_dek, body)
			SELECT ` + params(1, columns(orderFixed)) + `, ` + params(orderPassphraseFrom, 3) + ` FROM kek, room WHERE room.free
			RETURNING project
		),` + createOrderRest
	createOrderRoom = room(countedOrders, "$1", params(orderLimitAt, 1), params(orderEventFrom+1, 1))
	createOrderRest = `
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, ` + params(orderEventFrom, 3) + ` FROM o
		)
		SELECT EXISTS (SELECT FROM o), (SELECT free FROM room)`
)

// CreateOrder implements order.Store.
func (db *DB) CreateOrder(ctx context.Context, c order.Claimed, due time.Time, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	text, args := createOrderText, append(orderValues(c, due), ev.ID, ev.At, string(record), db.limit(countedOrders))
	if p := c.Passphrase; p != nil {
		text, args = createOrderSealedText, append(args, string(p.KEK.ID), p.WrappedDEK, p.Body, db.otherwise(*p))
	}
	var created, free bool
	err = db.row(ctx, "order_create", text, args...).Scan(&created, &free)
	switch {
	case err != nil:
		return fmt.Errorf("create order: %w", err)
	case !free:
		return quota.Reached(quota.Orders)
	case !created:
		return envelope.ErrKEKGone
	}
	db.tallies.sample("orders", c.Project, string(c.ID))
	return nil
}

// orderColumns is what clients see of the order o, in the order in which
// orderRow scans it.
const orderColumns = `
		o.project, o.id, o.kind, o.status, o.name, o.algorithm, o.mode, o.bit_length, o.expiration, o.content_type,
		o.shown, o.creator, o.request, o.created_at, o.updated_at, o.error_code, o.error_reason, o.secret, o.container`

// orderRow is an order on its way out of the database.
type orderRow struct {
	order                               order.Order
	project, id, kind, status           string
	name, mode, code, reason, made, box sql.NullString
	expiration                          sql.NullTime
	creator                             string
}

func (r *orderRow) dest() []any {
	o, m := &r.order, &r.order.Meta
	return []any{
		&r.project, &r.id, &r.kind, &r.status, &r.name, &m.Algorithm, &r.mode, &m.BitLength, &r.expiration, &m.ContentType,
		&m.Shown, &r.creator, &o.Request, &o.CreatedAt, &o.UpdatedAt, &r.code, &r.reason, &r.made, &r.box,
	}
}

// take returns what was scanned, times in UTC.
func (r *orderRow) take() order.Order {
	o := r.order
	o.Project, o.ID, o.Creator = auth.ProjectID(r.project), order.ID(r.id), auth.UserID(r.creator)
	o.Kind, o.Status = order.Kind(r.kind), order.Status(r.status)
	o.Meta.Name, o.Meta.Mode, o.Meta.Expiration = maybe(r.name), maybe(r.mode), maybeTime(r.expiration)
	o.CreatedAt, o.UpdatedAt = o.CreatedAt.UTC(), o.UpdatedAt.UTC()
	if r.code.Valid {
		o.Failure = &order.Failure{Code: r.code.String, Reason: r.reason.String}
	}
	o.Secret, o.Container = secret.ID(r.made.String), container.ID(r.box.String)
	return o
}

const findOrderText = `SELECT` + orderColumns + `
		FROM orders o WHERE o.project = $1 AND o.id = $2`

// FindOrder implements order.Store.
func (db *DB) FindOrder(ctx context.Context, p auth.ProjectID, id order.ID) (order.Order, error) {
	if !isUUID(string(id)) {
		return order.Order{}, order.ErrNotFound
	}
	var r orderRow
	err := db.row(ctx, "order_find", findOrderText, string(p), string(id)).Scan(r.dest()...)
	if errors.Is(err, sql.ErrNoRows) {
		return order.Order{}, order.ErrNotFound
	}
	if err != nil {
		return order.Order{}, fmt.Errorf("find order: %w", err)
	}
	return r.take(), nil
}

// ListOrders implements order.Store. A page past the end has no row to carry
// the count, and only then a second statement counts.
func (db *DB) ListOrders(ctx context.Context, p auth.ProjectID, q order.Query) ([]order.Order, int, error) {
	count, page := orderBuilders(p, q)
	var found []order.Order
	var total int
	var unsettled string
	text, args := page.Build()
	err := db.query(ctx, "order_list", text, args, func(scan func(...any) error) error {
		var r orderRow
		if err := scan(append([]any{&total, &unsettled}, r.dest()...)...); err != nil {
			return err
		}
		found = append(found, r.take())
		return nil
	})
	if err == nil && len(found) == 0 && q.Offset > 0 {
		text, args = count.Build()
		err = db.row(ctx, "order_count", text, args...).Scan(&total, &unsettled)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list orders: %w", err)
	}
	db.tallies.note("orders", unsettled)
	return found, total, nil
}

// orderBuilders returns the statement that counts and the one that reads the
// page: by an index alone, and then the page's own rows, one by one.
func orderBuilders(p auth.ProjectID, q order.Query) (count, page sqlbuilder.Builder) {
	selected := func(columns string) *sqlbuilder.SelectBuilder {
		b := sqlbuilder.PostgreSQL.NewSelectBuilder().Select(columns).From("orders o")
		b.Where(b.Equal("o.project", string(p)), "o.created_at > '-infinity'") // the index's condition
		if q.Word != "" {
			b.Where(b.Var(q.Word) + "::text = ANY (o.words)")
		}
		return b
	}
	count = selected("count(*), ''")
	if q.Word == "" {
		count = totalOf("orders", p, postgreSQL("SELECT 0"))
	}
	found := selected("o.project, o.id").OrderBy("o.created_at", "o.id").Limit(q.Limit).Offset(q.Offset)
	return count, postgreSQL(`
		WITH t (total, unsettled) AS MATERIALIZED ($?),
		page AS ($?)
		SELECT (SELECT total FROM t), (SELECT unsettled FROM t), `+orderColumns+`
		FROM page p
		CROSS JOIN LATERAL (
			SELECT`+orderColumns+` FROM orders o WHERE o.project = p.project AND o.id = p.id OFFSET 0) o
		ORDER BY o.created_at, o.id`, count, found)
}

const deleteOrderText = `
		WITH o AS (
			DELETE FROM orders o WHERE o.project = $1 AND o.id = $2
			RETURNING o.project
		),
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, $4, $3, $5 FROM o
		)
		SELECT EXISTS (SELECT FROM o)`

// DeleteOrder implements order.Store.
func (db *DB) DeleteOrder(ctx context.Context, o order.Order, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	var gone bool
	err = db.row(ctx, "order_delete", deleteOrderText, string(o.Project), string(o.ID), ev.At, ev.ID, string(record)).Scan(&gone)
	if err != nil {
		return fmt.Errorf("delete order: %w", err)
	}
	if !gone {
		return order.ErrNotFound
	}
	db.tallies.sample("orders", o.Project, string(o.ID))
	return nil
}
