package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/keystone"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/configs"
	"github.com/strongroom-kms/strongroom/fault"
)

// callers turns access tokens into who asks: the realm, or Keystone.
type callers interface {
	ByToken(ctx context.Context, token string) (auth.Principal, error)
	ByTokens(ctx context.Context, t auth.Tokens) (auth.Principal, error)
}

// signers adds who signs requests with an access key, whom the realm alone
// knows.
type signers struct {
	callers
	realm *realm.Service
}

func (s signers) InProject(ctx context.Context, k auth.AccessKey, p auth.ProjectID) (auth.Principal, error) {
	return s.realm.InProject(ctx, k, p)
}

// openCallers takes the realm, or makes what asks Keystone. It does not ask
// yet: a Keystone that is away must not keep the server from starting.
func (p *parts) openCallers() error {
	if p.cfg.Identity.Mode != configs.ByKeystone {
		p.callers = p.realm
		return nil
	}
	cfg := p.cfg.Identity.Keystone
	roots, err := cfg.Roots()
	if err != nil {
		return configError{fmt.Errorf("identity.keystone.ca_file: %w", err)}
	}
	roles := make([]string, len(cfg.ServiceRoles))
	for i, r := range cfg.ServiceRoles {
		roles[i] = strings.ToLower(r)
	}
	client, err := keystone.New(keystone.Config{
		URL:  cfg.URL,
		User: cfg.Username, UserDomain: cfg.UserDomain,
		Project: cfg.Project, ProjectDomain: cfg.ProjectDomain,
		Password:     cfg.Password,
		Roots:        roots,
		Timeout:      cfg.Timeout,
		CacheTTL:     cfg.CacheTTL,
		ServiceRoles: roles,
		AnyService:   !cfg.RolesNeeded,
		Observe:      p.observeKeystone(),
	})
	if err != nil {
		return fmt.Errorf("keystone: %w", err)
	}
	p.down = append(p.down, client.Close)
	p.callers = client
	return nil
}

// observeKeystone counts the calls to Keystone: a warm cache makes none, and
// trouble shows as calls that nobody answers.
func (p *parts) observeKeystone() func(call string, took time.Duration, ok bool) {
	calls := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "strongroom_keystone_call_seconds", Help: "Calls to Keystone.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 12),
	}, []string{"call", "answered"})
	p.metrics.Register(calls)
	return func(call string, took time.Duration, ok bool) {
		calls.WithLabelValues(call, fmt.Sprint(ok)).Observe(took.Seconds())
	}
}

// authURL is where callers get an access token.
func (p *parts) authURL() string {
	base := p.cfg.Identity.Endpoints.Identity
	if ks := p.cfg.Identity.Keystone; p.cfg.Identity.Mode == configs.ByKeystone {
		base = cmp.Or(ks.PublicURL, ks.URL)
	}
	if base == "" {
		return ""
	}
	return base + "/v3"
}

// accessKeys is who knows access keys. Beside Keystone that is the realm only
// where an operator runs it on purpose: a user whom Keystone shuts out should
// not come in by a key that nobody thought of.
func (p *parts) accessKeys() aksk.Keys {
	served := slices.ContainsFunc(p.cfg.Listeners, func(l configs.Listener) bool { return l.Serves(configs.DialectIdentity) })
	if p.cfg.Identity.Mode == configs.ByKeystone && !served {
		return noKeys{}
	}
	return p.realm
}

type noKeys struct{}

var errNoKeys = fault.New(fault.Unauthenticated, "Access keys are not served here.")

func (noKeys) AccessKey(context.Context, string) (auth.AccessKey, error) {
	return auth.AccessKey{}, errNoKeys
}
