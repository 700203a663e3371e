package configs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/strongroom-kms/strongroom/sensitive"
)

// CheckFiles checks that the files that the configuration names are there and
// hold what they should. serve and `config check` ask for it; Load does not.
func (c Config) CheckFiles() error {
	var k checker
	for i, l := range c.Listeners {
		at := fmt.Sprintf("listeners[%d].tls", i)
		if l.TLS.Enabled() {
			_, err := tls.LoadX509KeyPair(l.TLS.CertFile, l.TLS.KeyFile)
			k.check(err == nil, at, "%s and %s: %v", l.TLS.CertFile, l.TLS.KeyFile, err)
		}
		if l.TLS.ClientCAFile != "" {
			pem, err := os.ReadFile(l.TLS.ClientCAFile)
			k.check(err == nil, at+".client_ca_file", "%v", err)
			k.check(err != nil || x509.NewCertPool().AppendCertsFromPEM(pem), at+".client_ca_file", "%s holds no certificate", l.TLS.ClientCAFile)
		}
	}
	_, err := c.Database.DSN()
	k.check(err == nil, "db", "%v", err)
	if c.Policy.File != "" {
		_, err := os.Stat(c.Policy.File)
		k.check(err == nil, "policy.file", "%v", err)
	}
	if c.HSM.Worker != "" {
		info, err := os.Stat(c.HSM.Worker)
		k.check(err == nil && info.Mode()&0o111 != 0, "hsm.worker", "%s is no program", c.HSM.Worker)
	}
	dir := filepath.Dir(c.Audit.Journal)
	info, err := os.Stat(dir)
	k.check(err == nil && info.IsDir(), "audit.journal", "%s is no folder", dir)
	return joined(k.found)
}

// DSN returns the database's URL: from the systemd credential db-url, from
// url_file, or the one that stands in the configuration.
func (d Database) DSN() (sensitive.Bytes, error) {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		b, err := os.ReadFile(filepath.Join(dir, "db-url"))
		if !errors.Is(err, fs.ErrNotExist) {
			return oneLine(b), err
		}
	}
	if d.URLFile != "" {
		info, err := os.Stat(d.URLFile)
		if err != nil {
			return sensitive.Bytes{}, err
		}
		if info.Mode()&0o007 != 0 {
			return sensitive.Bytes{}, fmt.Errorf("%s is open to everybody: chmod o= it", d.URLFile)
		}
		b, err := os.ReadFile(d.URLFile)
		return oneLine(b), err
	}
	if d.URL == "" {
		return sensitive.Bytes{}, errors.New("nobody says where the database is: url, url_file, or a systemd credential db-url")
	}
	return sensitive.Take([]byte(d.URL)), nil
}

func oneLine(b []byte) sensitive.Bytes {
	return sensitive.Take([]byte(strings.TrimSuffix(string(b), "\n")))
}

// String is the configuration in YAML, with secrets masked. Outside of dev
// mode there are none.
func (c Config) String() string {
	masked := c
	masked.Database.URL = maskURL(c.Database.URL)
	masked.HSM.Tokens = nil
	for _, t := range c.HSM.Tokens {
		if base, _, ok := strings.Cut(t.URI, "pin-value="); ok {
			t.URI = base + "pin-value=" + mask
		}
		env := map[string]string{}
		for name, value := range t.Env {
			env[name] = value
			if namesSecret(name) {
				env[name] = mask
			}
		}
		t.Env = env
		masked.HSM.Tokens = append(masked.HSM.Tokens, t)
	}
	b, err := yaml.Marshal(masked)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

const mask = "[masked]"

func maskURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return mask
	}
	if _, ok := u.User.Password(); ok {
		u.User = url.UserPassword(u.User.Username(), "masked")
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "masked")
		u.RawQuery = q.Encode()
	}
	return u.String()
}
