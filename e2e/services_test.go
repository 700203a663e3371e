package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

// store stores a secret and returns its reference.
func (c *client) store(t *testing.T, base string, body map[string]any) string {
	t.Helper()
	var stored struct {
		Ref string `json:"secret_ref"`
	}
	c.must(t, http.StatusCreated, http.MethodPost, base+"/v1/secrets", body).json(t, &stored)
	return stored.Ref
}

// storeText stores a text and returns its reference.
func (c *client) storeText(t *testing.T, base, name, text string) string {
	t.Helper()
	return c.store(t, base, map[string]any{"name": name, "payload": text, "payload_content_type": "text/plain"})
}

// Ceph's gateway asks for the key of an object by its identifier, as one
// content type, and wants exactly 32 bytes.
func TestCephGateway(t *testing.T) {
	s := server(t)
	base, tenant := s.Env["KEY_MANAGER_URL"], demo(t, s)
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	id := last(tenant.store(t, base, map[string]any{
		"name": "bucket", "algorithm": "aes", "bit_length": 256, "mode": "cbc", "payload": base64.StdEncoding.EncodeToString(key),
		"payload_content_type": "application/octet-stream", "payload_content_encoding": "base64",
	}))
	got := tenant.must(t, 200, "GET", base+"/v1/secrets/"+id, nil, "Accept", "application/octet-stream")
	if string(got.Body) != string(key) {
		t.Errorf("%d bytes, and not those of the key", len(got.Body))
	}
	// Its own status for an access token that has ended; it then gets another.
	tenant.token = "ended"
	tenant.must(t, 401, "GET", base+"/v1/secrets/"+id, nil, "Accept", "application/octet-stream")
}

// A load balancer's service, a user of another project, reads a certificate
// that a tenant shares with it, registers as its user, and uses it.
func TestCertificateForALoadBalancer(t *testing.T) {
	s := server(t)
	base := s.Env["KEY_MANAGER_URL"]
	tenant, service := as(t, s, "alice", "alice-password", "alpha"), as(t, s, "bob", "bob-password", "beta")
	certificate, key := selfSigned(t)
	parts := []map[string]string{}
	for name, text := range map[string]string{"certificate": certificate, "private_key": key, "intermediates": certificate} {
		ref := tenant.storeText(t, base, name, text)
		parts = append(parts, map[string]string{"name": name, "secret_ref": ref})
	}
	var made struct {
		Ref string `json:"container_ref"`
	}
	tenant.must(t, 201, "POST", base+"/v1/containers", map[string]any{"type": "certificate", "name": "site", "secret_refs": parts}).json(t, &made)

	service.must(t, 403, "GET", made.Ref, nil)
	acl := map[string]any{"read": map[string]any{"users": []string{service.user}}}
	tenant.must(t, 200, "PUT", made.Ref+"/acl", acl)
	// The container alone does not open what is in it.
	service.must(t, 403, "GET", parts[0]["secret_ref"]+"/payload", nil, "Accept", "text/plain")
	for _, part := range parts {
		tenant.must(t, 200, "PUT", part["secret_ref"]+"/acl", acl)
	}

	var registered struct {
		Type    string              `json:"type"`
		Secrets []map[string]string `json:"secret_refs"`
		Users   []map[string]string `json:"consumers"`
	}
	service.must(t, 200, "POST", made.Ref+"/consumers", map[string]any{"name": "Octavia", "URL": "octavia://loadbalancer/1"}).json(t, &registered)
	if registered.Type != "certificate" || len(registered.Secrets) != 3 || len(registered.Users) != 1 {
		t.Fatalf("registered: %+v", registered)
	}
	pems := map[string][]byte{}
	for _, part := range registered.Secrets {
		pems[part["name"]] = service.must(t, 200, "GET", part["secret_ref"]+"/payload", nil, "Accept", "text/plain").Body
	}
	// A text in JSON loses the space at its ends, here the last line's end.
	if got := string(pems["private_key"]) + "\n"; got != key {
		t.Error("the private key is not what was stored")
	}
	if _, err := tls.X509KeyPair(pems["certificate"], pems["private_key"]); err != nil {
		t.Error(err)
	}
	// It reads, and no more.
	service.must(t, 403, "DELETE", made.Ref, nil)
	service.must(t, 403, "DELETE", parts[0]["secret_ref"], nil)
	service.must(t, 200, "DELETE", made.Ref+"/consumers", map[string]any{"name": "Octavia", "URL": "octavia://loadbalancer/1"})
	tenant.must(t, 200, "DELETE", made.Ref+"/acl", nil)
	service.must(t, 403, "GET", made.Ref, nil)
}

// selfSigned is a certificate and its key, as PEM.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// An image service of today marks a secret that it uses: the consumers that
// python-barbicanclient has from release 5.5 on, later than Debian's.
func TestConsumersOfASecret(t *testing.T) {
	s := server(t)
	base, tenant := s.Env["KEY_MANAGER_URL"], demo(t, s)
	ref := tenant.storeText(t, base, "signing key", "k")
	today := []string{"OpenStack-API-Version", "key-manager 1.1"}
	var versions struct {
		Versions []struct {
			Max string `json:"max_version"`
		} `json:"versions"`
	}
	tenant.must(t, 300, "GET", base, nil, today...).json(t, &versions)
	if len(versions.Versions) != 1 || versions.Versions[0].Max != "1.2" {
		t.Fatalf("it discovers %+v", versions)
	}
	image := map[string]any{"service": "image", "resource_type": "image", "resource_id": "4a9b1d9a-ad5a-4bfb-a5ce-df2e2e2b8f4d"}
	consumers := func(a answer) int {
		t.Helper()
		// The client passes all members to a constructor that knows these.
		var secret map[string]json.RawMessage
		a.json(t, &secret)
		const known = " status created updated name algorithm bit_length mode payload_content_type content_types" +
			" expiration secret_type creator_id consumers secret_ref "
		for member := range secret {
			if !strings.Contains(known, " "+member+" ") {
				t.Errorf("the client does not know %q", member)
			}
		}
		var list []map[string]string
		if err := json.Unmarshal(secret["consumers"], &list); err != nil {
			t.Fatalf("%v in %s", err, a.Body)
		}
		return len(list)
	}
	for range 2 {
		if n := consumers(tenant.must(t, 200, "POST", ref+"/consumers/", image, today...)); n != 1 {
			t.Errorf("%d are registered", n)
		}
	}
	if n := consumers(tenant.must(t, 200, "GET", ref, nil, today...)); n != 1 {
		t.Errorf("the secret shows %d", n)
	}
	// From 1.2 on a secret in use stays, unless it is said twice.
	tenant.must(t, 400, "DELETE", ref, nil, "OpenStack-API-Version", "key-manager 1.2")
	if n := consumers(tenant.must(t, 200, "DELETE", ref+"/consumers", image, today...)); n != 0 {
		t.Errorf("%d are left", n)
	}
	tenant.must(t, 404, "DELETE", ref+"/consumers", image, today...)
	tenant.must(t, 204, "DELETE", ref, nil, "OpenStack-API-Version", "key-manager 1.2")
}
