package envelope

import (
	"encoding/base64"
	"strings"

	"github.com/strongroom-kms/strongroom/fault"
)

// BlobPrefix is how every backup begins (csms.md §4.8). A JWE in its compact
// form follows (RFC 7516).
const BlobPrefix = ")CloudSecretManagementBackupV1.com"

// MaxBlob is the size of a backup in bytes, prefix included.
const MaxBlob = 5 << 20

// maxWrappedDEK is more than any format has (docs/key-hierarchy.md).
const maxWrappedDEK = 256

// ErrBlob says that something is no backup, or none that opens here.
var ErrBlob = fault.New(fault.Invalid, "the blob is not a backup of this installation and domain, or was altered")

// Blob is a backup's ciphertext. It holds no plaintext and no key.
//
// Its parts in the JWE are the header, the wrapped DEK, the nonce, the
// ciphertext and the tag. The key management is ours, so its name is a URI (RFC
// 7516 §4.1.1): no other program opens this.
type Blob struct {
	KEK        KEKID
	WrappedDEK []byte
	Body       []byte // nonce(12) || ciphertext || tag(16), as in a version
}

const (
	nonceSize = 12
	tagSize   = 16

	headStart = `{"alg":"urn:strongroom:kek","enc":"A256GCM","kid":"`
	headEnd   = `"}`
	headSize  = len(headStart) + 36 + len(headEnd)
)

// base64url is strict: bits that mean nothing must be zero, or one text could
// be written in several ways.
var base64url = base64.RawURLEncoding.Strict()

// AAD is what the encryption of the content authenticates besides: the header
// as it is written (RFC 7516 §5.1).
func (b Blob) AAD() []byte {
	return base64url.AppendEncode(nil, []byte(headStart+string(b.KEK)+headEnd))
}

// Text is the backup as callers have it.
func (b Blob) Text() string {
	var out strings.Builder
	end := len(b.Body) - tagSize
	size := len(BlobPrefix) + base64url.EncodedLen(headSize) + base64url.EncodedLen(len(b.WrappedDEK)) +
		base64url.EncodedLen(nonceSize) + base64url.EncodedLen(end-nonceSize) + base64url.EncodedLen(tagSize) + 4
	out.Grow(size)
	out.WriteString(BlobPrefix)
	out.Write(b.AAD())
	for _, part := range [][]byte{b.WrappedDEK, b.Body[:nonceSize], b.Body[nonceSize:end], b.Body[end:]} {
		out.WriteByte('.')
		out.WriteString(base64url.EncodeToString(part))
	}
	return out.String()
}

// ParseBlob reads a backup. Only what Text would write is one: else ErrBlob.
// It allocates no more than the text is long.
func ParseBlob(text string) (Blob, error) {
	var b Blob
	rest, ok := strings.CutPrefix(text, BlobPrefix)
	if !ok || len(text) > MaxBlob || strings.ContainsAny(rest, "\r\n") { // the decoder would skip line breaks
		return b, ErrBlob
	}
	parts := strings.SplitN(rest, ".", 6)
	if len(parts) != 5 || len(parts[0]) != base64url.EncodedLen(headSize) || len(parts[1]) > base64url.EncodedLen(maxWrappedDEK) ||
		len(parts[2]) != base64url.EncodedLen(nonceSize) || len(parts[4]) != base64url.EncodedLen(tagSize) {
		return b, ErrBlob
	}
	head, err := base64url.DecodeString(parts[0])
	if err != nil {
		return b, ErrBlob
	}
	b.KEK = KEKID(head[len(headStart) : len(headStart)+36])
	if !MasterKey(b.KEK).IsID() || string(b.AAD()) != parts[0] {
		return Blob{}, ErrBlob
	}
	if b.WrappedDEK, err = base64url.DecodeString(parts[1]); err != nil || len(b.WrappedDEK) == 0 {
		return Blob{}, ErrBlob
	}
	b.Body = make([]byte, 0, nonceSize+base64url.DecodedLen(len(parts[3]))+tagSize)
	for _, part := range parts[2:] {
		if b.Body, err = base64url.AppendDecode(b.Body, []byte(part)); err != nil {
			return Blob{}, ErrBlob
		}
	}
	return b, nil
}
