package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/configs"
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

// devConfig is what `strongroom dev` makes of options, with one token and free
// ports on all addresses.
func devConfig(t *testing.T, o devOptions) (*devServer, error) {
	t.Helper()
	d := &devServer{dir: t.TempDir(), sockets: map[string]net.Listener{}, databaseURL: "postgres:///d"}
	t.Cleanup(d.unbind)
	for _, name := range append([]string{"default"}, o.tokenGroups...) {
		d.groups = append(d.groups, configs.TokenGroup{Name: name, Tokens: []configs.Token{{URI: "pkcs11:token=" + name, Workers: 1}}})
	}
	o.addr, o.logLevel = map[string]*string{}, "info"
	for _, l := range devListeners {
		everywhere := "0.0.0.0:0"
		o.addr[l.name] = &everywhere
	}
	_, err := d.config(o)
	return d, err
}

// It protects nothing, and is no stricter for a flag more.
func TestDevConfigIsChecked(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("p"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		o       devOptions
		problem string
	}{
		"nothing":                 {devOptions{}, ""},
		"no auth everywhere":      {devOptions{noAuth: true}, ""},
		"a group more":            {devOptions{noAuth: true, tokenGroups: []string{"g"}}, ""},
		"a group's name":          {devOptions{tokenGroups: []string{"G"}}, "hsm.groups[1].name"},
		"Keystone":                {devOptions{keystoneURL: "http://k:5000", keystonePassword: password}, ""},
		"Keystone's version":      {devOptions{keystoneURL: "http://k:5000/v3", keystonePassword: password}, "identity.keystone.url: ends in a version"},
		"Keystone by no protocol": {devOptions{keystoneURL: "k:5000", keystonePassword: password}, "identity.keystone.url: is http(s)://host:port"},
		"Keystone, no password":   {devOptions{keystoneURL: "http://k:5000"}, "--keystone-password-file"},
		"password, no Keystone":   {devOptions{keystonePassword: password}, "--keystone-password-file: goes with --keystone-url"},
	} {
		_, err := devConfig(t, tc.o)
		if (err == nil) != (tc.problem == "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whoever sources env.sh beside a Keystone is somebody there: the demo user's
// password opens nothing.
func TestEnvironmentBesideKeystone(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("p"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := devConfig(t, devOptions{keystoneURL: "http://k:5000", keystonePassword: password})
	if err != nil {
		t.Fatal(err)
	}
	d.demo.Name = "demo"
	got := map[string]string{}
	for _, v := range d.variables() {
		got[v.name] = v.value
	}
	if got["OS_AUTH_URL"] != "http://k:5000/v3" || got["OS_IDENTITY_API_VERSION"] != "3" || got["KEY_MANAGER_URL"] == "" {
		t.Errorf("variables %v", got)
	}
	for _, name := range []string{"OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME", "OS_PROJECT_ID", "OS_REGION_NAME"} {
		if value, there := got[name]; there {
			t.Errorf("%s is %q", name, value)
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
