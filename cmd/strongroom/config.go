package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/strongroom-kms/strongroom/configs"
	"github.com/strongroom-kms/strongroom/policy/cedar"
)

// configFlags gives a command --config and the flags that stand for a key.
func configFlags(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "config", "", "configuration, YAML")
	configs.AddFlags(c.Flags())
}

func loadConfig(c *cobra.Command, file string) (configs.Config, error) {
	if file == "" {
		return configs.Config{}, usageError{errors.New("--config is missing")}
	}
	cfg, err := configs.Load(configs.Source{File: file, Environ: os.Environ(), Flags: c.Flags()})
	if err != nil {
		return cfg, configError{fmt.Errorf("configuration:\n%w", err)}
	}
	if err := cfg.CheckFiles(); err != nil {
		return cfg, configError{fmt.Errorf("configuration:\n%w", err)}
	}
	return cfg, nil
}

func configCommand() *cobra.Command {
	c := group("config", "Look at a configuration")
	c.AddCommand(configCheckCommand(), configShowCommand())
	return c
}

func configCheckCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Report every problem of a configuration; asks no token and no database",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(c, file)
			if err != nil {
				return err
			}
			if _, err := cedar.Load(cedar.Config{Mode: cedar.Mode(cfg.Barbican.Policy), Files: policyFiles(cfg)}); err != nil {
				return configError{err}
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "the configuration is fine")
			return err
		},
	}
	configFlags(c, &file)
	return c
}

func configShowCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "show --config FILE",
		Short: "Print a configuration with its defaults; secrets are masked",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(c, file)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.OutOrStdout(), cfg)
			return err
		},
	}
	configFlags(c, &file)
	return c
}
