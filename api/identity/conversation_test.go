package identity_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/api/wire/wiretest"
)

// Each file in testdata is a conversation with a fresh realm: every byte that
// a client sees, but what is random. Of that {token}, {key} and {secret} stand
// for the last that was made, in requests too; X-Auth-Token has a user's name.
func TestConversations(t *testing.T) {
	t.Parallel()
	wiretest.Converse(t, func(t *testing.T) func(string) string {
		t.Parallel()
		w := newWorld(t)
		return func(request string) string { return w.transcript(w.say(request)) }
	})
}

// say sends a request as it stands in a conversation.
func (w *world) say(request string) answer {
	w.t.Helper()
	request = strings.NewReplacer("{token}", w.token, "{key}", w.key, "{secret}", w.secret).Replace(request)
	head, body, _ := strings.Cut(request, "\n\n")
	line, rest, _ := strings.Cut(strings.TrimSuffix(head, "\n"), "\n")
	method, target, _ := strings.Cut(line, " ")
	as := ""
	var headers []string
	for h := range strings.Lines(rest) {
		name, value, _ := strings.Cut(strings.TrimSpace(h), ": ")
		if _, known := w.tokens[value]; known && name == "X-Auth-Token" {
			as = value
			continue
		}
		headers = append(headers, name, value)
	}
	return w.ask(as, method, target, strings.TrimSuffix(body, "\n"), headers...)
}

var (
	madeKey    = regexp.MustCompile(`\b[A-Z2-7]{20}\b`)
	madeSecret = regexp.MustCompile(`(\\?"secret\\?":\\?")([^"\\]+)`)
)

// transcript is an answer as it stands in a conversation.
func (w *world) transcript(a answer) string {
	if s := madeKey.FindString(a.body); s != "" {
		w.key = s
	}
	if m := madeSecret.FindStringSubmatch(a.body); m != nil {
		w.secret = m[2]
	}
	var b strings.Builder
	fmt.Fprintln(&b, a.code)
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		value := strings.Join(a.header[name], ", ")
		if name == "X-Subject-Token" {
			w.token, value = value, "{token}"
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	if a.body != "" {
		body := madeKey.ReplaceAllString(a.body, "{key}")
		fmt.Fprintf(&b, "\n%s\n", madeSecret.ReplaceAllString(body, "${1}{secret}"))
	}
	return b.String()
}
