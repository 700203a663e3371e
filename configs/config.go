// Package configs loads and checks the configuration of `strongroom serve`.
//
// Values come from four places, the later ones win: defaults.yaml (embedded;
// also the list of all keys with their meaning), the YAML file, the environment
// (STRONGROOM_DB__MAX_OPEN is db.max_open), and flags. An unknown key is an
// error, and all problems are reported at once.
//
// The configuration holds paths of secrets and never a secret, so it may be
// printed, compared and committed.
package configs

import (
	"net/netip"
	"slices"
	"time"

	"github.com/strongroom-kms/strongroom/hsm/key"
)

// Config is the whole configuration. It is passed down in pieces.
type Config struct {
	Listeners []Listener `yaml:"listeners"`
	Database  Database   `yaml:"db"`
	HSM       HSM        `yaml:"hsm"`
	Barbican  Barbican   `yaml:"barbican"`
	CSMS      CSMS       `yaml:"csms"`
	Identity  Identity   `yaml:"identity"`
	Policy    Policy     `yaml:"policy"`
	Audit     Audit      `yaml:"audit"`
	Jobs      Jobs       `yaml:"jobs"`
	Log       Log        `yaml:"log"`
	Shutdown  Shutdown   `yaml:"shutdown"`

	// Dev says that `strongroom dev` made this configuration: secrets may
	// stand in it. No file can set it.
	Dev bool `yaml:"-"`
}

// Dialect is one of the APIs that a listener can serve.
type Dialect string

// The dialects. KeyManager and CSMS use the same paths for different things,
// so one listener serves one of them (DESIGN §2).
const (
	DialectKeyManager Dialect = "key-manager"
	DialectCSMS       Dialect = "csms"
	DialectIdentity   Dialect = "identity"
	DialectAdmin      Dialect = "admin"
)

// Listener is one address and what answers there.
type Listener struct {
	Name              string        `yaml:"name"`
	Address           string        `yaml:"address"`
	TLS               TLS           `yaml:"tls"`
	Dialects          []Dialect     `yaml:"dialects"`
	ReadHeaderTimeout time.Duration `yaml:"read_header_timeout"`
	ReadTimeout       time.Duration `yaml:"read_timeout"`
	WriteTimeout      time.Duration `yaml:"write_timeout"`
	IdleTimeout       time.Duration `yaml:"idle_timeout"`
	MaxHeader         Bytes         `yaml:"max_header"`
}

// Serves reports whether d answers on l.
func (l Listener) Serves(d Dialect) bool {
	return slices.Contains(l.Dialects, d)
}

// TLS names the files of a listener's certificate. Without them it speaks
// plain HTTP; with a client CA, callers must show a certificate of that.
type TLS struct {
	CertFile     string `yaml:"cert_file"`
	KeyFile      string `yaml:"key_file"`
	ClientCAFile string `yaml:"client_ca_file"`
}

// Enabled reports whether the listener speaks TLS.
func (t TLS) Enabled() bool { return t.CertFile != "" }

// Database says where PostgreSQL is. DSN reads the URL from wherever it is.
type Database struct {
	URL              string        `yaml:"url"`
	URLFile          string        `yaml:"url_file"`
	MaxOpen          int           `yaml:"max_open"`
	MaxIdle          int           `yaml:"max_idle"`
	StatementTimeout time.Duration `yaml:"statement_timeout"`
	ConnectTimeout   time.Duration `yaml:"connect_timeout"`
}

// HSM says which tokens hold the KEKs (pkcs11.md §8.1).
type HSM struct {
	Tokens       []Token       `yaml:"tokens"` // short for one group called default
	Groups       []TokenGroup  `yaml:"groups"`
	DefaultGroup string        `yaml:"default_group"`
	Worker       string        `yaml:"worker"`
	Format       string        `yaml:"format"`
	OpTimeout    time.Duration `yaml:"op_timeout"`
	KEKTier      string        `yaml:"kek_tier"`
	MaxTokenKeys int           `yaml:"max_token_keys"`
}

// TokenGroup is one or more tokens that hold the same keys. Each project's keys
// are in the group that the project prefers, else in the default group.
type TokenGroup struct {
	Name   string  `yaml:"name"`
	Tokens []Token `yaml:"tokens"`
	Format string  `yaml:"format"`
}

// TokenGroups are the groups, whichever way they are written.
func (h HSM) TokenGroups() []TokenGroup {
	if len(h.Groups) > 0 {
		return h.Groups
	}
	return []TokenGroup{{Name: key.DefaultGroup, Tokens: h.Tokens, Format: h.Format}}
}

// Token is one token, named by a PKCS#11 URI.
type Token struct {
	URI      string            `yaml:"uri"`
	Workers  int               `yaml:"workers"`
	Sessions int               `yaml:"sessions"`
	GCMIV    string            `yaml:"gcm_iv"`
	Env      map[string]string `yaml:"env"`
}

// Barbican has the limits and choices of the Key Manager dialect.
type Barbican struct {
	HostHref             string `yaml:"host_href"`
	MaxPayload           Bytes  `yaml:"max_payload"`
	MaxPayloadTenant     Bytes  `yaml:"max_payload_tenant"`
	MaxBody              Bytes  `yaml:"max_body"`
	Policy               string `yaml:"policy"`
	DefaultPage          int    `yaml:"default_page"`
	MaxPage              int    `yaml:"max_page"`
	NoAuth               bool   `yaml:"no_auth"`
	MultipleSecretStores bool   `yaml:"multiple_secret_stores"`
	Quotas               Quotas `yaml:"quotas"`
}

// Quotas are how many of each a project may have that has no limits of its
// own. Negative ones do not limit.
type Quotas struct {
	Secrets    int64 `yaml:"secrets"`
	Orders     int64 `yaml:"orders"`
	Containers int64 `yaml:"containers"`
	Consumers  int64 `yaml:"consumers"`
}

// CSMS has the limits and choices of the CSMS dialect.
type CSMS struct {
	MaxSecretString      Bytes         `yaml:"max_secret_string"`
	AllowDotInNames      bool          `yaml:"allow_dot_in_names"`
	UnknownKey           string        `yaml:"unknown_key"`
	VersionGrace         time.Duration `yaml:"version_grace"`
	MaxBody              Bytes         `yaml:"max_body"`
	ClockSkew            time.Duration `yaml:"clock_skew"`
	AllowUnsignedPayload bool          `yaml:"allow_unsigned_payload"`
	Rotation             Rotation      `yaml:"rotation"`
	MaxEvents            int64         `yaml:"max_events"`
	Notifications        Notifications `yaml:"notifications"`
}

// Notifications says what becomes of what secrets' events tell.
type Notifications struct {
	RetryFor     time.Duration `yaml:"retry_for"`
	DeliverEvery time.Duration `yaml:"deliver_every"`
	ExpireEvery  time.Duration `yaml:"expire_every"`
	Targets      []Target      `yaml:"targets"`
}

// Target is where the notifications go that clients send to an ID: a webhook or
// a subject of NATS.
type Target struct {
	ID              string         `yaml:"id"`
	Webhook         Webhook        `yaml:"webhook"`
	NATS            NATS           `yaml:"nats"`
	CAFile          string         `yaml:"ca_file"`
	AllowedNetworks []netip.Prefix `yaml:"allowed_networks"`
	Timeout         time.Duration  `yaml:"timeout"`
}

// Webhook is a URL, and the file with the secrets that requests to it are
// signed with.
type Webhook struct {
	URL        string `yaml:"url"`
	SecretFile string `yaml:"secret_file"`
	AllowHTTP  bool   `yaml:"allow_http"`
}

// NATS is a server, and a subject of one of its streams.
type NATS struct {
	URL             string `yaml:"url"`
	Subject         string `yaml:"subject"`
	CredentialsFile string `yaml:"credentials_file"`
}

// Identity says who knows the callers, and has the built-in identity service.
type Identity struct {
	Mode          IdentityMode  `yaml:"mode"`
	TokenTTL      time.Duration `yaml:"token_ttl"`
	CacheTTL      time.Duration `yaml:"cache_ttl"`
	Region        string        `yaml:"region"`
	RegionAliases []string      `yaml:"region_aliases"`
	Endpoints     Endpoints     `yaml:"endpoints"`
	Keystone      Keystone      `yaml:"keystone"`
}

// IdentityMode says whose access tokens the services take.
type IdentityMode string

// The modes.
const (
	BuiltIn    IdentityMode = "builtin"
	ByKeystone IdentityMode = "keystone"
)

// Keystone says where Keystone is and who asks it about tokens. Password reads
// what that user logs in with.
type Keystone struct {
	URL           string        `yaml:"url"`
	PublicURL     string        `yaml:"public_url"`
	Username      string        `yaml:"username"`
	UserDomain    string        `yaml:"user_domain"`
	Project       string        `yaml:"project"`
	ProjectDomain string        `yaml:"project_domain"`
	PasswordFile  string        `yaml:"password_file"`
	CAFile        string        `yaml:"ca_file"`
	CacheTTL      time.Duration `yaml:"cache_ttl"`
	Timeout       time.Duration `yaml:"timeout"`
	ServiceRoles  []string      `yaml:"service_token_roles"`
	RolesNeeded   bool          `yaml:"service_token_roles_required"`
	AllowHTTP     bool          `yaml:"allow_http"`
}

// Endpoints are the base URLs that the catalog shows, without a version.
type Endpoints struct {
	KeyManager string `yaml:"key_manager"`
	CSMS       string `yaml:"csms"`
	Identity   string `yaml:"identity"`
}

// Policy names the operator's own rules.
type Policy struct {
	File string `yaml:"file"`
}

// Audit names the local log of reads and refusals.
type Audit struct {
	Journal    string `yaml:"journal"`
	JournalMax Bytes  `yaml:"journal_max"`
}

// Jobs says when work in the background is due.
type Jobs struct {
	PurgeEvery  time.Duration `yaml:"purge_every"`
	PurgeAfter  time.Duration `yaml:"purge_after"`
	SettleEvery time.Duration `yaml:"settle_every"`
}

// Log says how much is logged.
type Log struct {
	Level string `yaml:"level"`
}

// Shutdown says how long requests may take to end.
type Shutdown struct {
	DrainTimeout time.Duration `yaml:"drain_timeout"`
}
