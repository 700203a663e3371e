package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/e2e/devserver"
)

// readHeaderTimeout is what a listener has where nobody says otherwise.
const readHeaderTimeout = 5 * time.Second

// hostile is a server with clients that mean no good, and one that does.
type hostile struct {
	*client
	s       *devserver.Server
	key     string // host:port of the key-manager listener
	csms    string
	id      string
	tls     string
	payload string // path of a payload that anybody with the access token may read
	path    string // of secrets in the csms listener
}

// Bytes that are no requests, requests that never end, and more of them than
// anybody needs: each is answered with what is wrong, or cut off. Nobody else
// is served later for it, and afterwards the server is as it was.
func TestHostileClients(t *testing.T) {
	s := start(t)
	h := newHostile(t, s)
	h.burst(t, 50) // what is made on first use
	files, routines := h.files(t), h.routines(t)

	served := h.bystander(t)
	t.Run("all at once", func(t *testing.T) {
		for name, attack := range map[string]func(*testing.T){
			"headers without end":         h.hugeHeaders,
			"requests that stop halfway":  h.slowHeaders,
			"bodies that stop halfway":    h.slowBodies,
			"wrong lengths":               h.wrongLengths,
			"uploads that are cut off":    h.cutUploads,
			"bodies of 30 MB":             h.hugeBodies,
			"deep JSON":                   h.deepJSON,
			"many connections":            func(t *testing.T) { h.burst(t, 400) },
			"pipelines":                   h.pipelines,
			"other versions of HTTP":      h.versions,
			"waiting for 100":             h.continues,
			"chunks":                      h.chunks,
			"what is no request":          h.garbage,
			"what is no TLS":              h.noTLS,
			"paths that are hard to read": h.paths,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				attack(t)
			})
		}
	})
	served()

	h.must(t, 200, "GET", s.Env["STRONGROOM_ADMIN_URL"]+"/readyz", nil)
	h.CloseIdleConnections()
	eventually(t, 10*time.Second, "as many files and goroutines as before", func() bool {
		return h.files(t) <= files+16 && h.routines(t) <= routines+24
	})
	t.Logf("files %d, then %d; goroutines %d, then %d", files, h.files(t), routines, h.routines(t))
	said, err := s.Log()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(said, []byte("panic")) {
		t.Error("the server panicked")
	}
}

func newHostile(t *testing.T, s *devserver.Server) *hostile {
	t.Helper()
	h := &hostile{client: demo(t, s), s: s, path: "/v1/" + s.Env["OS_PROJECT_ID"] + "/secrets"}
	h.Transport = &http.Transport{MaxIdleConnsPerHost: 4}
	for to, from := range map[*string]string{
		&h.key: s.Env["KEY_MANAGER_URL"], &h.csms: s.Env["CSMS_URL"],
		&h.id: s.Env["OS_AUTH_URL"], &h.tls: s.Env["HUAWEICLOUD_SDK_IAM_ENDPOINT"],
	} {
		u, err := url.Parse(from)
		if err != nil {
			t.Fatal(err)
		}
		*to = u.Host
	}
	h.payload = "/v1/secrets/" + h.store(t, map[string]any{"payload": "p", "payload_content_type": "text/plain"}) + "/payload"
	return h
}

// store makes a Barbican secret and returns its UUID.
func (h *hostile) store(t *testing.T, body map[string]any) string {
	t.Helper()
	var made struct {
		Ref string `json:"secret_ref"`
	}
	h.must(t, 201, "POST", "http://"+h.key+"/v1/secrets", body).json(t, &made)
	return filepath.Base(made.Ref)
}

// files is how many the server has open.
func (h *hostile) files(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// routines is how many goroutines the server has.
func (h *hostile) routines(t *testing.T) int {
	t.Helper()
	for line := range strings.Lines(string(h.ask(t, "GET", h.s.Env["STRONGROOM_ADMIN_URL"]+"/metrics").Body)) {
		if text, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatal("the metrics have no go_goroutines")
	return 0
}

// dial opens a connection that ends with the test.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// raw sends bytes and returns the statuses that come back, until the server
// closes the connection or has answered as often as wanted.
func raw(t *testing.T, address, text string, want int) []int {
	t.Helper()
	c := dial(t, address)
	go func() { _, _ = io.WriteString(c, text) }() // the server may close before it has read all
	return statuses(t, c, text, want)
}

// rawEnding sends bytes, says that no more will follow, and returns what the
// server answers, if anything.
func rawEnding(t *testing.T, address, text string) []int {
	t.Helper()
	c := dial(t, address)
	go func() {
		if _, err := io.WriteString(c, text); err == nil {
			_ = c.(*net.TCPConn).CloseWrite() // the server may have closed first
		}
	}()
	return statuses(t, c, text, 1)
}

func statuses(t *testing.T, c net.Conn, text string, want int) []int {
	t.Helper()
	var got []int
	r := bufio.NewReader(c)
	for len(got) < want {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("no answer to %.60q", text)
			}
			break
		}
		_, err = io.Copy(io.Discard, resp.Body)
		got = append(got, resp.StatusCode)
		if resp.Close || err != nil {
			break
		}
	}
	return got
}

// request is one of a client that is let in.
func (h *hostile) request(line string, headers ...string) string {
	return line + "\r\nHost: h\r\nX-Auth-Token: " + h.token + "\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

// refused fails the test unless a request was answered with one of statuses,
// or cut off before it could be answered, where cut is set.
func refused(t *testing.T, what string, got []int, cut bool, statuses ...int) {
	t.Helper()
	if len(got) == 0 && cut || len(got) == 1 && slices.Contains(statuses, got[0]) {
		return
	}
	t.Errorf("%s: answered %v, want %v", what, got, statuses)
}

func (h *hostile) hugeHeaders(t *testing.T) {
	for what, headers := range map[string]string{
		"one of 100 KB":       "X-A: " + strings.Repeat("a", 100<<10),
		"one of 2 MB":         "X-A: " + strings.Repeat("a", 2<<20),
		"an endless name":     strings.Repeat("a", 100<<10) + ": x",
		"20,000 of them":      strings.Repeat("X-A: a\r\n", 20_000) + "X-B: b",
		"20,000 distinct":     many(20_000),
		"an endless token":    "X-Auth-Token: " + strings.Repeat("a", 100<<10),
		"an endless folding":  "X-A: a" + strings.Repeat("\r\n a", 60_000),
		"an endless encoding": "Accept-Encoding: " + strings.Repeat("gzip,", 30_000),
	} {
		for _, address := range []string{h.key, h.csms, h.id} {
			refused(t, what, raw(t, address, h.request("GET / HTTP/1.1", headers), 1), true, 400, 401, 404, 413, 431)
		}
	}
	refused(t, "a path of 100 KB", raw(t, h.key, h.request("GET /"+strings.Repeat("a", 100<<10)+" HTTP/1.1"), 1), true, 400, 404, 413, 414, 431)
	// 2,000 headers are odd, and no reason to say no.
	if got := raw(t, h.key, h.request("GET "+h.payload+" HTTP/1.1", many(2000)), 1); !slices.Equal(got, []int{200}) {
		t.Errorf("2,000 headers: %v", got)
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: a\r\n", i)
	}
	return b.String() + "X-Last: a"
}

// A hundred clients begin a request and say no more. Each is cut off when its
// time is over.
func (h *hostile) slowHeaders(t *testing.T) {
	var wait sync.WaitGroup
	for i := range 100 {
		begun := []string{"", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: h\r\nX-Auth-Token: a"}[i%4]
		address := []string{h.key, h.csms, h.id}[i%3]
		c := dial(t, address)
		if _, err := io.WriteString(c, begun); err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			start := time.Now()
			_, err := io.Copy(io.Discard, c)
			if took := time.Since(start); took > readHeaderTimeout+3*time.Second {
				t.Errorf("who sent %q was let wait %v (%v)", begun, took, err)
			}
		})
	}
	wait.Wait()
}

// Slow bodies may take longer, and hold nothing that others need: 100 of them
// wait while the bystander is served.
func (h *hostile) slowBodies(t *testing.T) {
	for range 100 {
		c := dial(t, h.key)
		if _, err := io.WriteString(c, h.request("POST /v1/secrets HTTP/1.1", "Content-Type: application/json", "Content-Length: 100")+`{"name":`); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(3 * time.Second)
}

// An upload that breaks off stores nothing, and may be repeated.
func (h *hostile) cutUploads(t *testing.T) {
	id := h.store(t, map[string]any{"name": "cut"})
	for _, headers := range [][]string{
		{"Content-Length: 5000"},
		{"Transfer-Encoding: chunked"},
	} {
		for range 20 {
			c := dial(t, h.key)
			body := strings.Repeat("x", 2000)
			if strings.HasPrefix(headers[0], "Transfer") {
				body = "7d0\r\n" + body + "\r\n"
			}
			if _, err := io.WriteString(c, h.request("PUT /v1/secrets/"+id+" HTTP/1.1", append(headers, "Content-Type: text/plain")...)+body); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
	}
	time.Sleep(200 * time.Millisecond)
	at := "http://" + h.key + "/v1/secrets/" + id
	h.must(t, 404, "GET", at+"/payload", nil)
	h.must(t, 204, "PUT", at, "whole", "Content-Type", "text/plain")
	if a := h.must(t, 200, "GET", at+"/payload", nil); string(a.Body) != "whole" {
		t.Errorf("payload %q", a.Body)
	}
}

// What is too large is refused before it is read: 30 MB are not even sent.
func (h *hostile) hugeBodies(t *testing.T) {
	for _, route := range [][2]string{
		{h.key, "POST /v1/secrets"}, {h.key, "PUT " + strings.TrimSuffix(h.payload, "/payload")},
		{h.key, "GET " + h.payload}, {h.csms, "POST " + h.path}, {h.csms, "PUT " + h.path + "/x"}, {h.id, "POST /v3/auth/tokens"}, {h.id, "POST /v3/users"},
	} {
		for _, body := range []string{
			`{"payload":"` + strings.Repeat("a", 30<<20) + `"}`,
			strings.Repeat(" ", 30<<20),
			`{` + strings.Repeat(`"a":1,`, 5<<20) + `"b":1}`,
		} {
			for _, headers := range [][]string{
				{"Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body))},
				{"Content-Type: application/json", "Transfer-Encoding: chunked"},
			} {
				text := body
				if len(headers) == 2 && strings.HasPrefix(headers[1], "Transfer") {
					text = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
				}
				start := time.Now()
				got := raw(t, route[0], h.request(route[1]+" HTTP/1.1", headers...)+text, 1)
				if len(got) == 1 && got[0] == 200 && strings.HasPrefix(route[1], "GET") {
					continue // nobody reads the body of a GET
				}
				refused(t, route[1]+" with 30 MB", got, true, 400, 404, 409, 413, 415)
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("%s with 30 MB took %v", route[1], took)
				}
			}
		}
	}
}

func (h *hostile) deepJSON(t *testing.T) {
	for _, deep := range []string{
		strings.Repeat("[", 20_000), strings.Repeat(`{"a":`, 4000), strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		`{"auth":` + strings.Repeat(`{"a":`, 3000) + "1" + strings.Repeat("}", 3001),
		`{"metadata":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}",
	} {
		for _, url := range []string{"http://" + h.key + "/v1/secrets", "http://" + h.csms + h.path, "http://" + h.id + "/v3/auth/tokens"} {
			a, err := h.do("POST", url, deep, "Content-Type", "application/json")
			if err != nil || a.Status != 400 {
				t.Errorf("POST %s of %.20s… = %d, %v", url, deep, a.Status, err)
			}
		}
	}
}

// burst opens many connections at once and asks each for a payload.
func (h *hostile) burst(t *testing.T, connections int) {
	var wait sync.WaitGroup
	var mu sync.Mutex
	failed := map[string]int{}
	for range connections {
		c := dial(t, h.key)
		wait.Go(func() {
			_, err := io.WriteString(c, h.request("GET "+h.payload+" HTTP/1.1"))
			var resp *http.Response
			if err == nil {
				resp, err = http.ReadResponse(bufio.NewReader(c), nil)
			}
			what := fmt.Sprint(err)
			if err == nil {
				if resp.StatusCode == 200 {
					return
				}
				what = resp.Status
			}
			mu.Lock()
			defer mu.Unlock()
			failed[what]++
		})
	}
	wait.Wait()
	if len(failed) > 0 {
		t.Errorf("of %d requests at once failed: %v", connections, failed)
	}
}

// bystander asks for something every now and then until the function that it
// returns is called, which fails the test if an answer was slow.
func (h *hostile) bystander(t *testing.T) (end func()) {
	ctx, stop := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	worst, n := time.Duration(0), 0
	wait.Go(func() {
		for ; ctx.Err() == nil; n++ {
			start := time.Now()
			for _, url := range []string{"http://" + h.key + h.payload, "http://" + h.csms + h.path, h.s.Env["STRONGROOM_ADMIN_URL"] + "/readyz"} {
				if a, err := h.do("GET", url, nil); err != nil || a.Status != 200 {
					t.Errorf("meanwhile GET %s = %d %s, %v", url, a.Status, a.Body, err)
				}
			}
			worst = max(worst, time.Since(start))
			time.Sleep(20 * time.Millisecond)
		}
	})
	return func() {
		stop()
		wait.Wait()
		t.Logf("%d times three requests meanwhile, the slowest in %v", n, worst)
		if worst > 5*time.Second || n < 50 {
			t.Errorf("somebody who means no harm was served %d times and waited up to %v", n, worst)
		}
	}
}
