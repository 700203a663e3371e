package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/persistence/migrations"
	"github.com/strongroom-kms/strongroom/quota"
)

// Config says which database, and how much of it may be used. Zero values
// mean the defaults.
type Config struct {
	// URL is a postgres:// URL or a key=value string. Without sslmode it means
	// verify-full; a Unix socket has none.
	URL string
	// MaxOpen limits the connections (16), MaxIdle how many of them stay open
	// without work (MaxOpen).
	MaxOpen, MaxIdle int
	// StatementTimeout bounds one statement (5 s), in the server and, a second
	// later, on the socket. A shorter deadline of the caller wins.
	StatementTimeout time.Duration
	// ConnectTimeout bounds the making of one connection (5 s).
	ConnectTimeout time.Duration
	// Quotas are the operator's defaults, for projects without limits of their
	// own. What is absent is unlimited.
	Quotas quota.Limits
	// DefaultGroup is where new keys of a project are made that prefers no token
	// group (key.DefaultGroup). All nodes should agree.
	DefaultGroup string
	// Observe hears of each statement: its name, the time it took with the
	// reading of its rows, and how it ended. May be nil.
	Observe func(name string, took time.Duration, err error)
}

// socketGrace is what the socket waits longer than the server: where both are
// well, the server's own answer comes first.
const socketGrace = time.Second

// DB is a pool of connections to one database. It implements secret.Store,
// kek.Store and the other stores of the domain, and may be used concurrently.
type DB struct {
	pool    *sql.DB
	turns   chan struct{} // one place per connection, taken by who uses one
	observe func(string, time.Duration, error)
	trips   *atomic.Uint64
	tallies tallies
	quotas  quota.Limits

	defaultGroup string // of tokens
}

// Open prepares a pool and asks the server for one connection, so that a wrong
// address or password is found out at start. It does not look at the schema:
// Ready does.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	c, err := newConnector(cfg)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(c)
	most := cmp.Or(cfg.MaxOpen, 16)
	pool.SetMaxOpenConns(most)
	pool.SetMaxIdleConns(cmp.Or(cfg.MaxIdle, most))
	// Behind a balancer, connections must move to new servers some day.
	pool.SetConnMaxLifetime(time.Hour)
	db := &DB{
		pool: pool, turns: make(chan struct{}, most), observe: cfg.Observe, trips: c.trips,
		quotas: cfg.Quotas, defaultGroup: cmp.Or(cfg.DefaultGroup, key.DefaultGroup),
	}
	if db.observe == nil {
		db.observe = func(string, time.Duration, error) {}
	}
	if err := db.Ping(ctx); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return db, nil
}

// newConnector checks cfg and sets what every session has. An operator may
// override the session's settings in the URL.
func newConnector(cfg Config) (*connector, error) {
	if os.Getenv("PQGO_DEBUG") != "" {
		return nil, errors.New("PQGO_DEBUG is set: it would print every value that goes to the database")
	}
	settings, err := pq.NewConfig(cfg.URL)
	if err != nil {
		// The cause quotes the URL, and that may hold a password.
		return nil, fault.New(fault.Invalid, "the database URL cannot be read")
	}
	// The driver's own default has changed before (require, prefer).
	if settings.SSLMode == "" {
		settings.SSLMode = pq.SSLModeVerifyFull
	}
	settings.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, 5*time.Second)
	settings.ApplicationName = cmp.Or(settings.ApplicationName, "strongroom")
	timeout := cmp.Or(cfg.StatementTimeout, 5*time.Second)
	if settings.Runtime == nil {
		settings.Runtime = map[string]string{}
	}
	for name, value := range map[string]string{
		"statement_timeout":                   milliseconds(timeout),
		"idle_in_transaction_session_timeout": milliseconds(4 * timeout),
		// A statement whose caller hung up ends soon after.
		"client_connection_check_interval": "1000",
		"timezone":                         "UTC",
		// A statement that waited for a row must see what that one's owner did.
		"default_transaction_isolation": "read committed",
		// Our statements are index lookups: planning each anew costs more than
		// it could gain, and compiling them much more.
		"plan_cache_mode": "force_generic_plan",
		"jit":             "off",
		// A plan is made once per connection, perhaps while a table is empty, and
		// must be right when it is full.
		"enable_seqscan": "off",
	} {
		if _, ok := settings.Runtime[name]; !ok {
			settings.Runtime[name] = value
		}
	}
	return &connector{settings: settings, most: timeout + socketGrace, trips: new(atomic.Uint64)}, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Close closes the pool. Statements that are under way may still finish.
func (db *DB) Close() error { return db.pool.Close() }

// Ping asks the server for an answer.
func (db *DB) Ping(ctx context.Context) error {
	return classify(ctx, db.inTurn(ctx, func() error { return db.pool.PingContext(ctx) }))
}

// Ready reports why the database cannot be used now: it does not answer, or
// its schema is older than this program. A newer one is fine, since two
// releases share a schema during an upgrade.
func (db *DB) Ready(ctx context.Context) error {
	var have int64
	err := db.row(ctx, "ready", `
		SELECT coalesce(max(version_id), 0) FROM schema_migrations WHERE is_applied AND version_id >= $1`, 0).Scan(&have)
	if hasState(err, "42P01") { // undefined_table
		have, err = 0, nil
	}
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if want := migrations.Latest(); have < want {
		return fault.New(fault.Unavailable,
			fmt.Sprintf("the database schema has version %d and %d is needed: run strongroom migrate", have, want))
	}
	return nil
}

// RoundTrips counts the messages to the server since Open.
func (db *DB) RoundTrips() uint64 { return db.trips.Load() }

// Stats describes the pool, for metrics.
func (db *DB) Stats() sql.DBStats { return db.pool.Stats() }

// Migrate brings the schema of cfg's database up to date, and returns the
// names of the migrations that it applied. Any number of processes may do so
// at once. Statements may take as long as ctx allows.
func Migrate(ctx context.Context, cfg Config) ([]string, error) {
	var applied []string
	err := withSchemaPool(cfg, func(pool *sql.DB) (err error) {
		applied, err = migrations.Migrate(ctx, pool)
		return classify(ctx, err)
	})
	return applied, err
}

// MigrationStatus lists the migrations that this program knows.
func MigrationStatus(ctx context.Context, cfg Config) ([]migrations.State, error) {
	var states []migrations.State
	err := withSchemaPool(cfg, func(pool *sql.DB) (err error) {
		states, err = migrations.Status(ctx, pool)
		return classify(ctx, err)
	})
	return states, err
}

// withSchemaPool lends f a pool whose statements may take hours.
func withSchemaPool(cfg Config, f func(*sql.DB) error) (err error) {
	cfg.StatementTimeout = 24 * time.Hour
	c, err := newConnector(cfg)
	if err != nil {
		return err
	}
	pool := sql.OpenDB(c)
	defer func() { err = errors.Join(err, pool.Close()) }()
	return f(pool)
}
