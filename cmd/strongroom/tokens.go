package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/api/admin"
	"github.com/strongroom-kms/strongroom/configs"
	"github.com/strongroom-kms/strongroom/hsm"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/secretstore"
)

// tokenGroup is one place for keys, and the token that stands for it.
type tokenGroup struct {
	name  string
	token *hsm.Token
}

// openTokens opens each group of the configuration.
func (p *parts) openTokens(ctx context.Context) error {
	node, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name of this node: %w", err)
	}
	breakers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "strongroom_token_breaker_changes_total", Help: "Times a token's breaker went to a state.",
	}, []string{"group", "token", "state"})
	p.metrics.Register(breakers)
	p.kekTokens = kek.Groups{}
	for _, g := range p.cfg.HSM.TokenGroups() {
		cfg := tokenConfig(p.cfg.HSM, g)
		cfg.Log = p.log.Named("hsm").With(zap.String("group", g.Name))
		cfg.LoginBlock = p.db.LoginBlock(node)
		cfg.Observer = p.observeTokens(g.Name, breakers)
		token, err := hsm.Open(ctx, cfg)
		if err != nil {
			return configError{fmt.Errorf("hsm: group %s: %w", g.Name, err)}
		}
		p.tokens = append(p.tokens, tokenGroup{g.Name, token})
		p.kekTokens[g.Name] = token
		if g.Name == p.cfg.HSM.DefaultGroup {
			p.token = token
		}
		p.down = append(p.down, token.Close)
		p.metrics.WatchTokens(g.Name, func() key.Status {
			s, err := token.Status(context.Background())
			if err != nil {
				return key.Status{}
			}
			return s
		})
	}
	return nil
}

// tokenConfig is what the configuration says of the tokens of a group.
func tokenConfig(c configs.HSM, g configs.TokenGroup) hsm.Config {
	cfg := hsm.Config{Worker: c.Worker, Format: g.Format, OpTimeout: c.OpTimeout}
	for _, t := range g.Tokens {
		var env []string
		for name, value := range t.Env {
			env = append(env, name+"="+value)
		}
		cfg.Tokens = append(cfg.Tokens, hsm.TokenConfig{
			URI: t.URI, Workers: t.Workers, Sessions: t.Sessions, GCMIV: t.GCMIV, Env: env,
		})
	}
	return cfg
}

// loginNames is what the nodes call the tokens of all groups among each other.
func loginNames(c configs.HSM) ([]string, error) {
	var names []string
	for _, g := range c.TokenGroups() {
		of, err := hsm.LoginNames(tokenConfig(c, g))
		if err != nil {
			return nil, configError{fmt.Errorf("hsm: group %s: %w", g.Name, err)}
		}
		names = append(names, of...)
	}
	return names, nil
}

// observeTokens counts what a look at the tokens' status now and then would
// miss: a breaker may open and close between two looks.
func (p *parts) observeTokens(group string, breakers *prometheus.CounterVec) hsm.Observer {
	return hsm.Observer{
		Operation: func(op, class string, took time.Duration) { p.metrics.TokenCall(group, op, class, took) },
		Respawn: func(token string) {
			p.log.Info("a worker is started in place of another", zap.String("group", group), zap.String("token", token))
		},
		Breaker: func(token, state string) { breakers.WithLabelValues(group, token, state).Inc() },
	}
}

// tokenChecks are the parts of readiness that ask for tokens. One group that
// takes work is enough: whose keys are in it should find a node.
func (p *parts) tokenChecks() []admin.Check {
	var checks []admin.Check
	for _, g := range p.tokens {
		name := "token"
		if len(p.tokens) > 1 {
			name += " group " + g.name
		}
		checks = append(checks, admin.Check{Name: name, Kind: "token", Ask: func(context.Context) error { return g.token.Ready() }})
	}
	return checks
}

// installGroups tells the database which token groups there are, and makes the
// stores that clients see of them. A group that some project prefers cannot
// leave the configuration: its secrets would have no place to go.
func (p *parts) installGroups(ctx context.Context) error {
	var names []string
	for _, g := range p.tokens {
		names = append(names, g.name)
	}
	missing, err := p.db.MissingGroups(ctx, names)
	if err != nil {
		return err
	}
	var problems []error
	for _, m := range missing {
		if m.Preferred > 0 {
			who := fmt.Sprintf("%d projects prefer", m.Preferred)
			if m.Preferred == 1 {
				who = "1 project prefers"
			}
			problems = append(problems, fmt.Errorf("hsm.groups: %s the token group %q, which is not configured", who, m.Name))
		}
		if m.HoldsKeys {
			p.log.Warn("a token group that is not configured holds keys: what they protect cannot be opened", zap.String("group", m.Name))
		}
	}
	if len(problems) > 0 {
		return configError{errors.Join(problems...)}
	}
	stores, err := p.db.InstallTokenGroups(ctx, names, time.Now())
	if err != nil {
		return err
	}
	for i := range stores {
		stores[i].Global = stores[i].Name == p.cfg.HSM.DefaultGroup
	}
	p.stores = secretstore.NewService(secretstore.Deps{
		Enabled:     p.cfg.Barbican.MultipleSecretStores,
		Stores:      stores,
		Preferences: p.db,
		Gate:        p.gate,
	})
	return nil
}
