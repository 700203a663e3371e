package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// Token is one PKCS#11 token, logged in and tested. Its methods may be called
// from any number of goroutines; Close comes after the last of them.
type Token struct {
	cfg    Config
	log    *zap.Logger
	m      cryptoki.Module
	slot   cryptoki.Slot
	info   cryptoki.TokenInfo
	anchor cryptoki.Session
	pool   *pool
	cache  *cache
	ivs    *ivs
	lies   lies

	// objects has whoever makes or destroys token objects to himself; those who
	// search share it. Encryption needs no lock (pkcs11.md §7.1).
	objects *objectLock

	// Per cryptoki.KeyKind: the step of the template's ladder that the token
	// takes, and whether it has.
	steps  [2]atomic.Int32
	proven [2]atomic.Bool

	report SelfTest

	// throwawayOnToken is set where the token makes no session keys.
	throwawayOnToken bool

	mu       sync.Mutex
	warnings []string
}

// Open loads the module, finds exactly one token, logs in with one attempt and
// tests what the token can do. Where PINRejected(err), nobody may try again.
func Open(ctx context.Context, cfg Config) (*Token, error) {
	if err := errors.Join(cfg.check(), cfg.checkModule()); err != nil {
		return nil, err
	}
	m, err := openModule(cfg.Module, cfg.Token)
	if err != nil {
		return nil, err
	}
	return OpenOn(ctx, cfg, m)
}

// OpenOn is Open on a module that is loaded already. It takes the module over
// and closes it when it fails.
func OpenOn(ctx context.Context, cfg Config, m cryptoki.Module) (*Token, error) {
	if err := cfg.check(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	t := &Token{
		cfg:     cfg,
		log:     cfg.Log,
		m:       m,
		cache:   newCache(),
		objects: newObjectLock(),
		ivs:     &ivs{convention: cfg.GCMIV},
	}
	if err := t.open(ctx); err != nil {
		return nil, errors.Join(err, t.closeAll())
	}
	return t, nil
}

func (t *Token) open(ctx context.Context) (err error) {
	if t.slot, t.info, err = findToken(t.m, t.cfg.Token); err != nil {
		return err
	}
	t.lies = knownLies(t.info)
	if err := t.m.Use(t.slot); err != nil {
		return err
	}
	if t.anchor, err = t.m.OpenSession(t.slot); err != nil {
		return fmt.Errorf("open anchor session: %w", err)
	}
	if err := t.login(t.info); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	t.pool = newPool(t.m, t.slot, t.cfg.poolSize(t.info))
	if err := t.selfTest(ctx); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	return nil
}

// findToken insists on exactly one: serial numbers are not unique (NSS and
// TPMs have zeros), labels even less so. A slot that cannot say what is in it
// may be somebody else's broken reader; it is passed over.
func findToken(m cryptoki.Module, want TokenMatch) (cryptoki.Slot, cryptoki.TokenInfo, error) {
	slots, err := m.Slots()
	if err != nil {
		return 0, cryptoki.TokenInfo{}, err
	}
	var found []cryptoki.Slot
	var info cryptoki.TokenInfo
	var broken error
	for _, slot := range slots {
		t, err := m.TokenInfo(slot)
		switch {
		case err != nil:
			broken = err
		case want.matches(t):
			found, info = append(found, slot), t
		}
	}
	switch len(found) {
	case 1:
		return found[0], info, nil
	case 0:
		if broken != nil {
			return 0, info, fmt.Errorf("no token with %v, but a slot that does not answer: %w", want, broken)
		}
		return 0, info, ckr.Found(ckr.Module, fmt.Sprintf("no token with %v in %d slots", want, len(slots)))
	}
	return 0, info, fmt.Errorf("%d tokens with %v", len(found), want)
}

// Close closes the sessions and the module. Finalising a module while a call
// is in it crashes the process, so it waits for every session to come back.
func (t *Token) Close() error { return t.closeAll() }

func (t *Token) closeAll() error {
	var err error
	if t.pool != nil {
		err = t.pool.close()
	}
	if t.anchor != none {
		err = errors.Join(err, closeSession(t.m, t.anchor))
	}
	return errors.Join(err, t.m.Close())
}

// Info describes the module and the token, for the first words a worker says.
type Info struct {
	Module            cryptoki.Info
	Label             string
	Serial            string
	Model             string
	Sessions          int // in the pool
	SessionLimit      int // of the token; 0: none, or it does not say
	FreePrivateMemory int // bytes; -1: the token does not say
}

// Info returns what was true when the token was opened.
func (t *Token) Info() Info {
	free := -1
	if t.info.FreePrivateMemory != cryptoki.Unavailable {
		free = int(t.info.FreePrivateMemory)
	}
	return Info{
		Module:            t.m.Info(),
		Label:             t.info.Label,
		Serial:            t.info.Serial,
		Model:             t.info.Model,
		Sessions:          t.pool.size(),
		SessionLimit:      t.info.Limit(),
		FreePrivateMemory: free,
	}
}

// Status asks the token for a sign of life, in a session of the pool.
func (t *Token) Status(ctx context.Context) (key.Status, error) {
	st := key.TokenStatus{
		Label:    t.info.Label,
		Serial:   t.info.Serial,
		Model:    t.info.Model,
		Workers:  1,
		Sessions: 1 + int(t.pool.opened.Load()), // the anchor
		Formats:  slices.Clone(t.report.Formats),
		Warnings: t.Warnings(),
	}
	_, err := t.m.TokenInfo(t.slot)
	if err == nil {
		err = t.pool.with(ctx, func(s cryptoki.Session) error {
			state, err := t.m.SessionState(s)
			if err == nil && !state.LoggedIn() {
				err = ckr.New("C_GetSessionInfo", ckr.UserNotLoggedIn)
			}
			return err
		})
	}
	st.Usable = err == nil
	if err != nil {
		st.Problem = err.Error()
	}
	return key.Status{Tokens: []key.TokenStatus{st}}, nil
}

// SelfTest returns what the self-test found out.
func (t *Token) SelfTest() SelfTest { return t.report }

// Warnings lists what an operator should know, in the order it was noticed.
func (t *Token) Warnings() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.warnings)
}

// warn notes something once.
func (t *Token) warn(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.warnings, text) {
		t.warnings = append(t.warnings, text)
		t.log.Warn("token", zap.String("warning", text))
	}
}
