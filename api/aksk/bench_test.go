package aksk_test

import (
	"io"
	"strings"
	"testing"
)

// BenchmarkVerify is what a signature costs a request, with a body of 1 KiB.
func BenchmarkVerify(b *testing.B) {
	body := strings.Repeat("x", 1<<10)
	r := signed(b, "POST", "/v1/"+project+"/secrets?limit=10&marker=my_secret-1", body, "content-type")
	v := verifier(noon)
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(body))
		if _, err := v.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}
