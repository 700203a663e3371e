package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom-kms/strongroom/persistence/postgres"
)

func migrateCommand() *cobra.Command {
	c := group("migrate", "Bring the database's schema up to date, or say how it is")
	c.AddCommand(migrateUpCommand(), migrateStatusCommand())
	return c
}

func migrateUpCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "up --config FILE",
		Short: "Apply every migration that is missing; several at once apply each one once",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			db, err := schemaOf(c, file)
			if err != nil {
				return err
			}
			applied, err := postgres.Migrate(c.Context(), db)
			for _, name := range applied {
				fmt.Fprintln(c.OutOrStdout(), name)
			}
			return err
		},
	}
	configFlags(c, &file)
	return c
}

func migrateStatusCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "status --config FILE",
		Short: "Say whether the schema is the one this program needs",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			db, err := schemaOf(c, file)
			if err != nil {
				return err
			}
			states, err := postgres.MigrationStatus(c.Context(), db)
			if err != nil {
				return err
			}
			missing := 0
			for _, m := range states {
				state := "missing"
				if m.Applied {
					state = m.At.UTC().Format(time.RFC3339)
				} else {
					missing++
				}
				fmt.Fprintf(c.OutOrStdout(), "%-20s  %s\n", state, m.Name)
			}
			if missing > 0 {
				return fmt.Errorf("%d migrations are missing: run strongroom migrate up", missing)
			}
			return nil
		},
	}
	configFlags(c, &file)
	return c
}

// schemaOf is the database that a configuration names, for a look at its
// schema.
func schemaOf(c *cobra.Command, file string) (postgres.Config, error) {
	cfg, err := loadConfig(c, file)
	if err != nil {
		return postgres.Config{}, err
	}
	dsn, err := cfg.Database.DSN()
	if err != nil {
		return postgres.Config{}, configError{err}
	}
	return postgres.Config{URL: string(dsn.Reveal())}, nil
}
