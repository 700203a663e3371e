package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom-kms/strongroom/persistence/postgres"
)

func hsmCommand() *cobra.Command {
	c := group("hsm", "Look after the tokens")
	c.AddCommand(
		loginBlockCommand("block", "Let no node log in: before a PIN is changed in the token",
			"may not be logged in at; workers that are up go on",
			func(ctx context.Context, b *postgres.LoginBlock, token string) error {
				return b.Block(ctx, token, "by hand", time.Time{})
			}),
		loginBlockCommand("unblock", "Let every node log in once more, also those whose PIN was refused",
			"may be logged in at once more",
			func(ctx context.Context, b *postgres.LoginBlock, token string) error { return b.Allow(ctx, token) }),
	)
	return c
}

// loginBlockCommand changes what all nodes know about logging in, for every
// token of a configuration. The nodes notice within seconds.
func loginBlockCommand(name, short, done string, change func(context.Context, *postgres.LoginBlock, string) error) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   name + " --config FILE",
		Short: short,
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			cfg, err := loadConfig(c, file)
			if err != nil {
				return err
			}
			tokens, err := loginNames(cfg.HSM)
			if err != nil {
				return err
			}
			dsn, err := cfg.Database.DSN()
			if err != nil {
				return configError{err}
			}
			node, err := os.Hostname()
			if err != nil {
				return fmt.Errorf("name of this node: %w", err)
			}
			db, err := postgres.Open(c.Context(), postgres.Config{URL: string(dsn.Reveal()), MaxOpen: 1})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			for _, token := range tokens {
				if err := change(c.Context(), db.LoginBlock(node), token); err != nil {
					return err
				}
				fmt.Fprintln(c.OutOrStdout(), token, done)
			}
			return nil
		},
	}
	configFlags(c, &file)
	return c
}
