package aksk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/strongroom-kms/strongroom/sensitive"
)

// Algorithm is the only one supported, by its name in the Authorization
// header.
const Algorithm = "SDK-HMAC-SHA256"

// Headers of a signed request.
const (
	dateHeader     = "X-Sdk-Date"
	digestHeader   = "X-Sdk-Content-Sha256"
	securityHeader = "X-Security-Token"

	dateName   = "x-sdk-date"
	dateLayout = "20060102T150405Z"

	unsignedPayload = "UNSIGNED-PAYLOAD"
)

var errNotCanonical = errors.New("the request has no canonical form")

// canonical is the text that stands for a request (aksk-signing.md §4): six
// parts joined by line feeds. signed is in the client's order. A query that
// does not parse, or a signed header that is not there, is errNotCanonical:
// what has no canonical form cannot have been signed.
func canonical(r *http.Request, signed []string, payload string) (string, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", errNotCanonical
	}
	var b strings.Builder
	b.Grow(512)
	b.WriteString(strings.ToUpper(r.Method))
	b.WriteByte('\n')
	writePath(&b, r.URL.Path)
	b.WriteByte('\n')
	writeQuery(&b, query)
	b.WriteByte('\n')
	if err := writeHeaders(&b, r, signed); err != nil {
		return "", err
	}
	b.WriteByte('\n')
	for i, name := range signed {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(name)
	}
	b.WriteByte('\n')
	b.WriteString(payload)
	return b.String(), nil
}

// writePath writes the decoded path, escaped anew, so that it does not matter
// how the client escaped it. The canonical form alone ends in a slash; empty
// segments survive.
func writePath(b *strings.Builder, path string) {
	escape(b, path, '/')
	if !strings.HasSuffix(path, "/") {
		b.WriteByte('/')
	}
}

// writeQuery writes the parameters by key, then by value, in byte order.
func writeQuery(b *strings.Builder, query url.Values) {
	keys := make([]string, 0, len(query))
	for k := range query {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	first := true
	for _, k := range keys {
		slices.Sort(query[k]) // ours: just parsed
		for _, v := range query[k] {
			if !first {
				b.WriteByte('&')
			}
			first = false
			escape(b, k, 0)
			b.WriteByte('=')
			escape(b, v, 0)
		}
	}
}

// writeHeaders writes a line per value of each signed header, values sorted.
func writeHeaders(b *strings.Builder, r *http.Request, signed []string) error {
	for _, name := range signed {
		values := r.Header.Values(name)
		if name == "host" {
			values = []string{r.Host}
			if r.Host == "" {
				values[0] = r.URL.Host // a client's request that was not sent yet
			}
		}
		if len(values) == 0 {
			return errNotCanonical
		}
		trimmed := make([]string, len(values))
		for i, v := range values {
			trimmed[i] = strings.TrimSpace(v)
		}
		slices.Sort(trimmed)
		for _, v := range trimmed {
			b.WriteString(name)
			b.WriteByte(':')
			b.WriteString(v)
			b.WriteByte('\n')
		}
	}
	return nil
}

const upperHex = "0123456789ABCDEF"

// escape writes s with every byte but unreserved ones, and literal, as %XX.
func escape(b *strings.Builder, s string, literal byte) {
	for i := range len(s) {
		c := s[i]
		if unreserved(c) || (c == literal && literal != 0) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '~'
}

// signature is the HMAC of what is signed (aksk-signing.md §3). The key is the
// secret key as it is: this algorithm derives none.
func signature(secret sensitive.Bytes, date, canonicalRequest string) []byte {
	mac := hmac.New(sha256.New, secret.Reveal())
	digest := sha256.Sum256([]byte(canonicalRequest))
	mac.Write([]byte(Algorithm + "\n" + date + "\n" + hex.EncodeToString(digest[:])))
	return mac.Sum(nil)
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
