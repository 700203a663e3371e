// Package pgtest gives a test a PostgreSQL database of its own.
//
// There is one server per test binary, started by whichever test needs it
// first, one migrated template, and one clone of that per test at a time. Tests may run
// in parallel and never clean up after each other. A package that uses pgtest
// ends its tests with it:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// Without PostgreSQL a test is skipped on a laptop and fails where
// REQUIRE_POSTGRES is set, as it is in make test: a skip nobody sees is a test
// nobody runs.
package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver of the administrator's connection

	"github.com/strongroom-kms/strongroom/persistence/cluster"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
)

const template = "migrated"

// server is the test binary's PostgreSQL.
type server struct {
	dir     string
	cluster *cluster.Cluster
	admin   *sql.DB
	clones  atomic.Uint64

	mu   sync.Mutex
	free []string // names of databases that are as migrated
}

// shared is the server, once some test asked for it.
var shared struct {
	sync.Mutex
	inMain bool
	server *server
	err    error
}

// Main runs the tests of a package, then stops the server and removes its
// folder. It returns the exit code.
func Main(m *testing.M) int {
	shared.Lock()
	shared.inMain = true
	shared.Unlock()
	code := m.Run()
	if s := shared.server; s != nil {
		if err := s.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			return max(code, 1)
		}
	}
	return code
}

// Open returns a migrated, empty database that is the test's alone. It is
// emptied for the next one afterwards, which takes a tenth of a clone: a test
// that changes the schema takes URL.
func Open(tb testing.TB) *postgres.DB {
	tb.Helper()
	return OpenURL(tb, get(tb).lend(tb))
}

// OpenURL opens a database for the time of the test.
func OpenURL(tb testing.TB, url string) *postgres.DB {
	tb.Helper()
	db, err := postgres.Open(tb.Context(), postgres.Config{URL: url})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("close database: %v", err)
		}
	})
	return db
}

// URL names a migrated, empty database that disappears with the test.
func URL(tb testing.TB) string {
	tb.Helper()
	return get(tb).clone(tb, template)
}

// Empty names a database without a schema that disappears with the test.
func Empty(tb testing.TB) string {
	tb.Helper()
	return get(tb).clone(tb, "template0")
}

// get returns the running server, or skips or fails the test.
func get(tb testing.TB) *server {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.inMain {
		tb.Fatal("pgtest: this package needs func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }")
	}
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = start()
	}
	if errors.Is(shared.err, cluster.ErrMissing) && os.Getenv("REQUIRE_POSTGRES") == "" {
		tb.Skip(shared.err)
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server
}

const prefix = "strongroom-pgtest-"

func start() (_ *server, err error) {
	removeLeftovers()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return nil, err
	}
	c, err := cluster.Start(ctx, cluster.Config{
		Dir: dir,
		Settings: map[string]string{
			"max_connections": "400", "shared_buffers": "64MB", "autovacuum": "off",
			"max_wal_size": "256MB", "wal_level": "minimal", "max_wal_senders": "0",
		},
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s := &server{dir: dir, cluster: c}
	if s.admin, err = sql.Open("postgres", c.URL("postgres")); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if err := c.CreateDatabase(ctx, template); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if _, err := postgres.Migrate(ctx, postgres.Config{URL: c.URL(template)}); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if err := s.run(template, pristine); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// stop ends the server and leaves nothing behind.
func (s *server) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var err error
	if s.admin != nil {
		err = s.admin.Close()
	}
	return errors.Join(err, s.cluster.Stop(ctx), os.RemoveAll(s.dir))
}

// clone makes a database from another and drops it with the test, whoever is
// still connected.
func (s *server) clone(tb testing.TB, from string) string {
	tb.Helper()
	name := "t" + strconv.FormatUint(s.clones.Add(1), 10)
	if _, err := s.admin.ExecContext(tb.Context(), "CREATE DATABASE "+name+" TEMPLATE "+from); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if _, err := s.admin.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("drop database: %v", err)
		}
	})
	return s.cluster.URL(name)
}

// lend gives a database for the time of a test.
func (s *server) lend(tb testing.TB) string {
	tb.Helper()
	s.mu.Lock()
	var name string
	if n := len(s.free); n > 0 {
		name, s.free = s.free[n-1], s.free[:n-1]
	}
	s.mu.Unlock()
	if name == "" {
		name = "lent" + strconv.FormatUint(s.clones.Add(1), 10)
		if _, err := s.admin.ExecContext(tb.Context(), "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() {
		if err := s.empty(name); err != nil {
			tb.Errorf("empty database: %v", err)
			return
		}
		s.mu.Lock()
		s.free = append(s.free, name)
		s.mu.Unlock()
	})
	return s.cluster.URL(name)
}

// pristine keeps what the migrations put into tables.
const pristine = `
	CREATE SCHEMA pristine;
	DO $$ DECLARE t text; filled boolean; BEGIN
		FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
			EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', t) INTO filled;
			IF filled THEN
				EXECUTE format('CREATE TABLE pristine.%I AS TABLE public.%1$I', t);
			END IF;
		END LOOP;
	END $$`

// emptied brings every table back to what the migrations left. Neither foreign
// keys nor triggers are asked.
const emptied = `
	SET session_replication_role = replica;
	DO $$ DECLARE t text; BEGIN
		FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
			EXECUTE format('DELETE FROM public.%I', t);
		END LOOP;
		FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'pristine' LOOP
			EXECUTE format('INSERT INTO public.%I SELECT * FROM pristine.%1$I', t);
		END LOOP;
	END $$`

func (s *server) empty(name string) error { return s.run(name, emptied) }

// run carries out statements in one of the server's databases.
func (s *server) run(name, statements string) error {
	db, err := sql.Open("postgres", s.cluster.URL(name))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(context.Background(), statements)
	return errors.Join(err, db.Close())
}

// removeLeftovers removes the folders of test binaries that were killed. Their
// servers died with them.
func removeLeftovers() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, dir := range dirs {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		pid, err := strconv.Atoi(owner)
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir) // another test binary may be at it
		}
	}
}
