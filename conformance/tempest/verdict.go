package main

import (
	"errors"
	"fmt"
	"strings"
)

// expectation is what a run has to look like.
type expectation struct {
	tests  string // regular expression of their names
	passed int    // at least so many; fewer, and some were not found
	// skips has the reasons for which tests are skipped, and how often; all
	// of them are the suite's own.
	skips map[string]int
}

// judge says what is wrong with a run. There is no list of failures that are
// all right.
func (e expectation) judge(r result) error {
	var errs []error
	for _, t := range r.with("FAILED") {
		errs = append(errs, fmt.Errorf("%s failed", t.name))
	}
	if n := len(r.with("ok")); n < e.passed {
		errs = append(errs, fmt.Errorf("%d passed, %d are known", n, e.passed))
	}
	skipped := map[string]int{}
	for _, t := range r.with("SKIPPED") {
		skipped[e.known(t.reason)]++
	}
	for reason, n := range skipped {
		if n > e.skips[reason] {
			errs = append(errs, fmt.Errorf("%d were skipped and not %d: %s", n, e.skips[reason], reason))
		}
	}
	return errors.Join(errs...)
}

// known is the expected reason that the given one begins with.
func (e expectation) known(reason string) string {
	for k := range e.skips {
		if strings.HasPrefix(reason, k) {
			return k
		}
	}
	return reason
}
