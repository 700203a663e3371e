package worker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/hsm/internal/ckr"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
	"github.com/strongroom-kms/strongroom/hsm/worker/fakecki"
)

const works = ckr.Class(99) // no error

// refused opens the token, which must fail, and returns the error.
func refused(t *testing.T, device *fakecki.Token, change func(*worker.Config)) error {
	t.Helper()
	cfg := fakeConfig(t)
	if change != nil {
		change(&cfg)
	}
	tok, err := worker.OpenOn(t.Context(), cfg, device.Load())
	if err == nil {
		_ = tok.Close()
		t.Fatal("the token was opened")
	}
	if n := device.Sessions(); n != 0 {
		t.Errorf("%d sessions left open", n)
	}
	return err
}

func TestWrongPINIsTriedOnce(t *testing.T) {
	device := fakecki.New(fakecki.Behaviour{Tries: 3})
	err := refused(t, device, func(c *worker.Config) { c.PIN.File = pinFile(t, "wrong") })
	if !worker.PINRejected(err) {
		t.Errorf("error: %v", err)
	}
	if strings.Contains(err.Error(), "wrong") {
		t.Errorf("the error quotes the PIN: %v", err)
	}
	if n := device.Attempts(); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

func TestPINFlagsAreHeeded(t *testing.T) {
	for _, tc := range []struct {
		name     string
		wrong    int
		force    bool
		attempts int
		opens    bool
	}{
		{"two tries left", 1, false, 1, true},
		{"the last try", 2, false, 0, false},
		{"the last try, forced", 2, true, 1, true},
		{"locked", 3, false, 0, false},
		{"locked, forced", 3, true, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			device := fakecki.New(fakecki.Behaviour{Tries: 3})
			device.SetWrong(tc.wrong)
			force := func(c *worker.Config) { c.ForceLogin = tc.force }
			if tc.opens {
				load(t, device, force)
			} else if err := refused(t, device, force); !worker.PINRejected(err) {
				t.Errorf("error: %v", err)
			}
			if n := device.Attempts(); n != tc.attempts {
				t.Errorf("%d attempts, want %d", n, tc.attempts)
			}
		})
	}
}

func TestLockedPINWithoutFlagsIsTriedOnce(t *testing.T) {
	device := fakecki.New(fakecki.Behaviour{Tries: 3, HidesPINFlags: true})
	device.SetWrong(3)
	if err := refused(t, device, nil); !worker.PINRejected(err) || device.Attempts() != 1 {
		t.Errorf("%d attempts, %v", device.Attempts(), err)
	}
}

func TestPINSources(t *testing.T) {
	write := func(name, content string, mode os.FileMode) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil { // the umask may have taken bits away
			t.Fatal(err)
		}
		return file
	}
	credentials := filepath.Dir(write("hsm-pin", fakecki.PIN, 0o440))
	for _, tc := range []struct {
		name  string
		pin   worker.PINSource
		env   map[string]string
		opens bool
	}{
		{"a file", worker.PINSource{File: write("pin", fakecki.PIN, 0o400)}, nil, true},
		{"a file with a newline", worker.PINSource{File: write("pin", fakecki.PIN+"\n", 0o600)}, nil, true},
		{"a file with two newlines", worker.PINSource{File: write("pin", fakecki.PIN+"\n\n", 0o600)}, nil, false},
		{"a file the group may read", worker.PINSource{File: write("pin", fakecki.PIN, 0o640)}, nil, false},
		{"a file everybody may read", worker.PINSource{File: write("pin", fakecki.PIN, 0o604)}, nil, false},
		{"an empty file", worker.PINSource{File: write("pin", "", 0o400)}, nil, false},
		{"a file with a newline alone", worker.PINSource{File: write("pin", "\n", 0o400)}, nil, false},
		{"a file of 256 bytes", worker.PINSource{File: write("pin", strings.Repeat("x", 256), 0o400)}, nil, false},
		{"a folder", worker.PINSource{File: t.TempDir()}, nil, false},
		{"no file", worker.PINSource{File: filepath.Join(t.TempDir(), "none")}, nil, false},
		{"a credential", worker.PINSource{}, map[string]string{"CREDENTIALS_DIRECTORY": credentials}, true},
		{"a credential by its path", worker.PINSource{File: filepath.Join(credentials, "hsm-pin")}, map[string]string{"CREDENTIALS_DIRECTORY": credentials}, true},
		{"a variable", worker.PINSource{Env: "TEST_PIN"}, map[string]string{"TEST_PIN": fakecki.PIN}, true},
		{"nothing", worker.PINSource{}, map[string]string{"CREDENTIALS_DIRECTORY": ""}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			device := fakecki.New(fakecki.Behaviour{})
			use := func(c *worker.Config) { c.PIN = tc.pin }
			if tc.opens {
				load(t, device, use)
			} else if err := refused(t, device, use); device.Calls("C_Login") > 0 && !worker.PINRejected(err) {
				t.Errorf("error: %v", err)
			}
			if tc.pin.Env != "" && os.Getenv(tc.pin.Env) != "" {
				t.Error("the PIN is still in the environment")
			}
		})
	}
}

func TestExactlyOneToken(t *testing.T) {
	for name, match := range map[string]worker.TokenMatch{
		"another label":  {Label: "other"},
		"another serial": {Label: "fake", Serial: "BEEF"},
		"another model":  {Label: "fake", Model: "SoftHSM v2"},
		"nothing named":  {Model: "fakecki"},
	} {
		device := fakecki.New(fakecki.Behaviour{})
		_ = refused(t, device, func(c *worker.Config) { c.Token = match })
		if device.Calls("C_OpenSession")+device.Calls("C_Login") != 0 {
			t.Errorf("%s: the token was touched", name)
		}
	}
	twice := fakecki.New(fakecki.Behaviour{Slots: 2})
	_ = refused(t, twice, nil)
	if twice.Calls("C_OpenSession") != 0 {
		t.Error("one of two tokens was picked")
	}
	load(t, fakecki.New(fakecki.Behaviour{}), func(c *worker.Config) {
		c.Token = worker.TokenMatch{Label: "fake", Serial: "F00D", Model: "fakecki"}
	})
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*worker.Config){
		"an IV convention nobody knows": func(c *worker.Config) { c.GCMIV = "guess" },
		"a format nobody knows":         func(c *worker.Config) { c.Format = 3 },
		"fewer sessions than none":      func(c *worker.Config) { c.Sessions = -1 },
	} {
		device := fakecki.New(fakecki.Behaviour{})
		if err := refused(t, device, change); device.Calls("C_GetSlotList") != 0 {
			t.Errorf("%s: went on to the token: %v", name, err)
		}
	}
	if _, err := worker.Open(t.Context(), worker.Config{Module: "libsofthsm2.so", Token: worker.TokenMatch{Label: "x"}}); err == nil {
		t.Error("a module without its folder was loaded")
	}
	if _, err := worker.Open(t.Context(), worker.Config{Module: "/nowhere/module.so", Token: worker.TokenMatch{Label: "x"}}); err == nil {
		t.Error("a module that is not there was loaded")
	}
}

func TestSessionsFollowTheTokensLimit(t *testing.T) {
	for _, tc := range []struct{ limit, asked, want int }{
		{0, 6, 6}, {16, 20, 13}, {16, 5, 5}, {5, 8, 2}, {2, 8, 1},
	} {
		tok := load(t, fakecki.New(fakecki.Behaviour{MaxSessions: tc.limit}), func(c *worker.Config) { c.Sessions = tc.asked })
		if n := tok.Info().Sessions; n != tc.want {
			t.Errorf("%d sessions of %d with a limit of %d, want %d", n, tc.asked, tc.limit, tc.want)
		}
	}
}

func TestSelfTestJudgesTheToken(t *testing.T) {
	const gcm, cbc = key.A256GCM, key.A256CBCHS256
	for _, tc := range []struct {
		name   string
		b      fakecki.Behaviour
		iv     worker.IVConvention
		passes []key.Format
	}{
		{"a good token", fakecki.Behaviour{}, worker.IVCaller, []key.Format{gcm, cbc}},
		{"no GCM", fakecki.Behaviour{NoGCM: true}, worker.IVCaller, []key.Format{cbc}},
		{"no HMAC", fakecki.Behaviour{NoHMAC: true}, worker.IVCaller, []key.Format{gcm}},
		{"tags that nobody looks at", fakecki.Behaviour{BlindToTags: true, NoHMAC: true}, worker.IVCaller, nil},
		{"an IV written back where ours should be used", fakecki.Behaviour{WritesIV: true}, worker.IVCaller, []key.Format{cbc}},
		{"our IV used where it should write its own", fakecki.Behaviour{}, worker.IVWriteback, []key.Format{cbc}},
		{"an IV appended where ours should be used", fakecki.Behaviour{AppendsIV: 16}, worker.IVCaller, []key.Format{cbc}},
		{"no IV accepted, and none appended", fakecki.Behaviour{TakesNoIV: true}, worker.IVAppended, []key.Format{cbc}},
		{"no IV accepted, where we send one", fakecki.Behaviour{TakesNoIV: true}, worker.IVCaller, []key.Format{gcm, cbc}},
		{"neither GCM nor HMAC", fakecki.Behaviour{NoGCM: true, NoHMAC: true}, worker.IVCaller, nil},
		{"values on show", fakecki.Behaviour{ShowsValues: true}, worker.IVCaller, nil},
		{"failed operations that stay active", fakecki.Behaviour{Sticky: true}, worker.IVCaller, []key.Format{gcm, cbc}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			device := fakecki.New(tc.b)
			set := func(c *worker.Config) { c.GCMIV = tc.iv }
			if tc.passes == nil {
				if err := refused(t, device, set); ckr.ClassOf(err) != ckr.Capability {
					t.Errorf("error: %v", err)
				}
				return
			}
			tok := load(t, device, set)
			var passed []key.Format
			for _, r := range tok.SelfTest().Formats {
				if r.Passed {
					passed = append(passed, r.Format)
				} else if r.Problem == "" {
					t.Errorf("format %v failed without a word", r.Format)
				}
			}
			if len(passed) != len(tc.passes) || passed[0] != tc.passes[0] {
				t.Errorf("passed: %v, want %v (%+v)", passed, tc.passes, tok.SelfTest().Formats)
			}
			if made := generate(t, tok, key.Auto); made.Format != tc.passes[0] {
				t.Errorf("auto is %v", made.Format)
			}
			if n := device.Keys(); n > 2 {
				t.Errorf("the self-test left something: %d objects", n)
			}
		})
	}
}

func TestNamedFormatMustPass(t *testing.T) {
	err := refused(t, fakecki.New(fakecki.Behaviour{NoGCM: true}), func(c *worker.Config) { c.Format = key.A256GCM })
	if ckr.ClassOf(err) != ckr.Capability || !strings.Contains(err.Error(), "A256GCM") {
		t.Errorf("error: %v", err)
	}
}

func TestWeakProtectionIsAWarning(t *testing.T) {
	for name, b := range map[string]fakecki.Behaviour{
		"copies":  {LetsCopy: true},
		"exports": {LetsWrap: true},
		"sticky":  {Sticky: true},
	} {
		device := fakecki.New(b)
		tok := load(t, device, nil)
		if w := tok.Warnings(); len(w) != 1 {
			t.Errorf("%s: warnings %q", name, w)
		}
		st, err := tok.Status(t.Context())
		if err != nil || !st.Usable() || len(st.Tokens[0].Warnings) != 1 {
			t.Errorf("%s: Status = %+v, %v", name, st, err)
		}
	}
}

func TestSelfTestRecordsTheCodeForABadTag(t *testing.T) {
	for _, code := range []ckr.Code{ckr.EncryptedDataInvalid, ckr.GeneralError, 0x42} {
		tok, _ := fake(t, fakecki.Behaviour{BadTag: code})
		if got := tok.SelfTest().BadTag[key.A256GCM]; got != code {
			t.Errorf("BadTag = %v, want %v", got, code)
		}
	}
}

// NSS says of keys it made itself that it did not.
func TestNSSIsForgivenItsLie(t *testing.T) {
	device := fakecki.New(fakecki.Behaviour{Manufacturer: "Mozilla Foundation", Ignores: []cryptoki.AttributeType{cryptoki.AllowedMechanisms}})
	device.LiesAboutLocal = true
	load(t, device, nil)
	other := fakecki.New(fakecki.Behaviour{})
	other.LiesAboutLocal = true
	if err := refused(t, other, nil); ckr.ClassOf(err) != ckr.Capability {
		t.Errorf("another token with that lie: %v", err)
	}
}
