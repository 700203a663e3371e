package cluster_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/persistence/cluster"
)

// childDir tells this test binary to be somebody who starts a cluster and
// waits to be killed.
const childDir = "CLUSTER_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		beKilled(dir)
	}
	os.Exit(m.Run())
}

func beKilled(dir string) {
	c, err := cluster.Start(context.Background(), cluster.Config{Dir: dir, Fsync: true})
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(c.PID()) + "\n")
	select {}
}

// start skips where no server is installed, unless make test says that there
// must be one.
func start(t *testing.T, cfg cluster.Config) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(t.Context(), cfg)
	if errors.Is(err, cluster.ErrMissing) && os.Getenv("REQUIRE_POSTGRES") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, c) })
	return c
}

func stop(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func mustExec(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM kept").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// psql reads URLs by rules of its own, and people paste ours there.
func TestPsqlTakesTheURL(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Config{Dir: filepath.Join(t.TempDir(), "a & b 100%")})
	psql := exec.CommandContext(t.Context(), "psql", "-XAtc", "SELECT 'reached'", c.URL("postgres"))
	if out, err := psql.CombinedOutput(); err != nil || string(out) != "reached\n" {
		t.Errorf("psql answers %q (%v)", out, err)
	}
}

// The name holds what a careless URL would break on, and is longer than a
// socket's path may be.
func TestDataSurvivesStopAndStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a folder & 100%", strings.Repeat("long/", 20))
	first := start(t, cluster.Config{Dir: dir, Fsync: true, Settings: map[string]string{"work_mem": "5MB"}})
	if err := first.CreateDatabase(t.Context(), `it's "mine"`); err != nil {
		t.Fatal(err)
	}
	if err := first.CreateDatabase(t.Context(), `it's "mine"`); err != nil {
		t.Errorf("CreateDatabase of one that is there: %v", err)
	}
	db := open(t, first.URL(`it's "mine"`))
	mustExec(t, db, "CREATE TABLE kept (n int)")
	mustExec(t, db, "INSERT INTO kept VALUES (1)")
	for setting, want := range map[string]string{
		"work_mem": "5MB", "fsync": "on", "synchronous_commit": "on", "listen_addresses": "",
	} {
		var got string
		if err := db.QueryRowContext(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q (%v), want %q", setting, got, err, want)
		}
	}
	stop(t, first)
	select {
	case <-first.Done():
	default:
		t.Error("Done is open after Stop")
	}

	second := start(t, cluster.Config{Dir: dir})
	if n := count(t, open(t, second.URL(`it's "mine"`))); n != 1 {
		t.Errorf("%d rows after a restart, want 1", n)
	}
}

func TestOneFolderHasOneServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, cluster.Config{Dir: dir})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := cluster.Start(ctx, cluster.Config{Dir: dir}); !errors.Is(err, cluster.ErrRunning) {
		t.Errorf("a second Start answers %v, want ErrRunning", err)
	}
}

func TestBadSettingIsNamed(t *testing.T) {
	t.Parallel()
	start(t, cluster.Config{Dir: t.TempDir()}) // skips without PostgreSQL
	_, err := cluster.Start(t.Context(), cluster.Config{Dir: t.TempDir(), Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("Start with a misspelt setting answers %v", err)
	}
}

// A lock file whose process number now belongs to somebody else must not keep
// the folder closed.
func TestStaleLockFileIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop(t, start(t, cluster.Config{Dir: dir}))
	lock := strconv.Itoa(os.Getpid()) + "\n/elsewhere\n0\n5432\n\n\n\n"
	for _, path := range []string{"data/postmaster.pid", "run/.s.PGSQL.5432.lock"} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(lock), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start(t, cluster.Config{Dir: dir})
}

// kill -9 of the process that started it takes the server with it, and the
// folder opens again with everything that was committed.
func TestFolderOpensAgainAfterKill(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		victim func(parent, server int) int
	}{
		{"of the starter", func(parent, _ int) int { return parent }},
		{"of the server", func(_, server int) int { return server }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			stop(t, start(t, cluster.Config{Dir: dir})) // skips without PostgreSQL; leaves a folder

			child, server := startChild(t, dir)
			db := open(t, runURL(dir))
			mustExec(t, db, "CREATE TABLE kept (n int)")
			mustExec(t, db, "INSERT INTO kept VALUES (1), (2)")
			if err := syscall.Kill(tc.victim(child.Process.Pid, server), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			second := start(t, cluster.Config{Dir: dir, Fsync: true})
			if second.PID() == server {
				t.Errorf("process %d is still the old server", server)
			}
			if n := count(t, open(t, second.URL("postgres"))); n != 2 {
				t.Errorf("%d rows after kill -9, want 2", n)
			}
		})
	}
}

func runURL(dir string) string {
	return "host='" + filepath.Join(dir, "run") + "' user=postgres dbname=postgres sslmode=disable"
}

func startChild(t *testing.T, dir string) (child *exec.Cmd, serverPID int) {
	t.Helper()
	child = exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = t.Output()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait() // killed, as intended
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child did not start a server: %v", err)
	}
	serverPID, err = strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return child, serverPID
}
