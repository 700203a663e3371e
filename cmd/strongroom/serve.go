package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/strongroom-kms/strongroom/configs"
	"github.com/strongroom-kms/strongroom/telemetry"
)

func serveCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the server",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			load := func() (configs.Config, error) { return loadConfig(c, file) }
			cfg, err := load()
			if err != nil {
				return err
			}
			log, level, err := telemetry.NewLogger(cfg.Log.Level, zapcore.AddSync(os.Stderr))
			if err != nil {
				return configError{err}
			}
			p, err := assemble(c.Context(), cfg, log, level)
			if err != nil {
				return err
			}
			return errors.Join(p.serve(c.Context(), load, func() error { return nil }), p.Close())
		},
	}
	configFlags(c, &file)
	return c
}

// serve listens until ctx is done or a listener stops, then drains. Ready is
// called once every listener answers; load is called again at each SIGHUP.
func (p *parts) serve(ctx context.Context, load func() (configs.Config, error), ready func() error) error {
	tuneMemory()
	if err := p.db.Ready(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if err := p.installGroups(ctx); err != nil {
		return err
	}
	if err := p.realm.Bootstrap(ctx); err != nil {
		return fmt.Errorf("make the built-in roles: %w", err)
	}
	l, err := p.listen()
	if err != nil {
		return err
	}
	if err := ready(); err != nil {
		return errors.Join(err, l.Close())
	}
	defer p.startJobs()()
	p.tell(daemon.SdNotifyReady)
	p.log.Info("ready", zap.String("version", release))

	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	watchdog, stop := p.watchdog()
	defer stop()
	for {
		select {
		case <-hangups:
			p.hangUp(l, load)
		case <-watchdog:
			p.tell(daemon.SdNotifyWatchdog)
		case err := <-l.Failed():
			return errors.Join(err, p.drain(l))
		case <-ctx.Done():
			return p.drain(l)
		}
	}
}

// drain turns readiness off and lets running requests end.
func (p *parts) drain(l *listening) error {
	p.draining.Store(true)
	p.tell(daemon.SdNotifyStopping)
	p.log.Info("draining", zap.Duration("at_most", p.cfg.Shutdown.DrainTimeout))
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.Shutdown.DrainTimeout)
	defer cancel()
	return l.Shutdown(ctx)
}

// hangUp reloads certificates, policy and log level. A part that does not load
// stays as it was, and the log says so.
func (p *parts) hangUp(l *listening, load func() (configs.Config, error)) {
	p.tell(daemon.SdNotifyReloading)
	cfg, err := load()
	if err == nil {
		err = p.level.UnmarshalText([]byte(cfg.Log.Level))
	}
	if err := errors.Join(err, p.reload(l)); err != nil {
		p.log.Error("reload failed; what did not load stays as it was", zap.Error(err))
	} else {
		p.log.Info("reloaded")
	}
	p.tell(daemon.SdNotifyReady)
}

// tell speaks to systemd, where it started us.
func (p *parts) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		p.log.Warn("systemd does not listen", zap.Error(err))
	}
}

// watchdog ticks twice as often as systemd wants to hear from us; never where
// it does not ask. It says that the process lives, and nothing of the token: a
// restart would not bring that back.
func (p *parts) watchdog() (<-chan time.Time, func()) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return nil, func() {}
	}
	t := time.NewTicker(every / 2)
	return t.C, t.Stop
}
