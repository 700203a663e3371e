package aksk

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
)

// others are algorithms that the vendor's clients can be told to use and that
// we do not offer (aksk-signing.md §9). Their names are known so that an answer
// can say which one it was, and say nothing else of a header that may hold a
// credential of some other kind.
var others = []string{
	"SDK-HMAC-SM3", "SDK-ECDSA-P256-SHA256", "SDK-SM2-SM3", "V11-HMAC-SHA256",
}

// Present reports whether a request carries a signature, be it good or bad,
// rather than some other kind of authorization.
func Present(r *http.Request) bool {
	alg, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return alg == Algorithm || slices.Contains(others, alg)
}

// Covers reports whether a request's signature covers a header, which is in
// lower case. Ask it after Verify only.
func Covers(r *http.Request, name string) bool {
	a, err := parseAuthorization(r.Header)
	return err == nil && slices.Contains(a.signed, name)
}

// authorization is what an Authorization header says.
type authorization struct {
	access    string
	signed    []string // lower case, in the client's order
	signature []byte
}

func parseAuthorization(h http.Header) (authorization, error) {
	var a authorization
	all := h.Values("Authorization")
	if len(all) != 1 {
		return a, refused("exactly one Authorization header is needed")
	}
	alg, rest, _ := strings.Cut(all[0], " ")
	if alg != Algorithm {
		if slices.Contains(others, alg) {
			return a, refused("the algorithm " + alg + " is not supported, use " + Algorithm)
		}
		return a, refused("the Authorization header does not begin with " + Algorithm)
	}
	seen := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		k, v, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, again := seen[k]; !ok || again {
			return a, refused("the Authorization header is malformed")
		}
		seen[k] = v
	}
	a.access = seen["Access"]
	a.signed = strings.Split(seen["SignedHeaders"], ";")
	sum, err := hex.DecodeString(seen["Signature"])
	switch {
	case !plausible(a.access):
		return a, refused("Access is missing or malformed in the Authorization header")
	case !names(a.signed):
		return a, refused("SignedHeaders is missing or malformed in the Authorization header")
	case !slices.Contains(a.signed, dateName):
		return a, refused("SignedHeaders lacks " + dateName)
	case err != nil || len(sum) != 32:
		return a, refused("Signature is missing or malformed in the Authorization header")
	}
	a.signature = sum
	return a, nil
}

// plausible reports whether s may be an access key at all. Nothing else goes
// to a database, which would refuse some byte sequences with an error.
func plausible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= 128
}

// names reports whether list has distinct header names in lower case.
func names(list []string) bool {
	for i, name := range list {
		if name == "" || slices.Contains(list[:i], name) {
			return false
		}
		for j := range len(name) {
			c := name[j]
			if !(unreserved(c) || strings.IndexByte("!#$%&'*+^`|", c) >= 0) || 'A' <= c && c <= 'Z' {
				return false
			}
		}
	}
	return len(list) <= maxSigned
}

// maxSigned bounds the work that a header can cause before its sender is
// known: names are compared with each other.
const maxSigned = 64
