package barbican

import (
	"net/http"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/api/wire"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// createSecret serves POST /v1/secrets (§8.3).
func (a *API) createSecret(c *call) error {
	if err := c.acceptsJSON(); err != nil {
		return err
	}
	// The gate is asked before the body is looked at. Create asks again, so
	// without this only the order of the errors would be wrong.
	if err := a.Secrets.MayCreate(c.r.Context(), c.who); err != nil {
		return err
	}
	body, err := c.object("Secret")
	if err != nil {
		return err
	}
	in, err := newSecret(body, a.Now(), c.maxPayload())
	if err != nil {
		return err
	}
	defer in.Payload.Wipe()
	sec, err := a.Secrets.Create(c.r.Context(), c.who, in)
	if err != nil {
		return err
	}
	ref := c.ref(sec.ID)
	c.w.Header().Set("Location", ref)
	wire.WriteJSON(c.w, http.StatusCreated, refBody{SecretRef: ref})
	return nil
}

// newSecret reads the body of a creation: types and fixed values first, then
// the expiration, then the payload, as clients see it.
func newSecret(body object, now time.Time, maxPayload int) (in secret.New, err error) {
	if in.Name, err = body.labelOrNull("name"); err != nil {
		return in, err
	}
	if in.Algorithm, err = body.label("algorithm"); err != nil {
		return in, err
	}
	if in.Mode, err = body.label("mode"); err != nil {
		return in, err
	}
	if in.BitLength, err = body.integer("bit_length", 1, 32767); err != nil {
		return in, err
	}
	expiration, err := body.label("expiration")
	if err != nil {
		return in, err
	}
	if in.Type, err = body.oneOf("secret_type",
		"symmetric", "public", "private", "passphrase", "certificate", "opaque"); err != nil {
		return in, err
	}
	if in.Type == "" {
		in.Type = "opaque"
	}
	upload, err := newUpload(body)
	if err != nil {
		return in, err
	}
	if in.Expiration, err = futureTime(body, expiration, now); err != nil {
		return in, err
	}
	in.Payload, in.ContentType, err = upload.payload(body, maxPayload)
	return in, err
}

// futureTime reads an expiration; an empty one is none.
func futureTime(body object, text *string, now time.Time) (*time.Time, error) {
	if text == nil || *text == "" {
		return nil, nil
	}
	at, ok := parseTime(*text)
	if !ok {
		return nil, body.mismatch("expiration", "expiration is not a date in ISO 8601")
	}
	if !at.After(now) {
		return nil, body.mismatch("expiration", "expiration is not in the future")
	}
	return &at, nil
}

// upload is the part of a creation that speaks of the payload.
type upload struct {
	text         string // as sent, trimmed
	there        bool
	contentType  *string // nil: absent or null
	encoding     string
	transportKey string // ID of one; there are none
}

// payloadTypes are the values that a message names; more are recognised.
var payloadTypes = []string{
	"text/plain", "text/plain;charset=utf-8", "text/plain; charset=utf-8",
	"application/octet-stream", "application/pkcs8",
}

// newUpload reads types and fixed values; how they go together is payload's.
func newUpload(body object) (u upload, err error) {
	if u.text, u.there, err = body.text("payload"); err != nil {
		return u, err
	}
	if u.contentType, err = body.labelOrNull("payload_content_type"); err != nil {
		return u, err
	}
	if u.encoding, err = body.oneOf("payload_content_encoding", "base64"); err != nil {
		return u, err
	}
	needed, err := body.oneOf("transport_key_needed", "true", "false")
	if err != nil {
		return u, err
	}
	if needed == "true" {
		return u, body.mismatch("transport_key_needed", "no secret store offers transport keys")
	}
	u.transportKey, _, err = body.text("transport_key_id")
	return u, err
}

// payload checks how the members go together and returns the bytes that they
// stand for. Without a payload the content type is empty.
func (u upload) payload(body object, limit int) (payload sensitive.Bytes, contentType string, err error) {
	if !u.there {
		if body.has("payload_content_type") {
			err = body.mismatch("payload", "payload must be provided when payload_content_type is supplied")
		}
		return payload, "", err
	}
	if u.contentType == nil {
		return payload, "", body.mismatch("payload_content_type", "payload_content_type must be supplied with a payload")
	}
	contentType = knownPayloadType(*u.contentType)
	switch {
	case contentType == "":
		err = body.mismatch("payload_content_type", "payload_content_type is not one of ['%s']", strings.Join(payloadTypes, "', '"))
	case contentType == secret.Text && u.encoding != "":
		err = body.mismatch("payload_content_encoding", "payload_content_encoding must not be specified for text/plain")
	case contentType != secret.Text && u.encoding == "":
		err = body.mismatch("payload_content_encoding", "payload_content_encoding must be base64 for %s", contentType)
	case len(u.text) > limit:
		err = errPayloadSize(limit)
	case u.text == "":
		err = body.mismatch("payload", "payload must not be empty")
	case u.transportKey != "":
		err = body.mismatch("transport_key_id", "there is no such transport key")
	}
	if err != nil {
		return payload, "", err
	}
	raw := []byte(u.text)
	if contentType == secret.Text {
		return sensitive.Take(raw), contentType, nil
	}
	defer clear(raw)
	decoded, ok := decodeBase64(raw)
	if !ok {
		return payload, "", body.mismatch("payload", "payload is not base64")
	}
	return sensitive.Take(decoded), contentType, nil
}

// getSecret serves GET /v1/secrets/{id}: the metadata, or the payload where
// Accept asks for something else (§8.4).
func (a *API) getSecret(c *call) error {
	if !wantsMetadata(c.r.Header["Accept"]) {
		return a.getPayload(c)
	}
	sec, err := c.locate(policy.SecretShow, secret.Want{Consumers: c.version >= v1_1})
	if err != nil {
		return err
	}
	shown, err := sec.Show(c.r.Context())
	if err != nil {
		return err
	}
	wire.WriteJSON(c.w, http.StatusOK, c.secretBody(shown))
	return nil
}

// deleteSecret serves DELETE /v1/secrets/{id} (§8.7).
func (a *API) deleteSecret(c *call) error {
	sec, err := c.locate(policy.SecretDelete, secret.Want{})
	if err != nil {
		return err
	}
	if err := sec.May(c.r.Context(), policy.SecretDelete); err != nil {
		return err
	}
	remove := sec.Delete
	if c.version >= v1_2 {
		force, err := forced(c.r.URL.RawQuery)
		if err != nil {
			return err
		}
		if !force {
			remove = sec.DeleteUnused
		}
	}
	if err := remove(c.r.Context()); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// forced reports whether a secret goes although it has consumers.
func forced(raw string) (bool, error) {
	q, err := parseQuery(raw)
	if err != nil {
		return false, err
	}
	text, ok := q.find("force")
	if !ok {
		return false, nil
	}
	switch strings.ToLower(strings.TrimFunc(text, blank)) {
	case "1", "t", "true", "on", "y", "yes":
		return true, nil
	case "0", "f", "false", "off", "n", "no":
		return false, nil
	}
	return false, invalid("The query parameter force is not a boolean.")
}
