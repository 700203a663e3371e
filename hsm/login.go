package hsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
)

// LoginBlock is what the nodes of one installation tell each other about
// logging in, so that a rejected PIN is not tried twice on any of them
// (pkcs11.md §7.4). token is a name from LoginNames. Package
// persistence/storetest says precisely what a LoginBlock does.
type LoginBlock interface {
	// Blocked returns since when nobody may log in, who was refused and with
	// which code, or zeros. An empty code with a time means the opposite: an
	// operator lets nodes that were refused before try once more.
	Blocked(ctx context.Context, token string) (since time.Time, node, code string, err error)
	// Claim takes the turn to log in, and reports false while another node has
	// it. It lapses by itself, since its holder may die.
	Claim(ctx context.Context, token string, lapse time.Duration) (bool, error)
	// Release ends the turn of a login of which nothing was learned.
	Release(ctx context.Context, token string) error
	// Block ends the turn of a node whose PIN was refused. tried is how old the
	// PIN's file is: a block is never older than that, whatever the clocks say.
	Block(ctx context.Context, token, code string, tried time.Time) error
	// Clear ends the turn after a login, and with it a block.
	Clear(ctx context.Context, token string) error
}

const (
	// askWithin bounds a question to the other nodes: a worker waits for it.
	askWithin = time.Second
	// askLast is how rarely the question is repeated while the answer is no.
	askLast = 2 * time.Second
)

var errTurnTaken = errors.New("another node is logging in")

// fleet is a gate's view of the other nodes. The gate's lock guards it.
type fleet struct {
	block LoginBlock
	token string
	lapse time.Duration // of a turn
	log   *zap.Logger

	good    fileState // a login with it has worked since our start
	own     bool      // it is our own PIN that was refused
	claimed bool      // the turn may be ours
	owed    *debt     // what the others are still to be told
	next    time.Time // when to ask again
	pause   backoff
	why     error // of the last no, or nil
}

// debt is something that the others must be told, even if the database is away
// just now.
type debt struct {
	pay    func(context.Context) error
	logged bool // that it could not be paid yet
}

// join makes g ask the other nodes, where cfg has a way to.
func (g *pinGate) join(cfg *Config, src source) {
	if cfg.LoginBlock == nil {
		return
	}
	g.fleet = &fleet{
		block: cfg.LoginBlock, token: loginName(src.settings), lapse: 2 * cfg.StartTimeout,
		log: cfg.Log.With(zap.String("token", src.name)),
	}
}

// waits returns why a login must wait although nothing was refused, or nil.
func (g *pinGate) waits() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fleet == nil {
		return nil
	}
	return g.fleet.why
}

// loginName is what all nodes call a token, also one that has never told its
// serial number. The path of the module may differ between nodes, and its name
// tells two HSMs of one label apart.
func loginName(s frame.Settings) string {
	var parts []string
	for _, p := range []struct{ name, value string }{
		{"token", s.Label}, {"serial", s.Serial}, {"model", s.Model}, {"module", filepath.Base(s.Module)},
	} {
		if p.value != "" {
			parts = append(parts, p.name+"="+p.value)
		}
	}
	return strings.Join(parts, ";")
}

// LoginNames is what LoginBlock calls the tokens of cfg.
func LoginNames(cfg Config) ([]string, error) {
	_, sources, err := cfg.checked()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, src := range sources {
		names = append(names, loginName(src.settings))
	}
	return names, nil
}

// admit reports whether a worker may log in with this version of the PIN file.
// The caller has the turn of this node, and leaves in any case.
func (g *pinGate) admit(ctx context.Context, file fileState) bool {
	closed := g.look() != nil
	if g.fleet == nil {
		return !closed
	}
	if !g.due(time.Now()) {
		return false
	}
	err := g.ask(ctx, file)
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.fleet
	if f.why = err; err == nil {
		g.blocked, f.own, f.pause = nil, false, backoff{}
		return true
	}
	f.pause.grow(0, askLast)
	f.next = time.Now().Add(f.pause.next)
	return false
}

func (g *pinGate) due(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !now.Before(g.fleet.next)
}

// ask returns nil when the other nodes have nothing against a login, or why it
// must wait. A node that has logged in with this very file needs no turn, and
// goes on when the database is away: its workers may come and go.
func (g *pinGate) ask(ctx context.Context, file fileState) error {
	f := g.fleet
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	err := g.settle(ctx)
	if err == nil {
		err = g.permitted(ctx, file)
	}
	switch {
	case file.there && file == g.proven() && (err == nil || !errors.Is(err, errBlocked) && g.look() == nil):
		return nil
	case err != nil:
		return err
	}
	taken, err := f.block.Claim(ctx, f.token, f.lapse)
	if err != nil {
		return fmt.Errorf("ask for the turn to log in: %w", err)
	}
	if !taken {
		return errTurnTaken
	}
	g.mu.Lock()
	f.claimed = true
	g.mu.Unlock()
	// Once more: who had the turn before may have been refused meanwhile.
	if err := g.permitted(ctx, file); err != nil {
		g.endTurn(f.block.Release)
		return err
	}
	return nil
}

func (g *pinGate) proven() fileState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fleet.good
}

// errBlocked is in every no that does not pass by itself.
var errBlocked = errors.New("PIN is blocked")

// permitted asks whether a block stands, and closes the gate if one does. A
// PIN file that is newer than the block overrules it; what this node itself
// was refused with, only an operator allows again.
func (g *pinGate) permitted(ctx context.Context, file fileState) error {
	f := g.fleet
	since, node, code, err := f.block.Blocked(ctx, f.token)
	if err != nil {
		return fmt.Errorf("ask whether the PIN was refused: %w", err)
	}
	allowed := code == "" && !since.IsZero()
	newer := g.lasting && file.there && file.whole().After(since)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case f.own && g.blocked != nil && !allowed:
		return errBlocked
	case code == "" || newer:
		return nil
	}
	if g.blocked == nil {
		f.log.Error("PIN is not tried: the token refused it", zap.String("node", node), zap.String("code", code), zap.Time("since", since))
	}
	g.blocked, g.tried = fmt.Errorf("%s on node %s at %s", code, node, since.Format(time.RFC3339)), file
	return errBlocked
}

// endTurn notes how the others are to be told of a login that has just ended,
// if it needed a turn.
func (g *pinGate) endTurn(tell func(ctx context.Context, token string) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.fleet
	if f.claimed {
		f.claimed = false
		f.owed = &debt{pay: func(ctx context.Context) error { return tell(ctx, f.token) }}
	}
}

// settle tells the others what they are owed.
func (g *pinGate) settle(ctx context.Context) error {
	if g.fleet == nil {
		return nil
	}
	g.mu.Lock()
	owed := g.fleet.owed
	g.mu.Unlock()
	if owed == nil {
		return nil
	}
	// Also while the node is being stopped: others wait for its turn.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askWithin)
	defer cancel()
	err := owed.pay(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		if !owed.logged {
			g.fleet.log.Warn("other nodes are not told yet how a login went", zap.Error(err))
		}
		owed.logged = true
		return fmt.Errorf("tell other nodes how a login went: %w", err)
	}
	if g.fleet.owed == owed {
		g.fleet.owed = nil
	}
	return nil
}

// outcome notes how a login ended and what the others must hear of it.
func (g *pinGate) outcome(ctx context.Context, file fileState, err error) {
	switch {
	case ckr.ClassOf(err) == ckr.PIN:
		g.block(file, err)
	case g.fleet == nil:
	case err == nil:
		g.endTurn(g.fleet.block.Clear)
		g.mu.Lock()
		g.fleet.good = file
		g.mu.Unlock()
	default:
		g.endTurn(g.fleet.block.Release)
	}
	_ = g.settle(ctx) // logged; the supervisor tries again and again
}

// codeOf is what the other nodes and people are told of a refusal.
func codeOf(err error) string {
	if code := ckr.CodeOf(err); code != 0 {
		return code.String()
	}
	return "refused without a code"
}
