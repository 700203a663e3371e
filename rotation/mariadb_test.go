package rotation_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/rotation/mysqltarget"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// mariaDB is Debian's server, in a folder of its own, on a Unix socket. It
// keeps what it is told in the general log and in the binary log.
type mariaDB struct {
	dir  string
	root *sql.DB
	at   *mysqltarget.Target
}

func startMariaDB(tb testing.TB) *mariaDB {
	tb.Helper()
	install, err := exec.LookPath("mariadb-install-db")
	daemon, err2 := exec.LookPath("/usr/sbin/mariadbd")
	if err := errors.Join(err, err2); err != nil {
		if os.Getenv("REQUIRE_MARIADB") == "" {
			tb.Skip(err)
		}
		tb.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rotation-mariadb-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	data := filepath.Join(dir, "data")
	as := runAs(tb, dir)
	out, err := exec.CommandContext(tb.Context(), install, "--no-defaults", "--datadir="+data, "--user="+as,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve").CombinedOutput()
	if err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(daemon, "--no-defaults", "--datadir="+data, "--user="+as, "--socket="+socket, "--skip-networking", // ends with the test, after a goodbye
		"--pid-file="+filepath.Join(dir, "pid"), "--log-error="+filepath.Join(data, "error.log"), "--innodb-buffer-pool-size=16M",
		"--innodb-flush-log-at-trx-commit=0", "--general-log=1", "--general-log-file="+filepath.Join(data, "general.log"),
		"--log-bin="+filepath.Join(data, "binlog"), "--binlog-format=STATEMENT", "--server-id=1", "--log-warnings=9")
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		_ = cmd.Wait()
	})
	s := &mariaDB{dir: dir}
	s.root = s.open(tb, "root", "", socket)
	for end := time.Now().Add(time.Minute); s.root.PingContext(tb.Context()) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(data, "error.log"))
			tb.Fatalf("MariaDB does not answer: %s", log)
		}
	}
	s.at = mysqltarget.New(mysqltarget.Config{Address: socket, Timeout: 10 * time.Second})
	s.account(tb, adminName, adminPassword)
	s.do(tb, "GRANT ALL ON *.* TO "+adminName+"@'%' WITH GRANT OPTION")
	return s
}

// runAs says whom the server runs as, and gives that one the folder: the server
// does not like to be root.
func runAs(tb testing.TB, dir string) string {
	tb.Helper()
	me, err := user.Current()
	if err != nil {
		tb.Fatal(err)
	}
	if me.Uid != "0" {
		return me.Username
	}
	u, err := user.Lookup("mysql")
	if err != nil {
		return "root" // the package that makes the user is not the one with the server
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2, os.Chown(dir, uid, gid)); err != nil {
		tb.Fatal(err)
	}
	return "mysql"
}

func (s *mariaDB) open(tb testing.TB, name, password, socket string) *sql.DB {
	tb.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.Logger = name, password, "unix", socket, &mysql.NopLogger{}
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	db := sql.OpenDB(c)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func (s *mariaDB) do(tb testing.TB, text string) {
	tb.Helper()
	if _, err := s.root.ExecContext(tb.Context(), text); err != nil {
		tb.Fatal(err)
	}
}

func (s *mariaDB) target() rotation.Target { return s.at }
func (s *mariaDB) folder() string          { return s.dir }

func (s *mariaDB) account(tb testing.TB, name, password string) {
	tb.Helper()
	s.do(tb, "CREATE USER `"+name+"`@'%' IDENTIFIED WITH mysql_native_password AS '"+mysqltarget.Stored(sensitive.Take([]byte(password)))+"'")
}

func (s *mariaDB) lockOut(tb testing.TB, name string) {
	tb.Helper()
	s.do(tb, "ALTER USER `"+name+"`@'%' ACCOUNT LOCK")
}

func (s *mariaDB) letIn(tb testing.TB, name string) {
	tb.Helper()
	s.do(tb, "ALTER USER `"+name+"`@'%' ACCOUNT UNLOCK")
}

// What a name or a password holds is data, whatever it looks like.
func TestMariaDBQuotes(t *testing.T) {
	s := startMariaDB(t)
	const name, password = "o'dd`\\na\"me", `p'"\` + "`é"
	s.do(t, "CREATE USER 'o''dd`\\\\na\"me'@'%'")
	for _, mode := range []string{"DEFAULT", "'NO_BACKSLASH_ESCAPES'", "'ANSI_QUOTES'"} {
		s.do(t, "SET GLOBAL sql_mode = "+mode)
		admin := rotation.Account{Name: adminName, Password: sensitive.Take([]byte(adminPassword))}
		a := rotation.Account{Name: name, Password: sensitive.Take([]byte(password + mode))}
		if err := s.at.SetPassword(t.Context(), admin, a); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if err := s.at.Login(t.Context(), a); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.at.Login(ctx, rotation.Account{Name: name}); !errors.Is(err, rotation.ErrAway) {
		t.Errorf("cut off: %v", err)
	}
}
