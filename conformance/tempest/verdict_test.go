package main

import (
	"strings"
	"testing"
)

const printed = `{0} plugin.api.Things.test_make[id-1] [0.005891s] ... ok
{0} plugin.api.Things.test_break [0.003409s] ... FAILED

Captured traceback:
~~~~~~~~~~~~~~~~~~~
    it broke
{0} setUpClass (plugin.rbac.Readers) ... SKIPPED: not enabled here, so skipped
{0} setUpClass (plugin.rbac.Admins) [0.000000s] ... FAILED

    nobody to be
{0} plugin.api.Things.test_keep [1.0s] ... ok

======
Totals
======
Ran: 5 tests in 0.5780 sec.
`

func TestParse(t *testing.T) {
	r := parse(printed)
	if got, want := r.String(), "4 run, 2 passed, 2 failed, 1 skipped"; got != want {
		t.Errorf("counted %q, want %q", got, want)
	}
	if !strings.Contains(r.failures, "it broke") || !strings.Contains(r.failures, "nobody to be") || strings.Contains(r.failures, "test_keep") {
		t.Errorf("traces:\n%s", r.failures)
	}
	if got := r.with("SKIPPED")[0]; got.name != "setUpClass (plugin.rbac.Readers)" || got.reason != "not enabled here, so skipped" {
		t.Errorf("skipped %+v", got)
	}
}

func TestJudge(t *testing.T) {
	ok, skip := test{outcome: "ok"}, test{outcome: "SKIPPED", reason: "not here, so skipped"}
	for _, tc := range []struct {
		name  string
		tests []test
		want  string // in the error
	}{
		{"takes what was expected", []test{ok, ok, skip}, ""},
		{"takes more than is known", []test{ok, ok, ok}, ""},
		{"refuses a failure", []test{ok, ok, {name: "bad", outcome: "FAILED"}}, "bad failed"},
		{"refuses fewer than are known", []test{ok, skip}, "1 passed, 2 are known"},
		{"refuses more skips of a known reason", []test{ok, ok, skip, skip}, "2 were skipped and not 1"},
		{"refuses another reason", []test{ok, ok, {outcome: "SKIPPED", reason: "too hard"}}, "1 were skipped and not 0: too hard"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := expectation{passed: 2, skips: map[string]int{"not here": 1}}.judge(result{tests: tc.tests})
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("said %v, want %q", err, tc.want)
			}
		})
	}
}
