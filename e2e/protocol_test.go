package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What TestHostileClients does to the protocol itself.

func (h *hostile) wrongLengths(t *testing.T) {
	const body = `{"name":"n"}`
	post := func(headers ...string) string {
		return h.request("POST /v1/secrets HTTP/1.1", append(headers, "Content-Type: application/json")...) + body
	}
	// What says to be longer than it is waits for the rest until the client is
	// gone.
	for _, length := range []string{"13", "9223372036854775807"} {
		refused(t, "a length of "+length, rawEnding(t, h.key, post("Content-Length: "+length)), true, 400, 413)
	}
	for _, tc := range []struct {
		what string
		text string
		want []int
	}{
		{"negative", post("Content-Length: -1"), []int{400}},
		{"no number", post("Content-Length: twelve"), []int{400}},
		{"two that differ", post("Content-Length: 12", "Content-Length: 13"), []int{400}},
		{"more than 64 bits", post("Content-Length: 99999999999999999999"), []int{400}},
		{"none", post(), []int{400}}, // an empty body, and then what is no request
		{"too short", post("Content-Length: 5"), []int{400}},
		{"with an unknown encoding", post("Transfer-Encoding: none", "Content-Length: 12"), []int{400, 501}},
		{"with chunks besides", h.request("POST /v1/secrets HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked", "Content-Length: 3") + "c\r\n" + body + "\r\n0\r\n\r\n", []int{201, 400}},
	} {
		refused(t, "a length that is "+tc.what, raw(t, h.key, tc.text, 1), false, tc.want...)
	}
}

func (h *hostile) pipelines(t *testing.T) {
	get := h.request("GET " + h.payload + " HTTP/1.1")
	if got := raw(t, h.key, strings.Repeat(get, 50), 50); len(got) != 50 || slices.ContainsFunc(got, func(s int) bool { return s != 200 }) {
		t.Errorf("50 requests in a row: %v", got)
	}
	for _, garbage := range []string{"\x00\x01\x02\r\n\r\n", "GET\r\n\r\n", "}{\r\n\r\n", "GET / HTTP/1.1\r\nno header\r\n\r\n"} {
		if got := raw(t, h.key, get+garbage+get, 3); !slices.Equal(got, []int{200, 400}) {
			t.Errorf("a request and then %q: %v, want 200 and 400", garbage, got)
		}
	}
}

func (h *hostile) versions(t *testing.T) {
	for _, tc := range []struct {
		what, text string
		want       []int
	}{
		{"HTTP/1.0", "GET " + h.payload + " HTTP/1.0\r\nX-Auth-Token: " + h.token + "\r\n\r\n", []int{200}},
		{"HTTP/1.0 that may stay open", h.request("GET "+h.payload+" HTTP/1.0", "Connection: keep-alive"), []int{200}},
		{"HTTP/1.1 without a host", "GET / HTTP/1.1\r\n\r\n", []int{400}},
		{"HTTP/1.1 with two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", []int{400}},
		{"HTTP/0.9", "GET /\r\n\r\n", []int{400}},
		{"HTTP/9.9", "GET / HTTP/9.9\r\nHost: h\r\n\r\n", []int{400, 505}},
		{"HTTP/2 at once", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 404, 405, 505}},
		{"HTTP/2 on request", h.request("GET "+h.payload+" HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), []int{200}},
		{"a WebSocket", h.request("GET "+h.payload+" HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket"), []int{200}},
		{"a proxy's CONNECT", h.request("CONNECT 127.0.0.1:22 HTTP/1.1"), []int{400, 404, 405}},
		{"an absolute URL", h.request("GET http://elsewhere" + h.payload + " HTTP/1.1"), []int{200}},
		{"an asterisk", h.request("OPTIONS * HTTP/1.1"), []int{200, 400, 404, 405}},
		{"TRACE", h.request("TRACE / HTTP/1.1"), []int{404, 405}},
		{"a method that nobody knows", h.request("PROPFIND / HTTP/1.1"), []int{404, 405}},
	} {
		refused(t, tc.what, raw(t, h.key, tc.text, 1), false, tc.want...)
	}
}

func (h *hostile) continues(t *testing.T) {
	id := h.store(t, map[string]any{"name": "expected"})
	put := func(token string) (net.Conn, *bufio.Reader) {
		c := dial(t, h.key)
		fmt.Fprintf(c, "PUT /v1/secrets/%s HTTP/1.1\r\nHost: h\r\nX-Auth-Token: %s\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", id, token)
		return c, bufio.NewReader(c)
	}
	status := func(r *bufio.Reader) int {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Error(err)
			return 0
		}
		return resp.StatusCode
	}
	if _, r := put("nobody"); status(r) != 401 {
		t.Error("a stranger was asked for the body, or let in")
	}
	c, r := put(h.token)
	if got := status(r); got != 100 {
		t.Fatalf("the server said %d, want 100", got)
	}
	if _, err := io.WriteString(c, "whole"); err != nil {
		t.Fatal(err)
	}
	if got := status(r); got != 204 {
		t.Errorf("then %d, want 204", got)
	}
	refused(t, "another expectation", raw(t, h.key, h.request("GET / HTTP/1.1", "Expect: miracles"), 1), false, 417)
}

func (h *hostile) chunks(t *testing.T) {
	id := h.store(t, map[string]any{"name": "chunked"})
	put := h.request("PUT /v1/secrets/"+id+" HTTP/1.1", "Content-Type: text/plain", "Transfer-Encoding: chunked")
	for _, bad := range []string{
		"ffffffffffffffff\r\nx", "-1\r\nx\r\n", "g\r\nx\r\n", "5\r\nxxxxxxxxxx\r\n0\r\n\r\n", "5;" + strings.Repeat("a", 100<<10) + "\r\nxxxxx\r\n0\r\n\r\n",
		"1\nx\r\n0\r\n\r\n garbage",
	} {
		got := rawEnding(t, h.key, put+bad)
		if len(got) == 1 && got[0] == 204 {
			t.Errorf("chunks %.30q were taken", bad)
		} else {
			refused(t, fmt.Sprintf("chunks %.30q", bad), got, true, 400, 413)
		}
	}
	h.must(t, 404, "GET", "http://"+h.key+"/v1/secrets/"+id+"/payload", nil)
	one := strings.Repeat("1\r\nx\r\n", 5000) + "0\r\nTrailer: ignored\r\n\r\n"
	if got := raw(t, h.key, put+one, 1); !slices.Equal(got, []int{204}) {
		t.Errorf("5,000 chunks of one byte: %v", got)
	}
	if a := h.must(t, 200, "GET", "http://"+h.key+"/v1/secrets/"+id+"/payload", nil); len(a.Body) != 5000 {
		t.Errorf("a payload of %d bytes, want 5000", len(a.Body))
	}
}

func (h *hostile) garbage(t *testing.T) {
	for _, address := range []string{h.key, h.csms, h.id} {
		for _, text := range []string{
			"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", strings.Repeat("\x00", 10_000), strings.Repeat("\xff", 10_000),
			"SSH-2.0-x\r\n", "\r\n\r\n\r\n\r\n", "EHLO x\r\n", "GET / HTTP/1.1\r\nHost: h\r\nA\x00B: c\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nA: b\x00c\r\n\r\n", "GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h h\r\n\r\n", "G\x7fT / HTTP/1.1\r\nHost: h\r\n\r\n",
		} {
			refused(t, fmt.Sprintf("%.20q", text), raw(t, address, text+"\r\n\r\n", 1), true, 400)
		}
	}
}

// paths are hard to read, and lead nowhere.
func (h *hostile) paths(t *testing.T) {
	for _, path := range []string{
		"/v1/secrets/../../etc/passwd", "/v1//secrets", "/v1/secrets/%2e%2e/x", "/v1/secrets/%00", "/v1/secrets/%ff%fe", "//", "/v1/secrets/./payload",
		"/v1/secrets/" + strings.Repeat("a/", 10_000), "/v1/secrets/%2f%2f", "/v1/secrets?limit=%zz&offset=-1", "/v1/secrets?" + strings.Repeat("a=b&", 10_000),
		"/v1/secrets/;x=y", "/v1/secrets/'%20OR%201=1--",
	} {
		for _, address := range []string{h.key, h.csms, h.id} {
			refused(t, fmt.Sprintf("%.40q", path), raw(t, address, h.request("GET "+path+" HTTP/1.1"), 1), false, 200, 400, 401, 403, 404, 405)
		}
	}
}

func (h *hostile) noTLS(t *testing.T) {
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", strings.Repeat("\x00", 5000), "\x16\x03\x01\xff\xff" + strings.Repeat("x", 20_000)} {
		refused(t, fmt.Sprintf("%.20q", text), raw(t, h.tls, text, 1), true, 400)
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		c := tls.Client(dial(t, h.tls), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version})
		if err := c.HandshakeContext(t.Context()); err == nil {
			t.Errorf("%s was taken", tls.VersionName(version))
		}
	}
}
