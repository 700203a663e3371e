package aksk_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// signed is a request to a listener, signed at noon.
func signed(t testing.TB, method, target, body string, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if err := aksk.Sign(r, ak, secretKey(), noon, headers...); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMalformedAuthorization(t *testing.T) {
	good := vectorNamed("TV1").signature
	for name, header := range map[string]string{
		"another scheme":        "Bearer x",
		"nothing":               "",
		"an algorithm alone":    "SDK-HMAC-SHA256",
		"no parameters":         "SDK-HMAC-SHA256 ",
		"no Access":             "SDK-HMAC-SHA256 SignedHeaders=x-sdk-date, Signature=" + good,
		"an empty Access":       "SDK-HMAC-SHA256 Access=, SignedHeaders=x-sdk-date, Signature=" + good,
		"a long Access":         "SDK-HMAC-SHA256 Access=" + strings.Repeat("A", 129) + ", SignedHeaders=x-sdk-date, Signature=" + good,
		"bytes in Access":       "SDK-HMAC-SHA256 Access=\xff\xfe, SignedHeaders=x-sdk-date, Signature=" + good,
		"no SignedHeaders":      "SDK-HMAC-SHA256 Access=" + ak + ", Signature=" + good,
		"upper case names":      authorization("X-Sdk-Date", good),
		"a name twice":          authorization("x-sdk-date;x-sdk-date", good),
		"an empty name":         authorization("x-sdk-date;", good),
		"a colon in a name":     authorization("x-sdk-date;a:b", good),
		"too many names":        authorization("x-sdk-date"+strings.Repeat(";a", 1)+manyNames(100), good),
		"no Signature":          "SDK-HMAC-SHA256 Access=" + ak + ", SignedHeaders=x-sdk-date",
		"a short Signature":     authorization("x-sdk-date", good[:62]),
		"a long Signature":      authorization("x-sdk-date", good+"00"),
		"letters in Signature":  authorization("x-sdk-date", strings.Repeat("z", 64)),
		"a parameter twice":     authorization("x-sdk-date", good) + ", Access=" + ak,
		"a part without equals": authorization("x-sdk-date", good) + ", x",
		"another algorithm":     "SDK-HMAC-SM3 Access=" + ak,
	} {
		t.Run(name, func(t *testing.T) {
			r := vectorNamed("TV1").unsigned()
			r.Header.Set("Authorization", header)
			_, err := verifier(noon).Verify(r)
			wantRefused(t, err, "")
			if strings.Contains(fault.PublicText(err), "Bearer") {
				t.Error("the answer repeats a header that may be somebody's credential")
			}
		})
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(";h" + strings.Repeat("x", i))
	}
	return b.String()
}

func TestHeadersThatMustBeThereOnce(t *testing.T) {
	for name, change := range map[string]func(http.Header){
		"no date":            func(h http.Header) { h.Del("X-Sdk-Date") },
		"two dates":          func(h http.Header) { h.Add("X-Sdk-Date", date) },
		"a fraction":         func(h http.Header) { h.Set("X-Sdk-Date", "20240806T120000.5Z") },
		"two authorizations": func(h http.Header) { h.Add("Authorization", h.Get("Authorization")) },
		"two digests": func(h http.Header) {
			h.Add("X-Sdk-Content-Sha256", "a")
			h.Add("X-Sdk-Content-Sha256", "b")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := vectorNamed("TV1").request()
			change(r.Header)
			_, err := verifier(noon).Verify(r)
			wantRefused(t, err, "")
		})
	}
}

func TestAlgorithmIsNamed(t *testing.T) {
	r := vectorNamed("TV1").request()
	r.Header.Set("Authorization", "V11-HMAC-SHA256 Credential=x")
	_, err := verifier(noon).Verify(r)
	wantRefused(t, err, "V11-HMAC-SHA256 is not supported")
	if !aksk.Present(r) {
		t.Error("a signature of another algorithm is not seen as a signature")
	}
	r.Header.Set("Authorization", "Basic eDp5")
	if aksk.Present(r) {
		t.Error("a password is seen as a signature")
	}
}

// SIG-004: older signers cover the host and the content type.
func TestHostAndContentTypeBehindAListener(t *testing.T) {
	var got error
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, got = verifier(noon).Verify(r)
	}))
	defer srv.Close()
	send := func(change func(*http.Request)) error {
		r, err := http.NewRequestWithContext(t.Context(), "POST", srv.URL+"/v1/p/secrets?x=%20", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json;charset=UTF-8")
		if err := aksk.Sign(r, ak, secretKey(), noon, "host", "content-type"); err != nil {
			t.Fatal(err)
		}
		change(r)
		res, err := srv.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return got
	}
	if err := send(func(*http.Request) {}); err != nil {
		t.Error(err)
	}
	wantRefused(t, send(func(r *http.Request) { r.Host = "elsewhere" }), "verify aksk signature fail")
	wantRefused(t, send(func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }), "verify aksk signature fail")
}

func TestSeveralValuesOfOneHeader(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["X-Many"] = []string{" b ", "a"}
	if err := aksk.Sign(r, ak, secretKey(), noon, "x-many"); err != nil {
		t.Fatal(err)
	}
	r.Header["X-Many"] = []string{"a", "b"}
	if _, err := verifier(noon).Verify(r); err != nil {
		t.Error(err)
	}
	r.Header["X-Many"] = []string{"a, b"}
	_, err := verifier(noon).Verify(r)
	wantRefused(t, err, "verify aksk signature fail")
}

func TestQueryThatDoesNotParse(t *testing.T) {
	for _, q := range []string{"a=%zz", "a;b", "%"} {
		r := vectorNamed("TV1").request()
		r.URL.RawQuery = q
		_, err := verifier(noon).Verify(r)
		wantRefused(t, err, "verify aksk signature fail")
	}
}

func TestBodyDigest(t *testing.T) { // SIG-016
	const digestOfHello = "2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824"
	for _, tc := range []struct{ name, digest, body, refused string }{
		{"is the body's", strings.ToLower(digestOfHello), "hello", ""},
		{"is the body's in upper case", digestOfHello, "hello", ""},
		{"is another body's", digestOfHello, "hullo", "verify aksk signature fail"},
		{"is no digest", "nonsense", "hello", "verify aksk signature fail"},
		{"is cut short", digestOfHello[:32], "hello", "verify aksk signature fail"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader(tc.body))
			r.Header.Set("X-Sdk-Content-Sha256", tc.digest)
			if err := aksk.Sign(r, ak, secretKey(), noon); err != nil {
				t.Fatal(err)
			}
			_, err := verifier(noon).Verify(r)
			if tc.refused != "" {
				wantRefused(t, err, tc.refused)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBodyLimit(t *testing.T) { // SIG-007
	for _, tc := range []struct {
		size    int
		chunked bool
		limit   int64
		want    fault.Kind
	}{
		{100, false, 100, 0},
		{100, true, 100, 0},
		{101, false, 100, fault.TooLarge},
		{101, true, 100, fault.TooLarge},
		{12 << 20, false, 0, 0},
		{12<<20 + 1, false, 0, fault.TooLarge},
	} {
		r := signed(t, "POST", "/", strings.Repeat("x", tc.size))
		if tc.chunked {
			r.ContentLength = -1
		}
		v := verifier(noon)
		v.MaxBody = tc.limit
		_, err := v.Verify(r)
		if tc.want == 0 && err != nil || tc.want != 0 && fault.KindOf(err) != tc.want {
			t.Errorf("%d bytes, limit %d: %v", tc.size, tc.limit, err)
		}
	}
}

func TestListenersLimitIsTooLargeAsWell(t *testing.T) {
	r := signed(t, "POST", "/", "hello")
	r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 3)
	if _, err := verifier(noon).Verify(r); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("error %v", err)
	}
}

func TestBodyThatBreaks(t *testing.T) {
	r := signed(t, "POST", "/", "hello")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("he"), broken{}))
	if _, err := verifier(noon).Verify(r); fault.KindOf(err) != fault.Invalid || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// What a handler has read of a body is nowhere in memory because of us.
func TestBodyIsGoneOnceItIsRead(t *testing.T) {
	r := signed(t, "POST", "/", "payload")
	if _, err := verifier(noon).Verify(r); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 4)
	if _, err := io.ReadFull(r.Body, first); err != nil || string(first) != "payl" {
		t.Fatalf("%q %v", first, err)
	}
	rest, err := io.ReadAll(r.Body)
	if err != nil || string(rest) != "oad" {
		t.Errorf("%q %v", rest, err)
	}
	if err := r.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestReplays(t *testing.T) {
	now := noon
	v := &aksk.Verifier{Keys: keys{}, Now: func() time.Time { return now }, Replays: aksk.NewReplays(2)}
	verify := func(method, body string) error {
		_, err := v.Verify(signed(t, method, "/", body))
		return err
	}
	for _, method := range []string{"GET", "GET", "POST"} {
		if err := verify(method, ""); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
	}
	wantRefused(t, verify("POST", ""), "used before")
	if err := verify("POST", "another"); err != nil {
		t.Error(err)
	}
	if err := verify("POST", "a third"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("when full: %v", err)
	}
	now = noon.Add(aksk.DefaultSkew)
	wantRefused(t, verify("POST", ""), "used before")
	v.Skew = time.Hour // the date is still good, but the memory has passed
	now = noon.Add(aksk.DefaultSkew + 2*time.Minute)
	if err := verify("POST", "a third"); err != nil {
		t.Errorf("after the old ones expired: %v", err)
	}
}

func TestSignNeedsItsHeaders(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	if err := aksk.Sign(r, ak, secretKey(), noon, "x-not-there"); err == nil {
		t.Error("signed a header that is not there")
	}
	r.Body = io.NopCloser(broken{})
	if err := aksk.Sign(r, ak, secretKey(), noon); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
}

// Whatever can be sent and signed verifies, and stops verifying when the
// method, the secret key or the body changes.
func FuzzSignVerify(f *testing.F) {
	f.Add("GET", "/v1/p/secrets", "limit=1&marker=%20", "x", "")
	f.Add("DELETE", "/a//b/./../中 +%", "a=z&a&a=A&b=2%20%2B%2F%3D~&empty", " v ", "{}\n")
	f.Add("PUT", "", "a;b", "", "\x00")
	f.Fuzz(func(t *testing.T, method, path, query, header, body string) {
		r := &http.Request{
			Method: method, Host: "h", URL: &url.URL{Path: path, RawQuery: query},
			Header: http.Header{"X-Fuzz": {header}}, Body: io.NopCloser(strings.NewReader(body)),
			ContentLength: int64(len(body)),
		}
		if err := aksk.Sign(r, ak, secretKey(), noon, "x-fuzz", "host"); err != nil {
			return // no canonical form: the query does not parse
		}
		if _, err := verifier(noon).Verify(r); err != nil {
			t.Fatalf("a signed request does not verify: %v", err)
		}
		got, err := io.ReadAll(r.Body)
		if err != nil || string(got) != body {
			t.Fatalf("body %q became %q (%v)", body, got, err)
		}
		changed := func(why string, change func(*http.Request)) {
			c := r.Clone(t.Context())
			c.Body = io.NopCloser(strings.NewReader(body))
			change(c)
			if _, err := verifier(noon).Verify(c); fault.KindOf(err) != fault.Unauthenticated {
				t.Errorf("verifies with another %s: %v", why, err)
			}
		}
		changed("method", func(c *http.Request) { c.Method += "X" })
		changed("host", func(c *http.Request) { c.Host += "x" })
		changed("path", func(c *http.Request) { c.URL.Path += "x" })
		changed("body", func(c *http.Request) {
			c.Body = io.NopCloser(strings.NewReader(body + "x"))
			c.ContentLength++
		})
		changed("secret key", func(c *http.Request) {
			if err := aksk.Sign(c, ak, sensitive.Take([]byte("other")), noon, "x-fuzz", "host"); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// No header makes Verify panic, or accept what was not signed.
func FuzzAuthorization(f *testing.F) {
	f.Add(vectorNamed("TV1").request().Header.Get("Authorization"), date, "")
	f.Add("SDK-HMAC-SHA256 Access=,SignedHeaders=;;,Signature==", "2024", "UNSIGNED-PAYLOAD")
	f.Fuzz(func(t *testing.T, authorization, date, digest string) {
		r := vectorNamed("TV2").unsigned()
		r.Header["Authorization"] = []string{authorization}
		r.Header["X-Sdk-Date"] = []string{date}
		if digest != "" {
			r.Header["X-Sdk-Content-Sha256"] = []string{digest}
		}
		if _, err := verifier(noon).Verify(r); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("%v", err)
		}
	})
}
