package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/e2e/devserver"
)

// load is a number of clients that store and read secrets through both
// families for as long as they are let.
type load struct {
	mu       sync.Mutex
	sent     map[string]string // name of every secret that was asked for: its payload
	acked    map[string]string // name: reference
	failures []string

	stop atomic.Bool
	wait sync.WaitGroup
}

// startLoad runs workers clients. Where the server may die under them, their
// failures are no news; where only token workers die, each one counts.
func startLoad(c *client, s *devserver.Server, round string, workers int) *load {
	l := &load{sent: map[string]string{}, acked: map[string]string{}}
	barbican, csms := s.Env["KEY_MANAGER_URL"]+"/v1/secrets", s.Env["CSMS_URL"]+"/v1/"+s.Env["OS_PROJECT_ID"]+"/secrets"
	for w := range workers {
		l.wait.Go(func() {
			for i := 0; !l.stop.Load(); i++ {
				name := fmt.Sprintf("kill-%s-%d-%d", round, w, i)
				l.one(c, barbican, csms, name, i%2 == 0)
			}
		})
	}
	return l
}

func (l *load) one(c *client, barbican, csms, name string, old bool) {
	payload := "payload of " + name
	l.mu.Lock()
	l.sent[name] = payload
	l.mu.Unlock()
	body, url, status := map[string]any{"name": name, "payload": payload, "payload_content_type": "text/plain"}, barbican, http.StatusCreated
	if !old {
		body, url, status = map[string]any{"name": name, "secret_string": payload}, csms, http.StatusOK
	}
	a, err := c.do("POST", url, body)
	if err != nil || a.Status != status {
		l.fail("store %s: %d %s %v", name, a.Status, a.Body, err)
		return
	}
	l.mu.Lock()
	l.acked[name] = name
	l.mu.Unlock()
	a, err = c.do("GET", csms+"/"+name+"/versions/latest", nil)
	if err != nil || a.Status != http.StatusOK || !strings.Contains(string(a.Body), payload) {
		l.fail("read %s: %d %s %v", name, a.Status, a.Body, err)
	}
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, fmt.Sprintf(format, args...))
}

func (l *load) end() {
	l.stop.Store(true)
	l.wait.Wait()
}

// check reads everything back: what was acknowledged is there, and what was
// not is there whole or not at all.
func (l *load) check(t *testing.T, c *client, s *devserver.Server) {
	t.Helper()
	csms := s.Env["CSMS_URL"] + "/v1/" + s.Env["OS_PROJECT_ID"] + "/secrets/"
	half := 0
	for name, payload := range l.sent {
		_, acked := l.acked[name]
		a, err := c.do("GET", csms+name+"/versions/latest", nil)
		switch {
		case err != nil:
			t.Fatal(err)
		case a.Status == http.StatusOK && strings.Contains(string(a.Body), payload):
		case a.Status == http.StatusNotFound && !acked:
			// Not there at all: its metadata must be gone too.
			if a := c.ask(t, "GET", csms+name); a.Status != http.StatusNotFound {
				half++
				t.Errorf("%s is half there: %d %s", name, a.Status, a.Body)
			}
		default:
			t.Errorf("%s (acknowledged: %v) = %d %s", name, acked, a.Status, a.Body)
		}
	}
	t.Logf("%d secrets asked for, %d acknowledged, %d half there", len(l.sent), len(l.acked), half)
	if len(l.acked) == 0 {
		t.Error("nothing was acknowledged: the load did nothing")
	}
}

// workersOf lists the token workers of a server.
func workersOf(t *testing.T, server int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(b))
		if len(fields) > 3 && strings.HasPrefix(fields[1], "(strongroom-hsm") && fields[3] == strconv.Itoa(server) && fields[2] != "Z" {
			pid, _ := strconv.Atoi(fields[0])
			pids = append(pids, pid)
		}
	}
	return pids
}

// Killing the token's worker fails no request.
func TestKilledWorkersFailNothing(t *testing.T) {
	s := start(t)
	c := demo(t, s)
	l := startLoad(c, s, "worker", 4)
	for range 10 {
		time.Sleep(150*time.Millisecond + rand.N(100*time.Millisecond))
		for _, pid := range workersOf(t, s.PID()) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	l.end()
	for _, f := range l.failures {
		t.Error(f)
	}
	l.check(t, c, s)
}

// Killing the server loses nothing that was acknowledged, leaves nothing half
// there, and lets no request hang.
func TestKilledServerLosesNothing(t *testing.T) {
	s := start(t)
	for round := range 10 {
		c := demo(t, s)
		l := startLoad(c, s, strconv.Itoa(round), 4)
		time.Sleep(200*time.Millisecond + rand.N(300*time.Millisecond))
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		l.end()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("round %d: a request hung for %v after the server was gone", round, took)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.check(t, demo(t, s), s)
	}
}
