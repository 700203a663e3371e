package barbican_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/api/wire/wiretest"
)

// Each file in testdata is a conversation of u1 with a fresh server: every
// byte that a client sees. An X-Auth-Token header says that somebody else
// asks; an empty one, that nobody does.
func TestConversations(t *testing.T) {
	wiretest.Converse(t, func(t *testing.T) func(string) string {
		w := newWorld(t)
		return func(request string) string { return w.say(request).transcript() }
	})
}

// say sends a request as it stands in a conversation.
func (w *world) say(request string) answer {
	w.t.Helper()
	head, body, _ := strings.Cut(request, "\n\n")
	line, headers, _ := strings.Cut(strings.TrimSuffix(head, "\n"), "\n")
	as := "u1"
	for h := range strings.Lines(headers) {
		if name, value, _ := strings.Cut(h, ":"); name == "X-Auth-Token" {
			as = strings.TrimSpace(value)
		}
	}
	if !strings.Contains(headers, "Content-Type:") {
		headers += "\n-Content-Type"
	}
	return w.do(as, line, headers, strings.TrimSuffix(body, "\n"))
}

// spelled are header names as the reference has them.
var spelled = map[string]string{
	"Openstack-Api-Version":  "OpenStack-API-Version",
	"X-Openstack-Request-Id": "X-OpenStack-Request-Id",
	"Www-Authenticate":       "WWW-Authenticate",
}

// transcript is an answer as it stands in a conversation.
func (a answer) transcript() string {
	var b strings.Builder
	fmt.Fprintln(&b, a.code)
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		if name == "Date" {
			continue
		}
		value := strings.Join(a.header[name], ", ")
		if name == http.CanonicalHeaderKey("X-OpenStack-Request-Id") {
			value = "req-…"
		}
		if s, ok := spelled[name]; ok {
			name = s
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	if a.body != "" {
		fmt.Fprintf(&b, "\n%s\n", a.body)
	}
	return b.String()
}
