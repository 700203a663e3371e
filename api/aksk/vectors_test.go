package aksk_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// The inputs that all vectors share (aksk-signing.md §8).
const (
	ak      = "HPUAEXAMPLEACCESSKEY"
	sk      = "ExampleSecretKey0123456789abcdefghijklmn"
	date    = "20240806T120000Z"
	project = "0123456789abcdef0123456789abcdef"
	agent   = "huaweicloud-usdk-go/3.0"
	common  = "user-agent;x-project-id;x-sdk-date"
)

var noon = time.Date(2024, 8, 6, 12, 0, 0, 0, time.UTC)

// keys is a directory of one access key.
type keys struct{ err error }

func (k keys) AccessKey(_ context.Context, id string) (auth.AccessKey, error) {
	if k.err != nil {
		return auth.AccessKey{}, k.err
	}
	if id != ak {
		return auth.AccessKey{}, fault.New(fault.Unauthenticated, "no such access key")
	}
	return auth.AccessKey{ID: id, Secret: secretKey(), User: "alice"}, nil
}

func secretKey() sensitive.Bytes { return sensitive.Take([]byte(sk)) }

func verifier(now time.Time) *aksk.Verifier {
	return &aksk.Verifier{Keys: keys{}, Now: func() time.Time { return now }}
}

// vector is a request as a server reads it off the wire.
type vector struct {
	id, method, uri, body string
	extra                 map[string]string
	signed, signature     string
}

var vectors = []vector{
	{
		id: "TV1", method: "GET", uri: "/v1/" + project + "/secrets?limit=10&marker=my_secret-1",
		signed: common, signature: "ae653f46902ab7a307fdeb59bdb8c5870316a1a1115cefabca5719c8247322fa",
	},
	{
		id: "TV2", method: "POST", uri: "/v1/" + project + "/secrets",
		body:   `{"name":"demo","kms_key_id":"0d0466b0-e727-4d9c-b35d-f84bb474a37f","secret_string":"this is a demo secret string"}` + "\n",
		signed: common, signature: "b6d69b1646484a7b8559d588959b307a8a654ad476022d89a4d40a8c29e4af6b",
	},
	{
		id: "TV3", method: "POST", uri: "/v1/" + project + "/secrets/demo/rotate",
		extra:  map[string]string{"X-Security-Token": "ggpjbi1ub3J0aC00EXAMPLE/token+value=="},
		signed: common + ";x-security-token", signature: "48b3fc80cbb79ed124e1656b73c43f53ad1ece0decff23c238253dba3b3bca59",
	},
	{
		id: "TV4", method: "DELETE",
		uri: "/v1/" + project + "/csms/bb6a3d22-dc93-47ac-b5bd-88df7ad35f1e/tags/env:prod%20team@x%20%E4%B8%AD" +
			"?a=z&a&a=A&b=2%20%2B%2F%3D~&empty",
		signed: common, signature: "0e79c7c8cd9699c77c78176414431e6c55dad4b41bedae22d304ac302741e636",
	},
	{
		id: "TV5", method: "GET", uri: "/v3/projects?name=cn-north-4",
		signed: "x-sdk-date", signature: "0750d11722872ff980ff5cc6e3e3052dc2ea6644d69e01dd1ad6e63ba8010852",
	},
	{
		id: "TV6", method: "POST", uri: "/v1/" + project + "/secrets/demo/versions",
		body:   `{"name":"demo","secret_string":"<a&b> é"}` + "\n",
		signed: common, signature: "650bd1359fe44e2d3a208997678b6af6e0a161333d643e54ebf827105772163c",
	},
	{
		id: "TV7", method: "POST", uri: "/v1/" + project + "/secrets//versions",
		body:   `{"name":"demo","secret_string":"this is a demo secret string"}` + "\n",
		signed: common, signature: "abe582bb2b23a1d3ba7ec3ecdec6e9080e1400df68845deff236713a8c96b4e8",
	},
	{
		id: "TV8", method: "POST", uri: "/v1/" + project + "/secrets", body: "hello",
		extra:     map[string]string{"Content-Type": "text/plain", "X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD"},
		signed:    "user-agent;x-project-id;x-sdk-content-sha256;x-sdk-date",
		signature: "1df073471e38b51c16788bfce93bd18c9c4447b168f12d27359cdd434896520e",
	},
}

func vectorNamed(id string) vector {
	for _, v := range vectors {
		if v.id == id {
			return v
		}
	}
	panic(id)
}

// unsigned is the vector's request before it was signed.
func (v vector) unsigned() *http.Request {
	r := httptest.NewRequest(v.method, v.uri, strings.NewReader(v.body))
	r.Header.Set("User-Agent", agent)
	r.Header.Set("X-Project-Id", project)
	r.Header.Set("X-Sdk-Date", date)
	for k, val := range v.extra {
		r.Header.Set(k, val)
	}
	return r
}

func (v vector) request() *http.Request {
	r := v.unsigned()
	r.Header.Set("Authorization", authorization(v.signed, v.signature))
	return r
}

func authorization(signed, signature string) string {
	return "SDK-HMAC-SHA256 Access=" + ak + ", SignedHeaders=" + signed + ", Signature=" + signature
}

// wantRefused asserts an Unauthenticated fault whose public text has the words
// that people search for.
func wantRefused(t *testing.T, err error, words string) {
	t.Helper()
	if fault.KindOf(err) != fault.Unauthenticated {
		t.Fatalf("error %v, want a refusal", err)
	}
	text := fault.PublicText(err)
	if !strings.HasPrefix(text, "Incorrect IAM authentication information: ") || !strings.Contains(text, words) {
		t.Errorf("the client reads %q, want %q in it", text, words)
	}
}

func TestVectorsVerify(t *testing.T) { // SIG-001
	for _, v := range vectors {
		t.Run(v.id, func(t *testing.T) {
			r := v.request()
			ver := verifier(noon)
			switch v.id {
			case "TV3": // SIG-014: temporary keys are not offered yet
				_, err := ver.Verify(r)
				wantRefused(t, err, "X-Security-Token")
				return
			case "TV8": // SIG-002
				_, err := ver.Verify(r)
				wantRefused(t, err, "the signature must cover the body")
				ver.AllowUnsignedPayload = true
			}
			key, err := ver.Verify(r)
			if err != nil {
				t.Fatal(err)
			}
			if key.ID != ak || key.User != "alice" {
				t.Errorf("key %+v", key)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != v.body {
				t.Errorf("the handler reads %q (%v), want %q", body, err, v.body)
			}
		})
	}
}

func TestSignMakesTheVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.id, func(t *testing.T) {
			r := v.unsigned()
			if err := aksk.Sign(r, ak, secretKey(), noon, strings.Split(v.signed, ";")...); err != nil {
				t.Fatal(err)
			}
			if got, want := r.Header.Get("Authorization"), authorization(v.signed, v.signature); got != want {
				t.Errorf("Authorization: %s\nwant           %s", got, want)
			}
		})
	}
}

func TestNegativeVectors(t *testing.T) { // SIG-003
	tv1, tv2, tv4 := vectorNamed("TV1"), vectorNamed("TV2"), vectorNamed("TV4")
	for _, tc := range []struct {
		id      string
		request func() *http.Request
		now     time.Time
		refused string // empty: accepted
	}{
		{"NV1", with(tv1, func(r *http.Request) {
			r.Header.Set("Authorization", authorization(common, tv1.signature[:63]+"b"))
		}), noon, "verify aksk signature fail"},
		{"NV2", with(tv1, nil), noon.Add(15*time.Minute + time.Second), "signature expired"},
		{"NV2, behind", with(tv1, nil), noon.Add(-15*time.Minute - time.Second), "signature expired"},
		{"NV3, ahead", with(tv1, nil), noon.Add(14*time.Minute + 59*time.Second), ""},
		{"NV3, behind", with(tv1, nil), noon.Add(-14*time.Minute - 59*time.Second), ""},
		{"NV4", with(tv2, func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.TrimSuffix(tv2.body, "\n")))
		}), noon, "verify aksk signature fail"},
		{"NV5", with(tv1, func(r *http.Request) { r.URL.RawQuery = "marker=my_secret-1&limit=10" }), noon, ""},
		{"NV7", with(tv1, func(r *http.Request) {
			r.Header.Set("Authorization", authorization("user-agent;x-project-id", tv1.signature))
		}), noon, "SignedHeaders lacks x-sdk-date"},
		{"NV8", with(tv1, func(r *http.Request) { r.Header.Del("X-Project-Id") }), noon, "verify aksk signature fail"},
		{"NV9", with(tv1, func(r *http.Request) { r.Header.Set("User-Agent", "curl/8") }), noon, "verify aksk signature fail"},
		{"NV10", func() *http.Request {
			v := tv4
			v.uri = strings.Replace(v.uri, "env:prod", "%65nv%3Aprod", 1)
			return v.request()
		}, noon, ""},
		{"NV11", with(tv1, func(r *http.Request) {
			r.Header.Set("Authorization", authorization(common, strings.ToUpper(tv1.signature)))
		}), noon, ""},
		{"NV12", with(tv1, func(r *http.Request) { r.Header.Set("X-Sdk-Date", "2024-08-06T12:00:00Z") }), noon, "X-Sdk-Date"},
	} {
		t.Run(tc.id, func(t *testing.T) {
			_, err := verifier(tc.now).Verify(tc.request())
			if tc.refused != "" {
				wantRefused(t, err, tc.refused)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// with returns the vector's signed request after a change.
func with(v vector, change func(*http.Request)) func() *http.Request {
	return func() *http.Request {
		r := v.request()
		if change != nil {
			change(r)
		}
		return r
	}
}

// NV6: a header that the signature does not cover proves nothing, and Covers
// tells which do.
func TestUnsignedProjectIsNotCovered(t *testing.T) {
	v := vectorNamed("TV5")
	r := v.request()
	r.Header.Set("X-Project-Id", "another")
	if _, err := verifier(noon).Verify(r); err != nil {
		t.Fatal(err)
	}
	if aksk.Covers(r, "x-project-id") {
		t.Error("the signature is said to cover X-Project-Id")
	}
	if !aksk.Covers(vectorNamed("TV1").request(), "x-project-id") {
		t.Error("the signature is said not to cover X-Project-Id")
	}
}

func TestKeyTrouble(t *testing.T) {
	r := vectorNamed("TV1").request()
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), ak, "NOBODY", 1))
	_, err := verifier(noon).Verify(r)
	wantRefused(t, err, "ak NOBODY not exist")

	away := verifier(noon)
	away.Keys = keys{err: fault.New(fault.Unavailable, "database away")}
	if _, err := away.Verify(vectorNamed("TV1").request()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("error %v: who asks is not known, which is not the same as nobody", err)
	}
	broken := verifier(noon)
	broken.Keys = keys{err: errors.New("boom")}
	if _, err := broken.Verify(vectorNamed("TV1").request()); fault.KindOf(err) != fault.Internal {
		t.Errorf("error %v", err)
	}
}
