package rotation

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/sensitive"
)

// LooseObject reads a JSON object whose strings may be in single quotes, as
// the vendor's documents have them.
func LooseObject(s string) (map[string]any, bool) {
	if !utf8.ValidString(s) {
		return nil, false
	}
	dec := json.NewDecoder(strings.NewReader(doubleQuoted(s)))
	var object map[string]any
	if dec.Decode(&object) != nil || object == nil {
		return nil, false
	}
	_, err := dec.Token()
	return object, err == io.EOF
}

// doubleQuoted rewrites single-quoted strings as JSON's. Text that is JSON
// already stays as it is.
func doubleQuoted(s string) string {
	var b strings.Builder
	var quote byte // the one that opened the string we are in
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
			b.WriteByte('"')
		case quote != 0 && c == '\\' && i+1 < len(s):
			i++
			if s[i] != '\'' || quote == '"' {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		case quote != 0 && c == quote:
			quote = 0
			b.WriteByte('"')
		case quote == '\'' && c == '"':
			b.WriteString(`\"`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// account is one of a value's users.
type account struct {
	Name     *string `json:"name"`
	Password *string `json:"password"`
}

// value is the text of a database secret, taken apart so far that one password
// can be changed and all the rest stays as it was written.
type value struct {
	before, after []byte // around the list of users
	users         []json.RawMessage
}

func parseValue(text []byte) (value, error) {
	if _, ok := LooseObject(string(text)); !ok {
		return value{}, ErrValue
	}
	text = []byte(doubleQuoted(string(text)))
	from, to, ok := member(text, "users")
	v := value{before: text[:from], after: text[to:]}
	if !ok || json.Unmarshal(text[from:to], &v.users) != nil || len(v.users) < 1 || len(v.users) > 2 {
		return value{}, ErrValue
	}
	for i := range v.users {
		a, err := v.account(i)
		if err != nil {
			return value{}, err
		}
		a.Wipe()
	}
	return v, nil
}

// account is the user at a place of the list. Whoever gets it wipes it.
func (v value) account(i int) (Account, error) {
	var a account
	if json.Unmarshal(v.users[i], &a) != nil || a.Name == nil || *a.Name == "" || a.Password == nil {
		return Account{}, ErrValue
	}
	return Account{*a.Name, sensitive.Take([]byte(*a.Password))}, nil
}

// with is the value with a user's password changed, and that user first: the
// first one is who the application shall be.
func (v value) with(user int, password sensitive.Bytes) (sensitive.Bytes, error) {
	from, to, ok := member(v.users[user], "password")
	if !ok {
		return sensitive.Bytes{}, ErrValue
	}
	quoted, err := json.Marshal(string(password.Reveal()))
	if err != nil {
		return sensitive.Bytes{}, ErrValue
	}
	changed := slices.Concat(v.users[user][:from], quoted, v.users[user][to:])
	users := []json.RawMessage{changed}
	for i, u := range v.users {
		if i != user {
			users = append(users, u)
		}
	}
	list := []byte("[")
	for i, u := range users {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, u...)
	}
	return sensitive.Take(slices.Concat(v.before, append(list, ']'), v.after)), nil
}

// member finds where the value of a member of a JSON object stands. Of several
// the last one counts, as it does to who decodes the object.
func member(object []byte, name string) (from, to int, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return 0, 0, false
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return 0, 0, false
		}
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			return 0, 0, false
		}
		if key == name {
			to = int(dec.InputOffset())
			from, ok = to-len(raw), true
		}
	}
	return from, to, ok
}

// changing is the user whose password a rotation changes: the first one is the
// application's account, and of two that take turns it is the other one's turn.
func changing(multiUser bool) int {
	if multiUser {
		return 1
	}
	return 0
}

// renew makes the next value: the same with a new password.
func renew(text sensitive.Bytes, c Config, password sensitive.Bytes) (sensitive.Bytes, error) {
	v, err := parseValue(text.Reveal())
	if err != nil {
		return sensitive.Bytes{}, err
	}
	user := changing(c.MultiUser)
	if user >= len(v.users) {
		return sensitive.Bytes{}, ErrValue
	}
	return v.with(user, password)
}

// first is the account that a value is about; an administrator's may also be
// written as username and password.
func first(text sensitive.Bytes) (Account, error) {
	if v, err := parseValue(text.Reveal()); err == nil {
		return v.account(0)
	}
	object, ok := LooseObject(string(text.Reveal()))
	if !ok {
		return Account{}, ErrValue
	}
	name := firstText(object, []string{"username", "user", "name"})
	password, ok := object["password"].(string)
	if name == "" || !ok {
		return Account{}, ErrValue
	}
	return Account{name, sensitive.Take([]byte(password))}, nil
}

// named is the account of that name in a value.
func named(text sensitive.Bytes, name string) (Account, error) {
	v, err := parseValue(text.Reveal())
	if err != nil {
		return Account{}, err
	}
	for i := range v.users {
		a, err := v.account(i)
		if err != nil || a.Name == name {
			return a, err
		}
		a.Wipe()
	}
	return Account{}, ErrValue
}
