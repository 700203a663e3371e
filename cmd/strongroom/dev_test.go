package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A second server in the folder must not take the first one's ready file away.
func TestStateFolderHasOneServer(t *testing.T) {
	o := devOptions{dir: t.TempDir()}
	_, closeDir, err := openDevDir(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(o.dir, "ready")
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := openDevDir(soon, o); err == nil {
		t.Error("two servers use one folder")
	}
	if _, err := os.Stat(ready); err != nil {
		t.Error(err)
	}
	if err := closeDir(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openDevDir(t.Context(), o); err != nil {
		t.Errorf("after the first one stopped: %v", err)
	}
	if _, err := os.Stat(ready); err == nil {
		t.Error("the ready file of a server that is gone is still there")
	}
}

// The catalog, env.sh and the throwaway certificate name the same address.
func TestListenersEverywhereAreReachedOnLoopback(t *testing.T) {
	for bound, want := range map[string]string{
		"127.0.0.1:9312":   "127.0.0.1:9312",
		"0.0.0.0:9312":     "127.0.0.1:9312",
		"[::]:9312":        "127.0.0.1:9312",
		"[::1]:9312":       "[::1]:9312",
		"192.0.2.7:9312":   "192.0.2.7:9312",
		"[2001:db8::]:931": "[2001:db8::]:931",
	} {
		a, err := net.ResolveTCPAddr("tcp", bound)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(a); got != want {
			t.Errorf("reachable(%s) = %s, want %s", bound, got, want)
		}
	}
}

func TestEveryDevFlagHasATwin(t *testing.T) {
	flags := devCommand().Flags()
	env := map[string]string{
		"STRONGROOM_DEV_DIR": "/x", "STRONGROOM_DEV_EPHEMERAL": "true", "STRONGROOM_DEV_ACCOUNTS": "a.json",
		"STRONGROOM_DEV_DATABASE_URL": "postgres://", "STRONGROOM_DEV_NO_AUTH": "1", "STRONGROOM_DEV_LOG_LEVEL": "debug",
		"STRONGROOM_DEV_KEY_MANAGER_ADDR": ":1", "STRONGROOM_DEV_CSMS_ADDR": ":2", "STRONGROOM_DEV_IDENTITY_ADDR": ":3",
		"STRONGROOM_DEV_IDENTITY_TLS_ADDR": ":4", "STRONGROOM_DEV_ADMIN_ADDR": ":5",
	}
	if err := flags.Set("dir", "/from-the-command-line"); err != nil {
		t.Fatal(err)
	}
	if err := fromEnvironment(flags, func(name string) string { return env[name] }); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"dir": "/from-the-command-line", "ephemeral": "true", "accounts": "a.json", "database-url": "postgres://",
		"no-auth": "true", "log-level": "debug", "key-manager-addr": ":1", "csms-addr": ":2", "identity-addr": ":3",
		"identity-tls-addr": ":4", "admin-addr": ":5",
	} {
		if got := flags.Lookup(name).Value.String(); got != want {
			t.Errorf("--%s is %q, want %q", name, got, want)
		}
	}
}
