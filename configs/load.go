package configs

import (
	_ "embed"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

//go:embed defaults.yaml
var defaults []byte

// Source says where a configuration comes from, besides the defaults.
type Source struct {
	File    string         // YAML; none if empty
	Environ []string       // as os.Environ
	Flags   *pflag.FlagSet // with AddFlags's flags; may be nil
}

// flagKeys are the flags that stand for a key. The others of a command are its
// own.
var flagKeys = map[string]string{
	"log-level":     "log.level",
	"db-url-file":   "db.url_file",
	"hsm-worker":    "hsm.worker",
	"policy-file":   "policy.file",
	"audit-journal": "audit.journal",
	"drain-timeout": "shutdown.drain_timeout",
}

// AddFlags gives a command the flags that stand for a key. A flag that is not
// set changes nothing.
func AddFlags(fs *pflag.FlagSet) {
	fs.String("log-level", "", "debug, info, warn or error")
	fs.String("db-url-file", "", "file with the database's URL")
	fs.String("hsm-worker", "", "path of strongroom-hsm")
	fs.String("policy-file", "", "file with policies of your own")
	fs.String("audit-journal", "", "file of the audit journal")
	fs.String("drain-timeout", "", "how long requests may take to end, e.g. 20s")
}

// Load reads and checks a configuration. Its error names every problem, one to
// a line.
func Load(src Source) (Config, error) {
	k, err := withDefaults()
	if err != nil {
		return Config{}, err
	}
	var file document
	if src.File != "" {
		b, err := os.ReadFile(src.File)
		if err != nil {
			return Config{}, err
		}
		if err := k.Load(content(b), &file); err != nil {
			return Config{}, fmt.Errorf("%s: %w", src.File, err)
		}
	}
	if err := loadOverrides(k, src); err != nil {
		return Config{}, err
	}
	cfg, bad := decode(k)
	bad = append(file.twins, bad...)
	for _, p := range cfg.problems() {
		// What could not be read is zero now, and need not be reported twice.
		if !slices.ContainsFunc(bad, func(b problem) bool { return b.key == p.key }) {
			bad = append(bad, p)
		}
	}
	if len(bad) > 0 {
		return Config{}, joined(bad)
	}
	return cfg, nil
}

func withDefaults() (*koanf.Koanf, error) {
	k := koanf.New(".")
	if err := k.Load(content(defaults), &document{}); err != nil {
		return nil, fmt.Errorf("defaults.yaml: %w", err)
	}
	return k, nil
}

// Defaults returns the configuration of an empty file. It lacks what has no
// default, so Validate refuses it.
func Defaults() (Config, error) {
	k, err := withDefaults()
	if err != nil {
		return Config{}, err
	}
	cfg, bad := decode(k)
	return cfg, joined(bad)
}

func loadOverrides(k *koanf.Koanf, src Source) error {
	fromEnv := env.Provider(".", env.Opt{
		Prefix:        envPrefix,
		EnvironFunc:   func() []string { return src.Environ },
		TransformFunc: func(name, value string) (string, any) { return envKey(name), value },
	})
	if err := k.Load(fromEnv, nil); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	if src.Flags == nil {
		return nil
	}
	fromFlags := posflag.ProviderWithFlag(src.Flags, ".", nil, func(f *pflag.Flag) (string, any) {
		if !f.Changed {
			return "", nil
		}
		return flagKeys[f.Name], f.Value.String()
	})
	return k.Load(fromFlags, nil)
}

const envPrefix = "STRONGROOM_"

// envKey turns STRONGROOM_DB__MAX_OPEN into db.max_open. Every key lies in a
// section, so a variable without the double underscore is none of ours
// (STRONGROOM_DEV_DIR, STRONGROOM_PID).
func envKey(name string) string {
	name = strings.TrimPrefix(name, envPrefix)
	if !strings.Contains(name, "__") {
		return ""
	}
	return strings.ToLower(strings.ReplaceAll(name, "__", "."))
}

// content is a koanf.Provider of a file that was read already.
type content []byte

func (c content) ReadBytes() ([]byte, error)    { return c, nil }
func (c content) Read() (map[string]any, error) { return nil, errors.ErrUnsupported }

// decode fills a Config. A key that fits no field is an error, and so is one
// that fits but for its case.
func decode(k *koanf.Koanf) (Config, []problem) {
	var cfg Config
	err := k.UnmarshalWithConf("", &cfg, koanf.UnmarshalConf{Tag: "yaml", DecoderConfig: &mapstructure.DecoderConfig{
		ErrorUnused:      true,
		WeaklyTypedInput: true, // all values of the environment are strings
		MatchName:        func(key, field string) bool { return key == field },
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			durations,
			integers,
			mapstructure.TextUnmarshallerHookFunc(),
			mapstructure.StringToSliceHookFunc(","),
		),
	}})
	cfg.FillIn()
	if err != nil {
		return cfg, unreadable(err)
	}
	return cfg, nil
}

// FillIn sets what listeners and tokens leave out. Load does so; whoever makes a
// Config by hand calls it at the end.
func (c *Config) FillIn() {
	for i := range c.Listeners {
		c.Listeners[i].fillIn()
	}
	c.HSM.fillIn()
	for i := range c.CSMS.Rotation.Instances {
		c.CSMS.Rotation.Instances[i].fillIn()
	}
	for i := range c.CSMS.Notifications.Targets {
		if t := &c.CSMS.Notifications.Targets[i]; t.Timeout == 0 {
			t.Timeout = 10 * time.Second
		}
	}
}

// fillIn sets what tokens and their groups leave out.
func (h *HSM) fillIn() {
	for i := range h.Tokens {
		h.Tokens[i].fillIn()
	}
	for i := range h.Groups {
		g := &h.Groups[i]
		for j := range g.Tokens {
			g.Tokens[j].fillIn()
		}
		if g.Format == "" {
			g.Format = h.Format
		}
	}
	if all := h.TokenGroups(); h.DefaultGroup == "" && len(all) == 1 {
		h.DefaultGroup = all[0].Name
	}
}

// integers refuses what the decoder would cut off.
func integers(_, to reflect.Type, value any) (any, error) {
	if n, ok := value.(float64); ok && to.Kind() != reflect.Float64 && n != math.Trunc(n) {
		return nil, errFraction
	}
	return value, nil
}

// durations wants a unit: a bare 2 would be two nanoseconds.
func durations(_, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() {
		return value, nil
	}
	text, ok := value.(string)
	if !ok {
		return nil, errDuration
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, errDuration
	}
	return d, nil
}

var (
	errDuration = errors.New("a duration needs a unit, as in 500ms, 2s or 15m")
	errFraction = errors.New("must be a whole number")
)

// fillIn sets what a listener leaves out. Slow clients are the reason for
// every one of these limits.
func (l *Listener) fillIn() {
	for field, standard := range map[*time.Duration]time.Duration{
		&l.ReadHeaderTimeout: 5 * time.Second,
		&l.ReadTimeout:       30 * time.Second,
		&l.WriteTimeout:      60 * time.Second,
		&l.IdleTimeout:       2 * time.Minute,
	} {
		if *field == 0 {
			*field = standard
		}
	}
	if l.MaxHeader == 0 {
		l.MaxHeader = 1 << 20
	}
}

// fillIn sets what a token leaves out.
func (t *Token) fillIn() {
	if t.Workers == 0 {
		t.Workers = 1
	}
	if t.Sessions == 0 {
		t.Sessions = 8
	}
	if t.GCMIV == "" {
		t.GCMIV = "caller"
	}
}
