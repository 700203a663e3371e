// Command strongroom-hsm is the worker: the one process that loads a PKCS#11
// module and knows a PIN. Only strongroom starts it, with two pipes: requests
// come on file descriptor 3, answers go to 4. The first request says which token
// to open (never the PIN, which the worker reads for itself).
//
// It may be killed at any time and ends by itself when its server is gone.
// Exit statuses: 0 the server closed its pipe, 64 not started by strongroom,
// 69 token or module not available, 76 the server spoke another protocol,
// 77 the PIN was rejected.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/serve"
	"github.com/strongroom-kms/strongroom/hsm/worker"
)

func main() { os.Exit(run()) }

func run() int {
	// Signals that stop the server reach its workers too; they go on until the
	// server has finished its requests and closes its pipe.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	log := logger()
	conn, err := serve.Inherited()
	if err != nil {
		fmt.Fprintln(os.Stderr, "strongroom-hsm is started by strongroom, which talks to it on file descriptors 3 and 4")
		return serve.ExitUsage
	}
	if err := worker.Harden(); err != nil {
		log.Info("worker is not fully hardened", zap.Error(err))
	}
	return serve.Run(conn, func(ctx context.Context, s serve.Settings) (serve.Token, error) {
		return open(ctx, s, log)
	})
}

// logger writes lines that the server puts into its own log.
func logger() *zap.Logger {
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey = "" // the server has the time
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.Lock(os.Stderr), zap.InfoLevel))
}

func open(ctx context.Context, s serve.Settings, log *zap.Logger) (serve.Token, error) {
	format, err := formatOf(s.Format)
	if err != nil {
		return nil, err
	}
	t, err := worker.Open(ctx, worker.Config{
		Module:     s.Module,
		Token:      worker.TokenMatch{Label: s.Label, Serial: s.Serial, Model: s.Model},
		PIN:        worker.PINSource{File: s.PINFile},
		Sessions:   s.Sessions,
		GCMIV:      worker.IVConvention(s.GCMIV),
		Format:     format,
		ForceLogin: s.ForceLogin,
		Log:        log,
	})
	if err != nil {
		return nil, err
	}
	return token{t}, nil
}

// token adds how many requests make sense at once: one per session.
type token struct{ *worker.Token }

func (t token) Sessions() int { return t.Info().Sessions }

func formatOf(name string) (key.Format, error) {
	for _, f := range []key.Format{key.Auto, key.A256GCM, key.A256CBCHS256} {
		if name == f.String() {
			return f, nil
		}
	}
	return 0, fmt.Errorf("format %q is not one this worker knows", name)
}
