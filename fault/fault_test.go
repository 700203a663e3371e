package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/strongroom-kms/strongroom/fault"
)

func TestKindOf(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		kind fault.Kind
		text string
	}{
		{"nothing classified", io.EOF, fault.Internal, ""},
		{"a sentinel", fault.New(fault.Exists, "taken"), fault.Exists, "taken"},
		{"wrapped on the way up", fmt.Errorf("create: %w", fault.New(fault.Denied, "no")), fault.Denied, "no"},
		{"the outermost fault", fault.Wrap(fault.Unavailable, "later", fault.New(fault.Damaged, "broken")), fault.Unavailable, "later"},
		{"a deadline", fmt.Errorf("ask: %w", context.DeadlineExceeded), fault.Unavailable, ""},
		{"a caller that left", context.Canceled, fault.Unavailable, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := fault.KindOf(tc.err); got != tc.kind {
				t.Errorf("KindOf = %v, want %v", got, tc.kind)
			}
			if got := fault.PublicText(tc.err); got != tc.text {
				t.Errorf("PublicText = %q, want %q", got, tc.text)
			}
		})
	}
}

func TestWrapKeepsTheCause(t *testing.T) {
	err := fault.Wrap(fault.Damaged, "does not open", io.ErrUnexpectedEOF)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	if got, want := err.Error(), "does not open: unexpected EOF"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestEveryKindHasAName(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range fault.Kinds {
		if n := k.String(); n == "" || n == "unknown kind" || seen[n] {
			t.Errorf("kind %d has the name %q", k, n)
		} else {
			seen[n] = true
		}
	}
}
