package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// timeout is for all tests of a run; with Keystone they make and remove some
// hundred users.
const timeout = 20 * time.Minute

// target is what the suite has to know of a server.
type target struct {
	identity, region string
	auth             map[string]string // of the section [auth]
	newPolicy        bool              // the server has the roles admin, member and reader
}

// config is tempest's configuration. It names what there is: an identity and a
// key manager, at every microversion.
func (t target) config(dir string) string {
	var auth strings.Builder
	for _, key := range slices.Sorted(maps.Keys(t.auth)) {
		fmt.Fprintf(&auth, "%s = %s\n", key, t.auth[key])
	}
	return fmt.Sprintf(`[DEFAULT]
log_dir = %[1]s
log_file = tempest.log
[oslo_concurrency]
lock_path = %[1]s/locks
[auth]
create_isolated_networks = false
%[2]s[identity]
auth_version = v3
uri_v3 = %[3]s
region = %[4]s
v3_endpoint_type = public
[service_available]
barbican = true
cinder = false
glance = false
neutron = false
nova = false
swift = false
[key_manager]
min_microversion = 1.0
max_microversion = latest
[barbican_rbac_scope_verification]
enforce_scope = %[5]v
`, dir, auth.String(), t.identity, t.region, t.newPolicy)
}

// tempest runs the tests whose names match, one after the other: the tests of
// the API count what is in their project.
func tempest(ctx context.Context, dir string, t target, tests string) (result, error) {
	conf := filepath.Join(dir, "tempest.conf")
	if err := os.WriteFile(conf, []byte(t.config(dir)), 0o600); err != nil {
		return result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "tempest", "run", "--config-file", conf, "--regex", tests, "--serial")
	cmd.Dir = dir // where it keeps its notes
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	// Its status is 1 when a test fails, which is for the verdict to say.
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		return result{}, fmt.Errorf("run tempest: %w", err)
	}
	r := parse(out.String())
	if len(r.tests) == 0 {
		return r, fmt.Errorf("no test ran; tempest said:\n%s", out.Bytes())
	}
	return r, nil
}

// result is what a run printed.
type result struct {
	tests    []test
	failures string // the traces
}

// test is one test, or a class of them that could not begin.
type test struct{ name, outcome, reason string }

// A line such as
//
//	{0} package.Class.test_this[id-…] [0.005s] ... ok
//	{0} setUpClass (package.Class) ... SKIPPED: the reason
var line = regexp.MustCompile(`^\{\d+\} (.+?)(?: \[[0-9.]+s\])? \.\.\. (ok|FAILED|SKIPPED)(?:: (.*))?$`)

func parse(out string) result {
	var r result
	var traces strings.Builder
	failed := false
	for text := range strings.Lines(out) {
		m := line.FindStringSubmatch(strings.TrimRight(text, "\n"))
		if m != nil {
			r.tests = append(r.tests, test{name: m[1], outcome: m[2], reason: m[3]})
			failed = m[2] == "FAILED"
		}
		if strings.HasPrefix(text, "======") { // the summary begins
			break
		}
		if failed {
			traces.WriteString(text)
		}
	}
	r.failures = traces.String()
	return r
}

// with are the tests that ended so.
func (r result) with(outcome string) []test {
	var all []test
	for _, t := range r.tests {
		if t.outcome == outcome {
			all = append(all, t)
		}
	}
	return all
}

func (r result) list() string {
	var b strings.Builder
	for _, t := range r.tests {
		fmt.Fprintln(&b, t.outcome, t.name, t.reason)
	}
	return b.String()
}

func (r result) String() string {
	return fmt.Sprintf("%d run, %d passed, %d failed, %d skipped",
		len(r.with("ok"))+len(r.with("FAILED")), len(r.with("ok")), len(r.with("FAILED")), len(r.with("SKIPPED")))
}
