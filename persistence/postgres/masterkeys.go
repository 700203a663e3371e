package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// raced is how often a statement is run again because a concurrent one came
// first. The second time sees what that one did.
const raced = 8

var errRaced = fault.New(fault.Unavailable, "the master key is being changed by others")

// masterKeyText finds a master key by its name: $1 is the project, $2 the name,
// $3 the name again if it is a UUID. A key without a KEK that was ever active
// is still being made: to whoever wants to use it, it does not exist.
const masterKeyText = `
		mk AS (
			SELECT m.id, m.state, m.is_default,
				EXISTS (SELECT FROM keks k WHERE k.project = $1 AND k.master_key = m.id AND k.state <> 'pending') AS made
			FROM master_keys m
			WHERE m.project = $1 AND m.id = coalesce(
				(SELECT n.id FROM master_keys n WHERE n.project = $1 AND n.id = $3::uuid),
				(SELECT n.id FROM master_keys n WHERE n.project = $1 AND n.alias = $2))
		),
		taken AS (
			SELECT FROM master_key_directory d WHERE d.id = $3::uuid AND (d.destroyed OR d.project <> $1)
		)`

// masterKeyRow is what masterKeyText finds out, and why.
type masterKeyRow struct {
	id    sql.NullString
	made  sql.NullBool
	taken bool
}

// missing is the error where no KEK of the master key could be used.
func (r masterKeyRow) missing() error {
	if r.id.Valid && r.made.Bool || r.taken {
		return envelope.ErrKeyUnusable
	}
	return envelope.ErrNoMasterKey
}

func uuidOrNull(name envelope.MasterKey) any {
	if isUUID(string(name)) {
		return string(name)
	}
	return nil
}

// Resolve implements kek.Store.
func (db *DB) Resolve(ctx context.Context, project string, name envelope.MasterKey) (envelope.MasterKey, error) {
	var r masterKeyRow
	var usable bool
	err := db.row(ctx, "master_key_resolve", `
		WITH `+masterKeyText+`
		SELECT mk.id, mk.made, EXISTS (SELECT FROM taken), mk.state IS NOT DISTINCT FROM 'enabled' AND EXISTS (
			SELECT FROM keks k
			WHERE k.project = $1 AND k.master_key = mk.id AND k.state = 'active' AND NOT k.disabled)
		FROM (VALUES (true)) one LEFT JOIN mk ON true`,
		project, string(name), uuidOrNull(name)).Scan(&r.id, &r.made, &r.taken, &usable)
	switch {
	case err != nil:
		return "", fmt.Errorf("resolve master key: %w", err)
	case !usable:
		return "", r.missing()
	}
	return envelope.MasterKey(r.id.String), nil
}

// Lease implements kek.Store. The count grows in the statement that reads the
// key, and never over the limit.
func (db *DB) Lease(ctx context.Context, project string, under envelope.MasterKey, n int64) (kek.Lease, error) {
	for range raced {
		l, err := db.lease(ctx, project, under, n)
		if !errors.Is(err, errRaced) {
			return l, err
		}
	}
	return kek.Lease{}, errRaced
}

func (db *DB) lease(ctx context.Context, project string, under envelope.MasterKey, n int64) (kek.Lease, error) {
	l := kek.Lease{Wraps: n}
	var r masterKeyRow
	var id sql.NullString
	var format, leased, before sql.NullInt64
	var isDefault sql.NullBool
	err := db.row(ctx, "kek_lease", `
		WITH `+masterKeyText+`,
		able AS (
			SELECT k.id, k.wraps_leased FROM mk
			JOIN keks k ON k.project = $1 AND k.master_key = mk.id AND k.state = 'active' AND NOT k.disabled
			WHERE mk.state = 'enabled'
		),
		leased AS (
			UPDATE keks k SET wraps_leased = k.wraps_leased + $4 FROM able
			WHERE k.project = $1 AND k.id = able.id
			  AND k.state = 'active' AND NOT k.disabled AND k.wraps_leased + $4 <= $5
			RETURNING k.id, k.format, k.canary, k.wraps_leased
		)
		SELECT mk.id, mk.made, mk.is_default, EXISTS (SELECT FROM taken), able.wraps_leased,
			leased.id, leased.format, leased.canary, leased.wraps_leased
		FROM (VALUES (true)) one LEFT JOIN mk ON true LEFT JOIN able ON true LEFT JOIN leased ON true`,
		project, string(under), uuidOrNull(under), n, kek.HardLimit).
		Scan(&r.id, &r.made, &isDefault, &r.taken, &before, &id, &format, &l.KEK.Canary, &leased)
	switch {
	case err != nil:
		return kek.Lease{}, fmt.Errorf("lease wraps: %w", err)
	case id.Valid:
		l.KEK.ID, l.KEK.MasterKey = envelope.KEKID(id.String), envelope.MasterKey(r.id.String)
		l.KEK.Format, l.KEK.Default, l.KEK.Usable = uint8(format.Int64), isDefault.Bool, true
		l.Leased = leased.Int64
		return l, nil
	case !before.Valid:
		return kek.Lease{}, r.missing()
	case before.Int64+n > kek.HardLimit:
		return kek.Lease{}, kek.ErrExhausted
	}
	return kek.Lease{}, errRaced // it changed while we waited for its row
}

// Prepare implements kek.Store.
func (db *DB) Prepare(ctx context.Context, mk kek.NewMasterKey, id envelope.KEKID, expires time.Time) (kek.Version, error) {
	if !isUUID(string(mk.ID)) {
		return kek.Version{}, fault.New(fault.Invalid, "a master key's identifier is a UUID")
	}
	for range raced {
		v, err := db.prepare(ctx, mk, id, expires)
		if !errors.Is(err, errRaced) {
			return v, err
		}
	}
	return kek.Version{}, errRaced
}

// prepare stores a pending KEK, and before it the master key and its place in
// the directory where they are missing. Somebody else may do the same at the
// same moment: then the conflicting insert does nothing, nothing is stored, and
// the next try sees what the other one stored.
func (db *DB) prepare(ctx context.Context, mk kek.NewMasterKey, id envelope.KEKID, expires time.Time) (kek.Version, error) {
	v := kek.Version{Project: mk.Project, ID: id, State: kek.Pending, Until: expires}
	var taken, active bool
	var key, alias sql.NullString
	var number sql.NullInt64
	err := db.row(ctx, "kek_prepare", `
		WITH existing AS (
			SELECT m.id, m.alias FROM master_keys m
			WHERE m.project = $1 AND m.id = coalesce(
				(SELECT n.id FROM master_keys n WHERE n.project = $1 AND n.alias = $3),
				(SELECT n.id FROM master_keys n WHERE n.project = $1 AND n.id = $2))
		),
		taken AS (
			SELECT FROM master_key_directory d WHERE d.id = $2 AND (d.destroyed OR d.project <> $1)
			  AND NOT EXISTS (SELECT FROM existing)
		),
		entered AS (
			INSERT INTO master_key_directory (id, project)
			SELECT $2, $1 WHERE NOT EXISTS (SELECT FROM existing) AND NOT EXISTS (SELECT FROM taken)
			ON CONFLICT DO NOTHING
			RETURNING id
		),
		place AS (
			SELECT id FROM entered
			UNION
			SELECT d.id FROM master_key_directory d WHERE d.id = $2 AND d.project = $1 AND NOT d.destroyed
		),
		made AS (
			INSERT INTO master_keys (project, id, alias, is_default, description, created_at)
			SELECT $1, place.id, $3, $4, $5, $6 FROM place WHERE NOT EXISTS (SELECT FROM existing)
			ON CONFLICT DO NOTHING
			RETURNING id, alias
		),
		mk AS (SELECT id, alias FROM existing UNION ALL SELECT id, alias FROM made),
		active AS (
			SELECT FROM mk JOIN keks k ON k.project = $1 AND k.master_key = mk.id AND k.state = 'active'
		),
		pending AS (
			INSERT INTO keks (project, id, master_key, number, state, created_at, pending_until)
			SELECT $1, $7, mk.id, 1 + coalesce((
					SELECT max(k.number) FROM keks k
					WHERE k.project = $1 AND k.master_key = mk.id AND k.state <> 'pending'), 0),
				'pending', $6, $8
			FROM mk WHERE NOT EXISTS (SELECT FROM active)
			RETURNING number
		)
		SELECT EXISTS (SELECT FROM taken), EXISTS (SELECT FROM active), mk.id, mk.alias, pending.number
		FROM (VALUES (true)) one LEFT JOIN mk ON true LEFT JOIN pending ON true`,
		mk.Project, string(mk.ID), mk.Alias, mk.Default, mk.Description, mk.CreatedAt, string(id), expires).
		Scan(&taken, &active, &key, &alias, &number)
	switch {
	case err != nil:
		return v, fmt.Errorf("store pending KEK: %w", err)
	case taken:
		return v, envelope.ErrKeyUnusable
	case active:
		return v, kek.ErrLostRace
	case !number.Valid:
		return v, errRaced
	}
	v.MasterKey, v.Alias, v.Number = envelope.MasterKey(key.String), alias.String, int(number.Int64)
	return v, nil
}
