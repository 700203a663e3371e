package barbican_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/api/barbican"
)

// listWorld is the fixture of §25.6: 12 secrets n00 … n11, and one that
// expires in 2040. All but the last have attributes to select by.
func listWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for i := range 12 {
		kind, alg, bits := "symmetric", "aes", 128+i%2
		if i >= 6 {
			kind, alg = "passphrase", "none"
		}
		w.make(fmt.Sprintf("n%02d", i), fmt.Sprintf(
			`{"name":"n%02d","secret_type":%q,"algorithm":%q,"mode":"m%d","bit_length":%d}`, i, kind, alg, i, bits))
	}
	w.make("E", `{"name":"expiring","algorithm":"zz","bit_length":1,"expiration":"2040-01-01"}`)
	return w
}

// names lists the names on a page, in order.
func names(t *testing.T, a answer) []string {
	t.Helper()
	list, ok := a.json()["secrets"].([]any)
	if a.code != 200 || !ok {
		t.Fatalf("%d %s", a.code, a.body)
	}
	out := []string{}
	for _, s := range list {
		m, _ := s.(map[string]any)
		name, _ := m["name"].(string)
		out = append(out, name)
	}
	return out
}

func TestListPages(t *testing.T) {
	w := listWorld(t)
	for _, tc := range []struct {
		id, query      string
		items          int
		previous, next string // queries
	}{
		{"BAR-210", "", 10, "", "limit=10&offset=10"},
		{"BAR-211", "limit=3&offset=3", 3, "limit=3&offset=0", "limit=3&offset=6"},
		{"BAR-212", "offset=5", 8, "limit=10&offset=0", ""},
		{"BAR-213", "limit=3&offset=100", 0, "", ""},
		{"BAR-214", "limit=0", 1, "", "limit=1&offset=1"},
		{"BAR-214", "limit=-1", 1, "", "limit=1&offset=1"},
		{"BAR-215", "limit=abc", 10, "", "limit=10&offset=10"},
		{"BAR-215", "limit=5.5", 10, "", "limit=10&offset=10"},
		{"BAR-215", "limit=", 10, "", "limit=10&offset=10"},
		{"BAR-215", "limit=0x1", 10, "", "limit=10&offset=10"},
		{"BAR-215", "limit=1e1", 10, "", "limit=10&offset=10"},
		{"BAR-217", "offset=-5", 10, "", "limit=10&offset=10"},
		{"BAR-217", "offset=abc", 10, "", "limit=10&offset=10"},
		{"§7.5", "offset=99999999999999999999", 10, "", "limit=10&offset=10"},
		{"§7.5", "limit=99999999999999999999", 13, "", ""},
		{"§7.5", "limit=%2B3&offset=+1+", 3, "limit=3&offset=0", "limit=3&offset=4"},
		{"BAR-223", "foo=bar&limit=2", 2, "", "limit=2&offset=2&foo=bar"},
		{"BAR-239", "acl_only=false", 10, "", "limit=10&offset=10&acl_only=false"},
		{"BAR-239", "acl_only=foo&limit=13", 13, "", ""},
	} {
		t.Run(tc.id+" "+tc.query, func(t *testing.T) {
			a := w.do("u1", "GET /v1/secrets?"+tc.query, "", "")
			if got := len(names(t, a)); got != tc.items {
				t.Errorf("%d items, want %d", got, tc.items)
			}
			m := a.json()
			if m["total"] != 13.0 {
				t.Errorf("total %v", m["total"])
			}
			for member, want := range map[string]string{"previous": tc.previous, "next": tc.next} {
				if want != "" {
					want = base + "/v1/secrets?" + want
				}
				if got, _ := m[member].(string); got != want {
					t.Errorf("%s %q, want %q", member, got, want)
				}
			}
		})
	}
	if a := w.do("u1", "GET /v1/secrets?limit=3&offset=100", "", ""); a.body != `{"secrets":[],"total":13}` {
		t.Errorf("BAR-213: %s", a.body)
	}
}

func TestListSelects(t *testing.T) {
	w := listWorld(t)
	ten := []string{"n00", "n01", "n02", "n03", "n04", "n05", "n06", "n07", "n08", "n09"}
	first := ten[:6]
	for _, tc := range []struct {
		id, query string
		want      []string
	}{
		{"BAR-218", "name=n01", []string{"n01"}},
		{"BAR-219", "name=n0%25", ten},
		{"BAR-219", "name=_11", []string{"n11"}},
		{"BAR-219 case matters", "name=N01", nil},
		{"BAR-220", "alg=aes", first},
		{"BAR-220", "mode=m7", []string{"n07"}},
		{"BAR-220", "bits=129&alg=aes", []string{"n01", "n03", "n05"}},
		{"BAR-220", "secret_type=symmetric", first},
		{"BAR-221", "bits=abc&alg=aes", first},
		{"BAR-221", "bits=0&alg=aes", first},
		{"BAR-221", "bits=-1&alg=aes", first},
		{"bits beyond any", "bits=99999999999", nil},
		{"BAR-222", "secret_type=foo", nil},
		{"BAR-222", "secret_type=SYMMETRIC", nil},
		{"BAR-225", "sort=name:desc&alg=aes", []string{"n05", "n04", "n03", "n02", "n01", "n00"}},
		{"BAR-225", "sort=name&alg=aes", first},
		{"BAR-226", "sort=algorithm:asc,bit_length:desc&limit=4&offset=2", []string{"n05", "n00", "n02", "n04"}},
		{"BAR-228", "created=gt:2020-01-01T00:00:00&alg=aes", first},
		{"BAR-228", "created=lt:2020-01-01T00:00:00", nil},
		{"BAR-229", "created=gte:2020-01-01,lt:2100-01-01&alg=aes", first},
		{"BAR-232", "expiration=gt:2030-01-01", []string{"expiring"}},
		{"BAR-232", "expiration=2040-01-01T00:00:00Z", []string{"expiring"}},
		{"§8.8 offsets", "expiration=2040-01-01T05:00:00%2B05:00", []string{"expiring"}},
		{"§8.8 gt with an equality", "expiration=gt:2030-01-01,2040-01-01", []string{"expiring"}},
		{"BAR-241", "&name=n01", []string{"n01"}},
		{"empty is not given", "name=&alg=&bits=&created=&sort=&secret_type=&mode=m3", []string{"n03"}},
	} {
		t.Run(tc.id+" "+tc.query, func(t *testing.T) {
			got := names(t, w.do("u1", "GET /v1/secrets?"+tc.query, "", ""))
			if !slices.Equal(got, append([]string{}, tc.want...)) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestListRepeatsFiltersInLinks(t *testing.T) { // BAR-224
	w := listWorld(t)
	a := w.do("u1", "GET /v1/secrets?alg=aes&limit=2&name=n0%25&sort=name:desc", "", "")
	next, _ := a.json()["next"].(string)
	if want := base + "/v1/secrets?limit=2&offset=2&alg=aes&name=n0%25&sort=name%3Adesc"; next != want {
		t.Fatalf("next %q, want %q", next, want)
	}
	// Clients follow links literally.
	if got := names(t, w.do("u1", "GET "+strings.TrimPrefix(next, base), "", "")); !slices.Equal(got, []string{"n03", "n02"}) {
		t.Errorf("the next page has %v", got)
	}
}

func TestListRefuses(t *testing.T) {
	w := newWorld(t)
	for id, queries := range map[string][]string{
		"BAR-227": {"sort=foo", "sort=name:up", "sort=name:ASC", "sort=name,name", "sort=name:asc,name:desc", "sort=name:asc:desc", "sort=secret_ref", "sort=,", "sort=name:"},
		"BAR-230": {"created=bad", "created=gt:bad", "created=eq:2020-01-01", "updated=gt:", "expiration=,"},
		"BAR-231": {
			"created=gt:2020-01-01,gte:2020-01-01", "updated=lt:2020-01-01,lte:2020-01-01", "created=2020-01-01,2020-01-01",
			"created=gte:2020-01-01,lte:2020-01-01,gt:2020-01-01", "created=gte:2020-01-01,2020-01-01", "created=2020-01-01,lte:2020-01-01",
		},
		"BAR-242":        {"limit=2&limit=3", "foo=1&foo=2", "name=a&n%61me=b"},
		"malformed":      {"name=%zz", "%=1"},
		"not text":       {"name=%00", "alg=%ff", "mode=%c3%28", "secret_type=%00"},
		"a lone escape":  {`name=a\`, `mode=%5C`, `alg=%5C%5C%5C`},
		"dates far away": {"created=10000-01-01", "created=0000-01-01", "created=9999-12-31T23:59:59-01:00", "created=0001-01-01T00:00:00%2B01:00"},
	} {
		for _, q := range queries {
			a := w.do("u1", "GET /v1/secrets?"+q, "", "")
			if a.code != 400 {
				t.Errorf("%s ?%s: %d %s, want 400", id, q, a.code, a.body)
				continue
			}
			a.t = t
			a.isError(t)
		}
	}
}

func TestListShowsTheProject(t *testing.T) {
	w := listWorld(t)
	t.Run("BAR-234", func(t *testing.T) {
		if a := w.do("x", "GET /v1/secrets", "", ""); a.body != `{"secrets":[],"total":0}` {
			t.Errorf("another project sees %s", a.body)
		}
	})
	t.Run("BAR-235", func(t *testing.T) {
		a := w.do("u1", "GET /v1/secrets", "OpenStack-API-Version: key-manager 1.1", "")
		if got := strings.Count(a.body, `"consumers":[]`); got != 10 {
			t.Errorf("%d of 10 have consumers", got)
		}
		if a := w.do("u1", "GET /v1/secrets", "", ""); strings.Contains(a.body, "consumers") {
			t.Errorf("1.0 shows consumers: %s", a.body)
		}
	})
	t.Run("BAR-240", func(t *testing.T) {
		for who, want := range map[string]int{"aud": 403, "svc": 403, "obs": 200, "adm": 200, "peer": 200} {
			if a := w.do(who, "GET /v1/secrets", "", ""); a.code != want {
				t.Errorf("%s: %d, want %d", who, a.code, want)
			}
		}
	})
	t.Run("BAR-233", func(t *testing.T) {
		w.clock.turn(time.Hour)
		since := url.QueryEscape(w.clock.now().Format(time.RFC3339))
		if a := w.do("u1", "PUT /v1/secrets/{n03}", "Content-Type: text/plain", "x"); a.code != 204 {
			t.Fatalf("PUT: %d", a.code)
		}
		if got := names(t, w.do("u1", "GET /v1/secrets?updated=gte:"+since, "", "")); !slices.Equal(got, []string{"n03"}) {
			t.Errorf("updated since then: %v", got)
		}
	})
}

func TestPageLimitsAreTheOperators(t *testing.T) { // BAR-216
	w := newWorld(t, func(a *barbican.API) { a.Limits.MaxPage, a.Limits.DefaultPage = 5, 2 })
	for i := range 7 {
		w.make(fmt.Sprint(i), `{}`)
	}
	a := w.do("u1", "GET /v1/secrets?limit=1000", "", "")
	if next := a.json()["next"]; len(names(t, a)) != 5 || next != base+"/v1/secrets?limit=5&offset=5" {
		t.Errorf("%d items, next %v", len(names(t, a)), next)
	}
	if got := len(names(t, w.do("u1", "GET /v1/secrets", "", ""))); got != 2 {
		t.Errorf("%d items by default, want 2", got)
	}
}
