package csms

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/secret"
)

// legal reports whether s is a name of a secret, a stage or an event:
// ^[a-zA-Z0-9_-]{1,64}$, and with dots where they are allowed.
func legal(s string, dots bool) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '_' || c == '-' || c == '.' && dots) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// latest stands for the version that holds SYSCURRENT (csms.md §5.3).
const latest = "latest"

// versionNumber reads v1, v2, …, and returns 0 for anything that no version is
// called. There are at most ten digits, and numbers are small in the store.
func versionNumber(s string) int {
	digits, ok := strings.CutPrefix(s, "v")
	if !ok || digits == "" || digits[0] == '0' || !decimal(digits) {
		return 0
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return 0
	}
	return int(n)
}

// versionForm is the pattern v[0-9]{1,10}, whether or not there is such a
// version.
func versionForm(s string) bool {
	digits, ok := strings.CutPrefix(s, "v")
	return ok && digits != "" && len(digits) <= 10 && decimal(digits)
}

func decimal(s string) bool { return strings.Trim(s, "0123456789") == "" }

// keyNamed reads kms_key_id: a lower-case UUID, or one of the ways to write
// the default key. Other aliases wait for the KMS API, which makes them.
func keyNamed(s string) (envelope.MasterKey, error) {
	switch {
	case s == "", s == string(envelope.Default), s == "alias/"+string(envelope.Default):
		return envelope.Default, nil
	case !isUUID(s):
		return "", invalid("kms_key_id")
	}
	return envelope.MasterKey(s), nil
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
				return false
			}
		}
	}
	return true
}

const (
	maxExpire = 9999999999999 // milliseconds
	// Milliseconds below this are in 1973; whoever sends them means seconds,
	// as the vendor's documents say by mistake.
	inSeconds = 100000000000
)

// expiry reads expire_time: milliseconds, or seconds where the number is too
// small for that, kept in whole seconds; 0 is none (csms.md §1.3).
func expiry(n int64) (*time.Time, error) {
	switch {
	case n == 0:
		return nil, nil
	case n < 0, n > maxExpire:
		return nil, invalid("expire_time")
	case n < inSeconds:
		n *= 1000
	}
	at := time.Unix(n/1000, 0).UTC()
	return &at, nil
}

func ms(t time.Time) int64 { return t.UnixMilli() }

func msOrNull(t *time.Time) *int64 {
	if t == nil {
		return nil
	}
	n := t.UnixMilli()
	return &n
}

// Pages (csms.md §1.6).
const (
	defaultLimit = 50
	maxLimit     = 1000
)

// parameters reads the query, which must parse.
func parameters(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errQuery
	}
	return q, nil
}

func limitOf(q url.Values) (int, error) {
	if !q.Has("limit") {
		return defaultLimit, nil
	}
	s := q.Get("limit")
	n, err := strconv.Atoi(s)
	if err != nil || !decimal(s) || n < 1 || n > maxLimit {
		return 0, invalid("limit")
	}
	return n, nil
}

// stagesNamed checks version_stages (csms.md §5.1). Equal names count once.
func stagesNamed(list []string) ([]secret.Stage, error) {
	seen := map[secret.Stage]bool{}
	var out []secret.Stage
	for _, s := range list {
		if !legal(s, false) {
			return nil, invalid("version_stages")
		}
		if !seen[secret.Stage(s)] {
			seen[secret.Stage(s)] = true
			out = append(out, secret.Stage(s))
		}
	}
	if len(out) > secret.MaxStages {
		return nil, errStagesNamed
	}
	return out, nil
}
