package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// defaultDevDir is where other programs of this user keep their state.
func defaultDevDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/strongroom-dev"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "strongroom-dev")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "strongroom-dev")
	}
	return filepath.Join(home, ".local", "state", "strongroom-dev")
}

// openDevDir makes the state folder, and returns what is to be done with it in
// the end. A kept one is this server's alone until then.
func openDevDir(ctx context.Context, o devOptions) (*devServer, func() error, error) {
	d := &devServer{sockets: map[string]net.Listener{}}
	var err error
	if o.ephemeral {
		if d.dir, err = os.MkdirTemp("", "strongroom-dev-"); err != nil {
			return nil, nil, err
		}
		return d, func() error { return os.RemoveAll(d.dir) }, nil
	}
	if d.dir, err = filepath.Abs(o.dir); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make state folder: %w", err)
	}
	lock, err := lockDir(ctx, d.dir)
	if err != nil {
		return nil, nil, err
	}
	if err := removeIfThere(filepath.Join(d.dir, "ready")); err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return d, lock.Close, nil
}

// lockWait is for a server that is just stopping in the same folder.
const lockWait = 10 * time.Second

// lockDir locks a folder until the file that it returns is closed, or the
// process ends however it may.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock state folder: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("another strongroom dev uses %s", dir), f.Close())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
