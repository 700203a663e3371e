package configs

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/strongroom-kms/strongroom/hsm/key"
)

// problem is one thing that is wrong, and the key that it is wrong with.
type problem struct{ key, text string }

func (p problem) Error() string { return p.key + ": " + p.text }

// checker collects problems.
type checker struct{ found []problem }

// check notes a problem with key unless ok.
func (k *checker) check(ok bool, key, format string, args ...any) {
	if !ok {
		k.found = append(k.found, problem{key, fmt.Sprintf(format, args...)})
	}
}

func (k *checker) oneOf(value, key string, allowed ...string) {
	k.check(slices.Contains(allowed, value), key, "is one of %s", strings.Join(allowed, ", "))
}

func (k *checker) positive(d time.Duration, key string) {
	k.check(d > 0, key, "must be longer than nothing")
}

// Validate checks everything that can be checked without touching a file or
// the network, and names all problems at once.
func (c Config) Validate() error { return joined(c.problems()) }

func joined(found []problem) error {
	errs := make([]error, len(found))
	for i, p := range found {
		errs[i] = p
	}
	return errors.Join(errs...)
}

func (c Config) problems() []problem {
	var k checker
	k.listeners(c.Listeners, c.Dev)
	k.database(c.Database, c.Dev)
	k.hsm(c.HSM, c.Dev)
	k.barbican(c)
	k.csms(c.CSMS)
	k.notifications(c.CSMS.Notifications)
	k.identity(c.Identity)
	k.keystone(c.Identity, c.Dev)
	k.check(c.Audit.Journal != "", "audit.journal", "names no file")
	k.check(c.Audit.JournalMax == 0 || c.Audit.JournalMax >= 1<<20, "audit.journal_max", "is 0 (no limit) or at least 1MiB")
	k.positive(c.Jobs.PurgeEvery, "jobs.purge_every")
	k.check(c.Jobs.PurgeAfter >= 0, "jobs.purge_after", "is not less than nothing")
	k.positive(c.Jobs.SettleEvery, "jobs.settle_every")
	_, err := zapcore.ParseLevel(c.Log.Level)
	k.check(err == nil, "log.level", "is one of debug, info, warn, error")
	k.positive(c.Shutdown.DrainTimeout, "shutdown.drain_timeout")
	return k.found
}

func (k *checker) listeners(all []Listener, dev bool) {
	k.check(len(all) > 0, "listeners", "there is none")
	names, addresses := map[string]bool{}, map[string]bool{}
	for i, l := range all {
		at := fmt.Sprintf("listeners[%d]", i)
		k.check(l.Name != "", at+".name", "is missing")
		k.check(!names[l.Name], at+".name", "%q is the name of an earlier listener", l.Name)
		names[l.Name] = true
		k.check(!addresses[l.Address], at+".address", "%s is the address of an earlier listener", l.Address)
		addresses[l.Address] = !strings.HasSuffix(l.Address, ":0")
		_, port, err := net.SplitHostPort(l.Address)
		if err == nil {
			_, err = net.LookupPort("tcp", port)
		}
		k.check(err == nil, at+".address", "is host:port, or :port for all addresses")
		k.check((l.TLS.CertFile == "") == (l.TLS.KeyFile == ""), at+".tls", "cert_file and key_file come together")
		k.check(l.TLS.ClientCAFile == "" || l.TLS.Enabled(), at+".tls.client_ca_file", "needs cert_file and key_file")
		k.dialects(l, at, dev)
	}
}

// dialects refuses what cannot or should not answer on one listener.
func (k *checker) dialects(l Listener, at string, dev bool) {
	at += ".dialects"
	k.check(len(l.Dialects) > 0, at, "listener %q serves nothing", l.Name)
	for i, d := range l.Dialects {
		k.oneOf(string(d), at, string(DialectKeyManager), string(DialectCSMS), string(DialectIdentity), string(DialectAdmin))
		k.check(!slices.Contains(l.Dialects[:i], d), at, "%s stands twice", d)
	}
	k.check(!l.Serves(DialectKeyManager) || !l.Serves(DialectCSMS), at,
		"key-manager and csms cannot share listener %q: both answer /v1/{project_id}/secrets, and mean different things", l.Name)
	if !l.Serves(DialectAdmin) {
		return
	}
	k.check(len(l.Dialects) == 1, at, "admin shares listener %q with %s: it is for operators alone", l.Name, otherThan(DialectAdmin, l.Dialects))
	k.check(dev || loopback(l.Address) || l.TLS.ClientCAFile != "", strings.TrimSuffix(at, ".dialects")+".tls.client_ca_file",
		"admin listener %q is not on loopback, so its callers must show a certificate", l.Name)
}

func otherThan(d Dialect, all []Dialect) string {
	var names []string
	for _, other := range all {
		if other != d {
			names = append(names, string(other))
		}
	}
	return strings.Join(names, ", ")
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

func (k *checker) database(d Database, dev bool) {
	k.check(d.URL == "" || d.URLFile == "", "db.url_file", "either url or url_file, not both")
	if d.URL != "" {
		u, err := url.Parse(d.URL)
		k.check(err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql"), "db.url", "is postgres://user@host/database")
		k.check(dev || err != nil || !hasPassword(u), "db.url", "holds a password: put the URL into a file and name that in db.url_file, or into a systemd credential named db-url")
	}
	k.check(d.MaxOpen > 0, "db.max_open", "must be at least 1")
	k.check(d.MaxIdle >= 0 && d.MaxIdle <= d.MaxOpen, "db.max_idle", "is between 0 and max_open")
	k.positive(d.StatementTimeout, "db.statement_timeout")
	k.positive(d.ConnectTimeout, "db.connect_timeout")
}

func hasPassword(u *url.URL) bool {
	_, inUser := u.User.Password()
	return inUser || u.Query().Has("password")
}

func (k *checker) hsm(h HSM, dev bool) {
	if len(h.Groups) == 0 {
		k.tokens(h.Tokens, "hsm.tokens", dev)
	} else {
		k.tokenGroups(h, dev)
	}
	k.check(h.DefaultGroup == "" || hasGroup(h, h.DefaultGroup), "hsm.default_group", "no group is called %q", h.DefaultGroup)
	k.format(h.Format, "hsm.format")
	k.check(h.KEKTier == "token", "hsm.kek_tier", "is token: this release knows no other tier")
	k.check(h.MaxTokenKeys > 0, "hsm.max_token_keys", "must be at least 1")
	k.positive(h.OpTimeout, "hsm.op_timeout")
}

func (k *checker) format(name, at string) {
	k.oneOf(name, at, key.Auto.String(), key.A256GCM.String(), key.A256CBCHS256.String())
}

// groupName is what a token group may be called: names stand in aliases of
// master keys, in metrics and in answers to clients.
var groupName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

func hasGroup(h HSM, name string) bool {
	return slices.ContainsFunc(h.TokenGroups(), func(g TokenGroup) bool { return g.Name == name })
}

func (k *checker) tokenGroups(h HSM, dev bool) {
	k.check(len(h.Tokens) == 0, "hsm.tokens", "is short for one group called %s: with groups, it goes there", key.DefaultGroup)
	k.check(h.DefaultGroup != "", "hsm.default_group", "is missing: one of the groups takes the secrets of projects that prefer none")
	names, owners := map[string]bool{}, map[string]string{}
	for i, g := range h.Groups {
		at := fmt.Sprintf("hsm.groups[%d]", i)
		k.check(groupName.MatchString(g.Name), at+".name", "is 1 to 32 lower-case letters, digits and hyphens, with no hyphen at either end")
		k.check(g.Name != "csms", at+".name", "csms is no name for a group: its default key would be csms/default, which each project has anyway")
		k.check(!names[g.Name], at+".name", "%q is the name of an earlier group", g.Name)
		names[g.Name] = true
		k.tokens(g.Tokens, at+".tokens", dev)
		k.format(g.Format, at+".format")
		for j, t := range g.Tokens {
			owner, taken := owners[t.URI]
			k.check(!taken, fmt.Sprintf("%s.tokens[%d].uri", at, j), "stands in group %q, too: a token is in one group, once", owner)
			owners[t.URI] = g.Name
		}
	}
}

func (k *checker) tokens(all []Token, list string, dev bool) {
	k.check(len(all) > 0, list, "there is none")
	for i, t := range all {
		at := fmt.Sprintf("%s[%d]", list, i)
		k.check(strings.HasPrefix(t.URI, "pkcs11:"), at+".uri", "is a PKCS#11 URI (RFC 7512): pkcs11:token=…?module-path=…&pin-source=file:…")
		k.check(dev || !strings.Contains(t.URI, "pin-value"), at+".uri", "holds a PIN: name the file that has it in pin-source")
		k.check(t.Workers > 0, at+".workers", "must be at least 1")
		k.check(t.Sessions > 0, at+".sessions", "must be at least 1")
		k.oneOf(t.GCMIV, at+".gcm_iv", "caller", "writeback", "appended")
		for name := range t.Env {
			k.check(dev || !namesSecret(name), at+".env", "%s looks like a secret: it comes by file", name)
		}
	}
}

// namesSecret tells an environment variable by its words.
func namesSecret(name string) bool {
	return slices.ContainsFunc(strings.Split(strings.ToUpper(name), "_"), func(word string) bool {
		return slices.Contains([]string{"PIN", "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET"}, word)
	})
}

// maxPlaintext is what the engine takes (DESIGN §3).
const maxPlaintext Bytes = 64 << 10

func (k *checker) barbican(c Config) {
	b := c.Barbican
	k.baseURL(b.HostHref, "barbican.host_href")
	k.check(b.MaxPayload > 0 && b.MaxPayload <= maxPlaintext, "barbican.max_payload", "is between 1 and %v", maxPlaintext)
	k.check(b.MaxPayloadTenant > 0 && b.MaxPayloadTenant <= maxPlaintext, "barbican.max_payload_tenant", "is between 1 and %v", maxPlaintext)
	k.check(b.MaxBody >= b.MaxPayload, "barbican.max_body", "is smaller than max_payload")
	k.oneOf(b.Policy, "barbican.policy", "legacy", "new", "union")
	k.check(b.MaxPage > 0, "barbican.max_page", "must be at least 1")
	k.check(b.DefaultPage > 0 && b.DefaultPage <= b.MaxPage, "barbican.default_page", "is between 1 and max_page")
	for _, l := range c.Listeners {
		k.check(c.Dev || !b.NoAuth || !l.Serves(DialectKeyManager) || loopback(l.Address), "barbican.no_auth",
			"listener %q is not on loopback: everybody there would be any project", l.Name)
	}
}

func (k *checker) csms(c CSMS) {
	k.check(c.MaxSecretString > 0 && c.MaxSecretString <= maxPlaintext, "csms.max_secret_string", "is between 1 and %v", maxPlaintext)
	k.check(c.MaxBody >= c.MaxSecretString, "csms.max_body", "is smaller than max_secret_string")
	k.oneOf(c.UnknownKey, "csms.unknown_key", "literal", "strict")
	k.check(c.VersionGrace >= 0, "csms.version_grace", "is negative")
	k.positive(c.ClockSkew, "csms.clock_skew")
	k.rotation(c.Rotation)
	k.check(c.MaxEvents >= -1, "csms.max_events", "is -1 (any number) or more")
}

func (k *checker) identity(c Identity) {
	k.positive(c.TokenTTL, "identity.token_ttl")
	k.check(c.CacheTTL >= 0 && c.CacheTTL <= 5*time.Second, "identity.cache_ttl", "is at most 5s: a revoked access token works that long on another node")
	k.check(c.Region != "", "identity.region", "is missing")
	k.baseURL(c.Endpoints.KeyManager, "identity.endpoints.key_manager")
	k.baseURL(c.Endpoints.CSMS, "identity.endpoints.csms")
	k.baseURL(c.Endpoints.Identity, "identity.endpoints.identity")
}

func (k *checker) keystone(c Identity, dev bool) {
	const at = "identity.keystone"
	k.oneOf(string(c.Mode), "identity.mode", string(BuiltIn), string(ByKeystone))
	ks := c.Keystone
	k.positive(ks.Timeout, at+".timeout")
	k.check(ks.CacheTTL >= time.Second && ks.CacheTTL <= 5*time.Minute, at+".cache_ttl", "is between 1s and 5m: a revoked access token works that long")
	k.check(len(ks.ServiceRoles) > 0, at+".service_token_roles", "there is none")
	if c.Mode != ByKeystone {
		k.check(ks.URL == "", at+".url", "is set, and identity.mode is not keystone")
		return
	}
	k.check(ks.URL != "", at+".url", "is missing")
	k.baseURL(ks.URL, at+".url")
	k.baseURL(ks.PublicURL, at+".public_url")
	if u, err := url.Parse(ks.URL); err == nil {
		k.check(u.User == nil, at+".url", "holds a user: that is username and password_file")
		k.check(dev || u.Scheme != "http" || ks.AllowHTTP || loopback(net.JoinHostPort(u.Hostname(), "0")), at+".url", "is neither https nor on loopback: everybody on the way could read the tokens")
	}
	k.check(ks.Username != "", at+".username", "is missing")
	k.check(ks.UserDomain != "", at+".user_domain", "is missing")
	k.check(ks.Project != "", at+".project", "is missing")
	k.check(ks.ProjectDomain != "", at+".project_domain", "is missing")
}

// baseURL wants a URL that a version can be put behind, or nothing.
func (k *checker) baseURL(s, at string) {
	if s == "" {
		return
	}
	u, err := url.Parse(s)
	k.check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == "",
		at, "is http(s)://host:port")
	k.check(!strings.HasSuffix(s, "/"), at, "ends in a slash")
	k.check(!strings.HasSuffix(s, "/v1") && !strings.HasSuffix(s, "/v3"), at, "ends in a version, which clients add themselves")
}
