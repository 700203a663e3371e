package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/strongroom-kms/strongroom/policy/cedar"
)

func policyCommand() *cobra.Command {
	c := group("policy", "Look at the rules")
	c.AddCommand(policyCheckCommand())
	return c
}

func policyCheckCommand() *cobra.Command {
	var mode, casesFile string
	var rules []string
	c := &cobra.Command{
		Use:   "check [--rules FILE]… [--cases FILE]",
		Short: "Check rules of your own, and decisions that they must give",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var cases []cedar.Case
			if casesFile != "" {
				var err error
				if cases, err = cedar.ReadCases(casesFile); err != nil {
					return configError{fmt.Errorf("cases: %w", err)}
				}
			}
			err := cedar.Check(cedar.Config{Mode: cedar.Mode(mode), Files: rules}, cases)
			if err != nil {
				return configError{errors.Join(errors.New("the rules do not pass"), err)}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "the rules are fine, and %d decisions are as expected\n", len(cases))
			return err
		},
	}
	c.Flags().StringVar(&mode, "mode", string(cedar.Legacy), "barbican.policy: legacy, new or union")
	c.Flags().StringArrayVar(&rules, "rules", nil, "file of rules, added to the built-in ones")
	c.Flags().StringVar(&casesFile, "cases", "", "YAML list of requests and what must be answered")
	return c
}
