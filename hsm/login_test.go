package hsm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm"
	"github.com/strongroom-kms/strongroom/persistence/memory"
)

// fleet is several nodes with one token and one database.
type fleet struct {
	script
	blocks *memory.LoginBlocks
	token  string
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{script: folder(t), blocks: new(memory.LoginBlocks)}
	f.put(t, "pin-of-token", "right")
	names, err := hsm.LoginNames(fakeConfig(t, f.script))
	if err != nil || len(names) != 1 {
		t.Fatalf("LoginNames = %v, %v", names, err)
	}
	f.token = names[0]
	return f
}

// node is one of them. Its PIN file is its own.
type node struct {
	*hsm.Token
	*line
	file string
}

// line is a node's way to the database, which may be cut.
type line struct {
	*memory.LoginBlock
	cut, deaf atomic.Bool // all of it; or only for what the node has to tell
}

var errCut = fault.New(fault.Unavailable, "the database is unavailable")

func (l *line) Blocked(ctx context.Context, token string) (time.Time, string, string, error) {
	if l.cut.Load() {
		return time.Time{}, "", "", errCut
	}
	return l.LoginBlock.Blocked(ctx, token)
}

func (l *line) Claim(ctx context.Context, token string, lapse time.Duration) (bool, error) {
	if l.cut.Load() {
		return false, errCut
	}
	return l.LoginBlock.Claim(ctx, token, lapse)
}

func (l *line) told(err func() error) error {
	if l.cut.Load() || l.deaf.Load() {
		return errCut
	}
	return err()
}

func (l *line) Release(ctx context.Context, token string) error {
	return l.told(func() error { return l.LoginBlock.Release(ctx, token) })
}

func (l *line) Block(ctx context.Context, token, code string, tried time.Time) error {
	return l.told(func() error { return l.LoginBlock.Block(ctx, token, code, tried) })
}

func (l *line) Clear(ctx context.Context, token string) error {
	return l.told(func() error { return l.LoginBlock.Clear(ctx, token) })
}

// join starts a node; line, if not nil, prepares its way to the database.
func (f *fleet) join(t *testing.T, name string, prepare func(*line)) *node {
	t.Helper()
	n := &node{line: &line{LoginBlock: f.blocks.Node(name)}, file: "pin-" + name}
	if prepare != nil {
		prepare(n.line)
	}
	cfg := fakeConfig(t, f.script)
	cfg.Tokens[0].PINFile = f.file(n.file)
	cfg.Tokens[0].Workers = 2
	cfg.LoginBlock = n.line
	n.Token = openFake(t, cfg)
	return n
}

func (f *fleet) blocked(t *testing.T) (by, code string) {
	t.Helper()
	_, by, code, err := f.blocks.Node("operator").Blocked(t.Context(), f.token)
	if err != nil {
		t.Fatal(err)
	}
	return by, code
}

// logins fails the test unless that many were tried, and stays that way.
func (f *fleet) logins(t *testing.T, want int, when string) {
	t.Helper()
	eventually(t, 10*time.Second, fmt.Sprintf("%d logins %s", want, when), func() bool { return f.lines("logins") >= want })
	time.Sleep(400 * time.Millisecond)
	if n := f.lines("logins"); n != want {
		t.Errorf("%d logins %s, want %d", n, when, want)
	}
}

func isBlocked(t *testing.T, n *node) {
	t.Helper()
	eventually(t, 10*time.Second, "PIN is blocked", func() bool { return status(t, n.Token).PINBlocked })
}

func isReady(t *testing.T, n *node) {
	t.Helper()
	eventually(t, 10*time.Second, "token is ready", func() bool { return n.Ready() == nil })
}

// pkcs11.md §11, row 6.
func TestFleetTriesARejectedPINOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.put(t, "slow-login", "") // long enough for all to want it at once
	names := []string{"one", "two", "three"}
	var nodes []*node
	for _, name := range names {
		f.put(t, "pin-"+name, "wrong of all")
	}
	for _, name := range names {
		nodes = append(nodes, f.join(t, name, nil))
	}
	for _, n := range nodes {
		isBlocked(t, n)
		if p := status(t, n.Token).Problem; !strings.Contains(p, "0xA0") || strings.Contains(p, "wrong of all") {
			t.Errorf("Problem = %q", p)
		}
	}
	f.logins(t, 1, "of three nodes")
	if by, code := f.blocked(t); !slices.Contains(names, by) || code != "0xA0 PIN_INCORRECT" {
		t.Errorf("blocked by %q: %q", by, code)
	}

	for i, name := range names { // whichever it was that tried
		if err := nodes[i].Close(); err != nil {
			t.Error(err)
		}
		nodes[i] = f.join(t, name, nil)
	}
	for _, n := range nodes {
		isBlocked(t, n)
	}
	f.logins(t, 1, "after they were restarted")

	f.put(t, nodes[1].file, "another wrong one")
	f.logins(t, 2, "after one file was changed")
	if by, _ := f.blocked(t); by != "two" {
		t.Errorf("blocked by %q, want two", by)
	}

	f.put(t, nodes[2].file, "right")
	isReady(t, nodes[2])
	if by, code := f.blocked(t); by != "" && by != "one" { // one never tried, and may now
		t.Errorf("a login left the block of %q: %q", by, code)
	}
	for _, n := range nodes[:2] {
		f.put(t, n.file, "right")
		isReady(t, n)
	}
	eventually(t, 5*time.Second, "block is gone", func() bool { by, _ := f.blocked(t); return by == "" })
}

// What a node was refused with, another node's success does not make right.
func TestNodeDoesNotRepeatItsPINWhenAnotherLogsIn(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.put(t, "pin-wrong", "wrong")
	f.put(t, "pin-good", "wrong")
	wrong := f.join(t, "wrong", nil)
	isBlocked(t, wrong)
	good := f.join(t, "good", nil)
	isBlocked(t, good)
	f.logins(t, 1, "of two nodes")
	f.put(t, good.file, "right")
	f.logins(t, 3, "once the other has the right one for its two workers")
	time.Sleep(2500 * time.Millisecond) // the refused one has asked again
	if n := f.lines("logins"); n != 3 || !status(t, wrong.Token).PINBlocked {
		t.Errorf("%d logins, want 3", n)
	}
}

func TestOperatorAllowsOneMore(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for _, name := range []string{"one", "two"} {
		f.put(t, "pin-"+name, "early")
	}
	nodes := []*node{f.join(t, "one", nil), f.join(t, "two", nil)}
	for _, n := range nodes {
		isBlocked(t, n)
	}
	f.logins(t, 1, "at first")
	operator := f.blocks.Node("operator")
	if err := operator.Allow(t.Context(), f.token); err != nil {
		t.Fatal(err)
	}
	f.logins(t, 2, "after it was allowed")
	for _, n := range nodes {
		isBlocked(t, n)
	}
	f.put(t, "pin-of-token", "early") // the token has learned it
	if err := operator.Allow(t.Context(), f.token); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		isReady(t, n)
	}
}

// A node that does not know whether it may does not; one that has logged in
// with this very file does.
func TestLoginWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.put(t, "pin-one", "right")
	n := f.join(t, "one", func(l *line) { l.cut.Store(true) })
	if err := unwrap(within(t, 700*time.Millisecond), n.Token); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Unwrap = %v", err)
	}
	if st := status(t, n.Token); f.lines("logins") != 0 || st.PINBlocked || !strings.Contains(st.Problem, "database is unavailable") {
		t.Errorf("%d logins, %+v", f.lines("logins"), st)
	}
	n.cut.Store(false)
	isReady(t, n)
	f.logins(t, 2, "of two workers")

	n.cut.Store(true)
	killAll(t, n)
	isReady(t, n)
	f.logins(t, 4, "after both were killed")

	f.put(t, n.file, "changed")
	f.put(t, "pin-of-token", "changed")
	killAll(t, n)
	f.logins(t, 4, "with a file that was never tried")
	n.cut.Store(false)
	isReady(t, n)
}

func killAll(t *testing.T, n *node) {
	t.Helper()
	eventually(t, 5*time.Second, "two workers", func() bool { return len(n.PIDs()) == 2 })
	before := n.PIDs()
	for _, pid := range before {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 5*time.Second, "they are gone", func() bool {
		return !slices.ContainsFunc(n.PIDs(), func(pid int) bool { return slices.Contains(before, pid) })
	})
}

// A refusal that could not be told at once is told later, and meanwhile not
// repeated.
func TestRefusalIsToldInTheEnd(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.put(t, "pin-one", "wrong")
	f.put(t, "pin-two", "wrong")
	one := f.join(t, "one", func(l *line) { l.deaf.Store(true) })
	isBlocked(t, one)
	two := f.join(t, "two", nil)
	f.logins(t, 1, "while the other has the turn")
	one.deaf.Store(false)
	isBlocked(t, two)
	if by, _ := f.blocked(t); by != "one" {
		t.Errorf("blocked by %q, want one", by)
	}
	f.logins(t, 1, "in the end")
}

// A node that dies while it logs in holds the others up, but not for ever.
func TestTurnOfADeadNodeLapses(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.put(t, "pin-one", "right")
	if ok, err := f.blocks.Node("dead").Claim(t.Context(), f.token, 700*time.Millisecond); err != nil || !ok {
		t.Fatalf("Claim = %v, %v", ok, err)
	}
	n := f.join(t, "one", nil)
	time.Sleep(300 * time.Millisecond)
	if p := status(t, n.Token).Problem; f.lines("logins") != 0 || !strings.Contains(p, "another node is logging in") {
		t.Errorf("%d logins; %s", f.lines("logins"), p)
	}
	isReady(t, n)
}

// A PIN is about to be changed in the token: the block is set by hand, workers
// that are up go on, and those that die wait (pkcs11.md §7.4, point 4).
func TestBlockSetByHand(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.put(t, "pin-one", "right")
	n := f.join(t, "one", nil)
	f.logins(t, 2, "of two workers")
	operator := f.blocks.Node("operator")
	if err := operator.Block(t.Context(), f.token, "by hand", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := unwrap(t.Context(), n.Token); err != nil {
		t.Errorf("a worker that is up: %v", err)
	}
	killAll(t, n)
	isBlocked(t, n)
	f.logins(t, 2, "while it is blocked")
	if err := operator.Clear(t.Context(), f.token); err != nil {
		t.Fatal(err)
	}
	isReady(t, n)
}
