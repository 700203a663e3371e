package csms_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/api/wire/wiretest"
)

// TestConversations holds every byte that a client sees. A file is a sentence
// or two, then requests and their answers in one fresh room; -update rewrites
// the answers.
func TestConversations(t *testing.T) {
	wiretest.Converse(t, func(t *testing.T) func(string) string { return open(t).exchange })
}

func (rm *room) exchange(request string) string {
	rm.Helper()
	head, body, _ := strings.Cut(request, "\n\n")
	lines := bufio.NewScanner(strings.NewReader(head))
	lines.Scan()
	method, target, _ := strings.Cut(lines.Text(), " ")
	r := httptest.NewRequestWithContext(rm.Context(), method, "http://csms.test"+target, strings.NewReader(strings.TrimSuffix(body, "\n")))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	rm.handler.ServeHTTP(w, r)
	res := w.Result()
	var out strings.Builder
	fmt.Fprintln(&out, res.StatusCode)
	res.Header.Del("Content-Length")
	for _, name := range slices.Sorted(maps.Keys(res.Header)) {
		fmt.Fprintf(&out, "%s: %s\n", name, strings.Join(res.Header[name], ", "))
	}
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		rm.Fatal(err)
	}
	if len(answer) > 0 {
		fmt.Fprintf(&out, "\n%s\n", answer)
	}
	return out.String()
}
