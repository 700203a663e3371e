package aksk

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
)

// DefaultSkew is the vendor's tolerance between a request's date and ours.
const DefaultSkew = 15 * time.Minute

// DefaultMaxBody is the vendor's limit for a signed body, in bytes.
const DefaultMaxBody = 12 << 20

// Keys finds access keys. *realm.Service is one. A key that is unknown or
// disabled is fault.Unauthenticated.
type Keys interface {
	AccessKey(ctx context.Context, id string) (auth.AccessKey, error)
}

// Verifier checks signatures. Keys and Now are required. It may be used
// concurrently; its fields must not change then.
type Verifier struct {
	Keys Keys
	Now  func() time.Time
	// Skew is how far a request's date may be from Now, either way. Zero is
	// DefaultSkew: no setting lets a request live for ever.
	Skew time.Duration
	// AllowUnsignedPayload takes requests whose signature does not cover the
	// body. Their digest says UNSIGNED-PAYLOAD, which the vendor's clients say
	// of a body that is not JSON. All bodies of CSMS and KMS are.
	AllowUnsignedPayload bool
	// MaxBody is how much of a body is held in memory to be hashed, in bytes;
	// zero is DefaultMaxBody. More is fault.TooLarge.
	MaxBody int64
	// Replays, where not nil, refuses the second use of a signature.
	Replays *Replays
}

// Verify returns the access key that signed the request. A request that was
// not signed, or not well, is fault.Unauthenticated, with the vendor's words
// where there are any. The body is read and put back.
//
// A key says who asks. Whether they may use the project of the path is the
// caller's question, and no header that is not signed must answer it.
func (v *Verifier) Verify(r *http.Request) (auth.AccessKey, error) {
	a, err := parseAuthorization(r.Header)
	if err != nil {
		return auth.AccessKey{}, err
	}
	date, at, err := v.date(r.Header)
	if err != nil {
		return auth.AccessKey{}, err
	}
	key, err := v.Keys.AccessKey(r.Context(), a.access)
	if fault.KindOf(err) == fault.Unauthenticated {
		return auth.AccessKey{}, fault.Wrap(fault.Unauthenticated, prefix+"ak "+a.access+" not exist", err)
	}
	if err != nil {
		return auth.AccessKey{}, fmt.Errorf("find access key: %w", err)
	}
	payload, err := v.payload(r)
	if err != nil {
		return auth.AccessKey{}, err
	}
	text, err := canonical(r, a.signed, payload)
	if err != nil || !hmac.Equal(signature(key.Secret, date, text), a.signature) {
		return auth.AccessKey{}, errMismatch
	}
	// Only now: what an unsigned request says of temporary keys is nobody's.
	if r.Header.Get(securityHeader) != "" {
		return auth.AccessKey{}, refused("temporary access keys (X-Security-Token) are not supported")
	}
	if v.Replays != nil && mutates(r.Method) {
		if err := v.Replays.admit(a.signature, at.Add(v.skew()), v.Now()); err != nil {
			return auth.AccessKey{}, err
		}
	}
	return key, nil
}

// prefix begins the vendor's message for everything that concerns who asks.
const prefix = "Incorrect IAM authentication information: "

func refused(why string) error { return fault.New(fault.Unauthenticated, prefix+why) }

var (
	errMismatch = refused("verify aksk signature fail")
	errExpired  = refused("signature expired, check the clock of the client")
	errUnsigned = refused("verify aksk signature fail, the signature must cover the body")
	errTooLarge = fault.New(fault.TooLarge, "the request body is too large")
)

// date returns a request's date as it was written, and as a time.
func (v *Verifier) date(h http.Header) (string, time.Time, error) {
	all := h.Values(dateHeader)
	if len(all) != 1 {
		return "", time.Time{}, refused("exactly one X-Sdk-Date header is needed")
	}
	at, err := time.Parse(dateLayout, all[0])
	// Parse takes fractions of a second that the layout does not have.
	if err != nil || len(all[0]) != len(dateLayout) {
		return "", time.Time{}, refused("X-Sdk-Date is not of the form YYYYMMDDTHHMMSSZ")
	}
	if v.Now().Sub(at).Abs() > v.skew() {
		return "", time.Time{}, errExpired
	}
	return all[0], at, nil
}

func (v *Verifier) skew() time.Duration {
	if v.Skew == 0 {
		return DefaultSkew
	}
	return v.Skew
}

// payload is the last line of the canonical form: the digest of the body, or
// what the client says instead. A digest that the client gives is believed of
// no body: it is compared with the body that came.
func (v *Verifier) payload(r *http.Request) (string, error) {
	given := r.Header.Values(digestHeader)
	if len(given) > 1 {
		return "", errMismatch
	}
	if len(given) == 1 && given[0] == unsignedPayload {
		if !v.AllowUnsignedPayload {
			return "", errUnsigned
		}
		return given[0], nil
	}
	body, err := v.buffer(r)
	if err != nil {
		return "", err
	}
	sum := digest(body)
	if len(given) == 0 {
		return sum, nil
	}
	want, err := hex.DecodeString(given[0])
	have, _ := hex.DecodeString(sum)
	if err != nil || !bytes.Equal(want, have) {
		return "", errMismatch
	}
	return given[0], nil // verbatim: upper-case digits stay what was signed
}

// buffer reads the body and puts it back for the handler.
func (v *Verifier) buffer(r *http.Request) ([]byte, error) {
	limit := v.MaxBody
	if limit == 0 {
		limit = DefaultMaxBody
	}
	if r.ContentLength > limit {
		return nil, errTooLarge
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	// A length that is only announced must not cost more than this up front.
	buf := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), 64<<10)+bytes.MinRead))
	_, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || int64(buf.Len()) > limit {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "the request body did not arrive", err)
	}
	r.Body = &held{rest: buf.Bytes(), Closer: r.Body}
	return buf.Bytes(), nil
}

// held is a body in memory. It may hold a payload, so what has been read is
// gone.
type held struct {
	rest []byte
	io.Closer
}

func (h *held) Read(p []byte) (int, error) {
	if len(h.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, h.rest)
	clear(h.rest[:n])
	h.rest = h.rest[n:]
	return n, nil
}

func mutates(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}
