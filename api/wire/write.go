package wire

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// Sentence makes a whole sentence of a phrase of the domain, which may stand in
// the middle of an error: the form in which every dialect shows it. The name of
// a field in front stays as it is spelt.
func Sentence(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	if first, _, _ := strings.Cut(s, " "); !strings.ContainsAny(first, "_.") {
		s = strings.ToUpper(s[:1]) + s[1:]
	}
	return strings.TrimSuffix(s, ".") + "."
}

// WriteJSON answers with v, on one line and with no HTML escapes: clients
// compare bytes. The Content-Type is application/json unless the handler set
// another. The encoded text is wiped, since it may hold a payload.
//
// v is a body of ours, so one that cannot be encoded is a bug and panics.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	body := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	defer clear(body)
	h := w.Header()
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // a client that left misses nothing
}
