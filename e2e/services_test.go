package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"testing"
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
