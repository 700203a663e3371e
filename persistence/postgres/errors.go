package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/fault"
)

// stateError is what may be told of an error that the server reported. Its own
// text, detail and hint may quote values.
type stateError struct {
	State      string // SQLSTATE
	Constraint string // which one was violated, if any
	Column     string // which one must not be NULL, if it was
}

func (e *stateError) Error() string {
	if where := e.Constraint + e.Column; where != "" {
		return "SQLSTATE " + e.State + " (" + where + ")"
	}
	return "SQLSTATE " + e.State
}

// errLost says that the connection broke while a statement was on its way. It
// is not driver.ErrBadConn, which would make database/sql run the statement
// once more, and that might do it twice.
var errLost = errors.New("connection lost")

const away = "the database is unavailable"

// violates reports whether err is the violation of the named constraint or
// unique index.
func violates(err error, constraint string) bool {
	e, ok := errors.AsType[*stateError](err)
	return ok && e.Constraint == constraint && strings.HasPrefix(e.State, "23")
}

// hasState reports whether err came from the server with that SQLSTATE.
func hasState(err error, state string) bool {
	e, ok := errors.AsType[*stateError](err)
	return ok && e.State == state
}

// classify turns what database/sql and the driver return into something that
// may be logged: no address, no value, no text of the server. Trouble that may
// pass becomes fault.Unavailable. Faults, domain errors and sql.ErrNoRows stay
// as they are.
func classify(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*stateError](err); ok {
		return err
	}
	if e, ok := errors.AsType[*pq.Error](err); ok {
		known := &stateError{State: e.SQLState(), Constraint: e.Constraint, Column: e.Column}
		switch {
		case passing(known.State):
			return fault.Wrap(fault.Unavailable, away, known)
		case known.State == "22021": // character_not_in_repertoire
			return fault.Wrap(fault.Invalid, "a text holds a character that cannot be stored", known)
		}
		return known
	}
	// The socket's deadline is the caller's: the caller's word for it is kept.
	if cause := ctx.Err(); cause != nil {
		return fault.Wrap(fault.Unavailable, away, cause)
	}
	if why, ok := broken(err); ok {
		return fault.Wrap(fault.Unavailable, away, why)
	}
	return own(err)
}

// passing reports whether a statement that failed with that SQLSTATE may work
// later, as it is.
func passing(state string) bool {
	switch state {
	case "25006", // read_only_sql_transaction: this server is a standby by now
		"3D000",          // invalid_catalog_name: only while connecting
		"40001", "40P01", // serialization_failure, deadlock_detected
		"55P03": // lock_not_available
		return true
	}
	switch state[:min(2, len(state))] {
	case "08", // connection exception
		"28", // invalid authorization: only while connecting
		"53", // insufficient resources
		"57", // operator intervention: shutdown, statement_timeout
		"58": // system error
		return true
	}
	return false
}

// broken tells in safe words what befell a connection. Errors of package net
// hold addresses.
func broken(err error) (error, bool) {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e, true
	}
	for _, known := range []error{
		errLost, context.DeadlineExceeded, context.Canceled,
		io.EOF, io.ErrUnexpectedEOF, driver.ErrBadConn, sql.ErrConnDone, net.ErrClosed,
	} {
		if errors.Is(err, known) {
			return known, true
		}
	}
	e, ok := errors.AsType[net.Error](err)
	if ok && e.Timeout() {
		return errors.New("the server does not answer"), true
	}
	return errLost, ok
}

// safeStart is the part of database/sql's and the driver's own texts that names
// a mistake of ours. What follows may quote a value.
var safeStart = regexp.MustCompile(`^(sql: Scan error on column index \d+, name "\w*"|sql: expected \d+ .*|pq: got \d+ parameters .*)`)

// own is an error of our own making: a wrong number of arguments, a column of
// another type.
func own(err error) error {
	if known := safeStart.FindString(err.Error()); known != "" {
		return errors.New(known)
	}
	return fmt.Errorf("database driver: %T", err)
}
