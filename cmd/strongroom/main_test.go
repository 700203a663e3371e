package main

import (
	"io"
	"testing"
)

// What operators put into scripts: a mistake must not look like success.
func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want int
	}{
		{"no command", nil, exitFine},
		{"a group of commands", []string{"user"}, exitFine},
		{"an unknown command", []string{"nosuch"}, exitUsage},
		{"an unknown command of a group", []string{"user", "nosuch"}, exitUsage},
		{"an unknown flag", []string{"dev", "--nosuch"}, exitUsage},
		{"an argument too many", []string{"version", "now"}, exitUsage},
		{"no configuration", []string{"serve"}, exitUsage},
		{"a configuration that is not there", []string{"serve", "--config", "testdata/none.yaml"}, exitConfiguration},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := commands()
			c.SetArgs(tc.args)
			c.SetOut(io.Discard)
			c.SetErr(io.Discard)
			err := c.ExecuteContext(t.Context())
			if got := exitCode(err); got != tc.want {
				t.Errorf("exit code %d, want %d (%v)", got, tc.want, err)
			}
		})
	}
}
