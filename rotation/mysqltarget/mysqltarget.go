// Package mysqltarget sets passwords of MariaDB's and MySQL's accounts, and logs
// in with them.
//
// The general log and the binary log keep statements as they were sent, so the
// password never is in one: what is sent is the hash that the server stores,
// that of mysql_native_password. That hash has no salt, which matters little to
// a long random password, and it is worth as much as a password to who can read
// the network: hence TLS.
package mysqltarget

import (
	"context"
	"crypto/sha1" //nolint:gosec // the protocol's own hash
	"crypto/tls"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Config says where a server is. The accounts come with each call.
type Config struct {
	Address string // host:port, or the path of a Unix socket
	Host    string // of the accounts, as in 'name'@'host'; empty: %
	TLS     *tls.Config
	Timeout time.Duration
}

// Target is one server. It may be used concurrently.
type Target struct{ cfg Config }

var _ rotation.Target = (*Target)(nil)

// New returns the target; nothing is asked of it yet.
func New(cfg Config) *Target {
	if cfg.Host == "" {
		cfg.Host = "%"
	}
	return &Target{cfg}
}

// Login implements rotation.Target.
func (t *Target) Login(ctx context.Context, a rotation.Account) error {
	return t.as(ctx, a, func(*sql.Conn) error { return nil })
}

// SetPassword implements rotation.Target.
func (t *Target) SetPassword(ctx context.Context, admin, a rotation.Account) error {
	// Both servers know this form, in which AS names a hash.
	text := "ALTER USER " + quoted(a.Name) + "@" + quoted(t.cfg.Host) + //nolint:gosec // takes no parameters; both names are quoted
		" IDENTIFIED WITH mysql_native_password AS '" + Stored(a.Password) + "'"
	err := t.as(ctx, admin, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, text)
		return changed(err)
	})
	if errors.Is(err, rotation.ErrLogin) {
		return fault.Wrap(fault.Denied, "the instance does not let its administrator log in", rotation.ErrLogin)
	}
	return err
}

// quoted is a name between backticks: what a backslash means between other
// quotes depends on the server's mode.
func quoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// Stored is what the server keeps of a password.
func Stored(password sensitive.Bytes) string {
	once := sha1.Sum(password.Reveal()) //nolint:gosec // the protocol's own hash
	twice := sha1.Sum(once[:])          //nolint:gosec // the same
	return "*" + strings.ToUpper(hex.EncodeToString(twice[:]))
}

// as runs do on a connection of an account.
func (t *Target) as(ctx context.Context, a rotation.Account, do func(*sql.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd = a.Name, string(a.Password.Reveal())
	cfg.Net, cfg.Addr, cfg.TLS = "tcp", t.cfg.Address, t.cfg.TLS
	if strings.HasPrefix(t.cfg.Address, "/") {
		cfg.Net = "unix"
	}
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = t.cfg.Timeout, t.cfg.Timeout, t.cfg.Timeout
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return rotation.ErrAway
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }() // there is nothing left to lose
	c, err := db.Conn(ctx)
	if err != nil {
		return refused(err)
	}
	defer func() { _ = c.Close() }()
	return do(c)
}

// refusals are the errors by which a server does not let an account in: wrong
// password, no password at all, locked (MySQL, MariaDB), expired.
var refusals = map[uint16]bool{1045: true, 1698: true, 3118: true, 4151: true, 1862: true}

// refused says why there is no connection.
func refused(err error) error {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	switch {
	case ok && refusals[e.Number]:
		return rotation.ErrLogin
	case ok:
		return fault.Wrap(fault.Unavailable, fmt.Sprintf("the instance cannot be reached (error %d)", e.Number), rotation.ErrAway)
	}
	return rotation.ErrAway
}

// passing are errors by which a statement was not carried out, and might be
// another time: lock wait, deadlock, read-only for now.
var passing = map[uint16]bool{1205: true, 1213: true, 1290: true, 1836: true}

var errUnknown = fault.New(fault.Unavailable, "the connection to the instance broke while the password was being set")

// changed says what became of the statement. Where the server answered, it was
// not carried out, unless the server was stopping just then.
func changed(err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*mysql.MySQLError](err)
	switch {
	case !ok, e.Number == 1053, e.Number == 1317:
		return errUnknown
	case passing[e.Number]:
		return fault.Wrap(fault.Unavailable, fmt.Sprintf("the instance could not set the password now (error %d)", e.Number), rotation.ErrAway)
	}
	return fault.Wrap(fault.Denied, fmt.Sprintf("%s (error %d)", rotation.ErrRejected.Public, e.Number), rotation.ErrRejected)
}
