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
	if ks := c.Identity.Keystone; c.Identity.Mode == ByKeystone {
		password, err := ks.Password()
		k.check(err == nil, "identity.keystone.password_file", "%v", err)
		password.Wipe()
		_, err = ks.Roots()
		k.check(err == nil, "identity.keystone.ca_file", "%v", err)
	}
	for i, in := range c.CSMS.Rotation.Instances {
		_, err := in.Roots()
		k.check(err == nil, fmt.Sprintf("csms.rotation.instances[%d].ca_file", i), "%v", err)
	}
	k.targetFiles(c.CSMS.Notifications)
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
	if b, ok, err := credential("db-url"); ok {
		return b, err
	}
	if d.URLFile != "" {
		return secretFile(d.URLFile)
	}
	if d.URL == "" {
		return sensitive.Bytes{}, errors.New("nobody says where the database is: url, url_file, or a systemd credential db-url")
	}
	return sensitive.Take([]byte(d.URL)), nil
}

// Password returns the service user's password: from the systemd credential
// keystone-password, or from password_file.
func (ks Keystone) Password() (sensitive.Bytes, error) {
	if b, ok, err := credential("keystone-password"); ok {
		return b, err
	}
	if ks.PasswordFile == "" {
		return sensitive.Bytes{}, errors.New("nobody has the password: password_file, or a systemd credential keystone-password")
	}
	return secretFile(ks.PasswordFile)
}

// Roots returns the authorities that vouch for Keystone; nil for the system's.
func (ks Keystone) Roots() (*x509.CertPool, error) { return roots(ks.CAFile) }

func roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return roots, nil
}

// credential reads what systemd hands over by that name, if it does.
func credential(name string) (b sensitive.Bytes, ok bool, err error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return sensitive.Bytes{}, false, nil
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return sensitive.Bytes{}, false, nil
	}
	return oneLine(text), true, err
}

// secretFile reads one line that others may not read.
func secretFile(name string) (sensitive.Bytes, error) {
	info, err := os.Stat(name)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	if info.Mode()&0o007 != 0 {
		return sensitive.Bytes{}, fmt.Errorf("%s is open to everybody: chmod o= it", name)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	b := oneLine(text)
	if b.Len() == 0 {
		return sensitive.Bytes{}, fmt.Errorf("%s is empty", name)
	}
	return b, nil
}

func oneLine(b []byte) sensitive.Bytes {
	return sensitive.Take([]byte(strings.TrimSuffix(string(b), "\n")))
}

// String is the configuration in YAML, with secrets masked. Outside of dev
// mode there are none.
func (c Config) String() string {
	masked := c
	masked.Database.URL = maskURL(c.Database.URL)
	masked.HSM.Tokens = maskTokens(c.HSM.Tokens)
	masked.HSM.Groups = nil
	for _, g := range c.HSM.Groups {
		g.Tokens = maskTokens(g.Tokens)
		masked.HSM.Groups = append(masked.HSM.Groups, g)
	}
	b, err := yaml.Marshal(masked)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

const mask = "[masked]"

func maskTokens(all []Token) []Token {
	var masked []Token
	for _, t := range all {
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
		masked = append(masked, t)
	}
	return masked
}

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
