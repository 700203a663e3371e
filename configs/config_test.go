package configs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/strongroom-kms/strongroom/configs"
)

func TestSamplesLoad(t *testing.T) {
	t.Parallel()
	samples, err := filepath.Glob("*.yaml")
	if err != nil || len(samples) < 3 {
		t.Fatalf("found %v (%v)", samples, err)
	}
	for _, name := range samples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := configs.Load(configs.Source{File: name})
			if name == "defaults.yaml" {
				// What has no default is all that is missing.
				if err == nil || err.Error() != "hsm.tokens: there is none" {
					t.Errorf("Load answers %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// What config show prints is a configuration of the same meaning.
			printed := write(t, cfg.String())
			again, err := configs.Load(configs.Source{File: printed})
			if err != nil {
				t.Fatal(err)
			}
			if again.String() != cfg.String() {
				t.Errorf("printed and read again, it says\n%s", again.String())
			}
		})
	}
}

// defaults.yaml is also the list of all keys.
func TestEveryKeyStandsInDefaults(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("defaults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	var walk func(reflect.Type, any, string)
	walk = func(typ reflect.Type, there any, path string) {
		section, ok := there.(map[string]any)
		if typ.Kind() != reflect.Struct || !ok {
			return
		}
		for f := range typ.Fields() {
			key := f.Tag.Get("yaml")
			if key == "-" {
				continue
			}
			value, ok := section[key]
			if !ok {
				t.Errorf("%s%s is missing", path, key)
			}
			walk(f.Type, value, path+key+".")
		}
	}
	walk(reflect.TypeFor[configs.Config](), file, "")
}

// minimal is a configuration with nothing wrong, to break in one place.
const minimal = `
db: { url: "postgres://s@db/strongroom" }
hsm: { tokens: [ { uri: "pkcs11:token=a?module-path=/m.so&pin-source=file:/pin" } ] }
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "strongroom.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, text string, environ ...string) (configs.Config, error) {
	t.Helper()
	return configs.Load(configs.Source{File: write(t, text), Environ: environ})
}

func TestDefaultsAreFilledIn(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, minimal+"audit:\nlisteners: [ { name: one, address: \":1\", dialects: [csms] } ]\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, got, want any }{
		{"number of listeners: a list replaces the default one", len(cfg.Listeners), 1},
		{"read_header_timeout", cfg.Listeners[0].ReadHeaderTimeout, 5 * time.Second},
		{"max_header", cfg.Listeners[0].MaxHeader, configs.Bytes(1 << 20)},
		{"workers", cfg.HSM.Tokens[0].Workers, 1},
		{"gcm_iv", cfg.HSM.Tokens[0].GCMIV, "caller"},
		{"csms.max_body", cfg.CSMS.MaxBody, configs.Bytes(12 << 20)},
		{"audit.journal of an empty section", cfg.Audit.Journal, "/var/lib/strongroom/audit.journal"},
	} {
		if tc.got != tc.want {
			t.Errorf("%v is %v, want %v", tc.name, tc.got, tc.want)
		}
	}
}

func TestLaterSourcesWin(t *testing.T) {
	t.Parallel()
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	configs.AddFlags(fs)
	fs.String("config", "", "not one of ours")
	if err := fs.Parse([]string{"--log-level", "error", "--drain-timeout=3s", "--config", "x"}); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(configs.Source{
		File: write(t, minimal+"log: { level: warn }\nidentity: { region: file }\naudit: { journal: file }\n"),
		Environ: []string{
			"STRONGROOM_LOG__LEVEL=debug", "STRONGROOM_DB__MAX_OPEN=7", "STRONGROOM_DB__MAX_IDLE=3",
			"STRONGROOM_IDENTITY__REGION=env", "STRONGROOM_IDENTITY__REGION_ALIASES=a,b",
			"STRONGROOM_CSMS__ALLOW_DOT_IN_NAMES=true", "STRONGROOM_CSMS__MAX_SECRET_STRING=1KiB",
			"STRONGROOM_IDENTITY__ENDPOINTS__CSMS=http://c",
			"STRONGROOM_DEV_DIR=/elsewhere", "STRONGROOM_PID=1", "OTHER__THING=1",
		},
		Flags: fs,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, got, want any }{
		{"a flag over the environment", cfg.Log.Level, "error"},
		{"a flag over the default", cfg.Shutdown.DrainTimeout, 3 * time.Second},
		{"the environment over the default", cfg.Database.MaxOpen, 7},
		{"the environment over the file", cfg.Identity.Region, "env"},
		{"a list of the environment", fmt.Sprint(cfg.Identity.RegionAliases), "[a b]"},
		{"a switch of the environment", cfg.CSMS.AllowDotInNames, true},
		{"a size of the environment", cfg.CSMS.MaxSecretString, configs.Bytes(1024)},
		{"a deeper key of the environment", cfg.Identity.Endpoints.CSMS, "http://c"},
		{"the file over the default", cfg.Audit.Journal, "file"},
	} {
		if tc.got != tc.want {
			t.Errorf("%v: got %v, want %v", tc.name, tc.got, tc.want)
		}
	}
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t, `
db:
  max_opne: hunter2
  MAX_IDLE: 2
  max_open: hunter2
  max_open: 3
  statement_timeout: 5
  password: hunter2
log: { level: hunter2 }
listners: []
hsm:
  tokens:
    - uri: hunter2
      foo: hunter2
csms: { max_body: hunter2, clock_skew: [hunter2], unknown_key: { a: hunter2 } }
barbican: { no_auth: hunter2, max_page: 0 }
db: { url: hunter2 }
`, "STRONGROOM_IDENTITY__HUNTER=hunter2")
	if err == nil {
		t.Fatal("Load succeeded")
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a value is in the message: %v", err)
	}
	lines := strings.Split(err.Error(), "\n")
	for _, want := range []string{
		"db: stands twice, in lines 2 and 17",
		"db.max_open: stands twice, in lines 5 and 6",
		"db.max_opne: unknown key",
		"db.MAX_IDLE: unknown key",
		"db.password: unknown key",
		"db.statement_timeout: a duration needs a unit, as in 500ms, 2s or 15m",
		"log.level: is one of debug, info, warn, error",
		"listners: unknown key",
		"hsm.tokens[0].foo: unknown key",
		"csms.max_body: a size is a number of bytes, or one with KiB, MiB or GiB behind it",
		"csms.clock_skew: a duration needs a unit, as in 500ms, 2s or 15m",
		"barbican.max_page: must be at least 1",
		"identity.hunter: unknown key",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("missing: %s", want)
		}
	}
	for _, key := range []string{"db.max_open: cannot parse", "hsm.tokens[0].uri: ", "csms.unknown_key: ", "barbican.no_auth: "} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, key) }) {
			t.Errorf("nothing about %s", key)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestOneMistakeIsNamed(t *testing.T) {
	t.Parallel()
	const tokens = "hsm: { tokens: [ { uri: \"pkcs11:a?pin-source=file:/p\" } ] }\n"
	const db = "db: { url: \"postgres://s@db/x\" }\n"
	listener := func(body string) string { return minimal + "listeners: [ " + body + " ]\n" }
	for _, tc := range []struct{ name, text, want string }{
		{"two families on one listener", listener(`{ name: a, address: ":1", dialects: [key-manager, csms] }`),
			`listeners[0].dialects: key-manager and csms cannot share listener "a": both answer /v1/{project_id}/secrets, and mean different things`},
		{"admin beside a family", listener(`{ name: a, address: "127.0.0.1:1", dialects: [csms, admin] }`),
			`listeners[0].dialects: admin shares listener "a" with csms: it is for operators alone`},
		{"admin for everybody", listener(`{ name: a, address: ":1", dialects: [admin] }`),
			`listeners[0].tls.client_ca_file: admin listener "a" is not on loopback, so its callers must show a certificate`},
		{"a dialect nobody knows", listener(`{ name: a, address: ":1", dialects: [kmip] }`),
			`listeners[0].dialects: is one of key-manager, csms, identity, admin`},
		{"one address twice", listener(`{ name: a, address: ":1", dialects: [csms] }, { name: b, address: ":1", dialects: [identity] }`),
			`listeners[1].address: :1 is the address of an earlier listener`},
		{"no port", listener(`{ name: a, address: "here", dialects: [csms] }`), `listeners[0].address: is host:port, or :port for all addresses`},
		{"half a certificate", listener(`{ name: a, address: ":1", dialects: [csms], tls: { cert_file: /c } }`),
			`listeners[0].tls: cert_file and key_file come together`},
		{"a password in the URL", tokens + `db: { url: "postgres://s:hunter2@db/x" }`,
			`db.url: holds a password: put the URL into a file and name that in db.url_file, or into a systemd credential named db-url`},
		{"a password beside the URL", tokens + `db: { url: "postgres://s@db/x?password=hunter2" }`,
			`db.url: holds a password: put the URL into a file and name that in db.url_file, or into a systemd credential named db-url`},
		{"a PIN", db + `hsm: { tokens: [ { uri: "pkcs11:a?pin-value=hunter2" } ] }`,
			`hsm.tokens[0].uri: holds a PIN: name the file that has it in pin-source`},
		{"a PIN in the worker's environment", db + `hsm: { tokens: [ { uri: "pkcs11:a", env: { TOKEN_PIN: hunter2 } } ] }`,
			`hsm.tokens[0].env: TOKEN_PIN looks like a secret: it comes by file`},
		{"the tier that is not there yet", db + `hsm: { kek_tier: wrapped, tokens: [ { uri: "pkcs11:a" } ] }`,
			`hsm.kek_tier: is token: this release knows no other tier`},
		{"tokens beside groups", db + `hsm: { tokens: [ { uri: "pkcs11:a" } ], groups: [ { name: a, tokens: [ { uri: "pkcs11:b" } ] } ] }`,
			`hsm.tokens: is short for one group called default: with groups, it goes there`},
		{"a group without tokens", db + `hsm: { groups: [ { name: a } ] }`, `hsm.groups[0].tokens: there is none`},
		{"a group's name in capitals", db + `hsm: { groups: [ { name: HSM, tokens: [ { uri: "pkcs11:b" } ] } ] }`,
			`hsm.groups[0].name: is 1 to 32 lower-case letters, digits and hyphens, with no hyphen at either end`},
		{"a group called as the first default key", db + `hsm: { groups: [ { name: csms, tokens: [ { uri: "pkcs11:b" } ] } ] }`,
			`hsm.groups[0].name: csms is no name for a group: its default key would be csms/default, which each project has anyway`},
		{"two groups of one name", db + groups(`a`, `a`) + "  default_group: a\n", `hsm.groups[1].name: "a" is the name of an earlier group`},
		{"no default group", db + groups(`a`, `b`),
			`hsm.default_group: is missing: one of the groups takes the secrets of projects that prefer none`},
		{"a default group that nobody is", db + groups(`a`, `b`) + "  default_group: c\n", `hsm.default_group: no group is called "c"`},
		{"one token in two groups", db + strings.ReplaceAll(groups(`a`, `b`), "pkcs11:1", "pkcs11:0") + "  default_group: a\n",
			`hsm.groups[1].tokens[0].uri: stands in group "a", too: a token is in one group, once`},
		{"a group's PIN", db + `hsm: { groups: [ { name: a, tokens: [ { uri: "pkcs11:a?pin-value=hunter2" } ] } ] }`,
			`hsm.groups[0].tokens[0].uri: holds a PIN: name the file that has it in pin-source`},
		{"a group's format", db + `hsm: { groups: [ { name: a, format: ECB, tokens: [ { uri: "pkcs11:a" } ] } ] }`,
			`hsm.groups[0].format: is one of auto, A256GCM, A256CBC-HS256`},
		{"no-auth for everybody", minimal + `barbican: { no_auth: true }`,
			`barbican.no_auth: listener "key-manager" is not on loopback: everybody there would be any project`},
		{"half a secret", minimal + `barbican: { quotas: { secrets: 1.5 } }`, `barbican.quotas.secrets: must be a whole number`},
		{"half a connection", minimal + `csms: { max_body: 2.5 }`, `csms.max_body: must be a whole number`},
		{"a version in an endpoint", minimal + `identity: { endpoints: { csms: "http://c/v1" } }`,
			`identity.endpoints.csms: ends in a version, which clients add themselves`},
		{"a mode nobody knows", minimal + `identity: { mode: ldap }`, `identity.mode: is one of builtin, keystone`},
		{"Keystone, and nobody asks it", minimal + `identity: { keystone: { url: "https://k" } }`,
			`identity.keystone.url: is set, and identity.mode is not keystone`},
		{"Keystone nowhere", minimal + `identity: { mode: keystone, keystone: { username: s } }`, `identity.keystone.url: is missing`},
		{"Keystone asked by nobody", minimal + `identity: { mode: keystone, keystone: { url: "https://k" } }`, `identity.keystone.username: is missing`},
		{"Keystone over a wire that everybody reads", minimal + `identity: { mode: keystone, keystone: { url: "http://k:5000", username: s } }`,
			`identity.keystone.url: is neither https nor on loopback: everybody on the way could read the tokens`},
		{"a password in Keystone's URL", minimal + `identity: { mode: keystone, keystone: { url: "https://s:hunter2@k", username: s } }`,
			`identity.keystone.url: holds a user: that is username and password_file`},
		{"revocation far away", minimal + `identity: { keystone: { cache_ttl: 1h } }`,
			`identity.keystone.cache_ttl: is between 1s and 5m: a revoked access token works that long`},
		{"a list where sections should be", "[a]", ""},
		{"no YAML", "a: [", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, tc.text)
			if err == nil || tc.want != "" && err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the secret is in the message")
			}
		})
	}
}

// groups has a token each.
func groups(names ...string) string {
	text := "hsm:\n  groups:\n"
	for i, n := range names {
		text += fmt.Sprintf("    - { name: %s, tokens: [ { uri: \"pkcs11:%d\" } ] }\n", n, i)
	}
	return text
}

func TestOneGroupIsTheDefault(t *testing.T) {
	t.Parallel()
	const db = "db: { url: \"postgres://s@db/x\" }\n"
	for _, tc := range []struct{ name, text, want string }{
		{"short", db + `hsm: { format: A256GCM, tokens: [ { uri: "pkcs11:a" } ] }`, "default"},
		{"long", db + `hsm: { format: A256GCM, groups: [ { name: luna-1, tokens: [ { uri: "pkcs11:a" } ] } ] }`, "luna-1"},
	} {
		cfg, err := load(t, tc.text)
		if err != nil {
			t.Fatal(err)
		}
		all := cfg.HSM.TokenGroups()
		if len(all) != 1 || all[0].Name != tc.want || cfg.HSM.DefaultGroup != tc.want || all[0].Format != "A256GCM" ||
			len(all[0].Tokens) != 1 || all[0].Tokens[0].Sessions != 8 {
			t.Errorf("%s: groups %+v, the default is %q", tc.name, all, cfg.HSM.DefaultGroup)
		}
	}
}

func TestDevModeMayHoldSecretsAndMasksThem(t *testing.T) {
	t.Parallel()
	cfg, err := configs.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Dev = true
	cfg.Database.URL = "postgres://s:hunter2@db/x?password=hunter2"
	cfg.HSM.Tokens = []configs.Token{{
		URI: "pkcs11:a?pin-value=hunter2",
		Env: map[string]string{"SOFTHSM2_CONF": "/conf", "USER_PIN": "hunter2"},
	}}
	cfg.FillIn()
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	text := cfg.String()
	if strings.Contains(text, "hunter2") || !strings.Contains(text, "SOFTHSM2_CONF: /conf") {
		t.Errorf("it prints as\n%s", text)
	}
	grouped := cfg
	grouped.HSM.Groups, grouped.HSM.Tokens = []configs.TokenGroup{{Name: "g", Tokens: cfg.HSM.Tokens}}, nil
	if text := grouped.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "SOFTHSM2_CONF: /conf") {
		t.Errorf("with a group it prints as\n%s", text)
	}
	cfg.Dev = false
	if err := cfg.Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("outside of dev mode Validate answers %v, want three problems", err)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]configs.Bytes{
		"0": 0, "25000": 25000, "32KiB": 32 << 10, "12 MiB": 12 << 20, "1GiB": 1 << 30,
	} {
		var got configs.Bytes
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s is %d (%v), want %d", text, got, err, want)
		}
		var again configs.Bytes
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%d prints as %s, which is %d (%v)", got, got, again, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5MiB", "12MB", "KiB", "9999999999GiB"} {
		var got configs.Bytes
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q passes as %d", text, got)
		}
	}
}
