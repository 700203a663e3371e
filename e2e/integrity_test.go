package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/e2e/devserver"
)

func openDB(t *testing.T, s *devserver.Server) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", s.Env["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// stored is one version as its row has it.
type stored struct {
	client  *client
	url     string // of its payload
	secret  string
	number  int
	payload string
}

func (v stored) read() (answer, error) {
	return v.client.do("GET", v.url, nil, "Accept", "application/octet-stream")
}

// A row copied over another one, its body, its wrapped DEK or both, of another
// secret, version or project, does not open: an error of its own, never the
// other's value, and nobody else notices.
func TestMovedRowsDoNotOpen(t *testing.T) {
	s := server(t)
	db := openDB(t, s)
	alice := as(t, s, "alice", "alice-password", "alpha")
	bob := as(t, s, "bob", "bob-password", "beta")
	mine, other, foreign := store(t, s, alice, "mine"), store(t, s, alice, "other"), store(t, s, bob, "foreign")

	for _, tc := range []struct {
		name, columns string
		from          stored
	}{
		{"body of another secret", "body = o.body", other},
		{"wrapped DEK of another secret", "wrapped_dek = o.wrapped_dek, kek = o.kek", other},
		{"both of another secret", "body = o.body, wrapped_dek = o.wrapped_dek, kek = o.kek", other},
		{"body of another project", "body = o.body", foreign},
		{"wrapped DEK of another project", "wrapped_dek = o.wrapped_dek", foreign},
		{"both of another project", "body = o.body, wrapped_dek = o.wrapped_dek", foreign},
	} {
		t.Run(tc.name, func(t *testing.T) {
			undo := tamper(t, db, mine, `UPDATE secret_versions v SET `+tc.columns+` FROM secret_versions o
				WHERE v.secret = $1 AND v.number = $2 AND o.secret = $3 AND o.number = 1`, tc.from.secret)
			defer undo()
			doesNotOpen(t, mine, tc.from.payload)
			for _, v := range []stored{other, foreign} {
				opens(t, v)
			}
		})
	}
	t.Run("both of another version", func(t *testing.T) {
		b := throughBoth(t, s)
		b.storeCSMS(t, map[string]any{"name": "versions", "secret_string": "first-value"})
		b.must(t, 200, "POST", b.csms+"/versions/versions", map[string]any{"secret_string": "second-value"})
		if _, err := db.Exec(`UPDATE secret_versions v SET body = o.body, wrapped_dek = o.wrapped_dek
			FROM secret_versions o JOIN secrets s ON s.id = o.secret
			WHERE s.name = 'versions' AND v.secret = s.id AND v.number = 2 AND o.number = 1`); err != nil {
			t.Fatal(err)
		}
		a := b.must(t, 500, "GET", b.csms+"/versions/versions/v2", nil)
		if bytes.Contains(a.Body, []byte("first-value")) {
			t.Errorf("the other version's value came out: %s", a.Body)
		}
		b.must(t, 200, "GET", b.csms+"/versions/versions/v1", nil)
	})
}

// One flipped bit anywhere in a row is found, and disturbs no other request.
func TestFlippedBitsAreFound(t *testing.T) {
	s := server(t)
	db := openDB(t, s)
	alice := as(t, s, "alice", "alice-password", "alpha")
	victim, neighbour := store(t, s, alice, "victim"), store(t, s, alice, "neighbour")
	for _, column := range []string{"wrapped_dek", "body"} {
		var size int
		if err := db.QueryRow(`SELECT octet_length(`+column+`) FROM secret_versions WHERE secret = $1`, victim.secret).Scan(&size); err != nil {
			t.Fatal(err)
		}
		for at := 0; at < size; at += max(1, size/12) {
			t.Run(fmt.Sprintf("%s byte %d", column, at), func(t *testing.T) {
				undo := tamper(t, db, victim, fmt.Sprintf(`UPDATE secret_versions
					SET %[1]s = set_byte(%[1]s, %[2]d, get_byte(%[1]s, %[2]d) # 1)
					WHERE secret = $1 AND number = $2 AND $3::text IS NOT NULL`, column, at), "")
				defer undo()
				doesNotOpen(t, victim, "")
				opens(t, neighbour)
			})
		}
	}
}

func store(t *testing.T, s *devserver.Server, c *client, name string) stored {
	t.Helper()
	payload := "payload of " + name
	var made struct {
		Ref string `json:"secret_ref"`
	}
	c.must(t, http.StatusCreated, "POST", s.Env["KEY_MANAGER_URL"]+"/v1/secrets",
		map[string]any{"name": name, "payload": payload, "payload_content_type": "text/plain"}).json(t, &made)
	return stored{client: c, url: made.Ref + "/payload", secret: filepath.Base(made.Ref), number: 1, payload: payload}
}

// tamper changes v's row and returns what puts it back.
func tamper(t *testing.T, db *sql.DB, v stored, statement, from string) func() {
	t.Helper()
	var wrapped, body []byte
	var kek string
	if err := db.QueryRow(`SELECT wrapped_dek, body, kek FROM secret_versions WHERE secret = $1 AND number = $2`,
		v.secret, v.number).Scan(&wrapped, &body, &kek); err != nil {
		t.Fatal(err)
	}
	res, err := db.Exec(statement, v.secret, v.number, from)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := res.RowsAffected(); n != 1 {
		t.Fatalf("%d rows changed", n)
	}
	return func() {
		if _, err := db.Exec(`UPDATE secret_versions SET wrapped_dek = $3, body = $4, kek = $5 WHERE secret = $1 AND number = $2`,
			v.secret, v.number, wrapped, body, kek); err != nil {
			t.Fatal(err)
		}
		opens(t, v)
	}
}

func opens(t *testing.T, v stored) {
	t.Helper()
	a, err := v.read()
	if err != nil || a.Status != http.StatusOK || string(a.Body) != v.payload {
		t.Errorf("%s = %d %q (%v), want %q", v.url, a.Status, a.Body, err, v.payload)
	}
}

func doesNotOpen(t *testing.T, v stored, other string) {
	t.Helper()
	a, err := v.read()
	if err != nil || a.Status != http.StatusInternalServerError {
		t.Errorf("%s = %d %q (%v), want 500", v.url, a.Status, a.Body, err)
	}
	if other != "" && bytes.Contains(a.Body, []byte(other)) {
		t.Errorf("the other's value came out: %s", a.Body)
	}
	if !bytes.Contains(a.Body, []byte("does not open")) {
		t.Errorf("the error is not one of its own: %s", a.Body)
	}
}

// What a person with pkcs11-tool and the PIN sees: one AES key per project, and
// none whose value leaves the token.
func TestTokenHoldsOneKeyPerProject(t *testing.T) {
	needs(t, "pkcs11-tool")
	s := start(t, "--accounts", absolute(t, "testdata/accounts.json"))
	for _, who := range [][3]string{{"alice", "alice-password", "alpha"}, {"bob", "bob-password", "beta"}} {
		c := as(t, s, who[0], who[1], who[2])
		for range 3 {
			store(t, s, c, "x")
		}
	}
	b := throughBoth(t, s)
	b.storeCSMS(t, map[string]any{"name": "y", "secret_string": "z"})

	pin, err := os.ReadFile(filepath.Join(s.Dir, "token", "pin"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "pkcs11-tool", "--module", module(t), "--login", "--pin", strings.TrimSpace(string(pin)),
		"--token-label", "strongroom", "--list-objects", "--type", "secrkey")
	cmd.Env = append(os.Environ(), "SOFTHSM2_CONF="+filepath.Join(s.Dir, "token", "softhsm2.conf"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	labels := regexp.MustCompile(`label:\s+csms/default@1 (\S+)`).FindAllSubmatch(out, -1)
	keys := bytes.Count(out, []byte("Secret Key Object"))
	seen := map[string]bool{}
	for _, l := range labels {
		seen[string(l[1])] = true
	}
	if keys != 3 || len(seen) != 3 { // alpha, beta, demo
		t.Errorf("%d keys for %d projects, want 3 for 3:\n%s", keys, len(seen), out)
	}
	access := regexp.MustCompile(`Access:\s+(.*)`).FindAllSubmatch(out, -1)
	for _, a := range access {
		for _, want := range []string{"sensitive", "always sensitive", "never extractable", "local"} {
			if !bytes.Contains(a[1], []byte(want)) {
				t.Errorf("a key is %q, want %q", a[1], want)
			}
		}
	}
	if len(access) != keys {
		t.Errorf("%d keys say how they may be accessed, want %d:\n%s", len(access), keys, out)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

func module(t *testing.T) string {
	t.Helper()
	for _, p := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	t.Fatal("there is no SoftHSM2 module")
	return ""
}
