package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// row runs a statement that returns at most one row. The statement is prepared
// on first use. name is for metrics; the text and the arguments go nowhere but
// to the server.
func (db *DB) row(ctx context.Context, name, text string, args ...any) *oneRow {
	start := time.Now()
	r := db.pool.QueryRowContext(ctx, text, args...)
	return &oneRow{db: db, ctx: ctx, name: name, start: start, row: r}
}

// oneRow is the answer to row. Scan must be called, once.
type oneRow struct {
	db    *DB
	ctx   context.Context //nolint:containedctx // lives as long as the statement; tells a deadline from a lost server
	name  string
	start time.Time
	row   *sql.Row
}

// Scan reads the columns. Where there is no row, the error is sql.ErrNoRows.
func (r *oneRow) Scan(dest ...any) error {
	err := classify(r.ctx, r.row.Scan(dest...))
	r.db.observed(r.name, r.start, err)
	return err
}

// query runs a statement and calls each for every row, with the row's Scan.
func (db *DB) query(ctx context.Context, name, text string, args []any, each func(scan func(...any) error) error) error {
	start := time.Now()
	err := classify(ctx, db.eachRow(ctx, text, args, each))
	db.observed(name, start, err)
	return err
}

func (db *DB) eachRow(ctx context.Context, text string, args []any, each func(func(...any) error) error) (err error) {
	rows, err := db.pool.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// exec runs a statement and returns how many rows it changed.
func (db *DB) exec(ctx context.Context, name, text string, args ...any) (int64, error) {
	start := time.Now()
	n, err := affected(db.pool.ExecContext(ctx, text, args...))
	err = classify(ctx, err)
	db.observed(name, start, err)
	return n, err
}

func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// inTx runs do in a transaction: committed where do returns nil, rolled back on
// an error and on a panic. Nothing slow belongs inside, and transactions do
// not nest. Errors of statements come out classified.
func (db *DB) inTx(ctx context.Context, name string, do func(*sql.Tx) error) error {
	start := time.Now()
	err := classify(ctx, db.transaction(ctx, do))
	db.observed(name, start, err)
	return err
}

func (db *DB) transaction(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := db.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			_ = tx.Rollback() // the first error matters; a lost connection rolls back by itself
		}
	}()
	if err := do(tx); err != nil {
		return err
	}
	done = true
	return tx.Commit()
}

// observed tells the observer. That a row is not there is an answer, no error.
func (db *DB) observed(name string, start time.Time, err error) {
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	db.observe(name, time.Since(start), err)
}
