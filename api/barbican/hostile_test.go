package barbican_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Every path × method × mistake gets an answer below 500, in the dialect's own
// shape, and leaves no line in the log.
func TestNoRequestBreaksTheServer(t *testing.T) {
	paths := append(routePaths(newWorld(t)), "/v1/", "/v1//", "/%ff", "/v1/secrets//", "/v1/secrets/%00", "/v1/secrets/%ff/payload",
		"/v1/secrets/{NX}", "/v1/secrets/{BAD}/metadata/k", "/v1/secrets/{ST}/metadata/%00", "/v1/secrets/{ST}/metadata/%ff",
		"/v1/secrets/{ST}/metadata/"+strings.Repeat("k", 300), "/v1/secrets/{ST}/consumers/%ff",
		"/v1/containers/{NX}", "/v1/containers/%00", "/v1/containers/{CG}/consumers/%ff",
		"/v1/orders/%00", "/v1/orders/%ff", "/v1/project-quotas/%00", "/v1/project-quotas/%ff", "/v1/transport_keys/%00",
		"/v1/secret-stores/%00", "/v1/secret-stores/%ff", "/v1/secret-stores/{SECOND}/preferred", "/v1/secret-stores/{SECOND}/x", "/v1/{Q}/secrets/{ST}", "/v1/%00/secrets", "/v1/%ff/secrets/{ST}",
	)
	queries := []string{
		"", "?limit=a&offset=-1", "?limit=1&limit=2", "?%zz", "?name=%00", "?name=%ff", "?sort=x", "?created=x", "?force=x", "?;", "?acl_only=true&limit=2",
		"?trans_wrapped_session_key=%00", "?bits=99999999999999999999", `?name=\`, "?" + strings.Repeat("a", 8000),
	}
	bodies := map[string]string{
		"nothing": "", "an object": "{}", "a secret": `{"name":"n","payload":"p","payload_content_type":"text/plain"}`,
		"metadata": `{"metadata":{"k":"v"}}`, "a pair": `{"key":"k","value":"v"}`, "wrong types": `{"name":{},"payload":[],"metadata":[],"key":1,"value":null,"bit_length":{}}`,
		"NUL": `{"name":"\u0000","metadata":{"k":"\u0000"},"key":"\u0000","value":"\u0000"}`, "half a pair": `{"name":"\ud800"}`,
		"a container": `{"type":"generic","secret_refs":[{"secret_ref":"https://kms.test/x"}]}`, "an entry": `{"secret_ref":"x/\u0000"}`,
		"a party": `{"name":"n","URL":"u"}`,
		"broken":  `{"name":`, "not UTF-8": "\xff\xfe", "too large": strings.Repeat("x", 60_000), "deep": strings.Repeat(`{"metadata":`, 20_000),
		"an ACL": `{"read":{"users":["u1","guest"],"project-access":true}}`, "an odd ACL": `{"read":{"users":["\u0000",{}],"project-access":[]}}`,
		"a consumer": `{"service":"s","resource_type":"t","resource_id":"r"}`, "an odd consumer": `{"service":{},"resource_type":"\u0000","resource_id":null}`,
		"numbers": `{"bit_length":1e999999999,"name":-0}`,
	}
	headers := []string{
		"", "Content-Type: text/plain", "Content-Type: application/octet-stream\nContent-Encoding: base64", "Content-Type: \xff;;=",
		"Accept: text/plain", "Accept: \xff/\xff;q=x", "OpenStack-API-Version: key-manager 1.2", "OpenStack-API-Version: key-manager \xff",
		"X-Forwarded-Proto: \xff\nExpect: 100-continue",
	}
	names := slices.Sorted(maps.Keys(bodies))
	for _, who := range []string{"u1", "norole", "x", ""} {
		t.Run("as "+who, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).withStores().furnish()
			w.contain("CG", `{"type":"generic"}`)
			n := 0
			send := func(method, target, header, body, mistake string) {
				a := w.do(who, method+" "+target, header, body)
				a.t, n = t, n+1
				if a.code >= 500 {
					t.Errorf("%s %s, %q, %s: %d %s", method, target, header, mistake, a.code, a.body)
				}
				if a.code >= 400 && method != "HEAD" {
					a.isError(t)
				}
			}
			// Each path and method meets some of the mistakes, the next one others.
			turn := 0
			for _, path := range paths {
				for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"} {
					for range 3 {
						turn++
						send(method, path+queries[turn%len(queries)], "", "", "no body")
					}
					if method == "HEAD" || method == "OPTIONS" || method == "TRACE" {
						continue
					}
					for range 5 {
						turn++
						name := names[turn%len(names)]
						send(method, path, headers[turn/2%len(headers)], bodies[name], name)
					}
				}
			}
			for _, line := range w.logs.All() {
				t.Errorf("logged: %s %v", line.Message, line.ContextMap())
			}
			t.Log(fmt.Sprint(n, " requests"))
		})
	}
}

// routePaths are the paths of all routes, in both forms, of what furnish made.
func routePaths(w *world) []string {
	var all []string
	for _, r := range w.api.Routes() {
		id := "{ST}"
		switch {
		case strings.HasPrefix(r.Path, "/v1/containers"):
			id = "{CG}"
		case strings.HasPrefix(r.Path, "/v1/orders"), strings.HasPrefix(r.Path, "/v1/secret-stores"):
			id = "{NX}"
		}
		path := strings.NewReplacer("{id}", id, "{key}", "k", "{project}", "p",
			"{consumer}", "{NX}", "{key_id}", "{NX}").Replace(r.Path)
		all = append(all, path)
		if hasOlderForm(r.Path) {
			all = append(all, "/v1/{P}"+strings.TrimPrefix(path, "/v1"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
