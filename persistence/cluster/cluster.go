package cluster

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"
)

// Config says where the server lives and how careful it is.
type Config struct {
	// Dir holds everything; it is made if missing, and Stop leaves it.
	Dir string
	// Fsync makes a commit survive a crash of the machine. Leave it off in
	// tests alone: the death of a process loses nothing either way.
	Fsync bool
	// Settings are further lines of postgresql.conf, and win over ours.
	Settings map[string]string
}

// Cluster is a running server. Its methods may be called concurrently.
type Cluster struct {
	proc   *process
	socket socketDir
}

// Start makes the folder's database cluster if there is none, starts the
// server and returns when it takes connections. Without an installed server
// the error is ErrMissing, and ErrRunning where another one has the folder.
func Start(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	f, err := prepare(dir)
	if err != nil {
		return nil, err
	}
	if err := f.initialise(ctx); err != nil {
		return nil, fmt.Errorf("initdb: %w", err)
	}
	leftover, err := f.awaitPredecessor(ctx)
	if err != nil {
		return nil, err
	}
	socket, err := f.makeSocketDir()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			socket.remove()
		}
	}()
	for tries := 0; ; tries++ {
		c, err := launch(ctx, f, socket, settings(cfg))
		// The children of a server that was killed may hold its shared memory
		// for a moment longer, and a new server then refuses to start.
		if err == nil || !leftover || tries == 20 || !errors.Is(err, errEnded) {
			return c, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func launch(ctx context.Context, f *folder, socket socketDir, options []string) (*Cluster, error) {
	proc, err := f.serve(socket, options)
	if err != nil {
		return nil, err
	}
	c := &Cluster{proc: proc, socket: socket}
	if err := c.awaitReady(ctx); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return nil, errors.Join(err, proc.stop(stopCtx))
	}
	return c, nil
}

// settings returns the server's options in a stable order.
func settings(cfg Config) []string {
	durable := "off"
	if cfg.Fsync {
		durable = "on"
	}
	all := map[string]string{
		"listen_addresses":        "",
		"unix_socket_permissions": "0700",
		"fsync":                   durable,
		"synchronous_commit":      durable,
		"full_page_writes":        durable,
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		// A failing statement or its details may hold what a caller sent.
		"log_error_verbosity":     "terse",
		"log_min_error_statement": "panic",
	}
	maps.Copy(all, cfg.Settings)
	options := make([]string, 0, 2*len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		options = append(options, "-c", name+"="+all[name])
	}
	return options
}

// URL names a database of this server, in the form that lib/pq and psql take.
// It holds no password: whoever can reach the socket is let in.
func (c *Cluster) URL(database string) string {
	query := url.Values{"host": {c.socket.path}, "sslmode": {"disable"}}.Encode()
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(superuser),
		Path:     "/" + database,
		RawQuery: strings.ReplaceAll(query, "+", "%20"), // libpq takes a plus for a plus
	}
	return u.String()
}

// CreateDatabase makes a database unless it is there.
func (c *Cluster) CreateDatabase(ctx context.Context, name string) error {
	return c.once(func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name))
		if e, ok := errors.AsType[*pq.Error](err); ok && e.Code == "42P04" { // duplicate_database
			return nil
		}
		return err
	})
}

// once lends f a short-lived pool on the server's own database.
func (c *Cluster) once(f func(*sql.DB) error) (err error) {
	db, err := sql.Open("postgres", c.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return f(db)
}

// awaitReady returns once the server answers a query.
func (c *Cluster) awaitReady(ctx context.Context) error {
	return c.once(func(db *sql.DB) error {
		for db.PingContext(ctx) != nil {
			select {
			case <-c.proc.done:
				return c.proc.failure()
			case <-ctx.Done():
				return fmt.Errorf("PostgreSQL does not answer yet: %w", ctx.Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
		return nil
	})
}

// PID is the server's first process; its backends are that one's children.
func (c *Cluster) PID() int { return c.proc.pid }

// Done is closed when the server has ended, whoever ended it.
func (c *Cluster) Done() <-chan struct{} { return c.proc.done }

// Stop disconnects all clients and ends the server. Where that takes longer
// than ctx allows, the server is killed as in a crash, and the next start
// repairs what that left. Stopping twice is harmless.
func (c *Cluster) Stop(ctx context.Context) error {
	err := c.proc.stop(ctx)
	c.socket.remove()
	return err
}
