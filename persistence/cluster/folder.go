package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	superuser  = "postgres"
	socketName = ".s.PGSQL.5432"
	// maxSocketPath is the size of sun_path less its closing zero (unix(7)).
	maxSocketPath = 107
)

// ErrRunning says that a living server has the folder.
var ErrRunning = errors.New("another PostgreSQL server runs in this folder")

// folder is a cluster's place on disk, with what it takes to run it.
type folder struct {
	dir string
	bin string    // where initdb and postgres are
	as  *identity // whom the server runs as; nil for ourselves
}

// prepare makes dir, and finds the programs and the user that fit it.
func prepare(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f := &folder{dir: dir}
	var err error
	if f.bin, err = findServer(f.madeBy()); err != nil {
		return nil, err
	}
	if f.as, err = serverIdentity(f.data()); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *folder) data() string { return filepath.Join(f.dir, "data") }
func (f *folder) log() string  { return filepath.Join(f.dir, "postgres.log") }

// madeBy returns the major version that made the cluster, or "" where there
// is none yet.
func (f *folder) madeBy() string {
	b, err := os.ReadFile(filepath.Join(f.data(), "PG_VERSION"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// initialise runs initdb unless that was done. It works in a folder beside
// data and renames that at the end, so a half-made cluster is never used.
func (f *folder) initialise(ctx context.Context) error {
	if f.madeBy() != "" {
		return nil
	}
	fresh := f.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := f.makeDir(fresh); err != nil {
		return err
	}
	dir, err := os.Open(fresh)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // opened for its number alone
	cmd := f.command(ctx, "initdb", []*os.File{dir},
		"--pgdata", f.reach(dir, 0), "--username", superuser, "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--data-checksums", "--no-instructions", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, lastLines(string(out), 3))
	}
	return os.Rename(fresh, f.data())
}

// makeDir makes a private folder for whom the server runs as.
func (f *folder) makeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	if f.as == nil {
		return nil
	}
	return os.Chown(path, int(f.as.uid), int(f.as.gid))
}

// reach returns the name under which the server finds dir, the i-th of its
// inherited files. Another user may not be allowed on the way to it, but the
// way through /proc/self/fd asks for permissions on dir itself alone.
func (f *folder) reach(dir *os.File, i int) string {
	if f.as == nil {
		return dir.Name()
	}
	return "/proc/self/fd/" + strconv.Itoa(3+i) // after the three standard ones
}

// command prepares one of PostgreSQL's programs. Nothing of our environment
// goes there: PG* variables and locales would change what it does.
func (f *folder) command(ctx context.Context, name string, inherit []*os.File, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(f.bin, name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
	cmd.ExtraFiles = inherit
	cmd.SysProcAttr = f.as.attributes()
	return cmd
}

// awaitPredecessor looks for a server that was left behind in the folder. One
// that is still ending gets a moment; lock files without a server go away,
// because their process number may belong to anybody by now. leftover says
// that there was something.
func (f *folder) awaitPredecessor(ctx context.Context) (leftover bool, err error) {
	lock := filepath.Join(f.data(), "postmaster.pid")
	for deadline := time.Now().Add(10 * time.Second); ; {
		b, err := os.ReadFile(lock)
		if errors.Is(err, os.ErrNotExist) {
			return leftover, nil
		}
		if err != nil {
			return leftover, err
		}
		leftover = true
		first, _, _ := strings.Cut(string(b), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(first))
		if err != nil || !worksIn(pid, f.data()) {
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return leftover, fmt.Errorf("%w: process %d", ErrRunning, pid)
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, path := range []string{lock, filepath.Join(f.dir, "run", socketName+".lock")} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return leftover, err
		}
	}
	return leftover, nil
}

// worksIn reports whether a process has dir as its working folder, as every
// PostgreSQL server has its data.
func worksIn(pid int, dir string) bool {
	there, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	if err != nil {
		return false
	}
	here, err := os.Stat(dir)
	return err == nil && os.SameFile(there, here)
}

// socketDir is where the server puts its socket.
type socketDir struct {
	path      string
	temporary bool // outside of the cluster's folder, whose name is too long
}

func (f *folder) makeSocketDir() (socketDir, error) {
	run := filepath.Join(f.dir, "run")
	if len(filepath.Join(run, socketName)) <= maxSocketPath {
		return socketDir{path: run}, f.makeDir(run)
	}
	short, err := os.MkdirTemp("", "strongroom-pg-")
	if err != nil {
		return socketDir{}, err
	}
	return socketDir{path: short, temporary: true}, f.makeDir(short)
}

func (s socketDir) remove() {
	if s.temporary {
		_ = os.RemoveAll(s.path) // nothing in it is of use to anybody
	}
}

// lastLines returns the end of a program's output, for an error.
func lastLines(out string, n int) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
