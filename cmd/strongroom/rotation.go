package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/configs"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/rotation/mysqltarget"
	"github.com/strongroom-kms/strongroom/rotation/pgtarget"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

const (
	rotationsAtOnce   = 4   // of one node
	rotationsPerBegin = 100 // in one run
	tasksPerForget    = 10_000
)

// newPasswords are what a rotation sets: long, of every class that a database
// may insist on, and of nothing that a URL or a shell would have to quote.
var newPasswords = secret.PasswordRules{Length: 32, EachClass: true, Exclude: "\"#$%&'()+,/:;<=>?@[\\]`{|}"}

// openRotation builds what rotates. The instances are asked nothing yet.
func (p *parts) openRotation(newEventID func() string) error {
	cfg := p.cfg.CSMS.Rotation
	instances := map[string]rotation.Instance{}
	for _, i := range cfg.Instances {
		t, err := target(i)
		if err != nil {
			return configError{fmt.Errorf("instance %s: %w", i.ID, err)}
		}
		instances[i.ID] = rotation.Instance{Target: t, Admin: secret.Named(auth.ProjectID(i.Admin.Project), i.Admin.Secret)}
	}
	p.rotate = make(chan struct{}, 1)
	p.rotations = rotation.NewService(rotation.Deps{
		Store: p.db, Secrets: p.secrets, Instances: instances, Gate: p.gate,
		NewID: newEventID, Holder: uuid.NewString(),
		NewPassword: func() (sensitive.Bytes, error) { return newPasswords.Generate() },
		Woken:       p.wakeRotation,
		Pace:        rotation.Pace{Lapse: cfg.Lapse, Pause: cfg.RetryAfter, MaxPause: cfg.RetryMax, Attempts: cfg.Attempts},
	})
	return nil
}

func target(i configs.Instance) (rotation.Target, error) {
	if i.Kind == configs.PostgreSQL {
		mode := "verify-full"
		if i.TLS == configs.TLSDisable {
			mode = "disable"
		}
		return pgtarget.New(pgtarget.Config{Address: i.Address, Database: i.Database, SSLMode: mode, CAFile: i.CAFile, Timeout: i.Timeout}), nil
	}
	cfg := mysqltarget.Config{Address: i.Address, Host: i.Host, Timeout: i.Timeout}
	if i.TLS != configs.TLSDisable {
		roots, err := i.Roots()
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(i.Address)
		if err != nil {
			return nil, err
		}
		cfg.TLS = &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}
	}
	return mysqltarget.New(cfg), nil
}

// rotateDue begins rotations that are due, and wakes who goes on with them and
// with what others left.
func (p *parts) rotateDue(ctx context.Context) error {
	_, err := p.rotations.BeginDue(ctx, rotationsPerBegin)
	p.wakeRotation()
	return err
}

// wakeRotation lets keepRotating look for something to do; it looks at all
// there is, so one call is as good as several.
func (p *parts) wakeRotation() {
	select {
	case p.rotate <- struct{}{}:
	default:
	}
}

// keepRotating goes on with rotations until ctx ends. What that cuts off is
// somebody's again once the claim has lapsed.
func (p *parts) keepRotating(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.rotate:
		}
		for n := rotationsAtOnce; n == rotationsAtOnce && ctx.Err() == nil; {
			var err error
			if n, err = p.rotations.Work(ctx, rotationsAtOnce); err != nil && ctx.Err() == nil {
				p.log.Warn("a rotation did not come to its end yet", zap.Error(err))
			}
		}
	}
}

func (p *parts) forgetRotations(ctx context.Context) error {
	_, err := p.rotations.Forget(ctx, time.Now().Add(-p.cfg.CSMS.Rotation.KeepTasks), tasksPerForget)
	return err
}
