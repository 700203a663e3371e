package barbican

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// newOrder reads the body of POST /v1/orders (§14.2). Whether there are keys of
// that algorithm and length is not asked here: the order itself will say.
func newOrder(body object, now time.Time) (in order.New, err error) {
	if !body.has("type") {
		return in, body.mismatch("type", "type is required")
	}
	kind, err := body.oneOf("type", string(order.Key), string(order.Asymmetric))
	if err != nil {
		return in, err
	}
	in.Kind = order.Kind(kind)
	members, ok := body.members["meta"].(map[string]any)
	if !ok {
		return in, body.mismatch("meta", "meta is required and must be an object")
	}
	meta := object{"Order meta", members}
	if in.Meta, err = orderMeta(meta, in.Kind, now); err != nil {
		return in, err
	}
	if in.Kind == order.Asymmetric {
		in.Passphrase, err = passphrase(meta)
	}
	return in, err
}

// orderMeta reads what is ordered: like the body of a secret without a payload.
func orderMeta(meta object, kind order.Kind, now time.Time) (m order.Meta, err error) {
	if m.Name, err = meta.labelOrNull("name"); err != nil {
		return m, err
	}
	algorithm, err := meta.label("algorithm")
	if err != nil {
		return m, err
	}
	if algorithm == nil || *algorithm == "" {
		return m, meta.mismatch("algorithm", "algorithm is required")
	}
	m.Algorithm = *algorithm
	if m.Mode, err = meta.label("mode"); err != nil {
		return m, err
	}
	bits, err := meta.integer("bit_length", 1, 32767)
	switch {
	case err != nil:
		return m, err
	case bits == nil:
		return m, meta.mismatch("bit_length", "bit_length is required")
	case *bits%8 != 0 && !oddCurve(kind, m.Algorithm, *bits):
		return m, invalid("The value of a field is not supported: bit_length must be a multiple of 8.")
	}
	m.BitLength = *bits
	expiration, err := meta.label("expiration")
	if err != nil {
		return m, err
	}
	if _, err = meta.oneOf("secret_type",
		"symmetric", "public", "private", "passphrase", "certificate", "opaque"); err != nil {
		return m, err
	}
	if meta.has("payload") {
		return m, meta.mismatch("payload", "payload must not be there: the server makes it")
	}
	upload, err := newUpload(meta)
	if err != nil {
		return m, err
	}
	if m.ContentType, err = orderedType(meta, upload); err != nil {
		return m, err
	}
	if m.Expiration, err = futureTime(meta, expiration, now); err != nil {
		return m, err
	}
	m.Shown, m.Words, err = shownMeta(meta.members, m)
	return m, err
}

// oddCurve is the one key with a length that is no multiple of 8.
func oddCurve(kind order.Kind, algorithm string, bits int) bool {
	return kind == order.Asymmetric && strings.EqualFold(algorithm, "ec") && bits == 521
}

// orderedType is the content type of what is made, as a secret would store it.
func orderedType(meta object, u upload) (string, error) {
	if u.contentType == nil || *u.contentType == "" {
		return secret.Binary, nil
	}
	known := knownPayloadType(*u.contentType)
	if known == "" {
		return "", meta.mismatch("payload_content_type", "payload_content_type is not one of ['%s']", strings.Join(payloadTypes, "', '"))
	}
	return known, nil
}

// Both names of the passphrase: upstream's, and that of its own client (§22).
const (
	passphraseName      = "passphrase"
	passphraseOtherName = "pass_phrase"
)

// passphrase reads the passphrase of a private key. An empty one is none.
func passphrase(meta object) (sensitive.Bytes, error) {
	var texts [2]string
	for i, name := range []string{passphraseName, passphraseOtherName} {
		if meta.members[name] == nil {
			continue
		}
		text, _, err := meta.text(name)
		if err != nil {
			return sensitive.Bytes{}, err
		}
		texts[i] = text
	}
	if texts[0] != "" && texts[1] != "" && texts[0] != texts[1] {
		return sensitive.Bytes{}, meta.mismatch(passphraseOtherName, "passphrase and pass_phrase differ")
	}
	return sensitive.Take([]byte(cmp.Or(texts[0], texts[1]))), nil
}

// shownMeta is meta as every answer repeats it: all that the caller sent but a
// passphrase, with name and expiration always there. Words are what a list can
// be searched for: names of members, and texts.
func shownMeta(members map[string]any, m order.Meta) (shown []byte, words []string, err error) {
	all := maps.Clone(members)
	delete(all, passphraseName)
	delete(all, passphraseOtherName)
	all["name"], all["expiration"] = nil, nil
	if m.Name != nil {
		all["name"] = *m.Name
	}
	if text := timeOrNull(m.Expiration); text != nil {
		all["expiration"] = *text
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(all); err != nil {
		return nil, nil, err
	}
	words = wordsIn(all, nil)
	slices.Sort(words)
	return bytes.TrimSpace(b.Bytes()), slices.Compact(words), nil
}

// wordsIn appends the names and texts in v, at any depth. One with NUL cannot
// be asked for.
func wordsIn(v any, words []string) []string {
	add := func(s string) {
		if !strings.ContainsRune(s, 0) {
			words = append(words, s)
		}
	}
	switch v := v.(type) {
	case string:
		add(v)
	case map[string]any:
		for name, value := range v {
			add(name)
			words = wordsIn(value, words)
		}
	case []any:
		for _, value := range v {
			words = wordsIn(value, words)
		}
	}
	return words
}
