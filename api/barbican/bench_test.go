package barbican_test

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// What the dialect, the domain and the cryptography cost, without network,
// database and token.
func BenchmarkRequests(b *testing.B) {
	w := newWorld(b).furnish()
	for _, bc := range []struct{ name, method, path, body string }{
		{"reveal", "GET", "/v1/secrets/{ST}/payload", ""},
		{"show", "GET", "/v1/secrets/{ST}", ""},
		{"older form", "GET", "/v1/{P}/secrets/{ST}/payload", ""},
		{"create", "POST", "/v1/secrets", `{"name":"n","payload":` + quoted("x", 1024) + `,"payload_content_type":"text/plain"}`},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(bc.method, w.fill(bc.path), strings.NewReader(bc.body))
				r.Header.Set("X-Auth-Token", "u1")
				if bc.body != "" {
					r.Header.Set("Content-Type", "application/json")
				}
				rec := httptest.NewRecorder()
				w.handler.ServeHTTP(rec, r)
				if rec.Code >= 300 {
					b.Fatalf("%d %s", rec.Code, rec.Body)
				}
			}
		})
	}
}
