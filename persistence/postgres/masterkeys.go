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

// ownGroup is the token group that a project's new secrets go to: the one it
// prefers, else the installation's default.
func ownGroup(project, otherwise string) string {
	return `coalesce((SELECT p.token_group FROM preferred_token_groups p WHERE p.project = ` + project + `), ` + otherwise + `)`
}

// byName and byDefault find a master key for masterKeyText.
const byName = `m.id = coalesce(
				(SELECT n.id FROM master_keys n WHERE n.project = $1 AND n.id = $3::uuid),
				(SELECT n.id FROM master_keys n WHERE n.project = $1 AND n.alias = $2))`

var byDefault = `m.is_default AND m.token_group = ` + ownGroup("$1", "$2")

// masterKey is the text that finds a master key, and its parameters: $1 is the
// project, $2 the name, $3 the name again if it is a UUID. Where the default one
// is meant, $2 is the installation's default group.
func (db *DB) masterKey(project string, name envelope.MasterKey) (string, []any) {
	if name == envelope.Default {
		return defaultKeyText, []any{project, db.defaultGroup, nil}
	}
	return namedKeyText, []any{project, string(name), uuidOrNull(name)}
}

var (
	namedKeyText   = masterKeyText(byName)
	defaultKeyText = masterKeyText(byDefault)
)

// masterKeyText has a key without a KEK that was ever active as one that is
// still being made: to whoever wants to use it, it does not exist.
func masterKeyText(which string) string {
	return `
		mk AS (
			SELECT m.id, m.state, m.is_default,
				EXISTS (SELECT FROM keks k WHERE k.project = $1 AND k.master_key = m.id AND k.state <> 'pending') AS made
			FROM master_keys m
			WHERE m.project = $1 AND ` + which + `
		),
		taken AS (
			SELECT FROM master_key_directory d WHERE d.id = $3::uuid AND (d.destroyed OR d.project <> $1)
		)`
}

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
	text, args := db.masterKey(project, name)
	err := db.row(ctx, "master_key_resolve", `
		WITH `+text+`
		SELECT mk.id, mk.made, EXISTS (SELECT FROM taken), mk.state IS NOT DISTINCT FROM 'enabled' AND EXISTS (
			SELECT FROM keks k
			WHERE k.project = $1 AND k.master_key = mk.id AND k.state = 'active' AND NOT k.disabled)
		FROM (VALUES (true)) one LEFT JOIN mk ON true`, args...).Scan(&r.id, &r.made, &r.taken, &usable)
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
	var group sql.NullString
	text, args := db.masterKey(project, under)
	err := db.row(ctx, "kek_lease", `
		WITH `+text+`,
		able AS (
			SELECT k.id, k.wraps_leased FROM mk
			JOIN keks k ON k.project = $1 AND k.master_key = mk.id AND k.state = 'active' AND NOT k.disabled
			WHERE mk.state = 'enabled'
		),
		leased AS (
			UPDATE keks k SET wraps_leased = k.wraps_leased + $4 FROM able
			WHERE k.project = $1 AND k.id = able.id
			  AND k.state = 'active' AND NOT k.disabled AND k.wraps_leased + $4 <= $5
			RETURNING k.id, k.token_group, k.format, k.canary, k.wraps_leased
		)
		SELECT mk.id, mk.made, mk.is_default, EXISTS (SELECT FROM taken), able.wraps_leased,
			leased.id, leased.token_group, leased.format, leased.canary, leased.wraps_leased
		FROM (VALUES (true)) one LEFT JOIN mk ON true LEFT JOIN able ON true LEFT JOIN leased ON true`,
		append(args, n, kek.HardLimit)...).
		Scan(&r.id, &r.made, &isDefault, &r.taken, &before, &id, &group, &format, &l.KEK.Canary, &leased)
	switch {
	case err != nil:
		return kek.Lease{}, fmt.Errorf("lease wraps: %w", err)
	case id.Valid:
		l.KEK.ID, l.KEK.MasterKey = envelope.KEKID(id.String), envelope.MasterKey(r.id.String)
		l.KEK.Group, l.KEK.Format, l.KEK.Default, l.KEK.Usable = group.String, uint8(format.Int64), isDefault.Bool, true
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
//
// A new master key is of the project's own group. The alias of a default one is
// the group's, unless it is the project's first and in the installation's
// default group.
func (db *DB) prepare(ctx context.Context, mk kek.NewMasterKey, id envelope.KEKID, expires time.Time) (kek.Version, error) {
	v := kek.Version{Project: mk.Project, ID: id, State: kek.Pending, Until: expires}
	var taken, active bool
	var key, alias, group sql.NullString
	var number sql.NullInt64
	err := db.row(ctx, "kek_prepare", `
		WITH own AS (SELECT `+ownGroup("$1", "$9")+` AS token_group),
		existing AS (
			SELECT m.id, m.alias, m.token_group FROM master_keys m
			WHERE m.project = $1 AND m.id = CASE WHEN $4
				THEN (SELECT n.id FROM master_keys n JOIN own USING (token_group) WHERE n.project = $1 AND n.is_default)
				ELSE coalesce(
					(SELECT n.id FROM master_keys n WHERE n.project = $1 AND n.alias = $3),
					(SELECT n.id FROM master_keys n WHERE n.project = $1 AND n.id = $2)) END
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
			INSERT INTO master_keys (project, id, alias, token_group, is_default, description, created_at)
			SELECT $1, place.id,
				CASE WHEN $4 AND (own.token_group <> $9 OR EXISTS (
					SELECT FROM master_keys n WHERE n.project = $1 AND n.alias = $3))
				THEN own.token_group || '/default' ELSE $3 END,
				own.token_group, $4, $5, $6
			FROM place CROSS JOIN own WHERE NOT EXISTS (SELECT FROM existing)
			ON CONFLICT DO NOTHING
			RETURNING id, alias, token_group
		),
		mk AS (SELECT id, alias, token_group FROM existing UNION ALL SELECT id, alias, token_group FROM made),
		active AS (
			SELECT FROM mk JOIN keks k ON k.project = $1 AND k.master_key = mk.id AND k.state = 'active'
		),
		pending AS (
			INSERT INTO keks (project, id, master_key, token_group, number, state, created_at, pending_until, handed_out)
			SELECT $1, $7, mk.id, mk.token_group, 1 + coalesce((
					SELECT max(k.number) FROM keks k
					WHERE k.project = $1 AND k.master_key = mk.id AND k.state <> 'pending'), 0),
				'pending', $6, $8, $10
			FROM mk WHERE NOT EXISTS (SELECT FROM active)
			RETURNING number
		)
		SELECT EXISTS (SELECT FROM taken), EXISTS (SELECT FROM active), mk.id, mk.alias, mk.token_group, pending.number
		FROM (VALUES (true)) one LEFT JOIN mk ON true LEFT JOIN pending ON true`,
		mk.Project, string(mk.ID), mk.Alias, mk.Default, mk.Description, mk.CreatedAt, string(id), expires, db.defaultGroup, mk.HandedOut).
		Scan(&taken, &active, &key, &alias, &group, &number)
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
	v.MasterKey, v.Group, v.Alias, v.Number = envelope.MasterKey(key.String), group.String, alias.String, int(number.Int64)
	return v, nil
}
