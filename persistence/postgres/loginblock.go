package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
)

// LoginBlock is one node's part in hsm.LoginBlock. Times are the server's: it
// is the one clock that all nodes share.
type LoginBlock struct {
	db     *DB
	node   string
	holder string
}

// LoginBlock speaks for the node of that name. Two of one name are two
// holders of turns.
func (db *DB) LoginBlock(node string) *LoginBlock {
	return &LoginBlock{db, node, uuid.NewString()}
}

// Blocked implements hsm.LoginBlock.
func (b *LoginBlock) Blocked(ctx context.Context, token string) (since time.Time, node, code string, err error) {
	err = b.db.row(ctx, "hsm_login_blocked", `
		SELECT since, node, code FROM hsm_login_block WHERE token = $1`, token).Scan(&since, &node, &code)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, "", "", nil
	}
	return since.UTC(), node, code, err
}

// Claim implements hsm.LoginBlock.
func (b *LoginBlock) Claim(ctx context.Context, token string, lapse time.Duration) (bool, error) {
	n, err := b.db.exec(ctx, "hsm_login_claim", `
		INSERT INTO hsm_login_turn AS t (token, holder, until)
		VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond')
		ON CONFLICT (token) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE t.holder = excluded.holder OR t.until < clock_timestamp()`, token, b.holder, lapse.Milliseconds())
	return n == 1, err
}

// The end of a turn, in the statement that says how it went.
const endTurn = `
		WITH turn AS (DELETE FROM hsm_login_turn WHERE token = $1 AND holder = $2)`

// Release implements hsm.LoginBlock.
func (b *LoginBlock) Release(ctx context.Context, token string) error {
	_, err := b.db.exec(ctx, "hsm_login_release", `
		DELETE FROM hsm_login_turn WHERE token = $1 AND holder = $2`, token, b.holder)
	return err
}

// Block implements hsm.LoginBlock.
func (b *LoginBlock) Block(ctx context.Context, token, code string, tried time.Time) error {
	_, err := b.db.exec(ctx, "hsm_login_block", endTurn+`
		INSERT INTO hsm_login_block (token, since, node, code)
		VALUES ($1, greatest(clock_timestamp(), $3), $4, $5)
		ON CONFLICT (token) DO UPDATE SET since = excluded.since, node = excluded.node, code = excluded.code`,
		token, b.holder, tried, b.node, code)
	return err
}

// Clear implements hsm.LoginBlock. What an operator allows stays: others may
// not have seen it yet.
func (b *LoginBlock) Clear(ctx context.Context, token string) error {
	_, err := b.db.exec(ctx, "hsm_login_clear", endTurn+`
		DELETE FROM hsm_login_block WHERE token = $1 AND code <> ''`, token, b.holder)
	return err
}

// Allow is what an operator does: the block of token is gone, and nodes that
// were refused may try once more.
func (b *LoginBlock) Allow(ctx context.Context, token string) error {
	return b.Block(ctx, token, "", time.Time{})
}
