package csms

import (
	"encoding/base64"
	"strings"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// value is a secret's value as a request has it: exactly one of the two. An
// empty text counts as not set, because clients send one for "nothing".
type value struct{ text, binary string }

func valueOf(f *fields) value {
	return value{f.text("secret_string"), f.text("secret_binary")}
}

// payload returns the value's bytes and their content type. limit is in bytes
// of plaintext, for either form.
func (v value) payload(limit int) (sensitive.Bytes, string, error) {
	switch {
	case v.text != "" && v.binary != "":
		return sensitive.Bytes{}, "", fault.New(fault.Invalid, "Only one of secret_string and secret_binary may be given.")
	case v.text != "":
		if len(v.text) > limit {
			return sensitive.Bytes{}, "", invalid("secret_string")
		}
		return sensitive.Take([]byte(v.text)), secret.Text, nil
	case v.binary == "":
		return sensitive.Bytes{}, "", fault.New(fault.Invalid, "One of secret_string and secret_binary must be given.")
	case len(v.binary) > base64.StdEncoding.EncodedLen(limit):
		return sensitive.Bytes{}, "", invalid("secret_binary")
	}
	// The decoder skips line breaks and, unless strict, trailing bits: two ways
	// to write one value, of which an answer could repeat only one.
	raw, err := base64.StdEncoding.Strict().DecodeString(v.binary)
	if err != nil || strings.ContainsAny(v.binary, "\r\n") || len(raw) > limit {
		return sensitive.Bytes{}, "", invalid("secret_binary")
	}
	return sensitive.Take(raw), secret.Binary, nil
}

// Types of secrets (csms.md §4.1.2).
const common = "COMMON"

func knownType(s string) bool {
	switch s {
	case common, "RDS", "RDS-FG", "GaussDB-FG":
		return true
	}
	return false
}

// accounts checks the value of a secret for a database: one or two users with
// names, two where rotation goes between them.
func accounts(payload sensitive.Bytes, want rotation.Config) error {
	bad := fault.New(fault.Invalid, `The value of a database secret must have the form {"users":[{"name":"...","password":"..."}]}.`)
	object, ok := rotation.LooseObject(string(payload.Reveal()))
	if !ok {
		return bad
	}
	users, ok := object["users"].([]any)
	if !ok || len(users) < 1 || len(users) > 2 || want.MultiUser && len(users) != 2 {
		return bad
	}
	for _, u := range users {
		user, _ := u.(map[string]any)
		name, _ := user["name"].(string)
		_, hasPassword := user["password"].(string)
		if name == "" || !hasPassword {
			return bad
		}
	}
	return nil
}
