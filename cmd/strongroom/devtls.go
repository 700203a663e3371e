package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// throwaway is a certificate authority for loopback, made for one state folder
// and trusted by nobody who did not source its env.sh.
type throwaway struct {
	authorities string // folder with nothing but the authority's certificate
	cert, key   string // of the server
}

const (
	throwawayFor   = 365 * 24 * time.Hour
	throwawayRenew = 30 * 24 * time.Hour
)

// throwawayTLS finds or makes the folder's certificates.
func throwawayTLS(dir string, now time.Time) (throwaway, error) {
	t := throwaway{
		authorities: filepath.Join(dir, "authorities"),
		cert:        filepath.Join(dir, "server.pem"),
		key:         filepath.Join(dir, "server.key"),
	}
	if fresh(t.cert, now) {
		return t, nil
	}
	if err := os.MkdirAll(t.authorities, 0o755); err != nil {
		return t, err
	}
	if err := t.make(now); err != nil {
		return t, fmt.Errorf("make throwaway certificates: %w", err)
	}
	return t, nil
}

// fresh reports whether the certificate in a file is good for a while yet.
func fresh(file string, now time.Time) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return false
	}
	c, err := x509.ParseCertificate(block.Bytes)
	return err == nil && now.Add(throwawayRenew).Before(c.NotAfter)
}

// make signs a server's certificate with a new authority, whose key it then
// forgets.
func (t throwaway) make(now time.Time) error {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authority := certificate("strongroom dev, protects nothing", now)
	authority.IsCA, authority.BasicConstraintsValid = true, true
	authority.KeyUsage = x509.KeyUsageCertSign
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	server := certificate("localhost", now)
	server.DNSNames = []string{"localhost"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	server.KeyUsage = x509.KeyUsageDigitalSignature
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, serverKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return err
	}
	return errors.Join(
		writePEM(filepath.Join(t.authorities, "ca.pem"), "CERTIFICATE", authorityDER, 0o644),
		writePEM(t.key, "PRIVATE KEY", keyDER, 0o600),
		writePEM(t.cert, "CERTIFICATE", serverDER, 0o644),
	)
}

func certificate(name string, now time.Time) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand does not fail
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(throwawayFor),
	}
}

func writePEM(file, kind string, der []byte, mode os.FileMode) error {
	return renameio.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
