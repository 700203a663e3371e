// Package keystonetest runs Debian's Keystone, unmodified, as a child process:
// on a loopback port of its own, with its database, its keys and its passwords
// in a folder that goes with it. Any user may run it, root or not.
//
//	keystonetest.go  a Keystone, from the first start to the end
//	people.go        what an administrator makes in it: projects, users, endpoints
//	run/             the same as a program, for scripts
package keystonetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/strongroom-kms/strongroom/persistence/cluster"
)

// The programs of python3-keystone and uwsgi-plugin-python3. The package named
// keystone has the same Keystone, and starts a service that nobody asked for.
const (
	manage = "keystone-manage"
	runner = "uwsgi_python3"
	wsgi   = "/usr/bin/keystone-wsgi-public"
)

// Programs are what has to be installed.
var Programs = []string{manage, runner, wsgi}

// Region is the region of every endpoint.
const Region = "RegionOne"

// The service user, which may validate tokens and nothing else: the role
// service is what Keystone's own policy asks for.
const (
	ServiceUser    = "strongroom"
	ServiceProject = "service"
	ServiceRole    = "service"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
)

// Keystone is a Keystone of one's own. Its methods are for one goroutine.
type Keystone struct {
	URL             string // without the version
	Dir             string
	AdminPassword   string // of the user admin in the project admin
	ServicePassword string // file with the password of ServiceUser

	address  string
	database *cluster.Cluster
	cmd      *exec.Cmd
	ended    chan error // what the server's end was; closed after it
	token    string     // the administrator's
}

// Start makes a Keystone in a new folder and returns when it answers. It has
// the administrator and the service user.
func Start(ctx context.Context) (*Keystone, error) {
	dir, err := os.MkdirTemp(inMemory(), "keystone-")
	if err != nil {
		return nil, err
	}
	k := &Keystone{Dir: dir, AdminPassword: rand.Text(), ServicePassword: filepath.Join(dir, "service-password")}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	k.address = socket.Addr().String()
	k.URL = "http://" + k.address
	if err := k.first(ctx, socket); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

func (k *Keystone) first(ctx context.Context, socket net.Listener) error {
	if err := k.install(ctx); err != nil {
		return errors.Join(err, socket.Close())
	}
	if err := k.run(ctx, socket); err != nil {
		return err
	}
	return k.makeServiceUser(ctx)
}

// config has Keystone remember in its one process: what an administrator
// changes counts at once, and an answer takes 10 ms instead of 200. Passwords
// are cheap to check. Folder, database.
const config = `
[DEFAULT]
use_stderr = true
[database]
connection = %[2]s
[fernet_tokens]
key_repository = %[1]s/fernet
[fernet_receipts]
key_repository = %[1]s/fernet
[credential]
key_repository = %[1]s/credential
[cache]
enabled = true
backend = dogpile.cache.memory
[identity]
password_hash_rounds = 4
`

// install makes database, keys, and the administrator.
func (k *Keystone) install(ctx context.Context) error {
	database, err := k.startDatabase(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(k.conf(), fmt.Appendf(nil, config, k.Dir, database), 0o600); err != nil {
		return err
	}
	if err := k.makeKeys(); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"db_sync"},
		{"bootstrap", "--bootstrap-public-url", k.URL + "/v3", "--bootstrap-region-id", Region},
	} {
		cmd := exec.CommandContext(ctx, manage, append([]string{"--config-file", k.conf()}, args...)...)
		// In the environment: every user of the machine can read arguments.
		cmd.Env = append(os.Environ(), "OS_BOOTSTRAP_PASSWORD="+k.AdminPassword)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w\n%s", manage, args[0], err, out)
		}
	}
	return nil
}

// makeKeys does what fernet_setup does, a second of Python sooner: key 1 signs,
// key 0 is the next one.
func (k *Keystone) makeKeys() error {
	dir := filepath.Join(k.Dir, "fernet")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"0", "1"} {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails since Go 1.24: it ends the process instead
		text := base64.URLEncoding.AppendEncode(nil, key)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// startDatabase starts a PostgreSQL of Keystone's own and names a database in
// it. On SQLite, Keystone's own requests wait for each other until they fail.
func (k *Keystone) startDatabase(ctx context.Context) (string, error) {
	var err error
	if k.database, err = cluster.Start(ctx, cluster.Config{Dir: filepath.Join(k.Dir, "postgres")}); err != nil {
		return "", err
	}
	if err := k.database.CreateDatabase(ctx, "keystone"); err != nil {
		return "", err
	}
	u, err := url.Parse(k.database.URL("keystone"))
	if err != nil {
		return "", err
	}
	// The socket's path stands there as it is: Keystone takes %2F for a place
	// to fill in.
	return fmt.Sprintf("postgresql://%s@/keystone?host=%s", u.User.Username(), u.Query().Get("host")), nil
}

func (k *Keystone) conf() string { return filepath.Join(k.Dir, "keystone.conf") }

// run starts the server on a socket that is bound already, and waits until it
// answers. The socket is closed here: the child has its own copy.
func (k *Keystone) run(ctx context.Context, socket net.Listener) error {
	defer socket.Close()
	file, err := socket.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	defer file.Close()
	log, err := os.OpenFile(k.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	// One process: a second one would not hear what the first forgets.
	k.cmd = exec.Command(runner, "--http-socket", "fd://3", "--wsgi-file", wsgi, "--need-app",
		"--add-header", "Connection: close", // it does close them, and clients should know
		"--master", "--die-on-term", "--no-orphans", "--processes", "1", "--threads", "4", "--buffer-size", "65535")
	k.cmd.Env = append(os.Environ(), "OS_KEYSTONE_CONFIG_FILES="+k.conf())
	k.cmd.ExtraFiles = []*os.File{file} // descriptor 3
	k.cmd.Stdout, k.cmd.Stderr = log, log
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := k.cmd.Start(); err != nil {
		return err
	}
	cmd, ended := k.cmd, make(chan error, 1) // Stop and Restart change the fields meanwhile
	k.ended = ended
	go func() { ended <- cmd.Wait() }()
	return k.answers(ctx)
}

func (k *Keystone) answers(ctx context.Context) error {
	client := http.Client{Timeout: time.Second}
	for end := time.Now().Add(startTimeout); time.Now().Before(end) && ctx.Err() == nil && !k.over(); time.Sleep(50 * time.Millisecond) {
		resp, err := client.Get(k.URL + "/v3")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
	said, _ := os.ReadFile(k.logFile())
	return fmt.Errorf("Keystone does not answer; it said:\n%s", tail(said, 4000))
}

// over reports whether the server has ended by itself.
func (k *Keystone) over() bool { return len(k.ended) > 0 }

func (k *Keystone) logFile() string { return filepath.Join(k.Dir, "log") }

func tail(b []byte, n int) []byte { return bytes.TrimSpace(b[max(0, len(b)-n):]) }

// Stop ends the server. Its folder and its address stay.
func (k *Keystone) Stop() error {
	if k.ended == nil {
		return nil
	}
	if err := k.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	cut := time.AfterFunc(stopTimeout, func() { _ = k.cmd.Process.Kill() })
	defer cut.Stop()
	err := <-k.ended
	k.ended = nil
	if err != nil {
		return fmt.Errorf("Keystone: %w", err)
	}
	return nil
}

// Restart starts the server again where it was. It must have been stopped.
func (k *Keystone) Restart(ctx context.Context) error {
	socket, err := net.Listen("tcp", k.address)
	if err != nil {
		return err
	}
	return k.run(ctx, socket)
}

// Close stops the server if it runs, and its database, and removes its folder.
func (k *Keystone) Close() error {
	err := k.Stop()
	if k.database != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		err = errors.Join(err, k.database.Stop(ctx))
	}
	return errors.Join(err, os.RemoveAll(k.Dir))
}

// inMemory is a folder that waits for no disk, where there is one.
func inMemory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}
