package csms_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

const csmsPath = "/v1/" + ours + "/csms"

// tagged makes a secret with tags, given as key, value, …, and returns the path
// of its tags.
func (rm *room) tagged(name string, pairs ...string) string {
	rm.Helper()
	id := rm.secret(name, "x").at("secret", "id").(string)
	path := csmsPath + "/" + id + "/tags"
	for i := 0; i < len(pairs); i += 2 {
		rm.do("POST", path, tagText(pairs[i], pairs[i+1])).done()
	}
	return path
}

func tagText(key, value string) string {
	return jsonText(map[string]any{"tag": map[string]any{"key": key, "value": value}})
}

// done asserts a 204 without a body.
func (a answer) done() {
	a.Helper()
	if a.status != http.StatusNoContent || a.raw != "" {
		a.Errorf("%s: %d %q", a.what, a.status, a.raw)
	}
}

// inner is fault in the nested form, which the group of tags has.
func (a answer) inner(status int, code string) {
	a.Helper()
	a.fault(status, code)
	if !a.nested {
		a.Errorf("%s: a flat fault %s", a.what, a.raw)
	}
}

func TestTags(t *testing.T) {
	rm := open(t)
	path := rm.tagged("demo")
	rm.do("GET", path, "").ok().wants("[]", "tags").wants("[]", "sys_tags")
	rm.do("POST", path, tagText("env", "prod")).done()                          // CSMS-163
	rm.do("GET", path, "").ok().wants(`[{"key":"env","value":"prod"}]`, "tags") // CSMS-164
	rm.do("POST", path, tagText("env", "dev")).done()                           // CSMS-168
	rm.do("GET", path, "").ok().wants(`[{"key":"env","value":"dev"}]`, "tags")
	rm.do("GET", csmsPath+"/demo/tags", "").ok().wants(`[{"key":"env","value":"dev"}]`, "tags") // by name
	rm.do("POST", path, `{"tag":{"key":"env"}}`).done()
	rm.do("GET", path, "").ok().wants(`[{"key":"env","value":""}]`, "tags")

	// CSMS-166
	for _, tag := range [][2]string{
		{"größe", "中文 値"}, {"a b", "x y"}, {":=+-@._", "/:=+-@._"}, {strings.Repeat("ü", 128), strings.Repeat("/", 255)},
		{"sys_x", ""}, {"Ⅷ٣", " ends "},
	} {
		rm.do("POST", path, tagText(tag[0], tag[1])).done()
		if list := rm.do("GET", path, "").ok(); !strings.Contains(list.raw, jsonText(map[string]string{"key": tag[0], "value": tag[1]})) {
			t.Errorf("%q is not in %s", tag, list.raw)
		}
		rm.do("DELETE", path+"/"+url.PathEscape(tag[0]), "").done()
	}

	// CSMS-169
	rm.do("POST", path, tagText("env:prod x", "1")).done()
	rm.do("DELETE", path+"/env%3Aprod%20x", "").done()
	rm.do("DELETE", path+"/env%3Aprod%20x", "").inner(404, "CSMS.0005")
	for _, key := range []string{"none", "%00", "%ff", "_sys_x", strings.Repeat("k", 1000), "a*b"} {
		rm.do("DELETE", path+"/"+key, "").inner(404, "CSMS.0005")
	}
	// A key that is also a word of the path.
	rm.do("POST", path, tagText("action", "1")).done()
	rm.do("DELETE", path+"/action", "").done()
	rm.do("GET", path, "").ok().wants(`[{"key":"env","value":""}]`, "tags")
}

func TestTagsThatAreRefused(t *testing.T) { // CSMS-165
	rm := open(t)
	path := rm.tagged("demo", "env", "prod")
	for _, tag := range [][2]string{
		{strings.Repeat("k", 129), ""}, {"", ""}, {" a", ""}, {"a ", ""}, {"\u00a0a", ""}, {"a*b", ""}, {"_sys_x", ""}, {"a/b", ""}, {"a\tb", ""}, {"a\x00b", ""}, {"a\u0301", ""},
		{"k", strings.Repeat("v", 256)}, {"k", "a*b"}, {"k", "a\nb"}, {"k", "\x00"}, {"k", "🔑"},
	} {
		rm.do("POST", path, tagText(tag[0], tag[1])).inner(400, "CSMS.0002")
		batch := map[string]any{"action": "create", "tags": []map[string]string{{"key": "ok", "value": "1"}, {"key": tag[0], "value": tag[1]}}}
		rm.do("POST", path+"/action", jsonText(batch)).inner(400, "CSMS.0002")
	}
	for body, code := range map[string]string{
		`{}`: "CSMS.0002", `{"tag":null}`: "CSMS.0002", `{"tag":{}}`: "CSMS.0002", `{"tag":{"value":"x"}}`: "CSMS.0002",
		`{"tag":"env"}`: "CSMS.0004", `{"tag":{"key":1}}`: "CSMS.0004", `{"tag":{"key":"a","value":[]}}`: "CSMS.0004", `{`: "CSMS.0004", ``: "CSMS.0004",
	} {
		rm.do("POST", path, body).inner(400, code)
	}
	rm.do("GET", path, "").ok().wants(`[{"key":"env","value":"prod"}]`, "tags")
}

// CSMS-167, and when all twenty come at once.
func TestTheTwentyFirstTag(t *testing.T) {
	rm := open(t)
	path := rm.tagged("demo")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() { rm.do("POST", path, tagText(fmt.Sprint("k", i), "v")).done() })
	}
	wg.Wait()
	rm.do("POST", path, tagText("k20", "v")).inner(400, "CSMS.0911")
	rm.do("POST", path, tagText("k19", "w")).done()
	rm.do("POST", path+"/action", `{"action":"create","tags":[{"key":"k1","value":"w"},{"key":"k21"}]}`).inner(400, "CSMS.0911")
	list := rm.do("GET", path, "").ok()
	if n := len(list.at("tags").([]any)); n != 20 || strings.Count(list.raw, `"w"`) != 1 {
		t.Errorf("%d tags: %s", n, list.raw)
	}
}

func TestTagBatches(t *testing.T) {
	rm := open(t)
	path := rm.tagged("demo")
	do := func(body string) answer { t.Helper(); return rm.do("POST", path+"/action", body) }
	// CSMS-170
	do(`{"action":"create","tags":[{"key":"a","value":"1"},{"key":"b","value":"2"},{"key":"c"}],"sequence":"` + strings.Repeat("s", 36) + `"}`).done()
	do(`{"action":"delete","tags":[{"key":"a","value":"another"},{"key":"c"},{"key":"never there"}]}`).done()
	rm.do("GET", path, "").ok().wants(`[{"key":"b","value":"2"}]`, "tags")

	many := make([]map[string]string, 21)
	for i := range many {
		many[i] = map[string]string{"key": fmt.Sprint(i)}
	}
	for _, tc := range []struct{ name, body, code string }{
		{"CSMS-171 another action", `{"action":"update","tags":[{"key":"a"}]}`, "CSMS.0002"},
		{"CSMS-171 no action", `{"tags":[{"key":"a"}]}`, "CSMS.0002"},
		{"CSMS-171 no tags", `{"action":"create","tags":[]}`, "CSMS.0002"},
		{"CSMS-171 no list", `{"action":"create"}`, "CSMS.0002"},
		{"CSMS-171 21 tags", jsonText(map[string]any{"action": "create", "tags": many}), "CSMS.0002"},
		{"a key twice", `{"action":"create","tags":[{"key":"a","value":"1"},{"key":"a","value":"2"}]}`, "CSMS.0002"},
		{"a key twice", `{"action":"delete","tags":[{"key":"b"},{"key":"b"}]}`, "CSMS.0002"},
		{"a long sequence", `{"action":"create","tags":[{"key":"a"}],"sequence":"` + strings.Repeat("s", 37) + `"}`, "CSMS.0002"},
		{"no objects", `{"action":"create","tags":["a"]}`, "CSMS.0004"},
		{"an object", `{"action":"create","tags":{"key":"a"}}`, "CSMS.0004"},
	} {
		do(tc.body).inner(400, tc.code)
	}
	rm.do("GET", path, "").ok().wants(`[{"key":"b","value":"2"}]`, "tags")
}

func TestTagsOfTheProject(t *testing.T) { // CSMS-172
	rm := open(t)
	rm.do("GET", csmsPath+"/tags", "").ok().wants("[]", "tags")
	rm.tagged("a", "env", "prod", "team", "x")
	rm.tagged("b", "env", "dev")
	rm.tagged("c", "env", "prod")
	rm.do("GET", csmsPath+"/tags", "").ok().wants(`[{"key":"env","values":["dev","prod"]},{"key":"team","values":["x"]}]`, "tags")
	rm.as("bob").do("GET", "/v1/"+theirs+"/csms/tags", "").ok().wants("[]", "tags")
}

func TestSecretsByTags(t *testing.T) {
	rm := open(t)
	rm.tagged("db1", "env", "prod", "team", "a")
	rm.tagged("db2", "env", "dev", "team", "a")
	rm.tagged("db3", "env", "test", "team", "a")
	rm.tagged("web", "env", "prod", "team", "b")
	rm.secret("bare", "x")
	find := func(body string) answer {
		t.Helper()
		return rm.do("POST", csmsPath+"/resource_instances/action", body)
	}
	for _, tc := range []struct {
		name, body, found string
		total             int
	}{
		{"CSMS-173", `{"action":"filter","tags":[{"key":"env","values":["prod","dev"]},{"key":"team","values":["a"]}]}`, "db1 db2", 2},
		{"CSMS-173 any value", `{"action":"filter","tags":[{"key":"env","values":[]}]}`, "db1 db2 db3 web", 4},
		{"CSMS-173 any value", `{"action":"filter","tags":[{"key":"env"}]}`, "db1 db2 db3 web", 4},
		{"CSMS-174", `{"action":"filter","limit":"1","offset":"1","tags":[{"key":"env","values":["prod"]}]}`, "web", 2},
		{"CSMS-174", `{"action":"filter","limit":1,"offset":1}`, "db1", 5},
		{"CSMS-174 past the end", `{"action":"filter","limit":1,"offset":9}`, "", 5},
		{"CSMS-176", `{"action":"filter","matches":[{"key":"resource_name","value":"b"}]}`, "bare db1 db2 db3 web", 5},
		{"CSMS-176", `{"action":"filter","matches":[{"key":"resource_name","value":"b"},{"key":"resource_name","value":"3"}]}`, "db3", 1},
		{"CSMS-176", `{"action":"filter","tags":[{"key":"team","values":["a"]}],"matches":[{"key":"resource_name","value":"1"}]}`, "db1", 1},
		{"CSMS-176 letters as they are", `{"action":"filter","matches":[{"key":"resource_name","value":"DB"}]}`, "", 0},
		{"CSMS-176 no pattern", `{"action":"filter","matches":[{"key":"resource_name","value":"%"}]}`, "", 0},
		{"CSMS-176 an empty value", `{"action":"filter","matches":[{"key":"resource_name","value":""}]}`, "", 0},
		{"no filter", `{"action":"filter","tags":[],"matches":null}`, "bare db1 db2 db3 web", 5},
	} {
		a := find(tc.body).ok().wants(fmt.Sprint(tc.total), "total_count")
		var names []string
		for i := range a.at("resources").([]any) {
			names = append(names, a.at("resources", i, "resource_name").(string))
		}
		if got := strings.Join(names, " "); got != tc.found {
			t.Errorf("%s: found %q, want %q", tc.name, got, tc.found)
		}
	}
	one := find(`{"action":"filter","matches":[{"key":"resource_name","value":"db1"}]}`).ok().
		wants(`[{"key":"env","value":"prod"},{"key":"team","value":"a"}]`, "resources", 0, "tags").wants("[]", "resources", 0, "sys_tags")
	rm.do("GET", base+"/db1", "").ok().wants(jsonText(one.at("resources", 0, "resource_detail")), "secret").
		wants(jsonText(one.at("resources", 0, "resource_id")), "secret", "id")

	// CSMS-175, whatever pages somebody wants of a number
	for _, paging := range []string{"", `,"limit":"x","offset":-1`} {
		find(`{"action":"count","tags":[{"key":"env","values":["prod"]}]`+paging+`}`).ok().wants("2", "total_count").wants("null", "resources")
	}
	find(`{"action":"count","matches":[{"key":"resource_name","value":""}]}`).ok().wants("0", "total_count").wants("null", "resources")

	eleven := strings.TrimSuffix(strings.Repeat(`{"key":"k"},`, 11), ",")
	for body, code := range map[string]string{
		`{"action":"filter","matches":[{"key":"name","value":"a"}]}`:                "CSMS.0002", // CSMS-176
		`{"action":"filter","matches":[{"value":"a"}]}`:                             "CSMS.0002",
		`{"action":"filter","matches":[{"key":"resource_name","value":"a\u0000"}]}`: "CSMS.0002",
		`{"action":"list"}`:                "CSMS.0002",
		`{}`:                               "CSMS.0002",
		`{"action":"filter","limit":0}`:    "CSMS.0002",
		`{"action":"filter","limit":1001}`: "CSMS.0002",
		`{"action":"filter","limit":"x"}`:  "CSMS.0002",
		`{"action":"filter","offset":-1}`:  "CSMS.0002",
		`{"action":"filter","offset":"99999999999999999999"}`:                                  "CSMS.0002",
		`{"action":"filter","tags":[{"values":["a"]}]}`:                                        "CSMS.0002",
		`{"action":"filter","tags":[{"key":"a\u0000"}]}`:                                       "CSMS.0002",
		`{"action":"filter","tags":[{"key":"a","values":["\u0000"]}]}`:                         "CSMS.0002",
		`{"action":"filter","tags":[{"key":"a","values":["","","","","","","","","","",""]}]}`: "CSMS.0002",
		`{"action":"filter","tags":[` + eleven + `]}`:                                          "CSMS.0002",
		`{"action":"filter","matches":[` + eleven + `]}`:                                       "CSMS.0002",
		`{"action":"filter","sequence":"` + strings.Repeat("s", 37) + `"}`:                     "CSMS.0002",
		`{"action":"filter","tags":["a"]}`:                                                     "CSMS.0004",
		`{"action":"filter","tags":[{"key":"a","values":"b"}]}`:                                "CSMS.0004",
		`{"action":"filter","limit":true}`:                                                     "CSMS.0004",
	} {
		find(body).inner(400, code)
	}
}

func TestTagsOfNobody(t *testing.T) { // CSMS-177
	rm := open(t)
	rm.as("bob").do("POST", "/v1/"+theirs+"/secrets", `{"name":"foreign","secret_string":"x"}`)
	foreign := rm.as("bob").do("GET", "/v1/"+theirs+"/secrets/foreign", "").ok().at("secret", "id").(string)
	for _, id := range []string{uuid.NewString(), foreign, "none", "%00", "%ff", strings.Repeat("n", 5000)} {
		path := csmsPath + "/" + id + "/tags"
		rm.do("GET", path, "").inner(404, "CSMS.0106")
		rm.do("POST", path, tagText("a", "b")).inner(404, "CSMS.0106")
		rm.do("POST", path+"/action", `{"action":"create","tags":[{"key":"a"}]}`).inner(404, "CSMS.0106")
		rm.do("DELETE", path+"/a", "").inner(404, "CSMS.0106")
		rm.as("nora").do("GET", path, "").inner(403, "CSMS.0302")
	}
}

func TestTagsGoWithTheSecret(t *testing.T) { // CSMS-178
	rm := open(t)
	old := rm.tagged("demo", "env", "prod")
	rm.do("DELETE", base+"/demo", "").ok()
	path := rm.tagged("demo")
	rm.do("GET", path, "").ok().wants("[]", "tags")
	rm.do("GET", old, "").inner(404, "CSMS.0106")
	rm.do("GET", csmsPath+"/tags", "").ok().wants("[]", "tags")
}

// Events and records stand where a secret's identifier could; what is written
// out in a path counts, and a word of a path may be a secret's name.
func TestWordsOfPathsAsNames(t *testing.T) {
	rm := open(t)
	for _, name := range []string{"batch-import", "batch-get-secret-value", "restore", "checker"} {
		rm.secret(name, "x")
		rm.do("GET", base+"/"+name, "").ok().wants(`"`+name+`"`, "secret", "name")
		rm.do("PUT", base+"/"+name, `{"description":"d"}`).ok()
		rm.do("DELETE", base+"/"+name, "").ok()
	}
	rm.secret("tags", "x")
	rm.do("POST", csmsPath+"/tags/tags", tagText("a", "b")).done()
	rm.do("GET", csmsPath+"/tags", "").ok().wants(`[{"key":"a","values":["b"]}]`, "tags")
}
