package barbican

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// getPayload serves GET /v1/secrets/{id}/payload, and GET /v1/secrets/{id}
// where Accept asks for a payload (§8.5).
func (a *API) getPayload(c *call) error {
	sec, err := c.locate(policy.SecretReveal, secret.Want{Sealed: true})
	if err != nil {
		return err
	}
	asked, ok := payloadAccept{secret.Binary, secret.Binary}, true
	if header := c.r.Header["Accept"]; header != nil {
		asked, ok = parsePayloadAccept(header)
	}
	if !ok {
		return errNotAcceptable
	}
	if err := sec.May(c.r.Context(), policy.SecretReveal); err != nil {
		return err
	}
	if err := checkTransportKey(c.r.URL.RawQuery); err != nil {
		return err
	}
	revealed, err := sec.Reveal(c.r.Context())
	if err != nil {
		return err
	}
	defer revealed.Payload.Wipe()
	return c.writePayload(revealed, asked)
}

// writePayload answers with the bytes as they were stored. The stored type
// restricts nothing, but text must be text.
func (c *call) writePayload(v secret.Revealed, asked payloadAccept) error {
	payload := v.Payload.Reveal()
	isText := utf8.Valid(payload)
	if asked.media == secret.Text && !isText {
		return errNotText
	}
	h := c.w.Header()
	switch stored := v.Version.ContentType; {
	case asked.answer != "":
		h.Set("Content-Type", asked.answer)
	case stored == secret.Text && isText:
		h.Set("Content-Type", textLower)
	case stored == secret.Text:
		h.Set("Content-Type", secret.Binary)
	default:
		h.Set("Content-Type", cmp.Or(stored, secret.Binary))
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(payload)))
	c.w.WriteHeader(http.StatusOK)
	c.w.Write(payload) // a client that left misses nothing
	return nil
}

// checkTransportKey refuses to wrap a payload for a client: there are no
// transport keys (§17).
func checkTransportKey(raw string) error {
	if raw == "" {
		return nil
	}
	q, err := parseQuery(raw)
	if err != nil {
		return err
	}
	_, wrapped := q.find("trans_wrapped_session_key")
	switch {
	case !wrapped:
		return nil
	case q.get("transport_key_id") == "":
		return invalid("trans_wrapped_session_key needs a transport_key_id.")
	}
	return errNoTransportKey
}

var errNoTransportKey = fault.New(fault.Invalid, "There is no such transport key.")

// putPayload serves PUT /v1/secrets/{id}: the second step of a creation (§8.6).
// The body is the payload.
func (a *API) putPayload(c *call) error {
	sec, err := c.locate(policy.SecretStore, secret.Want{Sealed: true})
	if err != nil {
		return err
	}
	if err := sec.May(c.r.Context(), policy.SecretStore); err != nil {
		return err
	}
	contentType, err := c.uploadType()
	if err != nil {
		return err
	}
	raw, err := c.readPayload()
	if err != nil {
		return err
	}
	payload, err := decodeUpload(raw, contentType, c.r.Header.Get("Content-Encoding"))
	defer payload.Wipe()
	// An encoding that is wrong matters less than a payload that is there
	// already: StorePayload says so.
	if err != nil && !sec.HasPayload() {
		return err
	}
	if err := sec.StorePayload(c.r.Context(), secret.NewVersion{Payload: payload, ContentType: contentType}); err != nil {
		return err
	}
	if c.project != "" {
		c.w.WriteHeader(http.StatusOK) // the older form's code
	} else {
		c.w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

// uploadType is the media type of an uploaded payload. The older form calls a
// type that it does not store a bad request, unless it is missing or JSON.
func (c *call) uploadType() (string, error) {
	t := mediaType(c.r.Header.Get("Content-Type"))
	switch {
	case t == secret.Text, t == secret.Binary:
		return t, nil
	case c.project != "" && t != "" && t != mediaJSON:
		return "", errOldPayloadType
	}
	return "", errPayloadType
}

var errOldPayloadType = fault.New(fault.Invalid, errPayloadType.fault.Public)

// readPayload reads an uploaded payload as it was sent.
func (c *call) readPayload() ([]byte, error) {
	limit := c.maxPayload()
	q, err := parseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	raw, err := wire.ReadBody(c.r)
	switch {
	case errors.Is(err, wire.ErrBodyTooLarge), len(raw) > limit:
		clear(raw)
		return nil, errPayloadSize(limit)
	case err != nil:
		return nil, err
	case len(raw) == 0:
		return nil, invalid("The payload is empty.")
	case q.get("transport_key_id") != "":
		clear(raw)
		return nil, errNoTransportKey
	}
	return raw, nil
}

func errPayloadSize(limit int) error {
	return fault.New(fault.TooLarge, fmt.Sprintf("The payload is larger than %d bytes.", limit))
}

// decodeUpload is what an uploaded payload stands for. It takes raw over.
// Text is kept as it is, whatever its encoding says.
func decodeUpload(raw []byte, contentType, encoding string) (sensitive.Bytes, error) {
	switch {
	case contentType == secret.Text, encoding == "":
		return sensitive.Take(raw), nil
	case !strings.EqualFold(strings.TrimSpace(encoding), "base64"):
		clear(raw)
		return sensitive.Bytes{}, invalid("The Content-Encoding must be base64 or absent.")
	}
	defer clear(raw)
	decoded, ok := decodeBase64(raw)
	if !ok {
		return sensitive.Bytes{}, invalid("The payload is not base64.")
	}
	return sensitive.Take(decoded), nil
}

// decodeBase64 decodes what clients send: white space anywhere and surplus
// padding are fine; other foreign characters, missing padding and text that
// stands for nothing are not.
func decodeBase64(text []byte) ([]byte, bool) {
	digits := make([]byte, 0, len(text))
	defer func() { clear(digits[:cap(digits)]) }()
	padding := 0
	for _, c := range text {
		switch {
		case c < utf8.RuneSelf && unicode.IsSpace(rune(c)):
		case c == '=':
			padding++
		case padding > 0:
			return nil, false
		default:
			digits = append(digits, c)
		}
	}
	if missing := (4 - len(digits)%4) % 4; len(digits) == 0 || padding < missing {
		return nil, false
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(digits)))
	n, err := base64.RawStdEncoding.Decode(out, digits)
	return out[:n], err == nil && n > 0
}
