package hsm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// The gate notices a new PIN however the file was changed, and nothing else.
func TestPINGateOpensWhenTheFileChanges(t *testing.T) {
	rejected := errors.New("rejected")
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, file string)
		opens  bool
	}{
		{"nothing", func(*testing.T, string) {}, false},
		{"a read", func(t *testing.T, f string) { must(t, second(os.ReadFile(f))) }, false},
		{"a new text", func(t *testing.T, f string) { must(t, os.WriteFile(f, []byte("another"), 0o600)) }, true},
		{"a text as long", func(t *testing.T, f string) {
			must(t, os.WriteFile(f, []byte("wrogn"), 0o600))
			must(t, os.Chtimes(f, time.Time{}, time.Now().Add(time.Second)))
		}, true},
		{"a file in its place", func(t *testing.T, f string) {
			info, err := os.Stat(f)
			must(t, err)
			must(t, os.WriteFile(f+".new", []byte("wrogn"), 0o600))
			must(t, os.Chtimes(f+".new", time.Time{}, info.ModTime()))
			must(t, os.Rename(f+".new", f))
		}, true},
		{"no file any more", func(t *testing.T, f string) { must(t, os.Remove(f)) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pin")
			must(t, os.WriteFile(file, []byte("wrong"), 0o600))
			g := newPINGate(file)
			tried, err := g.enter(t.Context())
			must(t, err)
			g.block(tried, rejected)
			g.leave()
			tc.change(t, file)
			if open := g.look() == nil; open != tc.opens {
				t.Errorf("open: %v, want %v", open, tc.opens)
			}
		})
	}
}

// A PIN that is replaced while its predecessor is being tried gets its chance.
func TestPINGateRemembersWhatWasTried(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pin")
	must(t, os.WriteFile(file, []byte("wrong"), 0o600))
	g := newPINGate(file)
	tried, err := g.enter(t.Context())
	must(t, err)
	must(t, os.WriteFile(file, []byte("the right one"), 0o600))
	g.block(tried, errors.New("rejected"))
	g.leave()
	if err := g.look(); err != nil {
		t.Errorf("closed: %v", err)
	}
}

func TestPINGateKnowsTheCredential(t *testing.T) {
	t.Setenv(credentials, "/run/credentials/strongroom.service")
	if f := newPINGate("").file; f != "/run/credentials/strongroom.service/hsm-pin" {
		t.Errorf("watches %s", f)
	}
	// systemd makes it anew at each start, with the PIN it always had.
	for file, lasting := range map[string]bool{
		"": false, "/run/credentials/strongroom.service/hsm-pin": false, "/etc/strongroom/pin": true,
	} {
		if g := newPINGate(file); g.lasting != lasting {
			t.Errorf("the time of %q counts: %v", g.file, g.lasting)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestLongAndBrokenLinesAreLogged(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	l := &lineLog{log: zap.New(core)}
	for _, part := range []string{"one\ntw", "o\n\n", strings.Repeat("x", 2*maxLine), "\nrest"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
	}
	var got []string
	for _, e := range logs.All() {
		got = append(got, e.ContextMap()["line"].(string))
	}
	long := strings.Repeat("x", maxLine)
	if want := []string{"one", "two", long, long}; strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%d lines: %.100q", len(got), got)
	}
}
