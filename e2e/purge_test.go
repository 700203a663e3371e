package e2e

import (
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"testing"
	"time"

	_ "github.com/lib/pq"
)

// remains looks into the database of a server.
type remains struct {
	*sql.DB
	t *testing.T
}

func newRemains(t *testing.T, url string) remains {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return remains{db, t}
}

// sealed is what is stored of a secret's first payload, as PostgreSQL prints
// it.
func (r remains) sealed(id string) (body, wrappedDEK string) {
	r.t.Helper()
	var b, w []byte
	if err := r.QueryRow(`SELECT body, wrapped_dek FROM secret_versions WHERE secret = $1 AND number = 1`, id).Scan(&b, &w); err != nil {
		r.t.Fatal(err)
	}
	if len(b) < 28 || len(w) < 32 {
		r.t.Fatalf("a payload of %d bytes under a DEK of %d", len(b), len(w))
	}
	return hex.EncodeToString(b), hex.EncodeToString(w)
}

// holding are the tables in which a text stands anywhere.
func (r remains) holding(text string) (tables []string) {
	r.t.Helper()
	rows, err := r.Query(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			r.t.Fatal(err)
		}
		var holds bool
		if err := r.QueryRow(`SELECT EXISTS (SELECT FROM `+table+` x WHERE position($1 IN x::text) > 0)`, text).Scan(&holds); err != nil {
			r.t.Fatal(err)
		}
		if holds {
			tables = append(tables, table)
		}
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return tables
}

// shredded deletes a secret and checks that nothing is left of its payload.
func (r remains) shredded(what, id string, remove func()) {
	r.t.Helper()
	body, wrappedDEK := r.sealed(id)
	for _, text := range []string{body, wrappedDEK} {
		if tables := r.holding(text); len(tables) != 1 || tables[0] != "secret_versions" {
			r.t.Errorf("%s: before, it stands in %v", what, tables)
		}
	}
	remove()
	for name, text := range map[string]string{"the payload": body, "the wrapped DEK": wrappedDEK} {
		if tables := r.holding(text); len(tables) != 0 {
			r.t.Errorf("%s: %s still stands in %v", what, name, tables)
		}
	}
	for _, table := range []string{"secrets", "secret_directory"} {
		var n int
		if err := r.QueryRow(`SELECT count(*) FROM `+table+` WHERE id = $1`, id).Scan(&n); err != nil || n != 0 {
			r.t.Errorf("%s: %d rows of %s are left, %v", what, n, table, err)
		}
	}
}

// Deleting a secret removes its ciphertext and its wrapped DEK at once, and so
// does the job when a secret's time is over, with a record of it.
func TestNothingIsLeftOfASecret(t *testing.T) {
	s := server(t)
	c := demo(t, s)
	r := newRemains(t, s.Env["DATABASE_URL"])
	barbican := s.Env["KEY_MANAGER_URL"] + "/v1/secrets"
	csms := s.Env["CSMS_URL"] + "/v1/" + s.Env["OS_PROJECT_ID"] + "/secrets"
	created := func(more map[string]any) (url, id string) {
		body := map[string]any{"name": "purge", "payload": "a payload", "payload_content_type": "text/plain"}
		for k, v := range more {
			body[k] = v
		}
		url = c.must(t, http.StatusCreated, http.MethodPost, barbican, body).Header.Get("Location")
		return url, path.Base(url)
	}
	createdNamed := func(name string) (url, id string) {
		var made struct{ Secret struct{ ID string } }
		c.must(t, http.StatusOK, http.MethodPost, csms, map[string]string{"name": name, "secret_string": "a payload"}).json(t, &made)
		return csms + "/" + name, made.Secret.ID
	}
	gone := func(url, id string) {
		t.Helper()
		var there bool
		for end := time.Now().Add(40 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if err := r.QueryRow(`SELECT EXISTS (SELECT FROM secrets WHERE id = $1)`, id).Scan(&there); err != nil {
				t.Fatal(err)
			}
			if !there {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s is never removed", id)
			}
		}
		c.must(t, http.StatusNotFound, http.MethodGet, url, nil)
		var text string
		if err := r.QueryRow(`SELECT event FROM audit_events WHERE event::json->'target'->>'id' = $1 AND event::json->>'action' = 'secret.purge'`, id).Scan(&text); err != nil {
			t.Fatalf("no record that %s is removed: %v", id, err)
		}
		var ev struct {
			Initiator struct{ Name, Method string }
			Outcome   string
		}
		if err := json.Unmarshal([]byte(text), &ev); err != nil || ev.Initiator.Name != "strongroom" || ev.Outcome != "success" {
			t.Errorf("the record says %s, %v", text, err)
		}
	}
	name := fmt.Sprint("purge-", time.Now().UnixNano())

	url, id := created(nil)
	r.shredded("deleted through Barbican", id, func() { c.must(t, http.StatusNoContent, http.MethodDelete, url, nil) })

	url, id = createdNamed(name)
	r.shredded("deleted through CSMS", id, func() { c.must(t, http.StatusOK, http.MethodDelete, url, nil) })

	expiration := time.Now().Add(3 * time.Second).UTC()
	url, id = created(map[string]any{"expiration": expiration.Format("2006-01-02T15:04:05.000000")})
	c.must(t, http.StatusOK, http.MethodGet, url, nil)
	r.shredded("expired", id, func() {
		time.Sleep(time.Until(expiration) + 10*time.Millisecond)
		c.must(t, http.StatusNotFound, http.MethodGet, url, nil)
		gone(url, id)
	})

	url, id = createdNamed(name)
	r.shredded("scheduled for deletion", id, func() {
		if _, err := r.Exec(`UPDATE secrets SET state = 'PENDING_DELETE', delete_at = now() WHERE id = $1`, id); err != nil {
			t.Fatal(err)
		}
		gone(url, id)
	})
}
