package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/audit/journal"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/password"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/configs"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/hsm"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/policy/cedar"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/secretstore"
	"github.com/strongroom-kms/strongroom/telemetry"
	"github.com/strongroom-kms/strongroom/transport"
)

// parts is what a server is made of, in the order the parts depend on each
// other. Close takes them down in reverse.
type parts struct {
	cfg     configs.Config
	log     *zap.Logger
	level   zap.AtomicLevel
	metrics *telemetry.Metrics

	db            *postgres.DB
	tokens        []tokenGroup // as in the configuration
	token         *hsm.Token   // of the default group
	kekTokens     kek.Groups
	records       *journal.Journal
	judge         *cedar.Judge
	gate          gate.Gate
	sealer        *kek.Sealer
	secrets       *secret.Service
	containers    *container.Service
	events        *event.Service
	courier       *event.Courier
	quotas        *quota.Service
	transportKeys *transport.Service
	stores        *secretstore.Service // from serve on
	orders        *order.Service
	rotations     *rotation.Service
	rotate        chan struct{} // there is a rotation to go on with
	realm         *realm.Service
	callers       callers
	verifier      *aksk.Verifier

	sockets  map[string]net.Listener // of listeners that are bound already
	draining atomic.Bool
	down     []func() error
}

// assemble builds every part. A token that is away makes readiness red; it
// does not fail here.
func assemble(ctx context.Context, cfg configs.Config, log *zap.Logger, level zap.AtomicLevel) (_ *parts, err error) {
	p := &parts{cfg: cfg, log: log, level: level, metrics: telemetry.NewMetrics()}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.judge, err = cedar.Load(cedar.Config{Mode: cedar.Mode(cfg.Barbican.Policy), Files: policyFiles(cfg)}); err != nil {
		return nil, configError{err}
	}
	if err := p.openDatabase(ctx); err != nil {
		return nil, err
	}
	if err := p.openTokens(ctx); err != nil {
		return nil, err
	}
	p.records, err = journal.Open(cfg.Audit.Journal, journal.Options{
		MaxBytes: int64(cfg.Audit.JournalMax), OnSync: p.metrics.JournalSync,
	})
	if err != nil {
		return nil, fmt.Errorf("open audit journal: %w", err)
	}
	p.down = append(p.down, p.records.Close)
	if torn := p.records.TornBytes(); torn > 0 {
		log.Warn("the audit journal ended in the middle of a record, which was cut off", zap.Int64("bytes", torn))
	}
	return p, p.buildServices()
}

func policyFiles(cfg configs.Config) []string {
	if cfg.Policy.File == "" {
		return nil
	}
	return []string{cfg.Policy.File}
}

func (p *parts) openDatabase(ctx context.Context) error {
	dsn, err := p.cfg.Database.DSN()
	if err != nil {
		return configError{err}
	}
	defer dsn.Wipe()
	p.db, err = postgres.Open(ctx, postgres.Config{
		URL:              string(dsn.Reveal()),
		MaxOpen:          p.cfg.Database.MaxOpen,
		MaxIdle:          p.cfg.Database.MaxIdle,
		StatementTimeout: p.cfg.Database.StatementTimeout,
		ConnectTimeout:   p.cfg.Database.ConnectTimeout,
		DefaultGroup:     p.cfg.HSM.DefaultGroup,
		Quotas:           defaultQuotas(p.cfg.Barbican.Quotas),
		Observe: func(name string, took time.Duration, err error) {
			class := ""
			if err != nil {
				class = fault.KindOf(err).String()
			}
			p.metrics.Statement(name, class, took)
		},
	})
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	p.down = append(p.down, p.db.Close)
	p.metrics.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "strongroom_sql_round_trips_total", Help: "Round trips to the database.",
	}, func() float64 { return float64(p.db.RoundTrips()) }))
	return nil
}

func (p *parts) buildServices() error {
	passwords, err := password.New(runtime.NumCPU())
	if err != nil {
		return err
	}
	newEventID := func() string { return uuid.Must(uuid.NewV7()).String() }
	p.sealer = kek.NewSealer(kek.Deps{
		Tokens:    p.kekTokens,
		Store:     p.db,
		NewID:     uuid.NewString,
		Now:       time.Now,
		OnDefault: p.recordDefaultKey,
		OnSoftLimit: func(id envelope.KEKID, leased int64) {
			p.metrics.WrapLimit("soft")
			p.log.Warn("a KEK should be rotated: it wrapped half of what it safely may, or more",
				zap.String("kek", string(id)), zap.Int64("wraps", leased))
		},
	})
	p.secrets = secret.NewService(secret.Deps{
		Store:      p.db,
		Sealer:     p.sealer,
		Keys:       p.sealer,
		Judge:      p.judge,
		Recorder:   p.records,
		NewID:      func() secret.ID { return secret.ID(uuid.NewString()) }, // version 4: Barbican asks for it
		NewEventID: newEventID,
		Now:        time.Now,
		StrictKeys: p.cfg.CSMS.UnknownKey == "strict", VersionGrace: p.cfg.CSMS.VersionGrace,
	})
	p.gate = gate.Gate{Judge: p.judge, Recorder: p.records, NewEventID: newEventID, Now: time.Now}
	if err := p.buildEvents(); err != nil {
		return err
	}
	p.containers = container.NewService(container.Deps{Store: p.db, NewID: uuid.NewString, Gate: p.gate})
	p.quotas = quota.NewService(quota.Deps{
		Store:      p.db,
		Judge:      p.judge,
		Recorder:   p.records,
		NewEventID: newEventID,
		Now:        time.Now,
		Defaults:   defaultQuotas(p.cfg.Barbican.Quotas),
	})
	p.transportKeys = transport.NewService(p.gate)
	p.buildOrders(newEventID)
	p.realm = realm.NewService(realm.Deps{
		Store:      p.db,
		Sealer:     p.sealer,
		Judge:      p.judge,
		Recorder:   p.records,
		Passwords:  passwords,
		NewID:      newHexID,
		NewEventID: newEventID,
		Now:        time.Now,
		Config: realm.Config{
			TokenTTL: p.cfg.Identity.TokenTTL,
			CacheTTL: p.cfg.Identity.CacheTTL,
			Regions:  append([]string{p.cfg.Identity.Region}, p.cfg.Identity.RegionAliases...),
		},
	})
	p.verifier = &aksk.Verifier{
		Keys:                 p.accessKeys(),
		Now:                  time.Now,
		Skew:                 p.cfg.CSMS.ClockSkew,
		AllowUnsignedPayload: p.cfg.CSMS.AllowUnsignedPayload,
		MaxBody:              int64(p.cfg.CSMS.MaxBody),
	}
	if err := p.openRotation(newEventID); err != nil {
		return err
	}
	return p.openCallers()
}

// recordDefaultKey puts a project's first key on record. Nobody asked for it by
// name, so the program itself is who made it.
func (p *parts) recordDefaultKey(ctx context.Context, mk kek.NewMasterKey) error {
	who := auth.Principal{UserName: "strongroom", Project: auth.ProjectID(mk.Project), Method: auth.ByOperator, Family: policy.Operator}
	target := policy.Target{Kind: "key", Project: mk.Project, ID: string(mk.ID), Name: mk.Alias}
	return p.records.Record(ctx, audit.New(uuid.Must(uuid.NewV7()).String(), time.Now(), who, policy.KeyCreate, target, policy.Decision{Allowed: true}))
}

// defaultQuotas is what the configuration says of projects without limits of
// their own.
func defaultQuotas(c configs.Quotas) quota.Limits {
	return quota.Limits{
		quota.Secrets: c.Secrets, quota.Orders: c.Orders, quota.Containers: c.Containers, quota.Consumers: c.Consumers,
	}
}

// newHexID is an identifier as Keystone makes them: 32 hex digits.
func newHexID() string {
	id := uuid.New()
	return fmt.Sprintf("%x", id[:])
}

// Close takes every part down, the last one first.
func (p *parts) Close() error {
	var errs []error
	for i := len(p.down) - 1; i >= 0; i-- {
		errs = append(errs, p.down[i]())
	}
	p.down = nil
	return errors.Join(errs...)
}
