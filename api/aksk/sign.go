package aksk

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/sensitive"
)

// Sign signs a request that is about to be sent, with its date and the named
// headers, in lower case. The body is read and put back. A digest header that
// is set already is signed instead of the body's own.
func Sign(r *http.Request, access string, secret sensitive.Bytes, now time.Time, headers ...string) error {
	date := now.UTC().Format(dateLayout)
	r.Header.Set(dateHeader, date)
	payload := r.Header.Get(digestHeader)
	if payload == "" {
		body, err := take(r)
		if err != nil {
			return fmt.Errorf("read body: %w", err)
		}
		payload = digest(body)
	}
	signed := slices.Sorted(slices.Values(append([]string{dateName}, headers...)))
	signed = slices.Compact(signed)
	text, err := canonical(r, signed, payload)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", fmt.Sprintf("%s Access=%s, SignedHeaders=%s, Signature=%s",
		Algorithm, access, strings.Join(signed, ";"), hex.EncodeToString(signature(secret, date, text))))
	return nil
}

// take reads a client's body, leaving it to be read again by the transport.
func take(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := r.Body.Close(); err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}
