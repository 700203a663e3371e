package configs

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// Rotation says at which databases accounts are rotated, and how patiently.
type Rotation struct {
	Instances  []Instance    `yaml:"instances"`
	Every      time.Duration `yaml:"every"`
	Lapse      time.Duration `yaml:"lapse"`
	RetryAfter time.Duration `yaml:"retry_after"`
	RetryMax   time.Duration `yaml:"retry_max"`
	Attempts   int           `yaml:"attempts"`
	KeepTasks  time.Duration `yaml:"keep_tasks"`
}

// Instance is one database server, under the identifier that secrets name it
// by in their rotation_config.
type Instance struct {
	ID       string        `yaml:"id"`
	Kind     InstanceKind  `yaml:"kind"`
	Address  string        `yaml:"address"`
	Database string        `yaml:"database"`
	Host     string        `yaml:"host"`
	TLS      string        `yaml:"tls"`
	CAFile   string        `yaml:"ca_file"`
	Timeout  time.Duration `yaml:"timeout"`
	Admin    InstanceAdmin `yaml:"admin"`
}

// InstanceKind says what an instance speaks.
type InstanceKind string

// The kinds.
const (
	PostgreSQL InstanceKind = "postgresql"
	MySQL      InstanceKind = "mysql" // MariaDB, too
)

// How an instance is spoken to.
const (
	TLSVerify  = "verify"
	TLSDisable = "disable"
)

// InstanceAdmin names the secret that holds an instance's administrator.
type InstanceAdmin struct {
	Project string `yaml:"project"`
	Secret  string `yaml:"secret"`
}

// fillIn sets what an instance leaves out.
func (i *Instance) fillIn() {
	if i.TLS == "" {
		i.TLS = TLSVerify
	}
	if i.Timeout == 0 {
		i.Timeout = 10 * time.Second
	}
}

// Roots returns the authorities that vouch for the instance; nil for the
// system's.
func (i Instance) Roots() (*x509.CertPool, error) {
	if i.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(i.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", i.CAFile)
	}
	return roots, nil
}

func (k *checker) rotation(r Rotation) {
	const at = "csms.rotation"
	k.positive(r.Every, at+".every")
	k.check(r.Lapse >= 10*time.Second, at+".lapse", "is at least 10s: an attempt has half of it")
	k.positive(r.RetryAfter, at+".retry_after")
	k.check(r.RetryMax >= r.RetryAfter, at+".retry_max", "is shorter than retry_after")
	k.check(r.Attempts > 0, at+".attempts", "must be at least 1")
	k.positive(r.KeepTasks, at+".keep_tasks")
	seen := map[string]bool{}
	for n, i := range r.Instances {
		k.instance(i, fmt.Sprintf("%s.instances[%d]", at, n), seen[i.ID], r.Lapse)
		seen[i.ID] = true
	}
}

func (k *checker) instance(i Instance, at string, twice bool, lapse time.Duration) {
	k.check(i.ID != "", at+".id", "is missing")
	k.check(!twice, at+".id", "%q is the identifier of an earlier instance", i.ID)
	k.oneOf(string(i.Kind), at+".kind", string(PostgreSQL), string(MySQL))
	_, _, err := net.SplitHostPort(i.Address)
	local := strings.HasPrefix(i.Address, "/")
	k.check(local || err == nil, at+".address", "is host:port, or the path of a Unix socket (for postgresql, of its folder)")
	k.check(i.Database == "" || i.Kind == PostgreSQL, at+".database", "is for postgresql")
	k.check(i.Host == "" || i.Kind == MySQL, at+".host", "is for mysql")
	k.oneOf(i.TLS, at+".tls", TLSVerify, TLSDisable)
	k.check(i.TLS != TLSDisable || local || loopback(i.Address), at+".tls",
		"is disable, and the instance is neither on loopback nor a Unix socket: who can read the network could log in")
	k.check(i.TLS != TLSDisable || i.CAFile == "", at+".ca_file", "is of no use without tls")
	k.check(i.Timeout > 0 && i.Timeout <= lapse/4, at+".timeout", "is longer than nothing and at most a quarter of csms.rotation.lapse")
	k.check(i.Admin.Project != "" && i.Admin.Secret != "", at+".admin", "names the project and the secret of the administrator")
}
