package hsm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
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
// changes, or when an operator says so. Seats of one token share a gate, and
// the gates of several nodes what they know (fleet, in login.go).
type pinGate struct {
	file    string
	lasting bool          // not made anew at each start: then its time says how old the PIN is
	turn    chan struct{} // holds one: whose login it is

	mu      sync.Mutex
	blocked error     // why, or nil
	tried   fileState // of the PIN that was rejected
	fleet   *fleet    // nil: this node is alone
}

func newPINGate(file string) *pinGate {
	g := &pinGate{file: file, lasting: true, turn: make(chan struct{}, 1)}
	if dir := os.Getenv(credentials); dir != "" {
		if file == "" {
			g.file = filepath.Join(dir, credentialName)
		}
		g.lasting = !strings.HasPrefix(g.file, filepath.Clean(dir)+"/")
	}
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
	if f := g.fleet; f != nil {
		f.own, f.claimed, f.good = true, false, fileState{}
		f.owed = &debt{pay: func(ctx context.Context) error { return f.block.Block(ctx, f.token, codeOf(why), tried.whole()) }}
	}
}

// unblock opens the gate for one more attempt.
func (g *pinGate) unblock() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open()
	if f := g.fleet; f != nil {
		f.owed = &debt{pay: func(ctx context.Context) error { return f.block.Clear(ctx, f.token) }}
	}
}

// open is for holders of the lock.
func (g *pinGate) open() {
	g.blocked = nil
	if f := g.fleet; f != nil {
		f.own, f.next = false, time.Time{}
	}
}

// look returns why the gate is closed. A PIN file that has changed opens it.
func (g *pinGate) look() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.blocked != nil && stateOf(g.file) != g.tried {
		g.open()
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

// whole is the time of the file as a database keeps it.
func (s fileState) whole() time.Time { return s.mtime.Truncate(time.Microsecond) }

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
