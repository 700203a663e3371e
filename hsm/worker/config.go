package worker

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/hsm/worker/cryptoki"
)

// Config is what a worker needs to know. It holds no secret.
type Config struct {
	Module     string // absolute path of the PKCS#11 library
	Token      TokenMatch
	PIN        PINSource
	Sessions   int          // beside the anchor; 0: a few per core
	GCMIV      IVConvention // "": IVCaller
	Format     key.Format   // Auto: the first that passes the self-test; else it must pass
	ForceLogin bool         // try the PIN even where the token says that it is the last try
	Log        *zap.Logger  // nil: silent
}

// TokenMatch names one token. Empty fields match any; slot numbers are not
// among them, because SoftHSM changes a slot's number with each token it makes.
type TokenMatch struct{ Label, Serial, Model string }

func (m TokenMatch) matches(t cryptoki.TokenInfo) bool {
	return (m.Label == "" || m.Label == t.Label) &&
		(m.Serial == "" || m.Serial == t.Serial) &&
		(m.Model == "" || m.Model == t.Model)
}

func (m TokenMatch) String() string {
	return fmt.Sprintf("label %q, serial %q, model %q", m.Label, m.Serial, m.Model)
}

// IVConvention says who makes the IV of AES-GCM. It is configured and then
// verified, never guessed: SoftHSM accepts a missing IV and uses the same one
// each time (pkcs11.md §4.4).
type IVConvention string

const (
	IVCaller    IVConvention = "caller"    // we do, 12 random bytes
	IVWriteback IVConvention = "writeback" // the token writes its own over ours
	IVAppended  IVConvention = "appended"  // the token appends its own to the ciphertext
)

func (c *Config) check() error {
	var problems []error
	if c.Token.Label == "" && c.Token.Serial == "" {
		problems = append(problems, errors.New("a token is named by its label or its serial number"))
	}
	switch c.GCMIV {
	case "":
		c.GCMIV = IVCaller
	case IVCaller, IVWriteback, IVAppended:
	default:
		problems = append(problems, fmt.Errorf("gcm_iv is caller, writeback or appended, not %q", c.GCMIV))
	}
	switch c.Format {
	case key.Auto, key.A256GCM, key.A256CBCHS256:
	default:
		problems = append(problems, fmt.Errorf("format %d is not one this worker knows", c.Format))
	}
	if c.Sessions < 0 {
		problems = append(problems, errors.New("sessions is negative"))
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return errors.Join(problems...)
}

func (c *Config) checkModule() error {
	if !filepath.IsAbs(c.Module) {
		return fmt.Errorf("module path %q is not absolute: a bare name would search the library path", c.Module)
	}
	return nil
}

const (
	sessionsPerCore = 4
	maxSessions     = 16

	// reserved are the sessions outside the pool: the anchor and crypto11's.
	reserved = 1 + crypto11Sessions
)

// poolSize follows pkcs11.md §5.2: every call blocks a thread, so more sessions
// than that make requests slower, not faster.
func (c *Config) poolSize(t cryptoki.TokenInfo) int {
	n := c.Sessions
	if n == 0 {
		n = min(sessionsPerCore*runtime.GOMAXPROCS(0), maxSessions)
	}
	if limit := t.Limit(); limit > 0 {
		n = min(n, limit-reserved)
	}
	return max(n, 1)
}
