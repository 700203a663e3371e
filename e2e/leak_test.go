package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/api/aksk"
	"github.com/strongroom-kms/strongroom/e2e/devserver"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// canary is in everything secret that this test sends. It has no meaning to
// any parser.
const canary = "k4n4ry-Xq7Zw2Vt9"

// Whatever is sent, in good requests and in bad ones, nothing secret is ever
// in a log, in the record, in the database or in an answer that says no.
func TestNothingSecretIsLeftBehind(t *testing.T) {
	needs(t, "pg_dump", "psql")
	s := start(t)
	l := newLeaking(t, s)
	// The most that there is to see: every level of the log, and every statement
	// with its arguments in the database's own.
	l.must(t, 200, "PUT", s.Env["STRONGROOM_ADMIN_URL"]+"/loglevel", map[string]string{"level": "debug"})
	shell(t, s, `psql -q -d "$DATABASE_URL" -c "ALTER SYSTEM SET log_statement = 'all'" -c "SELECT pg_reload_conf()"`)

	l.sendGood(t)
	l.sendBad(t)
	l.sendHeaders(t)
	t.Logf("%d requests, answered: %v", l.sent, l.answers)

	secrets := map[string]string{
		"a canary":          canary,
		"an access token":   l.token,
		"the password":      s.Env["OS_PASSWORD"],
		"the secret key":    s.Env["CLOUD_SDK_SK"],
		"the token's PIN":   readFile(t, filepath.Join(s.Dir, "token", "pin")),
		"the SO's PIN":      readFile(t, filepath.Join(s.Dir, "token", "so-pin")),
		"a made secret key": l.madeKey,
	}
	l.search(t, secrets)
}

// leaking sends canaries and notes what is answered.
type leaking struct {
	*client
	s        *devserver.Server
	identity string
	barbican string
	csms     string
	secret   string // UUID of a Barbican secret with a payload
	empty    string // and of one without
	user     string // ID of a user whose password is a canary
	demo     string // ID of the demo user
	madeKey  string // secret key that the server made
	sent     int
	answers  map[int]int // by status
}

func newLeaking(t *testing.T, s *devserver.Server) *leaking {
	t.Helper()
	l := &leaking{
		client: demo(t, s), s: s, answers: map[int]int{},
		identity: strings.TrimSuffix(s.Env["OS_AUTH_URL"], "/v3"),
		barbican: s.Env["KEY_MANAGER_URL"],
		csms:     s.Env["CSMS_URL"] + "/v1/" + s.Env["OS_PROJECT_ID"] + "/secrets",
	}
	var who struct {
		Token struct {
			User struct{ ID string }
		}
	}
	l.must(t, 200, "GET", l.identity+"/v3/auth/tokens", nil, "X-Subject-Token", l.token).json(t, &who)
	l.demo = who.Token.User.ID
	return l
}

// sendGood stores canaries in every way there is, and reads them back.
func (l *leaking) sendGood(t *testing.T) {
	t.Helper()
	for _, body := range []map[string]any{
		{"payload": canary, "payload_content_type": "text/plain"},
		{"payload": base64.StdEncoding.EncodeToString([]byte(canary)), "payload_content_type": "application/octet-stream", "payload_content_encoding": "base64"},
	} {
		var made struct {
			Ref string `json:"secret_ref"`
		}
		l.must(t, 201, "POST", l.barbican+"/v1/secrets", body).json(t, &made)
		l.secret = filepath.Base(made.Ref)
		if got := l.must(t, 200, "GET", l.barbican+"/v1/secrets/"+l.secret+"/payload", nil); string(got.Body) != canary {
			t.Fatalf("payload %q", got.Body)
		}
	}
	var made struct {
		Ref string `json:"secret_ref"`
	}
	l.must(t, 201, "POST", l.barbican+"/v1/secrets", map[string]any{}).json(t, &made)
	l.must(t, 204, "PUT", l.barbican+"/v1/secrets/"+filepath.Base(made.Ref), canary, "Content-Type", "text/plain")
	l.must(t, 201, "POST", l.barbican+"/v1/secrets", map[string]any{}).json(t, &made)
	l.empty = filepath.Base(made.Ref)

	l.must(t, 200, "POST", l.csms, map[string]any{"name": "canary", "secret_string": canary})
	l.must(t, 200, "POST", l.csms+"/canary/versions", map[string]any{"secret_string": canary})
	l.must(t, 200, "POST", l.csms, map[string]any{"name": "binary", "secret_binary": base64.StdEncoding.EncodeToString([]byte(canary))})
	l.must(t, 200, "GET", l.csms+"/canary/versions/latest", nil)

	var user struct{ User struct{ ID string } }
	l.must(t, 201, "POST", l.identity+"/v3/users", map[string]any{"user": map[string]any{"name": "victim", "password": canary}}).json(t, &user)
	l.user = user.User.ID
	l.must(t, 204, "POST", l.identity+"/v3/users/"+l.user+"/password",
		map[string]any{"user": map[string]any{"original_password": canary, "password": canary + "-2"}})
	l.must(t, 201, "POST", l.identity+"/v3/auth/tokens", passwordLogin(l.user, canary+"-2"))
	l.must(t, 401, "POST", l.identity+"/v3/auth/tokens", passwordLogin(l.user, canary+"-wrong"))
	l.must(t, 201, "POST", l.identity+"/v3/users/"+l.demo+"/application_credentials",
		map[string]any{"application_credential": map[string]any{"name": "app", "secret": canary}})
	var key struct{ Credential struct{ Secret string } }
	l.must(t, 201, "POST", l.identity+"/v3/users/"+l.demo+"/credentials/OS-EC2",
		map[string]any{"tenant_id": l.s.Env["OS_PROJECT_ID"]}).json(t, &key)
	if l.madeKey = key.Credential.Secret; l.madeKey == "" {
		t.Fatal("no secret key was made")
	}
}

func passwordLogin(user, password string) map[string]any {
	return map[string]any{"auth": map[string]any{"identity": map[string]any{
		"methods":  []string{"password"},
		"password": map[string]any{"user": map[string]any{"id": user, "password": password}},
	}}}
}

// badBodies hold a canary each, and something that a parser, a schema or a
// rule must refuse.
var badBodies = []string{
	`{"payload":"` + canary,
	`{"payload":"` + canary + `"} trailing`,
	`"` + canary + `"`,
	`["` + canary + `"]`,
	"{\"payload\":\"" + canary + "\xff\",\"secret_string\":\"" + canary + "\xff\"}",
	`{"payload":{"deep":"` + canary + `"},"secret_string":{"deep":"` + canary + `"},"secret_binary":["` + canary + `"]}`,
	`{"payload":"` + canary + `"}`,
	`{"payload":"` + canary + `","payload_content_type":"text/none"}`,
	`{"payload":"` + canary + `!","payload_content_type":"application/octet-stream","payload_content_encoding":"base64"}`,
	`{"payload":"` + canary + `","payload_content_type":"text/plain","expiration":"yesterday","bit_length":-1}`,
	`{"payload":"` + canary + `","payload_content_type":"text/plain","secret_type":"none","mode":7}`,
	`{"name":"bad name!","secret_string":"` + canary + `"}`,
	`{"name":"n","secret_string":"` + canary + `","secret_binary":"` + canary + `"}`,
	`{"name":"n","secret_binary":"` + canary + `!!"}`,
	`{"name":"n","secret_string":"` + canary + `","kms_key_id":"no-key","secret_type":"RDS-FG","rotation_config":"x"}`,
	`{"secret_string":"` + canary + `","version_stages":["!"],"expire_time":-5}`,
	`{"secret_string":"` + canary + `","version_stages":"no list"}`,
	`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"demo","domain":{"name":"Default"},"password":"` + canary + `"}}}}}`,
	`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"demo","domain":"x","password":["` + canary + `"]}}}}}`,
	`{"auth":{"identity":{"methods":["password"],"password":"` + canary + `"}}}`,
	`{"auth":{"identity":{"methods":["token"],"token":{"id":"` + canary + `"}}}}`,
	`{"auth":{"identity":{"methods":["token"],"token":"` + canary + `"}}}`,
	`{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":"x","secret":"` + canary + `"}}}}`,
	`{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":"x"},"secret":{"key":"` + canary + `"}}}}}`,
	`{"user":{"name":"w","password":["` + canary + `"],"enabled":"` + canary + `"}}`,
	`{"user":{"original_password":"` + canary + `","password":"` + canary + `"}}`,
	`{"user":{"original_password":5,"password":"` + canary + `"}}`,
	`{"application_credential":{"name":"a","secret":"` + canary + `","roles":5}}`,
	`{"application_credential":{"secret":{"x":"` + canary + `"}}}`,
	`{"credential":{"type":"ec2","user_id":"x","project_id":"y","blob":"{\"access\":\"x\",\"secret\":\"` + canary + `\"}"}}`,
	`{"credential":{"type":"ec2","blob":"` + canary + `"}}`,
	`{"credential":{"type":"totp","blob":"` + canary + `"}}`,
	strings.Repeat(`{"payload":`, 200) + `"` + canary + `"` + strings.Repeat(`}`, 200),
	canary,
}

// sendBad sends each bad body to every route that takes one, as whatever
// content type there is.
func (l *leaking) sendBad(t *testing.T) {
	t.Helper()
	v1, older := l.barbican+"/v1/secrets", l.barbican+"/v1/"+l.s.Env["OS_PROJECT_ID"]+"/secrets"
	v3 := l.identity + "/v3"
	for _, route := range [][2]string{
		{"POST", v1}, {"PUT", v1 + "/" + l.empty}, {"PUT", v1 + "/" + l.secret}, {"POST", v1 + "/" + l.secret},
		{"PUT", v1 + "/" + l.secret + "/metadata"}, {"POST", v1 + "/" + l.secret + "/metadata"},
		{"PUT", v1 + "/" + l.secret + "/metadata/k"}, {"PATCH", v1}, {"POST", l.barbican + "/v1/none"},
		{"POST", older}, {"PUT", older + "/" + l.empty},
		{"POST", l.csms}, {"PUT", l.csms + "/canary"}, {"POST", l.csms + "/canary/versions"}, {"PUT", l.csms + "/canary/versions/v1"},
		{"PUT", l.csms + "/canary/stages/s"}, {"PATCH", l.csms}, {"POST", l.s.Env["CSMS_URL"] + "/v1/none"},
		{"POST", v3 + "/auth/tokens"}, {"POST", v3 + "/users"}, {"PATCH", v3 + "/users/" + l.user}, {"POST", v3 + "/users/" + l.user + "/password"},
		{"POST", v3 + "/projects"}, {"PATCH", v3 + "/projects/none"}, {"POST", v3 + "/roles"}, {"PATCH", v3 + "/roles/none"},
		{"POST", v3 + "/users/" + l.demo + "/application_credentials"}, {"POST", v3 + "/credentials"},
		{"POST", v3 + "/users/" + l.user + "/credentials/OS-EC2"}, {"POST", l.identity + "/v3.0/OS-CREDENTIAL/credentials"},
		{"PUT", l.identity + "/v3.0/OS-CREDENTIAL/credentials/none"}, {"POST", v3 + "/none"},
	} {
		for _, body := range badBodies {
			l.send(t, route[0], route[1], body, "Content-Type", "application/json")
		}
		l.send(t, route[0], route[1], canary, "Content-Type", "text/plain; charset=none")
		l.send(t, route[0], route[1], canary+"!", "Content-Type", "application/octet-stream", "Content-Encoding", "base64")
		l.send(t, route[0], route[1], canary, "Content-Type", "application/x-www-form-urlencoded")
	}
	for _, route := range [][2]string{{"POST", v1}, {"PUT", v1 + "/" + l.empty}, {"POST", l.csms}, {"POST", v3 + "/users"}} {
		big := `{"name":"b","secret_string":"` + strings.Repeat(canary, 8000) + `","payload":"` + strings.Repeat(canary, 8000) + `"}`
		l.send(t, route[0], route[1], big, "Content-Type", "application/json")
		l.send(t, route[0], route[1], big, "Content-Type", "text/plain")
	}
}

// sendHeaders sends canaries where an access token or a signature belongs.
func (l *leaking) sendHeaders(t *testing.T) {
	t.Helper()
	valid := l.token
	defer func() { l.token = valid }()
	for _, url := range []string{
		l.barbican + "/v1/secrets", l.barbican + "/v1/secrets/" + l.secret + "/payload", l.csms, l.csms + "/canary/versions/latest",
		l.identity + "/v3/auth/tokens", l.identity + "/v3/users", l.identity + "/v3/auth/projects",
	} {
		l.token = canary
		l.send(t, "GET", url, "")
		l.send(t, "GET", url, "", "X-Subject-Token", canary)
		l.token = valid
		l.send(t, "GET", url, "", "X-Subject-Token", canary)
		l.token = ""
		l.send(t, "GET", url, "", "Authorization", "Bearer "+canary)
		l.send(t, "GET", url, "", "Authorization", "SDK-HMAC-SHA256 Access=x, SignedHeaders=x-sdk-date, Signature="+canary, "X-Sdk-Date", "20260101T000000Z")
		for _, sk := range []string{canary, l.s.Env["CLOUD_SDK_SK"]} {
			req, err := http.NewRequest("GET", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := aksk.Sign(req, l.s.Env["CLOUD_SDK_AK"], sensitive.Take([]byte(sk)), time.Now(), "host"); err != nil {
				t.Fatal(err)
			}
			l.send(t, "GET", url, "", "Authorization", req.Header.Get("Authorization"), "X-Sdk-Date", req.Header.Get("X-Sdk-Date"))
		}
	}
	l.token = valid
	l.send(t, "DELETE", l.identity+"/v3/auth/tokens", "", "X-Subject-Token", canary)
}

// send sends one request and judges the answer. One that says no repeats
// nothing, and nothing that a caller sends is our own fault.
func (l *leaking) send(t *testing.T, method, url, body string, headers ...string) {
	t.Helper()
	a, err := l.do(method, url, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	l.sent++
	l.answers[a.Status]++
	if a.Status >= 500 {
		t.Errorf("%s %s with %.80q = %d %s", method, url, body, a.Status, a.Body)
	}
	if a.Status < 400 {
		return
	}
	for form, text := range forms(canary) {
		if bytes.Contains(a.Body, []byte(text)) {
			t.Errorf("%s %s with %.80q = %d repeats it (%s): %s", method, url, body, a.Status, form, a.Body)
		}
	}
}

// forms are the ways a text may be found again: as it is, in hex, as a list of
// bytes, and in base64 wherever it starts.
func forms(text string) map[string]string {
	out := map[string]string{
		"as it is":     text,
		"hex":          hex.EncodeToString([]byte(text)),
		"capital hex":  strings.ToUpper(hex.EncodeToString([]byte(text))),
		"byte by byte": strings.Trim(fmt.Sprintf("%d", []byte(text)), "[]"),
	}
	for at, name := range []string{"base64", "base64 from the second byte", "base64 from the third byte"} {
		// What is before and after decides the characters at both ends.
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", at) + text))
		out[name] = encoded[(at*8+5)/6 : len(encoded)-1]
	}
	return out
}

// search looks into everything that the server has written.
func (l *leaking) search(t *testing.T, secrets map[string]string) {
	t.Helper()
	log, err := l.s.Log()
	if err != nil {
		t.Fatal(err)
	}
	places := map[string][]byte{
		"the log":     log,
		"the metrics": l.ask(t, "GET", l.s.Env["STRONGROOM_ADMIN_URL"]+"/metrics").Body,
		"a dump":      []byte(shell(t, l.s, `pg_dump -d "$DATABASE_URL"`)),
	}
	// What is meant to hold them: the file for a shell, the demo account, PINs.
	open := map[string]bool{"env.sh": true, "demo.json": true, "token/pin": true, "token/so-pin": true}
	err = filepath.WalkDir(l.s.Dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(l.s.Dir, path)
		// PostgreSQL removes files while it runs: those are in the dump.
		if err == nil && d.Type().IsRegular() && !open[name] {
			if b, err := os.ReadFile(path); err == nil {
				places[name] = b
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"audit.journal", "postgres/postgres.log"} {
		if len(places[want]) == 0 {
			t.Errorf("%s is not among the files that were searched", want)
		}
	}
	if !bytes.Contains(places["postgres/postgres.log"], []byte("INSERT INTO secret")) {
		t.Error("the database did not log its statements: this test sees less than it should")
	}
	for place, text := range places {
		for what, secret := range secrets {
			for form, found := range forms(secret) {
				if at := bytes.Index(text, []byte(found)); at >= 0 {
					t.Errorf("%s has %s (%s): …%s…", place, what, form, text[max(0, at-200):min(len(text), at+80)])
				}
			}
		}
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
