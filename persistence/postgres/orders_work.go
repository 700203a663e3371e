package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/order"
)

// claimOrderText takes the order that has been due longest and that no other
// worker is just taking. That only saves work: what counts is the attempt,
// which whoever completes the order must still have.
const claimOrderText = `
		WITH due AS (
			SELECT o.project, o.id FROM orders o
			WHERE o.status = 'PENDING' AND o.due_at <= $1 AND o.kind = ANY ($3::text[])
			ORDER BY o.due_at
			LIMIT 1
			FOR UPDATE SKIP LOCKED
		),
		o AS (
			UPDATE orders o SET due_at = $2, attempt = o.attempt + 1, lapses = o.lapses + 1
			FROM due WHERE o.project = due.project AND o.id = due.id
			RETURNING o.*
		)
		SELECT o.attempt, o.lapses, o.wrapped_dek, o.body, o.kek, k.master_key, k.token_group, k.format, k.canary,
			coalesce(k.state IN ('active', 'decrypt-only') AND NOT k.disabled AND m.state = 'enabled', false),` + orderColumns + `
		FROM o
		LEFT JOIN keks k ON k.project = o.project AND k.id = o.kek
		LEFT JOIN master_keys m ON m.project = k.project AND m.id = k.master_key`

// ClaimOrder implements order.Store.
func (db *DB) ClaimOrder(ctx context.Context, kinds []order.Kind, now, until time.Time) (order.Claimed, bool, error) {
	names := make(pq.StringArray, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, string(k))
	}
	var (
		c           order.Claimed
		r           orderRow
		sealed      envelope.Sealed
		kek, master sql.NullString
		group       sql.NullString
		format      sql.NullInt16
	)
	dest := []any{
		&c.Attempt, &c.Lapses, &sealed.WrappedDEK, &sealed.Body, &kek, &master, &group, &format, &sealed.KEK.Canary, &sealed.KEK.Usable,
	}
	err := db.row(ctx, "order_claim", claimOrderText, now, until, names).Scan(append(dest, r.dest()...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return order.Claimed{}, false, nil
	}
	if err != nil {
		return order.Claimed{}, false, fmt.Errorf("claim order: %w", err)
	}
	c.Order = r.take()
	if kek.Valid {
		sealed.KEK.ID, sealed.KEK.MasterKey = envelope.KEKID(kek.String), envelope.MasterKey(master.String)
		sealed.KEK.Group = group.String
		sealed.KEK.Format = uint8(format.Int16)
		c.Passphrase = &sealed
	}
	return c, true, nil
}

// atAttempt is the condition that the order $2 of project $1 is still the
// worker's: compare the attempt $3 and swap.
const atAttempt = `o.project = $1 AND o.id = $2 AND o.attempt = $3 AND o.status = 'PENDING'`

// noPassphrase is what every final state sets.
const noPassphrase = `kek = NULL, wrapped_dek = NULL, body = NULL`

// The first parameters of CompleteOrder: project, UUID, attempt, time, the KEKs
// and their number, the events' UUIDs and texts, the secret or container made,
// what heldKEK must know.
const yieldFrom = 12

// completeTexts has the statement by how many secrets an order made, and
// whether they are in a container.
var completeTexts = func() map[yieldShape]string {
	texts := map[yieldShape]string{}
	for _, s := range []yieldShape{{1, false}, {2, true}, {3, true}} {
		texts[s] = s.text()
	}
	return texts
}()

type yieldShape struct {
	secrets   int
	container bool
}

// text writes the statement: the order becomes ACTIVE if it is at the attempt
// and all KEKs still seal, and the rest happens if it did. The order's row is
// locked before the KEKs': who deletes the order waits or wins.
func (s yieldShape) text() string {
	var b strings.Builder
	b.WriteString(`
		WITH kek AS (` + heldKEK("$1", "ANY ($5::uuid[])", "$11") + `),
		held AS (SELECT count(*) = $6 AS all FROM kek),
		o AS (
			UPDATE orders o SET status = 'ACTIVE', updated_at = $4, secret = $9, container = $10, ` + noPassphrase + `
			FROM held
			WHERE ` + atAttempt + ` AND held.all
			RETURNING o.project
		)`)
	at := yieldFrom
	for i := range s.secrets {
		name := fmt.Sprintf("s%d", i)
		b.WriteString(`,
		` + name + ` AS (
			INSERT INTO secrets (` + fixed + `, ` + changing + `)
			SELECT ` + params(at, secretValues) + ` FROM o
			RETURNING project, id
		),
		` + name + `_version AS (
			INSERT INTO secret_versions (project, secret, ` + versionColumns + `)
			SELECT project, id, ` + params(at+secretValues, columns(versionColumns)) + ` FROM ` + name + `
		),
		` + name + `_directory AS (
			INSERT INTO secret_directory (id, project)
			SELECT id, project FROM ` + name + `
		)`)
		at += secretValues + columns(versionColumns)
	}
	if s.container {
		b.WriteString(`,` + storedContainer("o", at))
	}
	b.WriteString(`,
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT o.project, e.id, $4, e.event FROM o, unnest($7::uuid[], $8::text[]) e (id, event)
		)
		SELECT EXISTS (SELECT FROM o), (SELECT held.all FROM held)`)
	return b.String()
}

// CompleteOrder implements order.Store. One statement is one round trip and one
// transaction.
func (db *DB) CompleteOrder(ctx context.Context, c order.Claimed, y order.Yield, now time.Time) error {
	text, ok := completeTexts[yieldShape{len(y.Secrets), y.Container != nil}]
	if !ok {
		return errors.New("complete order: no order makes that")
	}
	args, err := db.yieldValues(c, y, now)
	if err != nil {
		return err
	}
	var done, held bool
	err = db.row(ctx, "order_complete", text, args...).Scan(&done, &held)
	switch {
	case err != nil:
		return fmt.Errorf("complete order: %w", err)
	case done:
		return nil
	case !held:
		return envelope.ErrKEKGone
	}
	return order.ErrLost
}

// yieldValues are the parameters of CompleteOrder, in the order of text.
func (db *DB) yieldValues(c order.Claimed, y order.Yield, now time.Time) ([]any, error) {
	var keks, ids, records pq.StringArray
	known := map[envelope.KEKID]bool{}
	events := make([]audit.Event, 0, len(y.Secrets)+1)
	for _, m := range y.Secrets {
		if id := m.Version.Sealed.KEK.ID; !known[id] {
			known[id] = true
			keks = append(keks, string(id))
		}
		events = append(events, m.Event)
	}
	var made, box any
	if y.Container != nil {
		events, box = append(events, y.Event), string(y.Container.ID)
	} else {
		made = string(y.Secrets[0].Secret.ID)
	}
	for _, ev := range events {
		record, err := ev.JSON()
		if err != nil {
			return nil, fmt.Errorf("encode event: %w", err)
		}
		ids, records = append(ids, ev.ID), append(records, string(record))
	}
	args := []any{
		string(c.Project), string(c.ID), int64(c.Attempt), now, keks, int64(len(keks)), ids, records, made, box,
		db.otherwise(y.Secrets[0].Version.Sealed), // all are sealed under the default
	}
	for _, m := range y.Secrets {
		args = append(append(args, fixedValues(m.Secret)...), changed(m.Secret)...)
		args = append(args, versionValues(m.Version)...)
	}
	if y.Container != nil {
		args = append(args, containerValues(*y.Container)...)
	}
	return args, nil
}

const failOrderText = `
		WITH o AS (
			UPDATE orders o SET status = 'ERROR', updated_at = $4, error_code = $7, error_reason = $8, ` + noPassphrase + `
			WHERE ` + atAttempt + `
			RETURNING o.project
		),
		event AS (
			INSERT INTO audit_events (project, id, at, event)
			SELECT project, $5, $4, $6 FROM o
		)
		SELECT EXISTS (SELECT FROM o)`

// FailOrder implements order.Store.
func (db *DB) FailOrder(ctx context.Context, c order.Claimed, why order.Failure, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	var done bool
	err = db.row(ctx, "order_fail", failOrderText, string(c.Project), string(c.ID), int64(c.Attempt),
		ev.At, ev.ID, string(record), why.Code, why.Reason).Scan(&done)
	if err != nil {
		return fmt.Errorf("fail order: %w", err)
	}
	if !done {
		return order.ErrLost
	}
	return nil
}

const keepOrderText = `UPDATE orders o SET due_at = $4 WHERE ` + atAttempt

// KeepOrder implements order.Store.
func (db *DB) KeepOrder(ctx context.Context, c order.Claimed, until time.Time) error {
	n, err := db.exec(ctx, "order_keep", keepOrderText, string(c.Project), string(c.ID), int64(c.Attempt), until)
	if err != nil {
		return fmt.Errorf("keep order: %w", err)
	}
	if n == 0 {
		return order.ErrLost
	}
	return nil
}

const releaseOrderText = `UPDATE orders o SET due_at = $4, lapses = 0 WHERE ` + atAttempt

// ReleaseOrder implements order.Store. The attempt stays: until somebody claims
// the order, whoever gave it back may still complete it.
func (db *DB) ReleaseOrder(ctx context.Context, c order.Claimed, due time.Time) error {
	_, err := db.exec(ctx, "order_release", releaseOrderText, string(c.Project), string(c.ID), int64(c.Attempt), due)
	if err != nil {
		return fmt.Errorf("release order: %w", err)
	}
	return nil
}
