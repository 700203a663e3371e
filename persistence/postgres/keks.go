package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/postgres/plain"
)

var _ kek.Store = (*DB)(nil)

// plain runs a generated query under a name.
func (db *DB) plain(ctx context.Context, name string, run func(*plain.Queries) error) error {
	start := time.Now()
	err := classify(ctx, db.inTurn(ctx, func() error { return run(plain.New(db.pool)) }))
	db.observed(name, start, err)
	return err
}

// Activate implements kek.Store. The constraints let one of the racers win. A
// row that is gone or belongs to another was taken for abandoned: that is a
// lost race, too.
func (db *DB) Activate(ctx context.Context, v kek.Version, made key.Made) error {
	var n int64
	err := db.plain(ctx, "kek_activate", func(q *plain.Queries) (err error) {
		n, err = q.ActivateKEK(ctx, plain.ActivateKEKParams{
			Project:     v.Project,
			ID:          string(v.ID),
			Until:       sql.NullTime{Time: v.Until, Valid: true},
			Format:      sql.NullInt16{Int16: int16(made.Ref.Format), Valid: true},
			Canary:      made.Ref.Canary.Wrapped,
			CheckValue:  made.CheckValue,
			TokenLabel:  sql.NullString{String: made.TokenLabel, Valid: true},
			TokenSerial: sql.NullString{String: made.TokenSerial, Valid: true},
		})
		return err
	})
	switch {
	case violates(err, "keks_one_active"), violates(err, "keks_one_number"):
		return kek.ErrLostRace
	case err != nil:
		return fmt.Errorf("activate KEK: %w", err)
	case n == 0:
		return kek.ErrLostRace
	}
	return nil
}

// Discard implements kek.Store.
func (db *DB) Discard(ctx context.Context, v kek.Version) error {
	err := db.plain(ctx, "kek_discard", func(q *plain.Queries) error {
		return q.DiscardKEK(ctx, plain.DiscardKEKParams{Project: v.Project, ID: string(v.ID)})
	})
	if err != nil {
		return fmt.Errorf("discard KEK: %w", err)
	}
	return nil
}

// Abandoned implements kek.Store.
func (db *DB) Abandoned(ctx context.Context, project, alias string, now, until time.Time) ([]kek.Version, error) {
	var left []kek.Version
	err := db.plain(ctx, "kek_abandoned", func(q *plain.Queries) error {
		rows, err := q.AbandonedKEKs(ctx, plain.AbandonedKEKsParams{
			Project: project, Alias: alias, Now: sql.NullTime{Time: now, Valid: true},
			Until: sql.NullTime{Time: until, Valid: true}, DefaultGroup: db.defaultGroup,
		})
		for _, r := range rows {
			left = append(left, kek.Version{
				Project: project, ID: envelope.KEKID(r.ID), MasterKey: envelope.MasterKey(r.MasterKey),
				Group: r.TokenGroup, Alias: r.Alias, Number: int(r.Number), State: kek.Pending,
				Until: until,
			})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take over abandoned KEKs: %w", err)
	}
	return left, nil
}

// KEK implements kek.Store.
func (db *DB) KEK(ctx context.Context, project string, id envelope.KEKID) (envelope.KEK, error) {
	if !isUUID(string(id)) {
		return envelope.KEK{}, kek.ErrNoKEK
	}
	k := envelope.KEK{ID: id}
	var master string
	var format int64
	err := db.row(ctx, "kek_find", `
		SELECT k.master_key, k.token_group, k.format, k.canary, m.is_default, `+opens+`
		FROM keks k JOIN master_keys m ON m.project = k.project AND m.id = k.master_key
		WHERE k.project = $1 AND k.id = $2 AND k.state <> 'pending'`, project, string(id)).
		Scan(&master, &k.Group, &format, &k.Canary, &k.Default, &k.Usable)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return envelope.KEK{}, kek.ErrNoKEK
	case err != nil:
		return envelope.KEK{}, fmt.Errorf("find KEK: %w", err)
	}
	k.MasterKey, k.Format = envelope.MasterKey(master), uint8(format)
	return k, nil
}

// ErrKEKInUse says that a KEK is not decrypt-only, or that a DEK or a KMS
// caller still depends on it.
var ErrKEKInUse = fault.New(fault.WrongState, "the KEK is not decrypt-only or is still in use")

// Retire retires a KEK that nothing depends on. Its row lock and heldKEK's key
// lock exclude each other, so no DEK can slip in under a KEK that is going. One
// that has encrypted for KMS callers stays: nobody can count what they hold.
func (db *DB) Retire(ctx context.Context, v kek.Version) error {
	return db.inTx(ctx, "kek_retire", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `
			SELECT 1 FROM keks WHERE project = $1 AND id = $2 FOR UPDATE`, v.Project, string(v.ID)); err != nil {
			return err
		}
		n, err := affected(tx.ExecContext(ctx, `
			UPDATE keks SET state = 'retired'
			WHERE project = $1 AND id = $2 AND state = 'decrypt-only' AND NOT handed_out
			  AND NOT EXISTS (SELECT FROM secret_versions WHERE project = $1 AND kek = $2)
			  AND NOT EXISTS (SELECT FROM access_keys WHERE project = $1 AND kek = $2)
			  AND NOT EXISTS (SELECT FROM orders WHERE project = $1 AND kek = $2)`,
			v.Project, string(v.ID)))
		if err == nil && n == 0 {
			return ErrKEKInUse
		}
		return err
	})
}
