package hsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/hsm/internal/frame"
	"github.com/strongroom-kms/strongroom/hsm/key"
)

// Config says which tokens there are and how long they may take. A zero
// duration means the default.
type Config struct {
	Worker  string   // path of strongroom-hsm; empty: beside the running program
	Modules []string // files, or folders with a slash at the end, that a module may come from; empty: DefaultModules
	Tokens  []TokenConfig
	Format  string // how DEKs are wrapped where a token does not say: auto, or a name that must pass the self-test

	OpTimeout       time.Duration // 2 s: an operation without an answer is tried on another worker
	HardDeadline    time.Duration // 5 s: a worker that is busy with one operation for so long is killed
	GenerateTimeout time.Duration // 30 s: the same for making and destroying keys
	StartTimeout    time.Duration // 30 s: from the start of a worker to the end of its self-test
	RequestTimeout  time.Duration // 10 s: for a request whose context has no deadline

	LoginBlock LoginBlock  // nil: this node alone remembers a rejected PIN, until it ends
	Log        *zap.Logger // nil: silence
	Observer   Observer
}

// TokenConfig is one token of the group, by URI (RFC 7512) or by the fields
// below it.
type TokenConfig struct {
	URI string

	Module string // absolute path
	Label  string
	Serial string
	Model  string

	PINFile    string   // absolute; empty: pin-source of the URI, or hsm-pin among the systemd credentials
	Env        []string // NAME=value, what the module needs, e.g. SOFTHSM2_CONF; a worker inherits nothing else
	Workers    int      // 0: 1
	Sessions   int      // per worker; 0: as many as cores and token suggest
	GCMIV      string   // who makes the IV: caller (also if empty), writeback or appended
	Format     string   // empty: Config.Format
	ForceLogin bool     // also when the token says that it is the last try
}

// Observer is told what happens, e.g. for metrics. Functions may be nil and
// are called from many goroutines.
type Observer struct {
	// Operation is one operation sent to a worker. class is ok, or a class of
	// pkcs11.md §7.2, or timeout.
	Operation func(op, class string, took time.Duration)
	// Respawn is a worker that was started in place of another.
	Respawn func(token string)
	// Breaker is a change to closed, open or half-open.
	Breaker func(token, state string)
}

// DefaultModules is where distributions and vendors put their modules.
var DefaultModules = []string{"/usr/lib/", "/usr/lib64/", "/usr/local/lib/", "/usr/safenet/", "/opt/"}

const (
	workerName = "strongroom-hsm"
	maxWorkers = 64
)

// source is a checked TokenConfig: all that is needed to start its workers.
type source struct {
	name     string // for logs, metrics and people
	settings frame.Settings
	env      []string
	workers  int
}

// checked fills in defaults and reports every mistake at once.
func (c Config) checked() (Config, []source, error) {
	var problems []error
	if c.Worker == "" {
		self, err := os.Executable()
		if err != nil {
			return c, nil, fmt.Errorf("find %s beside the program: %w", workerName, err)
		}
		c.Worker = filepath.Join(filepath.Dir(self), workerName)
	}
	if err := executable(c.Worker); err != nil {
		problems = append(problems, err)
	}
	if len(c.Modules) == 0 {
		c.Modules = DefaultModules
	}
	for _, d := range []struct {
		d    *time.Duration
		zero time.Duration
	}{
		{&c.OpTimeout, 2 * time.Second}, {&c.HardDeadline, 5 * time.Second}, {&c.GenerateTimeout, 30 * time.Second},
		{&c.StartTimeout, 30 * time.Second}, {&c.RequestTimeout, 10 * time.Second},
	} {
		if *d.d <= 0 {
			*d.d = d.zero
		}
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if len(c.Tokens) == 0 {
		problems = append(problems, errors.New("no token is configured"))
	}
	sources := make([]source, len(c.Tokens))
	for i, t := range c.Tokens {
		s, err := t.checked(c)
		if err != nil {
			problems = append(problems, fmt.Errorf("token %d: %w", i+1, err))
		}
		sources[i] = s
	}
	return c, sources, errors.Join(problems...)
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("worker: %s is not a program", path)
	}
	return nil
}

func (t TokenConfig) checked(c Config) (source, error) {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	set := frame.Settings{
		Module: t.Module, Label: t.Label, Serial: t.Serial, Model: t.Model,
		PINFile: t.PINFile, GCMIV: t.GCMIV, Format: t.Format,
		Sessions: t.Sessions, ForceLogin: t.ForceLogin,
	}
	if t.URI != "" {
		if err := fromURI(&set, t.URI); err != nil {
			return source{}, err
		}
	}
	if set.Label == "" && set.Serial == "" {
		problem("a label or a serial number must say which token it is")
	}
	module, err := allowedModule(set.Module, c.Modules)
	if err != nil {
		problems = append(problems, err)
	}
	set.Module = module
	if set.PINFile != "" && !filepath.IsAbs(set.PINFile) {
		problem("PIN file %s: give an absolute path", set.PINFile)
	}
	if set.GCMIV = orElse(set.GCMIV, "caller"); !slices.Contains([]string{"caller", "writeback", "appended"}, set.GCMIV) {
		problem("gcm_iv %q: choose caller, writeback or appended", set.GCMIV)
	}
	set.Format = orElse(set.Format, orElse(c.Format, key.Auto.String()))
	if !slices.Contains([]string{key.Auto.String(), key.A256GCM.String(), key.A256CBCHS256.String()}, set.Format) {
		problem("format %q: choose auto, %v or %v", set.Format, key.A256GCM, key.A256CBCHS256)
	}
	if t.Workers < 0 || t.Workers > maxWorkers {
		problem("%d workers: choose 1 to %d", t.Workers, maxWorkers)
	}
	if t.Sessions < 0 {
		problem("%d sessions: choose a positive number, or 0 for the default", t.Sessions)
	}
	for i, e := range t.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			problem("environment, entry %d: write NAME=value", i+1)
		}
	}
	return source{
		name:     orElse(set.Label, set.Serial),
		settings: set,
		env:      environment(t.Env),
		workers:  max(t.Workers, 1),
	}, errors.Join(problems...)
}

// environment is all that a worker sees of ours: what the module needs, where
// systemd put the PIN, and freed memory that is overwritten, which glibc reads
// before main (pkcs11.md §9.2).
func environment(own []string) []string {
	env := []string{"GLIBC_TUNABLES=glibc.malloc.perturb=165"}
	if dir := os.Getenv(credentials); dir != "" {
		env = append(env, credentials+"="+dir)
	}
	return append(env, own...)
}

// allowedModule returns the file that path leads to, if an operator allows it
// to be loaded. Two spellings of one file would be two modules to the loader.
func allowedModule(path string, allowed []string) (string, error) {
	if path == "" {
		return "", errors.New("the module is missing")
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("module %s: give an absolute path; a bare name would be looked up by the loader", path)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("module: %w", err)
	}
	if info, err := os.Stat(real); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("module %s is not a file", path)
	}
	for _, a := range allowed {
		if real == a || path == a || strings.HasSuffix(a, "/") && strings.HasPrefix(real, a) {
			return real, nil
		}
	}
	return "", fmt.Errorf("module %s is in none of the allowed places: %s", real, strings.Join(allowed, " "))
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
