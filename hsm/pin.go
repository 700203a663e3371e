package hsm

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	credentials    = "CREDENTIALS_DIRECTORY"
	credentialName = "hsm-pin"
)

// pinGate lets one worker at a time log in at a token, and none after the PIN
// was rejected: tokens lock after three attempts, and a respawn loop makes
// three in a blink (pkcs11.md §7.4). It opens again when the file with the PIN
// changes, or when an operator says so. Seats of one token share a gate.
type pinGate struct {
	file string
	turn chan struct{} // holds one: whose login it is

	mu      sync.Mutex
	blocked error     // why, or nil
	tried   fileState // of the PIN that was rejected
}

func newPINGate(file string) *pinGate {
	if dir := os.Getenv(credentials); file == "" && dir != "" {
		file = filepath.Join(dir, credentialName)
	}
	g := &pinGate{file: file, turn: make(chan struct{}, 1)}
	g.turn <- struct{}{}
	return g
}

// enter waits for the turn to log in. The caller leaves when its worker is
// logged in or gone.
func (g *pinGate) enter(ctx context.Context) (fileState, error) {
	select {
	case <-g.turn:
		return stateOf(g.file), nil
	case <-ctx.Done():
		return fileState{}, ctx.Err()
	}
}

func (g *pinGate) leave() { g.turn <- struct{}{} }

// block closes the gate for the PIN that was in the file when it was tried.
func (g *pinGate) block(tried fileState, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blocked, g.tried = why, tried
}

// unblock opens the gate for one more attempt.
func (g *pinGate) unblock() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blocked = nil
}

// look returns why the gate is closed. A PIN file that has changed opens it.
func (g *pinGate) look() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.blocked != nil && stateOf(g.file) != g.tried {
		g.blocked = nil
	}
	return g.blocked
}

// fileState tells one version of a file from the next without reading it: the
// server never sees a PIN.
type fileState struct {
	there bool
	inode uint64
	size  int64
	mtime time.Time
}

func stateOf(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	s := fileState{there: true, size: info.Size(), mtime: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = st.Ino
	}
	return s
}
