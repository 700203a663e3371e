package barbican

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText limits every text of a body but the payload.
const maxText = 255 // characters

// object is a JSON body whose strings are trimmed. Its messages name the
// member and what it must be, never what it is.
type object struct {
	schema  string
	members map[string]any
}

// trimStrings takes leading and trailing blanks off every string value at any
// depth, in place (§7.1). Names keep theirs.
func trimStrings(v any) any {
	switch v := v.(type) {
	case string:
		return strings.TrimFunc(v, blank)
	case map[string]any:
		for k := range v {
			v[k] = trimStrings(v[k])
		}
	case []any:
		for i := range v {
			v[i] = trimStrings(v[i])
		}
	}
	return v
}

// blank is Unicode's white space and the four separators that upstream's
// language counts as such too.
func blank(r rune) bool { return unicode.IsSpace(r) || (r >= 0x1C && r <= 0x1F) }

// mismatch is the frame that all messages about a body have (§6.1).
func (o object) mismatch(property, format string, args ...any) error {
	return invalid("Provided object does not match schema '%s': %s. Invalid property: '%s'",
		o.schema, fmt.Sprintf(format, args...), property)
}

// has reports whether a member is there, null or not.
func (o object) has(name string) bool {
	_, ok := o.members[name]
	return ok
}

// text is a string member without a limit; ok is false where it is absent.
func (o object) text(name string) (value string, ok bool, err error) {
	v, ok := o.members[name]
	if !ok {
		return "", false, nil
	}
	value, is := v.(string)
	if !is {
		return "", true, o.mismatch(name, "%s must be a string", name)
	}
	return value, true, nil
}

// label is a string member that is stored as it is. A database's text cannot
// hold NUL.
func (o object) label(name string) (*string, error) {
	value, ok, err := o.text(name)
	if !ok || err != nil {
		return nil, err
	}
	return &value, o.storable(name, value)
}

// labelOrNull is a label that may also be null, which is the same as absent.
func (o object) labelOrNull(name string) (*string, error) {
	if o.members[name] == nil {
		return nil, nil
	}
	return o.label(name)
}

func (o object) storable(name, value string) error {
	switch {
	case utf8.RuneCountInString(value) > maxText:
		return o.mismatch(name, "%s is longer than %d characters", name, maxText)
	case strings.ContainsRune(value, 0):
		return o.mismatch(name, "%s must not contain the character NUL", name)
	}
	return nil
}

// required is a text that must be there and must not be empty.
func (o object) required(name string) (string, error) {
	value, ok, err := o.text(name)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", o.mismatch(name, "%s is required", name)
	case value == "":
		return "", o.mismatch(name, "%s must not be empty", name)
	}
	return value, nil
}

// requiredLabel is a label of 1 to most characters.
func (o object) requiredLabel(name string, most int) (string, error) {
	value, err := o.required(name)
	switch {
	case err != nil:
		return "", err
	case utf8.RuneCountInString(value) > most:
		return "", o.mismatch(name, "%s is longer than %d characters", name, most)
	}
	return value, o.storable(name, value)
}

// oneOf is a string member with a fixed set of values; "" where it is absent.
func (o object) oneOf(name string, values ...string) (string, error) {
	value, ok, err := o.text(name)
	if ok && err == nil && !slices.Contains(values, value) {
		err = o.mismatch(name, "%s is not one of ['%s']", name, strings.Join(values, "', '"))
	}
	return value, err
}

// integer is a number member without a fraction, between low and high. A
// number such as 256.0 has none; a boolean is no number.
func (o object) integer(name string, low, high int) (*int, error) {
	v, ok := o.members[name]
	if !ok {
		return nil, nil
	}
	number, ok := v.(json.Number)
	if !ok {
		return nil, o.mismatch(name, "%s must be an integer", name)
	}
	f, err := number.Float64()
	if err != nil || f != math.Trunc(f) {
		return nil, o.mismatch(name, "%s must be an integer", name)
	}
	if f < float64(low) || f > float64(high) {
		return nil, o.mismatch(name, "%s must be between %d and %d", name, low, high)
	}
	n := int(f)
	return &n, nil
}
