// Command run runs a Keystone of its own until it is told to stop, for scripts:
//
//	go build -o keystone ./e2e/keystonetest/run
//	keystone -ready FILE [-accounts FILE] [-key-manager URL] &
//
// Once FILE is there, it holds what to source: the administrator in OS_…, where
// Keystone is in KEYSTONE_URL, and the file with the service user's password in
// KEYSTONE_PASSWORD_FILE.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/e2e/keystonetest"
)

func main() {
	var o options
	flag.StringVar(&o.ready, "ready", "", "file to write when Keystone answers")
	flag.StringVar(&o.accounts, "accounts", "", "JSON of roles, projects and users, as strongroom dev takes it")
	flag.StringVar(&o.keyManager, "key-manager", "", "URL of the key-manager endpoint in the catalog")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "keystone:", err)
		os.Exit(1)
	}
}

type options struct{ ready, accounts, keyManager string }

func run(ctx context.Context, o options) (err error) {
	if o.ready == "" || flag.NArg() > 0 {
		return errors.New("wants -ready FILE, and nothing but flags")
	}
	var accounts realm.Accounts
	if o.accounts != "" {
		f, err := os.Open(o.accounts)
		if err != nil {
			return err
		}
		defer f.Close()
		if accounts, err = realm.ReadAccounts(f); err != nil {
			return err
		}
	}
	k, err := keystonetest.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	if err := k.Load(ctx, accounts); err != nil {
		return err
	}
	if o.keyManager != "" {
		if err := k.Endpoint(ctx, "key-manager", "strongroom", o.keyManager); err != nil {
			return err
		}
	}
	env := append(k.Environ("admin", k.AdminPassword, "admin"),
		"KEYSTONE_URL="+k.URL, "KEYSTONE_PASSWORD_FILE="+k.ServicePassword)
	if err := renameio.WriteFile(o.ready, []byte(keystonetest.Exports(env)), 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	return os.Remove(o.ready)
}
