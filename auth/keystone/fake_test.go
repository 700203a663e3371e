package keystone_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/auth/keystone"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// fake is as much of a Keystone as one needs to misbehave. It is called without
// a network, so that a test may let time pass.
type fake struct {
	mu        sync.Mutex
	tokens    map[string]string // token to its body
	password  string
	own       string        // the service user's token that is good
	life      time.Duration // of that
	logins    int
	questions []string // queries
	instead   http.HandlerFunc
}

func newFake() *fake {
	return &fake{tokens: map[string]string{}, password: "right", life: time.Hour}
}

// token is the body of one; more are further members.
func token(user, project, role string, life time.Duration, more string) string {
	expires := time.Now().Add(life).UTC().Format("2006-01-02T15:04:05.000000Z")
	scope := ""
	if project != "" {
		scope = fmt.Sprintf(`"project": {"id": %q, "name": "n", "domain": {"id": "default"}},`, project)
	}
	return fmt.Sprintf(`{"token": {"user": {"id": %q, "name": %q, "domain": {"id": "default", "name": "Default"}}, %s
		"roles": [{"id": "1", "name": %q}], "expires_at": %q, "methods": ["password"]%s}}`, user, user, scope, role, expires, more)
}

func (f *fake) set(name, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens[name] = body
}

func (f *fake) misbehave(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.instead = h
}

// calls says how often it was asked about a token, and for one.
func (f *fake) calls() (questions, logins int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.questions), f.logins
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodPost {
		f.logins++
	} else {
		f.questions = append(f.questions, r.URL.RawQuery)
	}
	switch {
	case f.instead != nil:
		f.instead(w, r)
	case r.URL.Path != "/v3/auth/tokens":
		http.NotFound(w, r)
	case r.Method == http.MethodPost:
		f.login(w, r)
	case r.Header.Get("X-Auth-Token") != f.own:
		w.WriteHeader(http.StatusUnauthorized)
	default:
		f.validate(w, r)
	}
}

func (f *fake) login(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Auth struct {
			Identity struct {
				Password struct {
					User struct{ Name, Password string }
				}
			}
			Scope struct{ Project struct{ Name string } }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	u := in.Auth.Identity.Password.User
	if u.Name != "strongroom" || u.Password != f.password || in.Auth.Scope.Project.Name != "service" {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error": {"message": "`+u.Password+`"}}`) // nobody may print that
		return
	}
	f.own = fmt.Sprintf("own-%d", f.logins)
	w.Header().Set("X-Subject-Token", f.own)
	w.WriteHeader(http.StatusCreated)
	fmt.Fprint(w, token("strongroom", "service", "service", f.life, ""))
}

func (f *fake) validate(w http.ResponseWriter, r *http.Request) {
	body, ok := f.tokens[r.Header.Get("X-Subject-Token")]
	var in struct {
		Token struct {
			ExpiresAt time.Time `json:"expires_at"`
		}
	}
	_ = json.Unmarshal([]byte(body), &in) // some are no JSON
	old := !in.Token.ExpiresAt.IsZero() && in.Token.ExpiresAt.Before(time.Now())
	if !ok || old && r.URL.Query().Get("allow_expired") != "1" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	fmt.Fprint(w, body)
}

// RoundTrip makes a fake a transport.
func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (f *fake) config() keystone.Config {
	return keystone.Config{
		URL: "http://keystone.test", User: "strongroom", UserDomain: "Default", Project: "service", ProjectDomain: "Default",
		Password:  func() (sensitive.Bytes, error) { return sensitive.Take([]byte("right")), nil },
		Timeout:   2 * time.Second,
		Transport: f,
	}
}

func client(t *testing.T, cfg keystone.Config) *keystone.Client {
	t.Helper()
	c, err := keystone.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
