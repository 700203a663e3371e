package keystone_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/keystone"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// inTime runs a test whose clock moves by itself when everybody waits.
func inTime(t *testing.T, test func(t *testing.T, f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newFake()) })
}

func ask(t *testing.T, c *keystone.Client, token string) (auth.Principal, fault.Kind) {
	t.Helper()
	who, err := c.ByToken(t.Context(), token)
	return who, kindOf(err)
}

// good is the kind of no error.
const good = fault.Kind(255)

func kindOf(err error) fault.Kind {
	if err == nil {
		return good
	}
	return fault.KindOf(err)
}

func want(t *testing.T, c *keystone.Client, token string, kind fault.Kind) {
	t.Helper()
	if _, got := ask(t, c, token); got != kind {
		t.Errorf("token %.20s: %v, want %v", token, got, kind)
	}
}

func TestTokenBecomesPrincipal(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		c := client(t, f.config())
		for name, tc := range map[string]struct {
			body string
			want auth.Principal
		}{
			"project": {token("u1", "p1", "Creator", time.Hour, ""),
				auth.Principal{User: "u1", UserName: "u1", Domain: "default", Project: "p1", ProjectDomain: "default", Roles: []string{"creator"}}},
			"domain": {token("u1", "", "admin", time.Hour, `, "domain": {"id": "default"}`),
				auth.Principal{User: "u1", UserName: "u1", Domain: "default", Roles: []string{"admin"}}},
			"system": {token("u1", "", "admin", time.Hour, `, "system": {"all": true}`),
				auth.Principal{User: "u1", UserName: "u1", Domain: "default", Roles: []string{"admin"}}},
			"application-credential": {token("u1", "p1", "member", time.Hour, `, "application_credential": {"id": "ac1", "restricted": true}`),
				auth.Principal{User: "u1", UserName: "u1", Domain: "default", Project: "p1", ProjectDomain: "default", Roles: []string{"member"}, Credential: "ac1"}},
			"trust": {token("u1", "p1", "member", time.Hour, `, "OS-TRUST:trust": {"id": "t1", "impersonation": true}`),
				auth.Principal{User: "u1", UserName: "u1", Domain: "default", Project: "p1", ProjectDomain: "default", Roles: []string{"member"}, Credential: "t1"}},
		} {
			f.set(name, tc.body)
			who, kind := ask(t, c, name)
			tc.want.Method = auth.ByToken
			if diff := cmp.Diff(tc.want, who); kind != good || diff != "" {
				t.Errorf("%s: %v\n%s", name, kind, diff)
			}
		}
		want(t, c, "unknown", fault.Unauthenticated)
	})
}

// A token is asked about once; while the answer is remembered, that costs
// nothing, whoever asks and however many at once.
func TestWarmCostsNoCall(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		f.set("a", token("u1", "p1", "creator", time.Hour, ""))
		c := client(t, f.config())
		var wait sync.WaitGroup
		for range 20 {
			wait.Go(func() { want(t, c, "a", good) })
		}
		wait.Wait()
		for range 100 {
			want(t, c, "a", good)
			want(t, c, "unknown", fault.Unauthenticated)
		}
		if questions, logins := f.calls(); questions != 2 || logins != 1 {
			t.Errorf("%d questions and %d logins, want 2 and 1", questions, logins)
		}
		if f.questions[0] != "nocatalog=1" {
			t.Errorf("asked with %s", f.questions[0])
		}
	})
}

func TestRevokedTokenEndsWithinTheCacheTTL(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		f.set("a", token("u1", "p1", "creator", time.Hour, ""))
		c := client(t, f.config())
		want(t, c, "a", good)
		delete(f.tokens, "a")
		time.Sleep(59 * time.Second)
		want(t, c, "a", good)
		time.Sleep(time.Second)
		want(t, c, "a", fault.Unauthenticated)
	})
}

func TestTokenEndsWhenItExpires(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		f.set("a", token("u1", "p1", "creator", 10*time.Second, ""))
		c := client(t, f.config())
		want(t, c, "a", good)
		time.Sleep(9 * time.Second)
		want(t, c, "a", good)
		time.Sleep(time.Second)
		want(t, c, "a", fault.Unauthenticated)
	})
}

// Bad news is forgotten soon: a token may be known to one Keystone before the
// other.
func TestBadNewsIsForgottenSoon(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		c := client(t, f.config())
		want(t, c, "a", fault.Unauthenticated)
		f.set("a", token("u1", "p1", "creator", time.Hour, ""))
		time.Sleep(4 * time.Second)
		want(t, c, "a", fault.Unauthenticated)
		time.Sleep(time.Second)
		want(t, c, "a", good)
	})
}

// What cannot be a token is not asked about: it might break the question.
func TestWhatCannotBeATokenIsNotAskedAbout(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		c := client(t, f.config())
		for _, bad := range []string{"", " ", "a b", "a\r\nX-Auth-Token: own-1", "a\x00", "ä", strings.Repeat("x", 3<<10+1)} {
			want(t, c, bad, fault.Unauthenticated)
		}
		if questions, logins := f.calls(); questions+logins != 0 {
			t.Errorf("%d questions and %d logins", questions, logins)
		}
	})
}

// Whatever goes wrong, nobody is let in, and what is remembered stays good.
func TestTroubleIsUnavailable(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"500": status(500),
		"429": status(429),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.test/", http.StatusFound)
		},
		"forbidden":         status(403),
		"empty":             status(200),
		"garbage":           says(`<html>`),
		"no user":           says(`{"token": {"expires_at": "2100-01-01T00:00:00Z", "project": {"id": "p"}}}`),
		"no end":            says(`{"token": {"user": {"id": "u"}, "project": {"id": "p"}}}`),
		"no project's name": says(`{"token": {"user": {"id": "u"}, "expires_at": "2100-01-01T00:00:00Z", "project": {}}}`),
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat(" ", 2<<20)+token("u", "p", "r", time.Hour, ""))
		},
		"slow": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, f *fake) {
				f.set("known", token("u1", "p1", "creator", time.Hour, ""))
				f.set("new", token("u1", "p1", "creator", time.Hour, ""))
				c := client(t, f.config())
				want(t, c, "known", good)
				f.misbehave(h)
				want(t, c, "new", fault.Unavailable)
				want(t, c, "known", good)
				f.misbehave(nil)
				time.Sleep(30 * time.Second)
				want(t, c, "new", good)
			})
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

// A Keystone that is away is not asked by everybody, and is found again.
func TestAwayIsAskedSeldom(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		f.set("known", token("u1", "p1", "creator", time.Hour, ""))
		c := client(t, f.config())
		want(t, c, "known", good)
		f.misbehave(status(503))
		before, _ := f.calls()
		for i := range 1000 {
			f.set(fmt.Sprint(i), token("u1", "p1", "creator", time.Hour, ""))
			want(t, c, fmt.Sprint(i), fault.Unavailable)
			time.Sleep(10 * time.Millisecond)
		}
		if after, _ := f.calls(); after-before > 8 {
			t.Errorf("asked %d times in ten seconds", after-before)
		}
		f.misbehave(nil)
		time.Sleep(5 * time.Second)
		want(t, c, "1", good)
		want(t, c, "2", good)
	})
}

// The caller who asks first may leave; the others get the answer.
func TestWhoLeavesTakesNobodyAlong(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		f.set("a", token("u1", "p1", "creator", time.Hour, ""))
		cfg := f.config()
		cfg.Transport = slow{f}
		c := client(t, cfg)
		ctx, leave := context.WithCancel(t.Context())
		var wait sync.WaitGroup
		wait.Go(func() { _, _ = c.ByToken(ctx, "a") })
		time.Sleep(time.Millisecond)
		wait.Go(func() { want(t, c, "a", good) })
		time.Sleep(time.Millisecond)
		leave()
		wait.Wait()
		if questions, _ := f.calls(); questions != 1 {
			t.Errorf("%d questions, want 1", questions)
		}
	})
}

type slow struct{ *fake }

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(100 * time.Millisecond)
	return s.fake.RoundTrip(r)
}

// The service user's token is renewed before it ends, and when it is revoked.
func TestOwnTokenIsRenewed(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		f.set("a", token("u1", "p1", "creator", 100*time.Hour, ""))
		cfg := f.config()
		cfg.CacheTTL = time.Second
		c := client(t, cfg)
		for range 3 * 60 { // three hours, with tokens of one
			want(t, c, "a", good)
			time.Sleep(time.Minute)
		}
		if _, logins := f.calls(); logins != 4 {
			t.Errorf("%d logins in three hours, want 4", logins)
		}
		f.mu.Lock()
		f.own = "revoked"
		f.mu.Unlock()
		want(t, c, "a", good)
		if _, logins := f.calls(); logins != 5 {
			t.Errorf("%d logins, want 5", logins)
		}
	})
}

// A refused password is not tried again and again: Keystone locks users out.
func TestRefusedPasswordRests(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		f.password = "another"
		c := client(t, f.config())
		for range 10 {
			want(t, c, "a", fault.Unavailable)
		}
		if _, logins := f.calls(); logins != 1 {
			t.Errorf("%d logins, want 1", logins)
		}
		_, err := c.ByToken(t.Context(), "a")
		if err == nil || !strings.Contains(err.Error(), "refuses the service user") || strings.Contains(err.Error(), "right") {
			t.Errorf("the operator reads: %v", err)
		}
		f.password = "right"
		f.set("a", token("u1", "p1", "creator", time.Hour, ""))
		time.Sleep(30 * time.Second)
		want(t, c, "a", good)
	})
}

func TestPasswordThatCannotBeRead(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Password = func() (sensitive.Bytes, error) { return sensitive.Bytes{}, errors.New("no such file") }
		want(t, client(t, cfg), "a", fault.Unavailable)
	})
}

// What is remembered of a token by itself says nothing of it beside a service
// token, nor the other way round.
func TestProlongedAnswersAreApart(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		f.set("old", token("u1", "p1", "creator", -time.Hour, ""))
		f.set("nova", token("nova", "service", "service", time.Hour, ""))
		c := client(t, f.config())
		for range 2 {
			want(t, c, "old", fault.Unauthenticated)
			if _, err := c.ByTokens(t.Context(), auth.Tokens{User: "old", Service: "nova"}); err != nil {
				t.Errorf("with a service token: %v", err)
			}
		}
	})
}

func TestServiceToken(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		f.set("user", token("u1", "p1", "creator", time.Hour, ""))
		f.set("old", token("u1", "p1", "creator", -time.Hour, ""))
		f.set("nova", token("nova", "service", "Service", time.Hour, ""))
		f.set("any", token("any", "service", "member", time.Hour, ""))
		strict, lax := f.config(), f.config()
		lax.AnyService = true
		for _, tc := range []struct {
			name          string
			cfg           keystone.Config
			user, service string
			want          fault.Kind
		}{
			{"good", strict, "user", "nova", good},
			{"expired user", strict, "old", "nova", good},
			{"expired user alone", strict, "old", "", fault.Unauthenticated},
			{"unknown service", strict, "user", "unknown", fault.Unauthenticated},
			{"no role", strict, "user", "any", fault.Unauthenticated},
			{"no role, lax", lax, "user", "any", good},
			{"no role prolongs nothing", lax, "old", "any", fault.Unauthenticated},
			{"unknown user", strict, "unknown", "nova", fault.Unauthenticated},
			{"expired service", strict, "user", "old", fault.Unauthenticated},
		} {
			c := client(t, tc.cfg)
			for range 2 {
				who, err := c.ByTokens(t.Context(), auth.Tokens{User: tc.user, Service: tc.service})
				if got := kindOf(err); got != tc.want || got == good && who.User != "u1" {
					t.Errorf("%s: %v %q, want %v", tc.name, got, who.User, tc.want)
				}
			}
			// An answer for a service is none for the user alone.
			if tc.user == "old" {
				want(t, c, "old", fault.Unauthenticated)
			}
		}
	})
}

// Keystone gives such tokens to those alone who promise to keep to the rules.
func TestAccessRulesAreRefused(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		f.set("a", token("u1", "p1", "creator", time.Hour,
			`, "application_credential": {"id": "ac1", "access_rules": [{"service": "key-manager", "method": "GET", "path": "/v1/secrets"}]}`))
		want(t, client(t, f.config()), "a", fault.Unauthenticated)
	})
}

// A project that has the name of the installation's own keys is let in by no
// token.
func TestProjectThatIsNone(t *testing.T) {
	inTime(t, func(t *testing.T, f *fake) {
		c := client(t, f.config())
		f.set("odd", token("u1", string(auth.Installation), "admin", time.Hour, ""))
		want(t, c, "odd", fault.Unavailable)
	})
}
