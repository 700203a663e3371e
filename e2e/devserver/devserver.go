// Package devserver runs `strongroom dev` as a child process, for tests of the
// whole product and for load: on free loopback ports, in a folder that goes
// with it.
package devserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Server is a running `strongroom dev`. Its methods are for one goroutine.
type Server struct {
	Dir string            // its state folder
	Env map[string]string // what its env.sh says

	bin  string
	args []string
	cmd  *exec.Cmd
	log  *os.File
	top  string // the folder that goes at the end
}

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

var freePorts = []string{
	"--key-manager-addr", "127.0.0.1:0", "--csms-addr", "127.0.0.1:0", "--identity-addr", "127.0.0.1:0",
	"--identity-tls-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
}

// Start runs bin with more arguments and returns when it is ready.
func Start(ctx context.Context, bin string, args ...string) (*Server, error) {
	top, err := os.MkdirTemp(inMemory(), "strongroom-dev-")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: filepath.Join(top, "state"), bin: bin, args: args, top: top}
	if s.log, err = os.OpenFile(filepath.Join(top, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Restart starts the server again in the same folder, on other ports. The one
// before must have ended.
func (s *Server) Restart(ctx context.Context) error {
	ready := filepath.Join(s.Dir, "ready")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s.cmd = exec.Command(s.bin, append(append([]string{"dev", "--dir", s.Dir}, freePorts...), s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.bin, err)
	}
	for end := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		if time.Now().After(end) || ctx.Err() != nil || !alive(s.cmd.Process.Pid) {
			said, _ := s.Log()
			return fmt.Errorf("not ready; it said:\n%s", said)
		}
	}
	var err error
	s.Env, err = readEnv(filepath.Join(s.Dir, "env.sh"))
	return err
}

// alive is false for a process that ended, also before anybody waited for it.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(rest, []byte("Z"))
}

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log is all it has printed so far, in every run.
func (s *Server) Log() ([]byte, error) { return os.ReadFile(s.log.Name()) }

// Environ is os.Environ with what env.sh exports.
func (s *Server) Environ() []string {
	env := os.Environ()
	for name, value := range s.Env {
		env = append(env, name+"="+value)
	}
	return env
}

// Kill ends the server as kill -9 does, and waits for it.
func (s *Server) Kill() error {
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = s.cmd.Wait() // it was killed
	return nil
}

// Stop asks the server to end, and waits for it.
func (s *Server) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	cut := time.AfterFunc(stopTimeout, func() { _ = s.cmd.Process.Kill() })
	defer cut.Stop()
	if err := s.cmd.Wait(); err != nil {
		said, _ := s.Log()
		return fmt.Errorf("strongroom dev: %w; it said:\n%s", err, said)
	}
	return nil
}

// Close stops the server if it runs, and removes its folder.
func (s *Server) Close() error {
	var err error
	if s.cmd != nil && s.cmd.Process != nil && s.cmd.ProcessState == nil {
		err = s.Stop()
	}
	return errors.Join(err, s.log.Close(), os.RemoveAll(s.top))
}

// readEnv reads the exports of a file that is meant for a shell to source.
func readEnv(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	env := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		if ok {
			env[name] = strings.ReplaceAll(strings.Trim(value, "'"), `'\''`, "'")
		}
	}
	return env, lines.Err()
}

// inMemory is a folder that waits for no disk, where there is one: making keys
// in a software token takes a hundredth of the time there.
func inMemory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}
