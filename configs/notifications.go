package configs

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/sensitive"
)

func (k *checker) notifications(n Notifications) {
	const section = "csms.notifications"
	k.check(n.RetryFor >= time.Minute && n.RetryFor <= 30*24*time.Hour, section+".retry_for", "is between 1m and 720h")
	k.positive(n.DeliverEvery, section+".deliver_every")
	k.positive(n.ExpireEvery, section+".expire_every")
	ids := map[string]bool{}
	for i, t := range n.Targets {
		at := fmt.Sprintf("%s.targets[%d]", section, i)
		k.check(t.ID != "", at+".id", "is missing: it is what clients write as target_id")
		k.check(!ids[t.ID], at+".id", "%q is that of an earlier target", t.ID)
		ids[t.ID] = true
		k.check(t.Timeout > 0 && t.Timeout <= 30*time.Second, at+".timeout", "is at most 30s")
		k.check((t.Webhook.URL == "") != (t.NATS.URL == ""), at, "has either a webhook or nats, with a url")
		if t.Webhook.URL != "" {
			k.webhook(t.Webhook, at+".webhook")
		}
		if t.NATS.URL != "" {
			k.nats(t.NATS, at+".nats")
		}
	}
}

func (k *checker) webhook(w Webhook, at string) {
	u, err := url.Parse(w.URL)
	k.check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "", at+".url", "is https://host/path")
	if err == nil {
		k.check(u.User == nil, at+".url", "holds a user: requests are signed instead")
		k.check(u.Scheme != "http" || w.AllowHTTP || loopback(net.JoinHostPort(u.Hostname(), "0")), at+".url", "is neither https nor on loopback: everybody on the way could read what is told")
	}
	k.check(w.SecretFile != "", at+".secret_file", "is missing")
}

func (k *checker) nats(n NATS, at string) {
	u, err := url.Parse(n.URL)
	k.check(err == nil && (u.Scheme == "nats" || u.Scheme == "tls") && u.Host != "", at+".url", "is nats://host:port or tls://host:port")
	k.check(err != nil || u.User == nil, at+".url", "holds a user or a token: that is credentials_file")
	k.check(n.Subject != "" && !strings.ContainsAny(n.Subject, " *>\t"), at+".subject", "is one subject of a stream, without wildcards")
}

// Roots returns the authorities that vouch for the target; nil for the
// system's.
func (t Target) Roots() (*x509.CertPool, error) { return roots(t.CAFile) }

// Secrets returns what requests are signed with, a secret to a line.
func (w Webhook) Secrets() (sensitive.Bytes, error) { return secretFile(w.SecretFile) }

// targets checks the files that targets name.
func (k *checker) targetFiles(n Notifications) {
	for i, t := range n.Targets {
		at := fmt.Sprintf("csms.notifications.targets[%d]", i)
		_, err := t.Roots()
		k.check(err == nil, at+".ca_file", "%v", err)
		if t.Webhook.URL != "" {
			secrets, err := t.Webhook.Secrets()
			k.check(err == nil, at+".webhook.secret_file", "%v", err)
			secrets.Wipe()
		}
		if t.NATS.CredentialsFile != "" {
			info, err := os.Stat(t.NATS.CredentialsFile)
			k.check(err == nil, at+".nats.credentials_file", "%v", err)
			k.check(err != nil || info.Mode()&0o007 == 0, at+".nats.credentials_file", "%s is open to everybody: chmod o= it", t.NATS.CredentialsFile)
		}
	}
}
