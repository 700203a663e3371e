// Command strongroom is what people run: the server, a complete one for
// development, and the commands of an operator. It builds every part in the
// order they depend on each other and decides nothing itself. It contains no
// cgo; the PKCS#11 module is loaded by strongroom-hsm, which it starts.
//
// # Where things are
//
//	main.go        the list of commands; exit codes
//	parts.go       every part, in order: assemble, and close again; tokens.go
//	               those that are of one token group each
//	callers.go     who knows the callers: the realm, or Keystone
//	listen.go      the dialects on their listeners
//	orders.go      the service that carries orders out
//	jobs.go        what is done in the background; rotation.go where and when
//	               accounts of databases are rotated; notifications.go where
//	               notifications go
//	serve.go       run, drain, reload
//	dev.go         the same on a machine of one's own: devdir.go its folder,
//	               devaccount.go who may log in, devenv.go env.sh, devtls.go the
//	               throwaway authority
//	config.go, policy.go, migrate.go, hsm.go, version.go
//	               one command each
//	operator.go    how a command works in the realm; people.go users and
//	               projects, roles.go roles and access keys
//	memory.go      when the garbage collector runs
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/strongroom-kms/strongroom/fault"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal begins to stop; from then on a second one ends the
	// process as it does any other.
	context.AfterFunc(ctx, stop)
	err := commands().ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "strongroom:", err)
	}
	os.Exit(exitCode(err))
}

// Exit codes, after sysexits.h where it has one.
const (
	exitFine          = 0
	exitFailure       = 1
	exitUsage         = 2
	exitUnavailable   = 69 // EX_UNAVAILABLE: token or database away
	exitConfiguration = 78 // EX_CONFIG
)

// usageError is a command line that makes no sense; configError a
// configuration that does not.
type (
	usageError  struct{ error }
	configError struct{ error }
)

func (e usageError) Unwrap() error  { return e.error }
func (e configError) Unwrap() error { return e.error }

func exitCode(err error) int {
	if err == nil {
		return exitFine
	}
	if _, ok := errors.AsType[configError](err); ok {
		return exitConfiguration
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if fault.KindOf(err) == fault.Unavailable {
		return exitUnavailable
	}
	return exitFailure
}

func commands() *cobra.Command {
	root := group("strongroom", "Secrets and master keys beside an HSM, for OpenStack and Huawei Cloud clients")
	root.SilenceUsage, root.SilenceErrors = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		serveCommand(), devCommand(), migrateCommand(), configCommand(), policyCommand(),
		userCommand(), projectCommand(), roleCommand(), credentialCommand(),
		hsmCommand(),
		versionCommand(),
	)
	return root
}

// group is a command that only has others below it. Alone it prints what they
// are; cobra would do so for a misspelt one as well, and call that a success.
func group(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
}

// noArgs refuses what no command takes, as a mistake in usage.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

// oneArg takes exactly one argument, called what in the message.
func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("want one argument: %s", what)}
		}
		return nil
	}
}
