// Command tempest runs OpenStack's own suite for the Key Manager, Debian's
// tempest with barbican-tempest-plugin, unmodified, against servers of its own
// on loopback, and prints how many of its tests ran, passed, failed and were
// skipped. It fails when one of them fails, or when fewer ran than are known.
//
//	main.go     the runs: which tests against which server
//	suite.go    one run of tempest: its configuration, and what it prints
//	verdict.go  what a run has to look like
//	keystone.go a server behind Debian's Keystone
//	serve.go    its database, its token and its configuration
//
// Only the scenario tests are left out: they need a compute service, images
// and volumes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/strongroom-kms/strongroom/e2e/devserver"
)

func main() {
	bin := flag.String("bin", "bin/strongroom", "the server")
	only := flag.String("run", "", "one run alone: "+strings.Join(names(), ", "))
	verbose := flag.Bool("v", false, "print each test")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *only, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "tempest:", err)
		os.Exit(1)
	}
}

// runs are all there are, in the order in which they run.
var runs = []struct {
	name  string
	start start
	want  expectation
}{
	{"built-in", builtIn, expectation{tests: api, passed: 13}},
	{"keystone", behindKeystone(serveOptions{policy: "legacy"}), expectation{tests: api, passed: 13}},
	{"keystone-rbac", behindKeystone(serveOptions{policy: "new", zed: true}), expectation{
		tests: rbac, passed: 291, skips: map[string]int{"enable_multiple_secret_stores is not configured": 3},
	}},
}

// start brings up a server in a folder of its own, and says how to end it.
type start func(ctx context.Context, bin, dir string) (target, func() error, error)

// Names of tests begin so, as regular expressions.
const (
	api  = `^barbican_tempest_plugin\.tests\.api\.`
	rbac = `^barbican_tempest_plugin\.tests\.rbac\.`
)

func names() []string {
	var all []string
	for _, r := range runs {
		all = append(all, r.name)
	}
	return all
}

func run(ctx context.Context, bin, only string, verbose bool) (err error) {
	dir, err := os.MkdirTemp("", "strongroom-tempest-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	found := false
	var failed []error
	for _, r := range runs {
		if only != "" && only != r.name {
			continue
		}
		found = true
		top := filepath.Join(dir, r.name)
		if err := os.Mkdir(top, 0o700); err != nil {
			return err
		}
		got, err := against(ctx, bin, top, r.start, r.want.tests)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		if verbose {
			fmt.Print(got.list())
		}
		fmt.Printf("tempest %s: %s\n", r.name, got)
		if err := r.want.judge(got); err != nil {
			fmt.Print(got.failures)
			failed = append(failed, fmt.Errorf("%s: %w", r.name, err))
		}
	}
	if !found {
		return fmt.Errorf("no run %q", only)
	}
	return errors.Join(failed...)
}

// against runs tests against a server that lives as long as they.
func against(ctx context.Context, bin, dir string, start start, tests string) (_ result, err error) {
	t, stop, err := start(ctx, bin, dir)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return tempest(ctx, dir, t, tests)
}

// people are the accounts of the run on the built-in identity. The suite asks
// for an administrator of a project and for one who may set quotas, who are
// in one project, as the suite makes them itself where it may.
const people = `{
  "projects": ["tempest"],
  "users": [
    {"name": "tempest-admin", "password": "tempest-admin-password", "project": "tempest", "roles": ["admin"]},
    {"name": "tempest-quotas", "password": "tempest-quotas-password", "project": "tempest", "roles": ["key-manager:service-admin"]}
  ]
}
`

// accounts are the same people in the words of the suite.
const accounts = `
- {username: tempest-admin, password: tempest-admin-password, project_name: tempest, domain_name: Default, types: [admin]}
- {username: tempest-quotas, password: tempest-quotas-password, project_name: tempest, domain_name: Default, roles: ['key-manager:service-admin']}
`

// builtIn is `strongroom dev` with accounts that are there already: the
// built-in identity has no system scope, with which the suite makes its own.
func builtIn(ctx context.Context, bin, dir string) (target, func() error, error) {
	for name, text := range map[string]string{"people.json": people, "accounts.yaml": accounts} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return target{}, nil, err
		}
	}
	dev, err := devserver.Start(ctx, bin, "--accounts", filepath.Join(dir, "people.json"))
	if err != nil {
		return target{}, nil, err
	}
	return target{
		identity: dev.Env["OS_AUTH_URL"], region: dev.Env["OS_REGION_NAME"],
		auth: map[string]string{
			"use_dynamic_credentials": "false",
			"test_accounts_file":      filepath.Join(dir, "accounts.yaml"),
		},
	}, dev.Close, nil
}
