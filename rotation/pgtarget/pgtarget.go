// Package pgtarget sets passwords of PostgreSQL roles, and logs in with them.
//
// ALTER ROLE takes no parameters, and a server logs statements, so the password
// never is in one: what is sent is its SCRAM-SHA-256 verifier, which the server
// stores as it is. Logging in is SCRAM, too, which shows the server no password
// either, unless pg_hba.conf asks for one in the clear.
package pgtarget

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/xdg-go/scram"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// Config says where a server is. The roles that it knows come with each call.
type Config struct {
	Address  string // host:port, or the folder of a Unix socket
	Database string // that every role may connect to; empty: postgres
	SSLMode  string // verify-full, verify-ca, require or disable
	CAFile   string // PEM; empty: the system's authorities
	Timeout  time.Duration
}

// Target is one server. It may be used concurrently.
type Target struct{ cfg Config }

var _ rotation.Target = (*Target)(nil)

// New returns the target; nothing is asked of it yet.
func New(cfg Config) *Target {
	if cfg.Database == "" {
		cfg.Database = "postgres"
	}
	return &Target{cfg}
}

// Login implements rotation.Target.
func (t *Target) Login(ctx context.Context, a rotation.Account) error {
	return t.as(ctx, a, func(*sql.Conn) error { return nil })
}

// SetPassword implements rotation.Target.
func (t *Target) SetPassword(ctx context.Context, admin, a rotation.Account) error {
	stored, err := Verifier(a.Password)
	if err != nil {
		return fault.Wrap(fault.Invalid, "the password cannot be one of PostgreSQL", rotation.ErrRejected)
	}
	text := "ALTER ROLE " + pq.QuoteIdentifier(a.Name) + " PASSWORD " + pq.QuoteLiteral(stored) //nolint:gosec // takes no parameters; both are quoted
	err = t.as(ctx, admin, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, text)
		return changed(err)
	})
	if errors.Is(err, rotation.ErrLogin) {
		return fault.Wrap(fault.Denied, "the instance does not let its administrator log in", rotation.ErrLogin)
	}
	return err
}

// as runs do on a connection of an account.
func (t *Target) as(ctx context.Context, a rotation.Account, do func(*sql.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	connector, err := pq.NewConnector(t.url(a))
	if err != nil {
		return rotation.ErrAway // its text has the URL
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

func (t *Target) url(a rotation.Account) string {
	q := url.Values{
		"sslmode": {t.cfg.SSLMode},
		// A file of passwords would win over ours, and log in whatever we set.
		"passfile": {"/dev/null"},
	}
	if t.cfg.CAFile != "" {
		q.Set("sslrootcert", t.cfg.CAFile)
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(a.Name, string(a.Password.Reveal())), Path: "/" + t.cfg.Database}
	if strings.HasPrefix(t.cfg.Address, "/") {
		q.Set("host", t.cfg.Address)
	} else if host, port, err := net.SplitHostPort(t.cfg.Address); err == nil {
		u.Host = net.JoinHostPort(host, port)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// refused says why there is no connection. Class 28 is that the account may not
// log in; all else may pass.
func refused(err error) error {
	e, ok := errors.AsType[*pq.Error](err)
	switch {
	case ok && e.Code.Class() == "28":
		return rotation.ErrLogin
	case ok:
		return fault.Wrap(fault.Unavailable, "the instance cannot be reached (SQLSTATE "+string(e.Code)+")", rotation.ErrAway)
	}
	return rotation.ErrAway
}

var errUnknown = fault.New(fault.Unavailable, "the connection to the instance broke while the password was being set")

// changed says what became of the statement. Where the server answered, it was
// not carried out; a server that stops answers, too, and leaves that open.
func changed(err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*pq.Error](err)
	if !ok {
		return errUnknown
	}
	state := " (SQLSTATE " + string(e.Code) + ")"
	switch e.Code.Class() {
	case "08", "57":
		return errUnknown
	case "40", "53", "55", "XX": // it may do so another time
		return fault.Wrap(fault.Unavailable, "the instance could not set the password now"+state, rotation.ErrAway)
	}
	return fault.Wrap(fault.Denied, rotation.ErrRejected.Public+state, rotation.ErrRejected)
}

// PostgreSQL's own choice for a password that it is told.
const (
	iterations = 4096
	saltLength = 16
)

// Verifier is what the server stores of a password:
// SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>.
func Verifier(password sensitive.Bytes) (string, error) {
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails
	client, err := scram.SHA256.NewClient("", string(password.Reveal()), "")
	if err != nil {
		// What is no SASLprep string is used as it is (PostgreSQL, §20.5).
		client, err = scram.SHA256.NewClientUnprepped("", string(password.Reveal()), "")
	}
	if err != nil {
		return "", err
	}
	keys, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return "", err
	}
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(keys.StoredKey), b64(keys.ServerKey)), nil
}
