package softhsm

import (
	"fmt"
	"strings"
)

// What RFC 7512 §2.3 lets stand unescaped beside letters and digits.
const (
	pathSafe  = "-._~:[]@!$'()*+,=&"
	querySafe = "-._~:[]@!$'()*+,=/?"
)

func pathEscape(s string) string  { return escape(s, pathSafe) }
func queryEscape(s string) string { return escape(s, querySafe) }

func escape(s, safe string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(safe, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
