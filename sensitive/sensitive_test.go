package sensitive_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/strongroom-kms/strongroom/sensitive"
)

const canary = "hunter2-canary"

type holder struct {
	Exported   sensitive.Bytes
	unexported sensitive.Bytes
	pointer    *sensitive.Bytes
}

func TestBytesNeverPrints(t *testing.T) {
	s := sensitive.Take([]byte(canary))
	h := holder{s, s, &s}
	for _, v := range []any{s, &s, h, &h, []sensitive.Bytes{s}, map[string]sensitive.Bytes{"a": s}, []any{h}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x"} {
			if out := fmt.Sprintf(verb, v); strings.Contains(out, "hunter2") || strings.Contains(strings.ToLower(out), "68756e74657232") {
				t.Errorf("%s of %T prints the content", verb, v)
			}
		}
	}
	core, logs := observer.New(zap.DebugLevel)
	zap.New(core).Info("log", zap.Any("any", s), zap.Stringer("stringer", s), zap.Reflect("reflect", h), zap.Any("holder", h))
	for _, e := range logs.All() {
		if out := fmt.Sprint(e.ContextMap()); strings.Contains(out, "hunter2") {
			t.Errorf("a logger prints the content: %s", out)
		}
	}
}

func TestBytesRefusesEncoding(t *testing.T) {
	s := sensitive.Take([]byte(canary))
	if out, err := json.Marshal(s); err == nil {
		t.Errorf("encoded as %s", out)
	}
	if out, err := json.Marshal(holder{Exported: s}); err == nil {
		t.Errorf("encoded inside a struct as %s", out)
	}
}

func TestWipeClearsEveryCopy(t *testing.T) {
	s := sensitive.Take([]byte(canary))
	c := s
	s.Wipe()
	if strings.Contains(string(c.Reveal()), "hunter2") {
		t.Error("the copy still has the content")
	}
	if c.Len() != len(canary) {
		t.Errorf("Len = %d, want %d", c.Len(), len(canary))
	}
}

func TestZeroValueIsEmpty(t *testing.T) {
	var s sensitive.Bytes
	s.Wipe()
	if s.Len() != 0 || s.Reveal() != nil {
		t.Error("the zero value holds something")
	}
}
