package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/strongroom-kms/strongroom/e2e/keystonetest"
	"github.com/strongroom-kms/strongroom/persistence/cluster"
	"github.com/strongroom-kms/strongroom/softhsm"
)

// serveOptions are what differs between runs.
type serveOptions struct {
	policy   string // barbican.policy
	zed      bool   // with the rules of that release
	keystone *keystonetest.Keystone

	keyManager, admin string // addresses; serve finds free ones
}

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// serve runs `strongroom serve` with a database and a token of its own, and
// returns where its key manager is.
func serve(ctx context.Context, bin, dir string, o serveOptions) (_ string, stop func() error, err error) {
	var running closers
	defer func() {
		if err != nil {
			err = errors.Join(err, running.close())
		}
	}()
	database, err := cluster.Start(ctx, cluster.Config{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		return "", nil, err
	}
	running = append(running, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return database.Stop(ctx)
	})
	if err := database.CreateDatabase(ctx, "strongroom"); err != nil {
		return "", nil, err
	}
	token, err := softhsm.Provision(ctx, filepath.Join(dir, "token"))
	if err != nil {
		return "", nil, err
	}
	for _, address := range []*string{&o.keyManager, &o.admin} {
		if *address, err = freeAddress(); err != nil {
			return "", nil, err
		}
	}
	conf, err := o.write(bin, dir, database.URL("strongroom"), token)
	if err != nil {
		return "", nil, err
	}
	if out, err := exec.CommandContext(ctx, bin, "migrate", "up", "--config", conf).CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("migrate: %w\n%s", err, out)
	}
	stopServer, err := o.runServer(ctx, bin, dir, conf)
	if err != nil {
		return "", nil, err
	}
	running = append(running, stopServer)
	return "http://" + o.keyManager, running.close, nil
}

// write writes the configuration and returns its name.
func (o serveOptions) write(bin, dir, dsn string, token softhsm.Token) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "listeners:\n  - {name: key-manager, address: %q, dialects: [key-manager]}\n", o.keyManager)
	fmt.Fprintf(&b, "  - {name: admin, address: %q, dialects: [admin]}\n", o.admin)
	fmt.Fprintf(&b, "db: {url_file: %q}\n", filepath.Join(dir, "db-url"))
	fmt.Fprintf(&b, "hsm:\n  worker: %q\n  tokens:\n    - uri: %q\n      env: {SOFTHSM2_CONF: %q}\n",
		filepath.Join(filepath.Dir(bin), "strongroom-hsm"), token.URI, token.Conf)
	fmt.Fprintf(&b, "audit: {journal: %q}\nbarbican: {policy: %s}\n", filepath.Join(dir, "audit.journal"), o.policy)
	fmt.Fprintf(&b, "identity:\n  mode: keystone\n  endpoints: {key_manager: %q}\n", "http://"+o.keyManager)
	fmt.Fprintf(&b, "  keystone: {url: %q, username: %q, project: %q, password_file: %q}\n",
		o.keystone.URL, keystonetest.ServiceUser, keystonetest.ServiceProject, o.keystone.ServicePassword)
	if o.zed {
		rules, err := zedRules(dir)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "policy: {file: %q}\n", rules)
	}
	conf := filepath.Join(dir, "serve.yaml")
	return conf, errors.Join(
		os.WriteFile(filepath.Join(dir, "db-url"), []byte(dsn), 0o600),
		os.WriteFile(conf, []byte(b.String()), 0o600))
}

// runServer starts the server, waits until it is ready, and returns how to end it.
func (o serveOptions) runServer(ctx context.Context, bin, dir, conf string) (func() error, error) {
	name := filepath.Join(dir, "log")
	log, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(bin, "serve", "--config", conf)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		cut := time.AfterFunc(stopTimeout, func() { _ = cmd.Process.Kill() })
		defer cut.Stop()
		return cmd.Wait()
	}
	client := http.Client{Timeout: time.Second}
	for end := time.Now().Add(startTimeout); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		resp, err := client.Get("http://" + o.admin + "/readyz")
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return stop, nil
		}
	}
	said, _ := os.ReadFile(name)
	return nil, errors.Join(fmt.Errorf("strongroom serve does not get ready; it said:\n%s", said), stop())
}

// freeAddress is a loopback address that nobody uses and that no outgoing
// connection will be given before the server binds it.
func freeAddress() (string, error) {
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if socket, err := net.Listen("tcp", address); err == nil {
			return address, socket.Close()
		}
	}
	return "", fmt.Errorf("no port is free")
}
