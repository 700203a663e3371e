package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// errEnded says that the server ended by itself while we waited for it.
var errEnded = errors.New("PostgreSQL ended")

// process is the running server.
type process struct {
	pid  int
	log  string
	done chan struct{} // closed when the server has ended
	err  error         // how; valid once done is closed
}

// serve starts the server. Its socket appears in socket.path.
func (f *folder) serve(socket socketDir, options []string) (*process, error) {
	var inherit []*os.File
	defer func() {
		for _, file := range inherit {
			_ = file.Close() // the server has its own copy
		}
	}()
	for _, path := range []string{f.data(), socket.path} {
		dir, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		inherit = append(inherit, dir)
	}
	log, err := os.OpenFile(f.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the same
	args := append([]string{
		"-D", f.reach(inherit[0], 0),
		"-c", "unix_socket_directories=" + f.reach(inherit[1], 1),
	}, options...)
	// No context: the server ends by Stop, in an order of its own.
	cmd := f.command(context.Background(), "postgres", inherit, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	return start(cmd, f.log())
}

// start runs cmd and waits for its end in the background. Linux sends
// Pdeathsig when the thread ends that started the child, so that thread is
// kept until the child is gone.
func start(cmd *exec.Cmd, log string) (*process, error) {
	p := &process{log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// failure describes an end that nobody asked for.
func (p *process) failure() error {
	ended := errEnded
	if p.err != nil {
		ended = fmt.Errorf("%w: %w", errEnded, p.err)
	}
	out, err := os.ReadFile(p.log)
	if err != nil {
		return errors.Join(ended, err)
	}
	return fmt.Errorf("%w: %s", ended, lastLines(string(out), 3))
}

// stop ends the server: a fast shutdown, at the end of ctx an immediate one,
// and a kill if that does not help either.
func (p *process) stop(ctx context.Context) error {
	for _, step := range []struct {
		signal syscall.Signal
		wait   <-chan struct{}
	}{
		{syscall.SIGINT, ctx.Done()},
		{syscall.SIGQUIT, after(5 * time.Second)},
		{syscall.SIGKILL, nil},
	} {
		select {
		case <-p.done: // its number may be another process's by now
			return nil
		default:
		}
		if err := syscall.Kill(p.pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal PostgreSQL: %w", err)
		}
		select {
		case <-p.done:
			return nil
		case <-step.wait:
		}
	}
	return nil
}

// after is time.After for a channel that carries nothing.
func after(d time.Duration) <-chan struct{} {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	context.AfterFunc(ctx, cancel)
	return ctx.Done()
}
