package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

// maxStatements bounds the prepared statements of one connection. Only lists
// have texts that differ from request to request.
const maxStatements = 256

// idleCheck is how long a connection may have been idle before it is asked
// whether it is still there.
const idleCheck = 50 * time.Millisecond

// connector makes connections for database/sql.
type connector struct {
	settings pq.Config
	most     time.Duration // that one call on a connection may take
	trips    *atomic.Uint64
}

// Connect implements driver.Connector. The driver keeps ConnectTimeout on the
// socket, but the context's deadline only while dialling.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	settings := c.settings
	if d, ok := ctx.Deadline(); ok {
		settings.ConnectTimeout = max(time.Millisecond, min(settings.ConnectTimeout, time.Until(d)))
	}
	inner, err := pq.NewConnectorConfig(settings)
	if err != nil {
		return nil, err
	}
	d := &dialer{}
	inner.Dialer(d)
	pc, err := inner.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{
		pq: pc.(pqConn), socket: d, most: c.most, trips: c.trips,
		statements: map[string]*statement{}, lastUse: time.Now(),
	}, nil
}

func (c *connector) Driver() driver.Driver { return &pq.Driver{} }

// pqConn is what the driver's connections can do.
type pqConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// pqStmt is what the driver's statements can do.
type pqStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// conn is one connection. It differs from the driver's in four things:
//
//   - each call has a deadline on the socket: the caller's, or what one
//     statement may take. The driver's own way to cancel needs a goroutine for
//     each call, a second connection for each cancellation, and a network that
//     works;
//   - a statement with arguments is prepared on first use and stays prepared,
//     and goes with the connection when that goes;
//   - a statement that was sent is never sent again by database/sql;
//   - round trips are counted.
type conn struct {
	pq         pqConn
	socket     *dialer
	most       time.Duration
	trips      *atomic.Uint64
	statements map[string]*statement
	uses       uint64
	lastUse    time.Time
	inTx       bool
	lost       bool
}

type statement struct {
	pqStmt
	used uint64 // when last, in calls of this connection
}

// begin is called before each round trip. It returns a context that the driver
// does not watch.
func (c *conn) begin(ctx context.Context) (context.Context, error) {
	c.lastUse = time.Now()
	until := c.lastUse.Add(c.most)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	if err := c.socket.socket.SetDeadline(until); err != nil {
		c.lost = true
		return nil, driver.ErrBadConn // nothing was sent
	}
	c.trips.Add(1)
	return context.WithoutCancel(ctx), nil
}

// sent judges the error of something that was on its way to the server.
func (c *conn) sent(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*pq.Error](err); ok && c.pq.IsValid() {
		return err
	}
	c.lost = true
	if errors.Is(err, driver.ErrBadConn) {
		return errLost
	}
	return err
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) == 0 { // one trip without preparing
		quiet, err := c.begin(ctx)
		if err != nil {
			return nil, err
		}
		rows, err := c.pq.QueryContext(quiet, text, nil)
		return rows, c.sent(err)
	}
	return withStatement(ctx, c, text, func(quiet context.Context, s pqStmt) (driver.Rows, error) {
		return s.QueryContext(quiet, args)
	})
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 { // may be several statements, as in a migration
		quiet, err := c.begin(ctx)
		if err != nil {
			return nil, err
		}
		res, err := c.pq.ExecContext(quiet, text, nil)
		return res, c.sent(err)
	}
	return withStatement(ctx, c, text, func(quiet context.Context, s pqStmt) (driver.Result, error) {
		return s.ExecContext(quiet, args)
	})
}

// withStatement runs the prepared form of text. Where the server does not know
// the statement any more, or may not use its plan any more, it is prepared
// anew: it was not carried out. Inside a transaction that is too late.
func withStatement[T any](ctx context.Context, c *conn, text string, run func(context.Context, pqStmt) (T, error)) (T, error) {
	var none T
	for again := false; ; again = true {
		s, err := c.prepared(ctx, text)
		if err != nil {
			return none, err
		}
		quiet, err := c.begin(ctx)
		if err != nil {
			return none, err
		}
		out, err := run(quiet, s)
		if err == nil {
			return out, nil
		}
		if e, ok := errors.AsType[*pq.Error](err); ok && outlived(e) {
			delete(c.statements, text)
			if !again && !c.inTx {
				continue
			}
		}
		return none, c.sent(err)
	}
}

// outlived reports whether a prepared statement must be prepared anew.
func outlived(e *pq.Error) bool {
	switch e.SQLState() {
	case "26000": // invalid_sql_statement_name: this is another server's session
		return true
	case "0A000": // feature_not_supported: a migration changed what it returns
		return e.Routine == "RevalidateCachedQuery"
	}
	return false
}

// prepared returns the prepared form of text.
func (c *conn) prepared(ctx context.Context, text string) (pqStmt, error) {
	c.uses++
	if s, ok := c.statements[text]; ok {
		s.used = c.uses
		return s, nil
	}
	if len(c.statements) >= maxStatements {
		if err := c.forgetOne(ctx); err != nil {
			return nil, err
		}
	}
	quiet, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.pq.PrepareContext(quiet, text)
	if err != nil {
		if !c.pq.IsValid() {
			c.lost = true
		}
		return nil, err // driver.ErrBadConn may stay: nothing was carried out
	}
	kept := &statement{s.(pqStmt), c.uses}
	c.statements[text] = kept
	return kept, nil
}

// forgetOne makes room: the statement goes that was not used for the longest.
func (c *conn) forgetOne(ctx context.Context) error {
	var oldest string
	least := c.uses
	for text, s := range c.statements {
		if s.used < least {
			oldest, least = text, s.used
		}
	}
	s := c.statements[oldest]
	delete(c.statements, oldest)
	if _, err := c.begin(ctx); err != nil {
		return err
	}
	return c.sent(s.Close())
}

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	quiet, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := c.pq.BeginTx(quiet, opts)
	if err != nil {
		return nil, err // driver.ErrBadConn may stay: nothing was carried out
	}
	c.inTx = true
	return &transaction{c, tx}, nil
}

type transaction struct {
	c  *conn
	pq driver.Tx
}

func (t *transaction) Commit() error   { return t.end(t.pq.Commit) }
func (t *transaction) Rollback() error { return t.end(t.pq.Rollback) }

func (t *transaction) end(how func() error) error {
	t.c.inTx = false
	if _, err := t.c.begin(context.Background()); err != nil {
		return errLost
	}
	return t.c.sent(how())
}

// Ping implements driver.Pinger.
func (c *conn) Ping(ctx context.Context) error {
	quiet, err := c.begin(ctx)
	if err != nil {
		return err
	}
	return c.pq.Ping(quiet)
}

// ResetSession implements driver.SessionResetter: database/sql calls it before
// it lends an idle connection, and takes another one on ErrBadConn. It costs
// no round trip.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.lost || time.Since(c.lastUse) > idleCheck && !c.socket.alive() {
		return driver.ErrBadConn
	}
	return c.pq.ResetSession(ctx)
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool { return !c.lost && c.pq.IsValid() }

// CheckNamedValue implements driver.NamedValueChecker. What the driver takes
// as it is need not go through its reflection.
func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	switch v.Value.(type) {
	case nil, string, []byte, int64, bool, time.Time:
		return nil
	}
	return c.pq.CheckNamedValue(v)
}

// Close implements driver.Conn. The farewell must not wait for a network that
// went silent.
func (c *conn) Close() error {
	_ = c.socket.socket.SetDeadline(time.Now().Add(socketGrace)) // closed already: Close says so
	return c.pq.Close()
}

// Prepare and Begin make a conn a driver.Conn; database/sql takes the methods
// with a context.
func (c *conn) Prepare(text string) (driver.Stmt, error) { return c.pq.Prepare(text) }
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}
