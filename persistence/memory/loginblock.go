package memory

import (
	"context"
	"sync"
	"time"
)

// LoginBlocks is what the nodes of a fleet tell each other about logging in at
// tokens. The zero value is empty and ready.
type LoginBlocks struct {
	mu     sync.Mutex
	blocks map[string]loginBlock
	turns  map[string]loginTurn
}

type loginBlock struct {
	since      time.Time
	node, code string
}

type loginTurn struct {
	holder *LoginBlock
	until  time.Time
}

// LoginBlock is one node's part in it.
type LoginBlock struct {
	shared *LoginBlocks
	node   string
}

// Node speaks for the node of that name.
func (bs *LoginBlocks) Node(name string) *LoginBlock { return &LoginBlock{bs, name} }

func (b *LoginBlock) lock() func() {
	bs := b.shared
	bs.mu.Lock()
	if bs.blocks == nil {
		bs.blocks, bs.turns = map[string]loginBlock{}, map[string]loginTurn{}
	}
	return bs.mu.Unlock
}

// Blocked implements hsm.LoginBlock.
func (b *LoginBlock) Blocked(ctx context.Context, token string) (since time.Time, node, code string, err error) {
	defer b.lock()()
	found := b.shared.blocks[token]
	return found.since, found.node, found.code, check(ctx)
}

// Claim implements hsm.LoginBlock.
func (b *LoginBlock) Claim(ctx context.Context, token string, lapse time.Duration) (bool, error) {
	defer b.lock()()
	if err := check(ctx); err != nil {
		return false, err
	}
	turn, now := b.shared.turns[token], time.Now()
	if turn.holder != nil && turn.holder != b && now.Before(turn.until) {
		return false, nil
	}
	b.shared.turns[token] = loginTurn{b, now.Add(lapse)}
	return true, nil
}

// Release implements hsm.LoginBlock.
func (b *LoginBlock) Release(ctx context.Context, token string) error {
	defer b.lock()()
	if err := check(ctx); err != nil {
		return err
	}
	b.endTurn(token)
	return nil
}

func (b *LoginBlock) endTurn(token string) {
	if b.shared.turns[token].holder == b {
		delete(b.shared.turns, token)
	}
}

// Block implements hsm.LoginBlock.
func (b *LoginBlock) Block(ctx context.Context, token, code string, tried time.Time) error {
	defer b.lock()()
	if err := check(ctx); err != nil {
		return err
	}
	b.endTurn(token)
	since := time.Now().UTC().Truncate(time.Microsecond)
	if tried.After(since) {
		since = tried.UTC()
	}
	b.shared.blocks[token] = loginBlock{since, b.node, code}
	return nil
}

// Clear implements hsm.LoginBlock.
func (b *LoginBlock) Clear(ctx context.Context, token string) error {
	defer b.lock()()
	if err := check(ctx); err != nil {
		return err
	}
	b.endTurn(token)
	if b.shared.blocks[token].code != "" {
		delete(b.shared.blocks, token)
	}
	return nil
}

// Allow is what an operator does.
func (b *LoginBlock) Allow(ctx context.Context, token string) error {
	return b.Block(ctx, token, "", time.Time{})
}
