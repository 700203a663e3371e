package csms_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// add adds a version to demo.
func (rm *room) add(members string) answer {
	rm.Helper()
	body := `{"secret_string":"y"}`
	if members != "" {
		body = `{"secret_string":"y",` + members + `}`
	}
	return rm.do("POST", base+"/demo/versions", body)
}

// stages lists what is on each version of demo: "v1[SYSPREVIOUS] v2[SYSCURRENT]".
func (rm *room) stages() string {
	rm.Helper()
	a := rm.do("GET", base+"/demo/versions", "").ok()
	var out []string
	for i := range a.at("version_metadatas").([]any) {
		var on []string
		for _, s := range a.at("version_metadatas", i, "version_stages").([]any) {
			on = append(on, s.(string))
		}
		out = append(out, a.at("version_metadatas", i, "id").(string)+"["+strings.Join(on, " ")+"]")
	}
	return strings.Join(out, " ")
}

func (rm *room) wantStages(want string) {
	rm.Helper()
	if got := rm.stages(); got != want {
		rm.Errorf("stages\n  are  %s\n  want %s", got, want)
	}
}

func TestStagesMove(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "x")
	rm.wantStages("v1[SYSCURRENT]") // CSMS-087
	a := rm.add("").ok().wants(`"v2"`, "version_metadata", "id").wants(`["SYSCURRENT"]`, "version_metadata", "version_stages").
		wants(`"demo"`, "version_metadata", "secret_name").wants("null", "version_metadata", "expire_time") // CSMS-088
	if strings.Contains(a.raw, "secret_string") || len(a.at("version_metadata").(map[string]any)) != 6 {
		t.Errorf("answer %s", a.raw)
	}
	rm.wantStages("v1[SYSPREVIOUS] v2[SYSCURRENT]") // CSMS-089
	rm.add("").ok()
	rm.wantStages("v1[] v2[SYSPREVIOUS] v3[SYSCURRENT]") // CSMS-090
	rm.add(`"version_stages":["test"]`).ok()
	rm.wantStages("v1[] v2[SYSPREVIOUS] v3[SYSCURRENT] v4[test]") // CSMS-091
	rm.add(`"version_stages":["SYSCURRENT","blue"]`).ok().wants(`["SYSCURRENT","blue"]`, "version_metadata", "version_stages")
	rm.wantStages("v1[] v2[] v3[SYSPREVIOUS] v4[test] v5[SYSCURRENT blue]") // CSMS-092
	rm.add(`"version_stages":["blue"]`).ok()
	rm.wantStages("v1[] v2[] v3[SYSPREVIOUS] v4[test] v5[SYSCURRENT] v6[blue]") // CSMS-093
	rm.add(`"version_stages":["SYSPREVIOUS"]`).ok()
	rm.wantStages("v1[] v2[] v3[] v4[test] v5[SYSCURRENT] v6[blue] v7[SYSPREVIOUS]") // CSMS-094
	rm.add(`"version_stages":[]`).ok()
	rm.add(`"version_stages":null`).ok()
	rm.wantStages("v1[] v2[] v3[] v4[test] v5[] v6[blue] v7[] v8[SYSPREVIOUS] v9[SYSCURRENT]")                          // CSMS-095
	rm.add(`"version_stages":["x","x","x"],"name":"ignored"`).ok().wants(`["x"]`, "version_metadata", "version_stages") // CSMS-099
}

// manyStages is n names of one's own, as a JSON list, from the first on.
func manyStages(from, n int, more ...string) string {
	list := more
	for i := range n {
		list = append(list, fmt.Sprintf("s%02d", from+i))
	}
	return jsonText(list)
}

func TestStageLimits(t *testing.T) {
	for _, tc := range []struct {
		name, stages string
	}{
		{"CSMS-097 twelve", manyStages(0, 12)},
		{"CSMS-097 twelve with a built-in one", manyStages(0, 11, "SYSCURRENT")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rm := open(t)
			rm.secret("demo", "x")
			rm.add(`"version_stages":`+manyStages(0, 13)).fault(400, "CSMS.0204") // CSMS-096
			rm.add(`"version_stages":` + tc.stages).ok()
			rm.add(`"version_stages":["s00","s11"]`).ok() // moving is not adding
			before := rm.stages()
			rm.add(`"version_stages":["another"]`).fault(400, "CSMS.0203")
			rm.do("PUT", base+"/demo/stages/another", `{"version_id":"v1"}`).fault(400, "CSMS.0203") // CSMS-125
			rm.wantStages(before)
			rm.do("PUT", base+"/demo/stages/s00", `{"version_id":"v1"}`).ok()
		})
	}
}

func TestAddVersionRefuses(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "x")
	past := strconv.FormatInt(rm.clock.now().UnixMilli(), 10)
	for _, tc := range []struct{ name, body, code string }{
		{"CSMS-100 no value", `{}`, "CSMS.0002"},
		{"CSMS-100 two values", `{"secret_string":"x","secret_binary":"eA=="}`, "CSMS.0002"},
		{"CSMS-100 a long value", `{"secret_string":"` + strings.Repeat("x", 32769) + `"}`, "CSMS.0002"},
		{"CSMS-098 a stage of 65", `{"secret_string":"x","version_stages":["` + strings.Repeat("s", 65) + `"]}`, "CSMS.0002"},
		{"CSMS-098 a stage with a space", `{"secret_string":"x","version_stages":["a b"]}`, "CSMS.0002"},
		{"CSMS-098 an empty stage", `{"secret_string":"x","version_stages":[""]}`, "CSMS.0002"},
		{"CSMS-098 a stage that is a number", `{"secret_string":"x","version_stages":[1]}`, "CSMS.0004"},
		{"CSMS-098 stages that are no list", `{"secret_string":"x","version_stages":"a"}`, "CSMS.0004"},
		{"CSMS-102 past", `{"secret_string":"x","expire_time":` + past + `}`, "CSMS.0002"},
		{"CSMS-102 past in seconds", `{"secret_string":"x","expire_time":` + past[:10] + `}`, "CSMS.0002"},
		{"CSMS-102 14 digits", `{"secret_string":"x","expire_time":10000000000000}`, "CSMS.0002"},
		{"CSMS-102 negative", `{"secret_string":"x","expire_time":-1}`, "CSMS.0002"},
		{"CSMS-102 a fraction", `{"secret_string":"x","expire_time":1.5}`, "CSMS.0002"},
		{"CSMS-102 beyond all bounds", `{"secret_string":"x","expire_time":1e400}`, "CSMS.0002"},
		{"CSMS-102 a text", `{"secret_string":"x","expire_time":"x"}`, "CSMS.0004"},
		{"no body", ``, "CSMS.0004"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rm.in(t).do("POST", base+"/demo/versions", tc.body).fault(400, tc.code)
		})
	}
	rm.wantStages("v1[SYSCURRENT]")
	rm.do("POST", base+"/unknown/versions", `{"secret_string":"x"}`).fault(404, "CSMS.0106") // CSMS-106
	rm.as("rita").do("POST", base+"/demo/versions", `[]`).fault(403, "CSMS.0302")
}

func TestExpiry(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "x")
	hour := rm.clock.now().Add(time.Hour).UnixMilli()
	rm.add(fmt.Sprintf(`"expire_time":%d`, hour+123)).ok().wants(fmt.Sprint(hour), "version_metadata", "expire_time")  // CSMS-101
	rm.add(fmt.Sprintf(`"expire_time":%d`, hour/1000)).ok().wants(fmt.Sprint(hour), "version_metadata", "expire_time") // CSMS-195
	rm.add(`"expire_time":0`).ok().wants("null", "version_metadata", "expire_time")
	rm.add(`"expire_time":9999999999999`).ok().wants("9999999999000", "version_metadata", "expire_time")

	put := func(version, body string) answer {
		rm.Helper()
		return rm.do("PUT", base+"/demo/versions/"+version, body)
	}
	at := fmt.Sprintf(`{"expire_time":%d}`, hour)
	a := put("v1", at).ok().wants(fmt.Sprint(hour), "version_metadata", "expire_time").wants(`"v1"`, "version_metadata", "id") // CSMS-117
	if len(a.body) != 1 || len(a.at("version_metadata").(map[string]any)) != 6 {
		t.Errorf("answer %s", a.raw)
	}
	rm.do("GET", base+"/demo/versions/v1", "").ok().wants(fmt.Sprint(hour), "version", "version_metadata", "expire_time")
	put("latest", at).ok().wants(`"v5"`, "version_metadata", "id")
	put("v1", `{"expire_time":0}`).ok().wants("null", "version_metadata", "expire_time")
	put("v1", `{}`).fault(400, "CSMS.0002") // CSMS-118
	put("v1", `{"expire_time":null}`).fault(400, "CSMS.0002")
	put("v1", `{"expire_time":1000}`).fault(400, "CSMS.0002")
	put("v1", `{"expire_time":"1"}`).fault(400, "CSMS.0004")
	for _, v := range []string{"v99", "v0", "v01", "abc", "v9999999999", "v99999999999999", "v"} {
		put(v, at).fault(404, "CSMS.0005") // CSMS-119
	}
	rm.as("rita").do("PUT", base+"/demo/versions/v1", `[]`).fault(403, "CSMS.0302")
	rm.as("rita").do("PUT", base+"/demo/versions/v99", at).fault(403, "CSMS.0302")

	// An expired version can still be read: expiry only tells somebody.
	rm.clock.pass(2 * time.Hour)
	rm.do("GET", base+"/demo/versions/v2", "").ok()
}

func TestPurge(t *testing.T) { // CSMS-103
	rm := open(t)
	rm.secret("demo", "x")
	for range 24 {
		rm.add("").ok()
	}
	want := ""
	for n := 6; n <= 23; n++ {
		want += fmt.Sprintf("v%d[] ", n)
	}
	rm.wantStages(want + "v24[SYSPREVIOUS] v25[SYSCURRENT]")
	rm.add("").ok().wants(`"v26"`, "version_metadata", "id")
	rm.do("GET", base+"/demo/versions/v1", "").fault(404, "CSMS.0005")
}

func TestPurgeSparesStages(t *testing.T) { // CSMS-104
	rm := open(t)
	rm.secret("demo", "first")
	rm.do("PUT", base+"/demo/stages/keep", `{"version_id":"v1"}`).ok()
	for range 25 {
		rm.add("").ok()
	}
	rm.do("GET", base+"/demo/versions/v1", "").ok().wants(`"first"`, "version", "secret_string")
}

func TestVersionsAtOnce(t *testing.T) { // CSMS-105, CSMS-116
	rm := open(t)
	rm.secret("demo", "x")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { rm.add("").ok() })
	}
	wg.Wait()
	rm.wantStages("v1[] v2[] v3[] v4[] v5[] v6[] v7[] v8[] v9[] v10[SYSPREVIOUS] v11[SYSCURRENT]")
	a := rm.do("GET", base+"/demo/versions", "").ok()
	last := 0.0
	for i := range 11 {
		made := a.at("version_metadatas", i, "create_time").(float64)
		if made <= last {
			t.Errorf("version %d was made at %.0f, after %.0f", i+1, made, last)
		}
		last = made
	}
}

func TestShowVersion(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "one")
	rm.do("POST", base+"/demo/versions", `{"secret_string":"two"}`).ok()
	a := rm.do("GET", base+"/demo/versions/v1", "").ok().wants(`"one"`, "version", "secret_string").
		wants(`["SYSPREVIOUS"]`, "version", "version_metadata", "version_stages") // CSMS-108
	if len(a.at("version", "version_metadata").(map[string]any)) != 6 {
		t.Errorf("answer %s", a.raw)
	}
	rm.do("GET", base+"/demo/versions/latest", "").ok().wants(`"two"`, "version", "secret_string") // CSMS-109
	rm.do("PUT", base+"/demo/stages/SYSCURRENT", `{"version_id":"v1"}`).ok()
	rm.do("GET", base+"/demo/versions/latest", "").ok().wants(`"one"`, "version", "secret_string") // CSMS-110
	rm.wantStages("v1[SYSCURRENT] v2[SYSPREVIOUS]")
	for _, v := range []string{"v99", "abc", "v0", "v01", "v9999999999", "V1", "v1x", "%00", "LATEST"} { // CSMS-112
		rm.do("GET", base+"/demo/versions/"+v, "").fault(404, "CSMS.0005")
		rm.as("nora").do("GET", base+"/demo/versions/"+v, "").fault(403, "CSMS.0302")
		rm.do("GET", base+"/unknown/versions/"+v, "").fault(404, "CSMS.0106")
	}
}

func TestListVersions(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "x")
	for range 10 {
		rm.add("").ok()
	}
	page := func(query string) answer {
		rm.Helper()
		return rm.do("GET", base+"/demo/versions"+query, "")
	}
	page("?limit=2").ok().wants(`{"current_count":2,"next_marker":"v2","previous_marker":"v1"}`, "page_info") // CSMS-114
	a := page("?marker=v2").ok().wants(`{"current_count":9,"next_marker":null,"previous_marker":"v3"}`, "page_info")
	for i := range 9 {
		a.wants(fmt.Sprintf(`"v%d"`, i+3), "version_metadatas", i, "id")
	}
	for _, q := range []string{"?marker=latest", "?marker=v11", "?marker=v9999999999"} { // CSMS-115
		page(q).ok().wants("[]", "version_metadatas").wants("0", "page_info", "current_count")
	}
	for _, q := range []string{"?marker=x", "?marker=v", "?marker=v12345678901", "?marker=v1x", "?limit=0", "?limit=1001"} {
		page(q).fault(400, "CSMS.0002")
	}
	page("?limit=%zz").fault(400, "CSMS.0003")
	rm.do("GET", base+"/unknown/versions?limit=0", "").fault(404, "CSMS.0106")
	rm.as("nora").do("GET", base+"/demo/versions?limit=0", "").fault(403, "CSMS.0302")
	rm.as("rita").do("GET", base+"/demo/versions", "").ok()
}

func TestStages(t *testing.T) {
	rm := open(t)
	rm.secret("demo", "x")
	stage := func(method, name, body string) answer {
		rm.Helper()
		return rm.do(method, base+"/demo/stages/"+name, body)
	}
	now := fmt.Sprint(rm.clock.now().UnixMilli())
	stage("GET", "SYSCURRENT", "").ok().
		wants(`{"name":"SYSCURRENT","secret_name":"demo","update_time":`+now+`,"version_id":"v1"}`, "stage") // CSMS-120
	for _, none := range []string{"SYSPREVIOUS", "none", "a%20b", "%00", strings.Repeat("s", 65)} { // CSMS-121
		stage("GET", none, "").fault(404, "CSMS.0005")
	}
	stage("DELETE", "none", "").fault(404, "CSMS.0005") // CSMS-128
	stage("DELETE", "a%20b", "").fault(404, "CSMS.0005")

	rm.clock.pass(time.Minute)
	made := stage("PUT", "blue", `{"version_id":"v1"}`).ok() // CSMS-122
	stage("GET", "blue", "").ok().wants(jsonText(made.at("stage")), "stage")
	rm.wantStages("v1[SYSCURRENT blue]")
	rm.clock.pass(time.Minute)
	stage("PUT", "blue", `{"version_id":"v1"}`).ok().wants(jsonText(made.at("stage")), "stage") // CSMS-123

	stage("PUT", "blue", `{"version_id":"v99"}`).fault(404, "CSMS.0005") // CSMS-124
	stage("PUT", "blue", `{"version_id":"v9999999999"}`).fault(404, "CSMS.0005")
	stage("PUT", "blue", `{"version_id":"v0"}`).fault(404, "CSMS.0005")
	for _, bad := range []string{`{}`, `{"version_id":null}`, `{"version_id":""}`, `{"version_id":"1"}`, `{"version_id":"latest"}`, `{"version_id":"v12345678901"}`} {
		stage("PUT", "blue", bad).fault(400, "CSMS.0002")
	}
	stage("PUT", "blue", `{"version_id":1}`).fault(400, "CSMS.0004")
	stage("PUT", "blue", ``).fault(400, "CSMS.0004")
	for _, bad := range []string{"a%20b", "a.b", strings.Repeat("s", 65), "%00"} {
		stage("PUT", bad, `{"version_id":"v1"}`).fault(400, "CSMS.0002")
	}

	if a := stage("DELETE", "blue", ""); a.status != 204 || a.raw != "" || a.header.Get("Content-Type") != "" { // CSMS-126
		t.Errorf("%d %q %v", a.status, a.raw, a.header)
	}
	stage("GET", "blue", "").fault(404, "CSMS.0005")
	for _, builtIn := range []string{"SYSCURRENT", "SYSPREVIOUS"} { // CSMS-127
		stage("DELETE", builtIn, "").fault(400, "CSMS.0105")
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		rm.as("nora").do(method, base+"/demo/stages/a%20b", `[]`).fault(403, "CSMS.0302")
		rm.as("nora").do(method, base+"/unknown/stages/blue", `[]`).fault(403, "CSMS.0302")
		rm.do(method, base+"/unknown/stages/blue", `[]`).fault(404, "CSMS.0106")
	}
}
