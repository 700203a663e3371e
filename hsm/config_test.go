package hsm_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/hsm"
)

// module makes a file that may be called a module, and a link to it.
func module(t *testing.T) (dir, path, link string) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path, link = filepath.Join(dir, "module.so"), filepath.Join(dir, "link.so")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	return dir, path, link
}

func TestMistakesAreFoundAtOpen(t *testing.T) {
	t.Parallel()
	dir, path, _ := module(t)
	good := "pkcs11:token=t?module-path=" + path
	for _, tc := range []struct {
		name   string
		change func(*hsm.Config)
		want   string
	}{
		{"no worker", func(c *hsm.Config) { c.Worker = filepath.Join(dir, "nobody") }, "worker"},
		{"a worker that is no program", func(c *hsm.Config) { c.Worker = path }, "is not a program"},
		{"no token", func(c *hsm.Config) { c.Tokens = nil }, "no token is configured"},
		{"another kind of URI", uri("https://token"), "pkcs11:"},
		{"an unknown attribute", uri(good + "&bogus=1"), "does not know"},
		{"an unknown attribute of the path", uri("pkcs11:token=t;bogus=1?module-path=" + path), "does not know"},
		{"an attribute twice", uri("pkcs11:token=t;token=u?module-path=" + path), "malformed"},
		{"bad escapes", uri("pkcs11:token=%zz?module-path=" + path), "malformed"},
		{"a PIN in the URI", uri(good + "&pin-value=hunter2"), "use pin-source"},
		{"a program for the PIN", uri(good + "&pin-source=|/bin/cat"), "pin-source"},
		{"a slot number", uri("pkcs11:token=t;slot-id=1?module-path=" + path), "slot numbers change"},
		{"an object", uri("pkcs11:token=t;object=k?module-path=" + path), "not a token"},
		{"no token named", uri("pkcs11:?module-path=" + path), "label or a serial"},
		{"no module", uri("pkcs11:token=t"), "module is missing"},
		{"a relative module", uri("pkcs11:token=t?module-path=module.so"), "absolute"},
		{"a module that is not there", uri(good + "x"), "no such file"},
		{"a folder as module", uri("pkcs11:token=t?module-path=" + dir), "is not a file"},
		{"a module from elsewhere", func(c *hsm.Config) { c.Modules = []string{"/usr/lib/"} }, "allowed places"},
		{"a neighbour of an allowed folder", func(c *hsm.Config) { c.Modules = []string{strings.TrimSuffix(dir, "1")} }, "allowed places"},
		{"a thing said twice", func(c *hsm.Config) { c.Tokens[0].Label = "u" }, "in the URI and in a field"},
		{"a relative PIN file", func(c *hsm.Config) { c.Tokens[0].PINFile = "pin" }, "absolute"},
		{"an unknown IV convention", func(c *hsm.Config) { c.Tokens[0].GCMIV = "guess" }, "gcm_iv"},
		{"an unknown format", func(c *hsm.Config) { c.Format = "ECB" }, "format"},
		{"too many workers", func(c *hsm.Config) { c.Tokens[0].Workers = 1000 }, "workers"},
		{"negative sessions", func(c *hsm.Config) { c.Tokens[0].Sessions = -1 }, "sessions"},
		{"half an environment", func(c *hsm.Config) { c.Tokens[0].Env = []string{"SOFTHSM2_CONF"} }, "NAME=value"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := fakeConfig(t, folder(t))
			cfg.Modules = []string{dir + "/"}
			cfg.Tokens = []hsm.TokenConfig{{URI: good}}
			tc.change(&cfg)
			tok, err := hsm.Open(t.Context(), cfg)
			if err == nil {
				_ = tok.Close()
				t.Fatal("Open succeeded")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Open = %q, which does not speak of %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the PIN is in the error: %v", err)
			}
		})
	}
}

func uri(u string) func(*hsm.Config) { return func(c *hsm.Config) { c.Tokens[0].URI = u } }

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := hsm.Open(t.Context(), hsm.Config{
		Worker: "/nobody",
		Tokens: []hsm.TokenConfig{{Module: "/nowhere.so", GCMIV: "guess", Sessions: -1}},
	})
	for _, want := range []string{"/nobody", "/nowhere.so", "gcm_iv", "sessions", "label or a serial", "token 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, which does not speak of %q", err, want)
		}
	}
}

// A link is resolved before it is compared: it may lead out of an allowed
// folder, and into one.
func TestModuleLinks(t *testing.T) {
	t.Parallel()
	dir, path, link := module(t)
	elsewhere, _, _ := module(t)
	out := filepath.Join(elsewhere, "out.so")
	if err := os.Symlink(path, out); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		module  string
		allowed string
		ok      bool
	}{
		{"inside a folder", link, dir + "/", true},
		{"out of an allowed folder", out, elsewhere + "/", false},
		{"into an allowed folder", out, dir + "/", true},
		{"to an allowed file", out, path, true},
		{"that is allowed itself", out, out, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := folder(t)
			cfg := fakeConfig(t, s)
			cfg.Modules = []string{tc.allowed}
			cfg.Tokens[0].Module = tc.module
			tok, err := hsm.Open(t.Context(), cfg)
			if (err == nil) != tc.ok {
				t.Errorf("Open = %v", err)
			}
			if err == nil {
				_ = tok.Close()
			}
		})
	}
}
