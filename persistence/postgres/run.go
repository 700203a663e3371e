package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// call is the context of one statement. Its caller waited for a connection
// already, and the connection keeps the deadline on its socket; so nobody need
// watch the context, which database/sql would do in a goroutine per statement,
// at a tenth of the CPU of a read. A caller that leaves early is not noticed:
// the statement ends by itself.
type call struct{ context.Context }

func (call) Done() <-chan struct{} { return nil }
func (call) Err() error            { return nil }

// turn waits for one of the connections, for as long as ctx allows.
func (db *DB) turn(ctx context.Context) error {
	select {
	case db.turns <- struct{}{}:
		if ctx.Err() == nil {
			return nil
		}
		db.done()
	case <-ctx.Done():
	}
	return ctx.Err()
}

// done gives the connection back.
func (db *DB) done() { <-db.turns }

// inTurn does something that uses one connection.
func (db *DB) inTurn(ctx context.Context, do func() error) error {
	if err := db.turn(ctx); err != nil {
		return err
	}
	defer db.done()
	return do()
}

// row runs a statement that returns at most one row. The statement is prepared
// on first use. name is for metrics; the text and the arguments go nowhere but
// to the server.
func (db *DB) row(ctx context.Context, name, text string, args ...any) *oneRow {
	r := &oneRow{db: db, ctx: ctx, name: name, start: time.Now()}
	if r.err = db.turn(ctx); r.err == nil {
		r.row = db.pool.QueryRowContext(call{ctx}, text, args...)
	}
	return r
}

// oneRow is the answer to row. Scan must be called, once.
type oneRow struct {
	db    *DB
	ctx   context.Context //nolint:containedctx // lives as long as the statement; tells a deadline from a lost server
	name  string
	start time.Time
	row   *sql.Row
	err   error // why there was no connection
}

// Scan reads the columns. Where there is no row, the error is sql.ErrNoRows.
func (r *oneRow) Scan(dest ...any) error {
	err := r.err
	if err == nil {
		defer r.db.done()
		err = r.row.Scan(dest...)
	}
	err = classify(r.ctx, err)
	r.db.observed(r.name, r.start, err)
	return err
}

// query runs a statement and calls each for every row, with the row's Scan.
func (db *DB) query(ctx context.Context, name, text string, args []any, each func(scan func(...any) error) error) error {
	start := time.Now()
	err := classify(ctx, db.inTurn(ctx, func() error { return db.eachRow(ctx, text, args, each) }))
	db.observed(name, start, err)
	return err
}

func (db *DB) eachRow(ctx context.Context, text string, args []any, each func(func(...any) error) error) (err error) {
	rows, err := db.pool.QueryContext(call{ctx}, text, args...)
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
	var n int64
	err := classify(ctx, db.inTurn(ctx, func() (err error) {
		n, err = affected(db.pool.ExecContext(call{ctx}, text, args...))
		return err
	}))
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
	err := classify(ctx, db.inTurn(ctx, func() error { return db.transaction(ctx, do) }))
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
