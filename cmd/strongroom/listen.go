package main

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/api"
	"github.com/strongroom-kms/strongroom/api/admin"
	"github.com/strongroom-kms/strongroom/api/barbican"
	"github.com/strongroom-kms/strongroom/api/csms"
	"github.com/strongroom-kms/strongroom/api/identity"
	"github.com/strongroom-kms/strongroom/configs"
	"github.com/strongroom-kms/strongroom/telemetry"
)

// listening is a server that takes requests.
type listening struct {
	*api.Server
	certificates []*api.Certificate
}

// listen mounts the configured dialects and binds the listeners.
func (p *parts) listen() (*listening, error) {
	l := &listening{}
	var all []api.Listener
	for _, cfg := range p.cfg.Listeners {
		one := api.Listener{
			Name:              cfg.Name,
			Address:           cfg.Address,
			Socket:            p.sockets[cfg.Name],
			ReadHeaderTimeout: cfg.ReadHeaderTimeout,
			ReadTimeout:       cfg.ReadTimeout,
			WriteTimeout:      cfg.WriteTimeout,
			IdleTimeout:       cfg.IdleTimeout,
			MaxHeader:         int(cfg.MaxHeader),
		}
		if cfg.TLS.Enabled() {
			c, err := api.LoadCertificate(cfg.TLS.CertFile, cfg.TLS.KeyFile)
			if err != nil {
				return nil, configError{err}
			}
			if one.TLS, err = c.Config(cfg.TLS.ClientCAFile); err != nil {
				return nil, configError{err}
			}
			l.certificates = append(l.certificates, c)
		}
		one.Handler = api.Handler(telemetry.NewRequestID, func(route, method string, status int, took time.Duration) {
			p.metrics.Request(cfg.Name, route, method, status, took)
		}, p.dialects(cfg)...)
		all = append(all, one)
	}
	var err error
	l.Server, err = api.Listen(all, p.log)
	return l, err
}

// dialects are what a listener serves; identity comes first, so that a family
// beside it decides what the paths of nobody answer.
func (p *parts) dialects(l configs.Listener) []api.Dialect {
	log := p.log.With(zap.String("listener", l.Name))
	var all []api.Dialect
	if l.Serves(configs.DialectIdentity) {
		all = append(all, p.identity(log, len(l.Dialects) == 1))
	}
	if l.Serves(configs.DialectKeyManager) {
		all = append(all, p.keyManager(log))
	}
	if l.Serves(configs.DialectCSMS) {
		all = append(all, p.csms(log))
	}
	if l.Serves(configs.DialectAdmin) {
		all = append(all, p.admin())
	}
	return all
}

func (p *parts) keyManager(log *zap.Logger) *barbican.API {
	return &barbican.API{
		Secrets:       p.secrets,
		Containers:    p.containers,
		Quotas:        p.quotas,
		TransportKeys: p.transportKeys,
		SecretStores:  p.stores,
		Identity:      p.callers,
		Orders:        p.orders,
		NoAuth:        p.cfg.Barbican.NoAuth,
		Host:          p.cfg.Barbican.HostHref,
		AuthURL:       p.authURL(),
		Version:       release,
		Limits: barbican.Limits{
			MaxPayload:       int(p.cfg.Barbican.MaxPayload),
			MaxPayloadTenant: int(p.cfg.Barbican.MaxPayloadTenant),
			MaxBody:          int(p.cfg.Barbican.MaxBody),
			DefaultPage:      p.cfg.Barbican.DefaultPage,
			MaxPage:          p.cfg.Barbican.MaxPage,
		},
		Healthy: p.db.Ready,
		Log:     log,
	}
}

func (p *parts) csms(log *zap.Logger) *csms.API {
	return &csms.API{
		Secrets:    p.secrets,
		Rotations:  p.rotations,
		Events:     p.events,
		Identity:   signers{p.callers, p.realm},
		Signatures: p.verifier,
		Log:        log,
		Config: csms.Config{
			AllowDotInNames: p.cfg.CSMS.AllowDotInNames,
			MaxValue:        int(p.cfg.CSMS.MaxSecretString),
			MaxBody:         int64(p.cfg.CSMS.MaxBody),
		},
	}
}

func (p *parts) identity(log *zap.Logger, alone bool) *identity.API {
	return &identity.API{
		Realm:    p.realm,
		Verifier: p.verifier,
		Catalog: identity.Catalog{
			Region:     p.cfg.Identity.Region,
			KeyManager: p.cfg.Identity.Endpoints.KeyManager,
			CSMS:       p.cfg.Identity.Endpoints.CSMS,
			Identity:   p.cfg.Identity.Endpoints.Identity,
		},
		Alone: alone,
		Log:   log,
	}
}

func (p *parts) admin() *admin.API {
	return &admin.API{
		Metrics:  p.metrics.Handler(),
		LogLevel: p.level,
		Draining: p.draining.Load,
		Version:  func() any { return thisBuild() },
		Checks:   append([]admin.Check{{Name: "database", Ask: p.db.Ready}}, p.tokenChecks()...),
	}
}

// reload takes new certificates and rules. What does not load stays as it was.
func (p *parts) reload(l *listening) error {
	errs := []error{p.judge.Reload()}
	for _, c := range l.certificates {
		errs = append(errs, c.Reload())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	return nil
}
