package barbican_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/api/barbican"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy/cedar"
	"github.com/strongroom-kms/strongroom/policy/policytest"
)

// swept is who has a token of the form user/roles/project, roles by their
// letters.
func swept(token string) (auth.Principal, bool) {
	parts := strings.Split(token, "/")
	if len(parts) != 3 {
		return auth.Principal{}, false
	}
	who := auth.Principal{User: auth.UserID(parts[0]), UserName: parts[0], Project: projectP, Method: auth.ByToken}
	if parts[2] == "Q" {
		who.Project = projectQ
	}
	for _, letter := range parts[1] {
		who.Roles = append(who.Roles, policytest.Letters[letter])
	}
	return who, true
}

// roleSets are what the caller comes with, one after another: each role of the
// two sets of rules, with those that it implies where there are such.
var roleSets = []string{"X", "A", "C", "O", "U", "S", "R", "MR", "AMR"}

// sweptPlaces are how the caller stands to what the path names.
var sweptPlaces = map[string][]policytest.Place{
	"": {policytest.Owner},
	"secret": {
		policytest.Owner, policytest.OwnerPrivate, policytest.Public, policytest.Private, policytest.Listed,
		policytest.Abroad, policytest.ListedAbroad,
	},
	"order": {policytest.Owner, policytest.Public, policytest.Abroad},
	"store": {policytest.Owner},
}

// A mistake is one thing that is wrong with a request.
type mistake string

const (
	none      mistake = ""
	unknown   mistake = "an id that nothing has"
	badID     mistake = "an id that nothing can have"
	notTaken  mistake = "an Accept of another type"
	media     mistake = "a body of another type"
	malformed mistake = "JSON that is cut off"
	noObject  mistake = "JSON that is no object"
	wrongType mistake = "a member of the wrong type"
	oversize  mistake = "a body over the limit"
)

// in reports whether a request to s can have the mistake.
func (m mistake) in(s surface) bool {
	isJSON := s.body != "" && s.media != "text/plain"
	switch m {
	case none, notTaken:
		return true
	case unknown:
		return s.on != "" || s.late
	case badID:
		return s.on != ""
	case media:
		return s.body != "" && s.media != "*/*"
	case malformed, noObject:
		return isJSON
	case wrongType:
		return isJSON && s.wrong != ""
	case oversize:
		return s.body != ""
	}
	return false
}

// probe is one request of the sweep.
type probe struct {
	route barbican.Route
	surface
	roles   string
	place   policytest.Place
	mistake mistake
	older   bool // form of the path
}

func (p probe) abroad() bool {
	return p.place == policytest.Abroad || p.place == policytest.ListedAbroad
}

// expect is the answer of §6.2: the first thing that is wrong.
func (p probe) expect(rules policytest.Rules) int {
	switch {
	case p.on != "" && (p.mistake == unknown || p.mistake == badID),
		p.abroad() && (p.older || p.on == "order"):
		return 404
	case p.mistake == notTaken && p.accept != 0:
		return p.accept
	case p.act != "" && !rules.Lets(p.act, p.place, p.roles):
		return 403
	case p.mistake == unknown:
		return 404
	case p.mistake == media && p.older && p.surface.media == "text/plain":
		return 400
	case p.mistake == media:
		return 415
	case p.mistake == malformed, p.mistake == noObject, p.mistake == wrongType:
		return 400
	case p.mistake == oversize:
		return 413
	case p.place == policytest.ListedAbroad && p.surface.abroad != 0:
		return p.surface.abroad
	case p.older && p.surface.older != 0:
		return p.surface.older
	}
	return p.want
}

// sweep is a world with what probes ask for.
type sweep struct {
	*world
	rules   policytest.Rules
	objects map[string]string // ids, by kind, place and state
	told    map[string]string // what was told of an id that nothing has, by request
	probes  int
}

const sweptName, sweptPayload = "swept-name", "swept-payload"

// send is a request to the server without a network.
func (s *sweep) send(as, method, path, body, contentType, accept string) answer {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, s.fill(path), strings.NewReader(body))
	r.Header.Set("X-Auth-Token", as)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return answer{s.t, w.Code, w.Result().Header, w.Body.String()}
}

// must is a request that prepares something.
func (s *sweep) must(as, request, body string) answer {
	s.t.Helper()
	method, path, _ := strings.Cut(request, " ")
	a := s.send(as, method, path, body, "application/json", "")
	if a.code >= 300 {
		s.t.Fatalf("%s: %d %s", request, a.code, a.body)
	}
	return a
}

// makers has who makes what is in a place: all who could, under any rules.
var makers = map[policytest.Place]string{
	policytest.Owner: "caller/ACM/P", policytest.OwnerPrivate: "caller/ACM/P",
	policytest.Public: "other/ACM/P", policytest.Private: "other/ACM/P", policytest.Listed: "other/ACM/P",
	policytest.Abroad: "stranger/ACM/Q", policytest.ListedAbroad: "stranger/ACM/Q",
}

// object is the id of what a probe asks for, made where it is not there.
func (s *sweep) object(p probe) string {
	s.t.Helper()
	if p.on == "store" {
		return NX // there is none while they are off
	}
	if s.objects[p.key()] == "" {
		s.objects[p.key()] = s.prepare(p)
	}
	return s.objects[p.key()]
}

func (p probe) key() string {
	if p.surface.media == "text/plain" {
		return p.on + " without a payload, " + p.place.String()
	}
	return p.on + ", " + p.place.String()
}

func (s *sweep) prepare(p probe) string {
	s.t.Helper()
	maker, path, body := makers[p.place], "/v1/secrets", `{"name":"`+sweptName+`","payload":"`+sweptPayload+`","payload_content_type":"text/plain"}`
	switch {
	case p.on == "order":
		path, body = "/v1/orders", keyOrder
	case p.on == "container" && p.abroad():
		path, body = "/v1/containers", `{"name":"`+sweptName+`","type":"generic"}`
	case p.on == "container":
		path, body = "/v1/containers", `{"name":"`+sweptName+`","type":"generic","secret_refs":[`+s.fill(oneEntry)+`]}`
	case p.surface.media == "text/plain":
		body = `{"name":"` + sweptName + `"}`
	}
	ref := s.must(maker, "POST "+path, body).header.Get("Location")
	id := ref[strings.LastIndex(ref, "/")+1:]
	at := path + "/" + id
	switch p.on {
	case "secret":
		s.must(maker, "PUT "+at+"/metadata", `{"metadata":{"k":"v"}}`)
		s.must(maker, "POST "+at+"/consumers", oneUse)
	case "container":
		s.must(maker, "POST "+at+"/consumers", oneParty)
	}
	switch p.place {
	case policytest.OwnerPrivate, policytest.Private:
		s.must(maker, "PUT "+at+"/acl", `{"read":{"project-access":false}}`)
	case policytest.Listed, policytest.ListedAbroad:
		s.must(maker, "PUT "+at+"/acl", `{"read":{"project-access":false,"users":["caller"]}}`)
	}
	return id
}

// path is what the probe asks for, with everything named.
func (s *sweep) path(p probe) string {
	s.t.Helper()
	path := p.route.Path
	if strings.Contains(path, "{id}") {
		id := NX
		switch p.mistake {
		case unknown:
		case badID:
			id = "not-a-uuid"
		default:
			id = s.object(p)
		}
		path = strings.Replace(path, "{id}", id, 1)
	}
	project := "swept"
	if p.mistake == unknown {
		project = "nowhere"
	} else if p.late {
		s.must("admin/AS/P", "PUT /v1/project-quotas/swept", `{"project_quotas":{"orders":7}}`)
	}
	path = strings.NewReplacer("{key}", "k", "{consumer}", NX, "{key_id}", NX, "{project}", project).Replace(path)
	if strings.Contains(path, "{") {
		s.t.Fatalf("the sweep does not know what to put into %s", path)
	}
	if p.older {
		return "/v1/" + projectP + strings.TrimPrefix(path, "/v1")
	}
	return path
}

// request is the rest of it.
func (p probe) request() (body, contentType, accept string) {
	body, contentType = p.body, p.surface.media
	if contentType == "" || contentType == "*/*" {
		contentType = "application/json"
	}
	switch p.mistake {
	case notTaken:
		accept = "image/png"
	case media:
		contentType = "image/png"
	case malformed:
		body = body[:len(body)-1]
	case noObject:
		body = "[" + body + "]"
	case wrongType:
		body = p.wrong
	case oversize:
		body = `{"x":"` + strings.Repeat("x", 30_000) + `"}`
	}
	if p.body == "" {
		return "", "", accept
	}
	return body, contentType, accept
}

// ask sends a probe and holds the answer against the table.
func (s *sweep) ask(t *testing.T, p probe) {
	t.Helper()
	s.probes++
	path := s.path(p)
	body, contentType, accept := p.request()
	a := s.send("caller/"+p.roles+"/P", p.route.Method, path, s.fill(body), contentType, accept)
	a.t = t
	want := p.expect(s.rules)
	if a.code != want {
		t.Errorf("%s %s (older form: %v) as %q, %s, %q: %d %s, want %d",
			p.route.Method, p.route.Path, p.older, p.roles, p.place, p.mistake, a.code, a.body, want)
	}
	if a.code < 400 && p.route.Method != http.MethodGet {
		delete(s.objects, p.key())
	}
	if a.code < 400 {
		return
	}
	a.isError(t)
	for _, hidden := range []string{sweptName, sweptPayload, projectQ, "stranger", "other", s.objects[p.key()]} {
		if hidden != "" && strings.Contains(a.body, hidden) {
			t.Errorf("%s %s as %q, %s: %s tells %s", p.route.Method, p.route.Path, p.roles, p.place, a.body, hidden)
		}
	}
	// Where another project's is not found, nothing tells it from what is not there.
	request := p.route.Method + " " + p.route.Path + " " + p.roles
	switch {
	case !p.older && p.on != "order":
	case p.mistake == unknown:
		s.told[request] = a.body
	case p.mistake == none && p.abroad() && s.told[request] != a.body:
		t.Errorf("%s: of another project's %s, of nothing %s", request, a.body, s.told[request])
	}
}

// sweepRoute sends every probe of one route.
func (s *sweep) sweepRoute(t *testing.T, r barbican.Route, older bool, roles []string, mistakesAt []policytest.Place) {
	t.Helper()
	face, ok := surfaces[r.Method+" "+r.Path]
	if !ok {
		t.Errorf("%s %s: say in surfaces what it shall answer", r.Method, r.Path)
		return
	}
	places := sweptPlaces[face.on]
	if face.on == "container" {
		places = sweptPlaces["secret"]
	}
	for _, role := range roles {
		for _, m := range []mistake{unknown, none, badID, notTaken, media, malformed, noObject, wrongType, oversize} {
			for _, place := range places {
				if m.in(face) && (m == none || slices.Contains(mistakesAt, place)) {
					s.ask(t, probe{r, face, role, place, m, older})
				}
			}
		}
	}
}

func hasOlderForm(path string) bool {
	for _, collection := range []string{"/v1/secrets", "/v1/containers", "/v1/orders"} {
		if path == collection || strings.HasPrefix(path, collection+"/") {
			return true
		}
	}
	return false
}

// Every route, role, ownership and mistake, under each set of rules and in both
// forms of a path, gets the answer of the tables: none is a 5xx, none tells of
// another project what it must not, none leaves a line in the log.
func TestSweep(t *testing.T) {
	for mode, rules := range map[cedar.Mode]policytest.Rules{
		cedar.Legacy: {Legacy: true}, cedar.New: {New: true}, cedar.Union: {Legacy: true, New: true},
	} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := &sweep{world: newWorldUnder(t, mode), rules: rules, objects: map[string]string{}, told: map[string]string{}}
			ref := s.must("caller/ACM/P", "POST /v1/secrets", `{}`).header.Get("Location")
			s.names["mine"] = ref[strings.LastIndex(ref, "/")+1:]
			few := []string{"X", "C", "MR", "A"}
			ends := []policytest.Place{policytest.Owner, policytest.Abroad}
			for _, r := range s.api.Routes() {
				if mode == cedar.Legacy {
					s.sweepRoute(t, r, false, roleSets, append(ends, policytest.ListedAbroad))
				} else {
					s.sweepRoute(t, r, false, roleSets, ends[:1])
				}
				if hasOlderForm(r.Path) {
					s.sweepRoute(t, r, true, few, ends)
				}
			}
			for _, line := range s.logs.All() {
				t.Errorf("logged: %s %v", line.Message, line.ContextMap())
			}
			t.Log(s.probes, "requests")
		})
	}
}

// Every method that a path does not have is 405, with the ones that it has,
// after what the path names was found and before anybody asks who may.
func TestSweepMethods(t *testing.T) {
	t.Parallel()
	s := &sweep{world: newWorld(t), objects: map[string]string{}, told: map[string]string{}}
	ref := s.must("caller/ACM/P", "POST /v1/secrets", `{}`).header.Get("Location")
	s.names["mine"] = ref[strings.LastIndex(ref, "/")+1:]
	paths := map[string][]barbican.Route{}
	for _, r := range s.api.Routes() {
		paths[r.Path] = append(paths[r.Path], r)
	}
	for path, routes := range paths {
		var have []string
		for _, r := range routes {
			have = append(have, r.Method)
		}
		slices.Sort(have)
		face := surfaces[routes[0].Method+" "+path]
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			if slices.Contains(have, method) || path == "/v1/orders" && method == "PUT" {
				continue
			}
			for _, m := range []mistake{none, unknown} {
				if !m.in(face) {
					continue
				}
				p := probe{route: barbican.Route{Method: method, Path: path}, surface: face, place: policytest.Public, mistake: m}
				a := s.send("caller/X/P", method, s.path(p), "", "", "")
				want, allow := 405, strings.Join(slices.DeleteFunc(have, func(m string) bool { return path == "/v1/orders" && m == "PUT" }), ", ")
				if m == unknown && face.on != "" || face.on == "store" {
					want, allow = 404, ""
				}
				if a.code != want || a.header.Get("Allow") != allow && path != "/v1/orders" {
					t.Errorf("%s %s, %q: %d, Allow: %q; want %d, %q", method, path, m, a.code, a.header.Get("Allow"), want, allow)
				}
			}
		}
	}
}

// The table has no route that is not there.
func TestSweepKnowsTheRoutes(t *testing.T) {
	w := newWorld(t)
	gone := maps.Clone(surfaces)
	for _, r := range w.api.Routes() {
		delete(gone, r.Method+" "+r.Path)
	}
	for request := range gone {
		t.Errorf("%s is no route", request)
	}
}

// A project in the path that is not the caller's is 403, whatever is asked.
func TestSweepForeignProjectInPath(t *testing.T) {
	t.Parallel()
	s := &sweep{world: newWorld(t), objects: map[string]string{}, told: map[string]string{}}
	for _, r := range s.api.Routes() {
		if !hasOlderForm(r.Path) {
			continue
		}
		path := strings.NewReplacer("{id}", NX, "{key}", "k", "{consumer}", NX).Replace(r.Path)
		for _, roles := range roleSets {
			a := s.send("caller/"+roles+"/P", r.Method, "/v1/"+projectQ+strings.TrimPrefix(path, "/v1"), "", "", "")
			if a.code != 403 {
				t.Errorf("%s %s as %q: %d %s", r.Method, r.Path, roles, a.code, a.body)
			}
		}
	}
}
