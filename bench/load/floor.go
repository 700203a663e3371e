package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/strongroom-kms/strongroom/e2e/devserver"
)

// measureFloor runs the floor handler on the same PostgreSQL server. Its
// backends are not its children, so their time is read from the server's.
func measureFloor(ctx context.Context, o options, d *devserver.Server) (all []result, err error) {
	cmd := exec.Command(o.floor, "--database-url", d.Env["DATABASE_URL"])
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.floor, err)
	}
	defer func() {
		err = errors.Join(err, cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	url := strings.TrimSpace(line)
	body := text(o.payload)
	for _, s := range []struct {
		name, method, path string
		status             int
	}{
		{"read payload", http.MethodGet, "/read", http.StatusOK},
		{"create with payload", http.MethodPost, "/create", http.StatusCreated},
	} {
		// All of the floor's CPU time: its own process, and whatever grew
		// below the idle product, which is PostgreSQL alone.
		r, err := measured(ctx, o, s.name, []int{cmd.Process.Pid, d.PID()}, noCounters, s.status, func(int) (*http.Request, error) {
			return http.NewRequest(s.method, url+s.path, strings.NewReader(body))
		})
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func noCounters() (counters, error) { return counters{}, nil }
