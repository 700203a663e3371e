package csms

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/secret"
)

// What a body is refused for is always the client's, and what is accepted
// keeps the promises of csms.md §4.1.
func FuzzNewSecret(f *testing.F) {
	for _, s := range []string{
		`{"name":"demo","secret_string":"x"}`, `{"name":"a","secret_binary":"eA==","secret_string":""}`,
		`{"name":"a","secret_string":"{'users':[{'name':'u','password':'p'}]}","secret_type":"RDS","rotation_config":"{'InstanceId':'i','SecretSubType':'SingleUser'}","auto_rotation":true,"rotation_period":"6h"}`,
		`{"name":5}`, `[]`, `{"name":"a","secret_string":"x","event_subscriptions":["e"],"kms_key_id":"0d0466b0-e727-4d9c-b35d-f84bb474a37f"}`,
	} {
		f.Add(s)
	}
	a := &API{}
	f.Fuzz(func(t *testing.T, body string) {
		fs, err := readFields(request(body))
		if err == nil {
			var in secret.New
			in, err = a.newSecret(fs)
			if err == nil {
				checkNew(t, in)
				return
			}
		}
		if code := answerTo(err).status; code != http.StatusBadRequest {
			t.Errorf("%q is a %d: %v", body, code, err)
		}
	})
}

var (
	namePattern = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	keyPattern  = regexp.MustCompile(`^(csms/default|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)
)

func checkNew(t *testing.T, in secret.New) {
	t.Helper()
	texts := in.Description + in.Rotation.Config + in.Rotation.FuncURN + in.EnterpriseProject + in.Rotation.Period + in.Kind
	if !namePattern.MatchString(*in.Name) || !keyPattern.MatchString(string(in.Key)) || strings.ContainsRune(texts, 0) ||
		in.Payload.Len() < 1 || in.Payload.Len() > DefaultMaxValue || len(in.Description) > 2048 ||
		in.Event != "" && !namePattern.MatchString(in.Event) || in.ContentType == "" {
		t.Errorf("accepted %+v", in)
	}
}

func request(body string) *http.Request {
	return httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
}

func FuzzNewVersion(f *testing.F) {
	f.Add(`{"secret_string":"x","version_stages":["a","a"],"expire_time":1893456000}`)
	f.Add(`{"secret_binary":"////","version_stages":null,"expire_time":1e12}`)
	a := &API{}
	f.Fuzz(func(t *testing.T, body string) {
		fs, err := readFields(request(body))
		if err != nil {
			return
		}
		in, err := a.newVersion(fs)
		if err != nil {
			if status := answerTo(err).status; status != http.StatusBadRequest {
				t.Errorf("%q is a %d: %v", body, status, err)
			}
			return
		}
		seen := map[secret.Stage]bool{}
		for _, s := range in.Stages {
			if seen[s] || !namePattern.MatchString(string(s)) {
				t.Errorf("stages %v", in.Stages)
			}
			seen[s] = true
		}
		if len(in.Stages) > secret.MaxStages || in.ExpiresAt != nil && in.ExpiresAt.UnixMilli()%1000 != 0 {
			t.Errorf("accepted %+v", in)
		}
	})
}

// An update never holds what a database cannot.
func FuzzUpdate(f *testing.F) {
	f.Add(`{"description":"","event_subscriptions":null,"auto_rotation":true,"rotation_period":"1d"}`)
	f.Fuzz(func(t *testing.T, body string) {
		fs, err := readFields(request(body))
		if err != nil {
			return
		}
		u, err := updateOf(fs)
		if err != nil {
			if status := answerTo(err).status; status != http.StatusBadRequest {
				t.Errorf("%q is a %d: %v", body, status, err)
			}
			return
		}
		for _, s := range []*string{u.Description, u.Period, u.FuncURN, u.Event} {
			if s != nil && strings.ContainsRune(*s, 0) {
				t.Errorf("accepted a NUL in %q", body)
			}
		}
	})
}

// A query is either read by its rules or refused by the dialect's codes.
func FuzzListQuery(f *testing.F) {
	for _, q := range []string{"limit=10&marker=a", "limit=0", "limit=%zz", "marker=%00", "limit=+1", "a;b"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}}
		q, err := parameters(r)
		if err == nil {
			var n int
			if n, err = limitOf(q); err == nil && (n < 1 || n > 1000) {
				t.Errorf("limit %d from %q", n, query)
			}
		}
		if err != nil && answerTo(err).status != http.StatusBadRequest {
			t.Errorf("%q: %v", query, err)
		}
	})
}

// What a rotation_config is refused for is the client's.
func FuzzRotationConfig(f *testing.F) {
	for _, s := range []string{
		`{"InstanceId":"i","SecretSubType":"SingleUser"}`, `{'rds_instance_id':'i','Secret_sub_type':'MultiUser'}`, `{"SecretSubType":"SingleUser"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := parseRotationConfig(s); err == nil && c.Instance == "" {
			t.Errorf("%q names no instance", s)
		} else if err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", s, err)
		}
	})
}

var periodPattern = regexp.MustCompile(`^[1-9][0-9]*[dhms]$`)

func FuzzRotationPeriod(f *testing.F) {
	for _, s := range []string{"6h", "8760h", "5h", "1d12h", "99999999999999999999d", "18446744073709551615s", "9223372036854775807d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := secret.ParsePeriod(s)
		if err == nil && (!periodPattern.MatchString(s) || d < 6*time.Hour || d > 8760*time.Hour) {
			t.Errorf("%q is %v", s, d)
		}
	})
}

// The number of a version and its label are two ways to write one thing.
func FuzzVersionNumber(f *testing.F) {
	for _, s := range []string{"v1", "v01", "v0", "v2147483648", "v", "latest", "v+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n := versionNumber(s); n != 0 && (secret.Version{Number: n}.Label() != s || !versionForm(s)) {
			t.Errorf("%q is number %d", s, n)
		}
	})
}

// clientsFault checks that what is not accepted is the client's mistake.
func clientsFault(t *testing.T, body string, err error) {
	t.Helper()
	if status := answerTo(err).status; status != http.StatusBadRequest {
		t.Errorf("%q is a %d: %v", body, status, err)
	}
}

// fuzzBody feeds bodies that are objects to a decoder.
func fuzzBody(f *testing.F, seeds []string, decode func(t *testing.T, fs *fields) error) {
	f.Helper()
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		fs, err := readFieldsIfAny(request(body))
		if err == nil {
			err = decode(t, fs)
		}
		if err != nil {
			clientsFault(t, body, err)
		}
	})
}

func FuzzWindow(f *testing.F) {
	fuzzBody(f, []string{"", `{"recovery_window_in_days":"15"}`, `{"recovery_window_in_days":1e1}`}, func(t *testing.T, fs *fields) error {
		days, err := window(fs)
		if err == nil && (days < 7 || days > 30) {
			t.Errorf("%d days", days)
		}
		return err
	})
}

var (
	tagKeyPattern   = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:=+\-@]{1,128}$`)
	tagValuePattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,255}$`)
)

func checkTag(t *testing.T, key, value string) {
	t.Helper()
	if !tagKeyPattern.MatchString(key) || strings.TrimSpace(key) != key || strings.HasPrefix(key, "_sys_") || !tagValuePattern.MatchString(value) {
		t.Errorf("accepted the tag %q, %q", key, value)
	}
}

func FuzzTag(f *testing.F) {
	fuzzBody(f, []string{`{"tag":{"key":"größe","value":"a/b"}}`, `{"tag":{"key":" a"}}`, `{"tag":[]}`}, func(t *testing.T, fs *fields) error {
		tag, err := tagIn(fs)
		if err == nil {
			checkTag(t, tag.Key, tag.Value)
		}
		return err
	})
}

func FuzzTagChange(f *testing.F) {
	fuzzBody(f, []string{`{"action":"create","tags":[{"key":"a","value":"b"},{"key":"c"}]}`, `{"action":"delete","tags":[{"key":"a"}],"sequence":"s"}`}, func(t *testing.T, fs *fields) error {
		c, err := tagChange(fs)
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, tag := range c.Put {
			checkTag(t, tag.Key, tag.Value)
			seen[tag.Key] = true
		}
		for _, key := range c.Drop {
			checkTag(t, key, "")
			seen[key] = true
		}
		if n := len(c.Put) + len(c.Drop); n < 1 || n > secret.MaxTags || n != len(seen) {
			t.Errorf("accepted %+v", c)
		}
		return nil
	})
}

func FuzzTagQuery(f *testing.F) {
	fuzzBody(f, []string{
		`{"action":"filter","limit":"5","offset":1,"tags":[{"key":"a","values":["b",""]}],"matches":[{"key":"resource_name","value":"x"}]}`,
		`{"action":"count","limit":"x","tags":[{"key":"a"}]}`,
	}, func(t *testing.T, fs *fields) error {
		q, possible, err := tagQuery(fs)
		if err != nil {
			return err
		}
		if q.Limit < 0 || q.Limit > 1000 || q.Offset < 0 || len(q.Tags) > 10 || len(q.Names) > 10 {
			t.Errorf("accepted %+v", q)
		}
		for _, tag := range q.Tags {
			checkTag(t, tag.Key, "")
			for _, v := range tag.Values {
				checkTag(t, tag.Key, v)
			}
		}
		for _, n := range q.Names {
			if possible && n == "" || strings.ContainsRune(n, 0) {
				t.Errorf("accepted the part %q of a name", n)
			}
		}
		return nil
	})
}

func FuzzPasswordRules(f *testing.F) {
	fuzzBody(f, []string{"", `{"length":16,"exclude_characters":"a","require_each_included_type":true}`, `{"password_policy_name":"x"}`}, func(t *testing.T, fs *fields) error {
		rules, err := passwordRules(fs)
		if err != nil {
			return err
		}
		p, err := rules.Generate()
		if err == nil && (p.Len() != rules.Length || strings.ContainsAny(string(p.Reveal()), rules.Exclude)) {
			t.Errorf("%+v made a password of %d", rules, p.Len())
		}
		return err
	})
}

func FuzzValuesWanted(f *testing.F) {
	a := &API{}
	fuzzBody(f, []string{`{"secret_name_list":["a","a","b"]}`, `{"secret_name_list":"a"}`}, func(t *testing.T, fs *fields) error {
		names, err := a.valuesWanted(fs)
		if err == nil && (len(names) < 1 || len(names) > maxBatch) {
			t.Errorf("%d names", len(names))
		}
		for _, n := range names {
			if !namePattern.MatchString(n) {
				t.Errorf("accepted the name %q", n)
			}
		}
		return err
	})
}
