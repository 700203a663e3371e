package csms_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestConversations holds every byte that a client sees. A file is a sentence
// or two, then requests and their answers in one fresh room; -update rewrites
// the answers.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			was := string(b)
			got := hold(open(t), was)
			switch {
			case got == was:
			case *update:
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			default:
				t.Errorf("the conversation is now\n%s", got)
			}
		})
	}
}

const (
	requestMark  = "-- request --\n"
	responseMark = "-- response --\n"
)

// hold sends the requests of a conversation, and returns it with the answers
// that came.
func hold(rm *room, text string) string {
	rm.Helper()
	parts := strings.Split(text, requestMark)
	out := parts[0]
	for _, part := range parts[1:] {
		request, _, _ := strings.Cut(part, responseMark)
		out += requestMark + request + responseMark + rm.exchange(request)
	}
	return out
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
