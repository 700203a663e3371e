package postgres

import (
	"strings"
	"unicode/utf8"

	"github.com/huandu/go-sqlbuilder"
)

// nameRange says once more of a pattern how all names that match it begin:
// LIKE is no use to an index where the pattern is a parameter.
func nameRange(b *sqlbuilder.SelectBuilder, pattern string) {
	start, exact := literal(pattern)
	switch end := successor(start); {
	case start == "" || !utf8.ValidString(start):
	case exact:
		b.Where(b.Equal("s.name", start))
	case end == "":
		b.Where(b.GreaterEqualThan("s.name", start))
	default:
		b.Where(b.GreaterEqualThan("s.name", start), b.LessThan("s.name", end))
	}
}

// literal is what a LIKE pattern begins with, and whether that is all of it.
func literal(pattern string) (start string, exact bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '%' || c == '_':
			return b.String(), false
		case c == '\\' && i+1 < len(pattern):
			i++
		}
		b.WriteByte(pattern[i])
	}
	return b.String(), true
}

// successor is the first text, in order of bytes, after all that begin with
// start; empty where there is none.
func successor(start string) string {
	for start != "" {
		last, size := utf8.DecodeLastRuneInString(start)
		start = start[:len(start)-size]
		switch {
		case last == 0xD7FF: // surrogates are no characters
			return start + "\uE000"
		case last < utf8.MaxRune:
			return start + string(last+1)
		}
	}
	return ""
}
