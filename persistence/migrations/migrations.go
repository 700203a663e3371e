// Package migrations has the database schema as numbered steps, and takes a
// database through them. schema.golden.sql shows where they end today.
//
// A migration says in its head what it changes, what it locks, and which
// release begins to use it. One that was released is never edited. Two
// releases share a schema during an upgrade: add first, use in the next
// release, remove in the one after.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed 0*.sql
var files embed.FS

// Latest is the version that this program needs.
var Latest = sync.OnceValue(func() int64 {
	names, err := files.ReadDir(".")
	if err != nil {
		panic("migrations: " + err.Error()) // they are in the program
	}
	var latest int64
	for _, f := range names {
		number, _, _ := strings.Cut(f.Name(), "_")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			latest = max(latest, n)
		}
	}
	return latest
})

// State is what became of one migration.
type State struct {
	Name    string
	Applied bool
	At      time.Time // zero unless Applied
}

// Migrate applies what is missing and returns the names of what it applied.
// Any number of processes may do so at once: one does the work, the others
// wait. The lock is a row, so it holds behind a connection balancer as well.
func Migrate(ctx context.Context, db *sql.DB) ([]string, error) {
	p, err := provider(db)
	if err != nil {
		return nil, err
	}
	results, err := p.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	names := make([]string, 0, len(results))
	for _, r := range results {
		names = append(names, path.Base(r.Source.Path))
	}
	return names, nil
}

// Down takes everything back, data included. For tests.
func Down(ctx context.Context, db *sql.DB) error {
	p, err := provider(db)
	if err != nil {
		return err
	}
	if _, err := p.DownTo(ctx, 0); err != nil {
		return fmt.Errorf("migrate down: %w", err)
	}
	return nil
}

// Status lists all migrations that this program knows, in order.
func Status(ctx context.Context, db *sql.DB) ([]State, error) {
	p, err := provider(db)
	if err != nil {
		return nil, err
	}
	found, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read migration status: %w", err)
	}
	states := make([]State, 0, len(found))
	for _, s := range found {
		states = append(states, State{
			Name: path.Base(s.Source.Path), Applied: s.State == goose.StateApplied, At: s.AppliedAt.UTC(),
		})
	}
	return states, nil
}

func provider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableName("migration_lock"),
		lock.WithTableLockTimeout(200*time.Millisecond, 5*60*5), // 5 minutes
	)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName("schema_migrations"),
		goose.WithLocker(locker),
		goose.WithDisableGlobalRegistry(true))
}
