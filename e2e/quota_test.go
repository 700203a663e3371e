package e2e

import (
	"strings"
	"testing"
)

// Who sets quotas gives one to another project, whose users then come up
// against it and make room.
func TestQuotaOfAProject(t *testing.T) {
	s := server(t)
	base := s.Env["KEY_MANAGER_URL"] + "/v1"
	sam, quinn := as(t, s, "sam", "sam-password", "small"), as(t, s, "quinn", "quinn-password", "beta")
	quota := base + "/project-quotas/" + sam.project
	effective := func(want float64) {
		t.Helper()
		var got struct {
			Quotas map[string]float64 `json:"quotas"`
		}
		sam.must(t, 200, "GET", base+"/quotas", nil).json(t, &got)
		if len(got.Quotas) != 5 || got.Quotas["secrets"] != want || got.Quotas["orders"] != -1 {
			t.Errorf("effective: %v, want %v secrets", got.Quotas, want)
		}
	}
	effective(-1)
	quinn.must(t, 204, "PUT", quota, map[string]any{"project_quotas": map[string]any{"secrets": 2}})
	effective(2)
	var refs []string
	for range 2 {
		var made struct {
			Ref string `json:"secret_ref"`
		}
		sam.must(t, 201, "POST", base+"/secrets", map[string]any{}).json(t, &made)
		refs = append(refs, made.Ref)
	}
	if a := sam.must(t, 403, "POST", base+"/secrets", map[string]any{}); !strings.Contains(strings.ToLower(string(a.Body)), "quota") {
		t.Errorf("the refusal does not speak of quotas: %s", a.Body)
	}
	sam.must(t, 204, "DELETE", refs[0], nil)
	sam.must(t, 201, "POST", base+"/secrets", map[string]any{})
	sam.must(t, 403, "POST", base+"/secrets", map[string]any{})
	sam.must(t, 403, "PUT", quota, map[string]any{"project_quotas": map[string]any{"secrets": 3}})
	quinn.must(t, 204, "DELETE", quota, nil)
	effective(-1)
	sam.must(t, 201, "POST", base+"/secrets", map[string]any{})
}
