package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// ErrMissing says that no PostgreSQL server is installed here.
var ErrMissing = errors.New("no PostgreSQL server is installed (Debian: postgresql)")

// findServer returns the folder with initdb and postgres: of that major
// version, or the newest if it does not matter. Debian keeps one folder per
// version, none of them in PATH.
func findServer(major string) (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	version := func(bin string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin))) // 0 for a folder of another kind
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			found = append(found, filepath.Dir(real))
		}
	}
	other := false
	for _, bin := range found {
		if !executable(filepath.Join(bin, "initdb")) || !executable(filepath.Join(bin, "postgres")) {
			continue
		}
		// A folder found through PATH does not tell its version; PostgreSQL
		// itself refuses data of another one.
		if n := version(bin); major == "" || n == 0 || strconv.Itoa(n) == major {
			return bin, nil
		}
		other = true
	}
	if other {
		return "", fmt.Errorf("the data is of PostgreSQL %s, and only other versions are installed", major)
	}
	return "", ErrMissing
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// identity is a user other than ourselves.
type identity struct{ uid, gid uint32 }

// serverIdentity returns whom the server runs as: ourselves (nil), or, where
// we are root, the owner of the data, or the system user postgres where there
// is no data yet.
func serverIdentity(data string) (*identity, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if info, err := os.Stat(data); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return &identity{uid: st.Uid, gid: st.Gid}, nil
		}
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &identity{uid: uint32(uid), gid: uint32(gid)}, nil
}

// attributes puts a child under id, in a session of its own: a Ctrl-C in our
// terminal is for us, and we end the server when its clients are done.
func (id *identity) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if id != nil {
		attr.Credential = &syscall.Credential{Uid: id.uid, Gid: id.gid}
	}
	return attr
}
