package arch_test

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The proxy's idea of "latest" may lie behind a pin, and a careless go get then
// takes it back without a word.
func TestNoPinGoesDown(t *testing.T) {
	t.Parallel()
	have := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\t(?:require )?(\S+) (v\S+)`).FindAllStringSubmatch(read(t, "go.mod"), -1) {
		have[m[1]] = m[2]
	}
	if len(have) < 10 {
		t.Fatalf("go.mod has %d requirements only", len(have))
	}
	for line := range strings.Lines(read(t, "arch/testdata/floors.txt")) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, floor, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, ok := have[name]; ok && compareVersions(v, floor) < 0 {
			t.Errorf("%s went down to %s from %s", name, v, floor)
		}
	}
}

// compareVersions orders two semantic versions, pseudo-versions included.
func compareVersions(a, b string) int {
	a, preA, _ := strings.Cut(strings.TrimPrefix(a, "v"), "-")
	b, preB, _ := strings.Cut(strings.TrimPrefix(b, "v"), "-")
	numsA, numsB := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(numsA), len(numsB)) {
		x, _ := strconv.Atoi(numsA[i]) // "0+incompatible" counts as 0
		y, _ := strconv.Atoi(numsB[i])
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	if (preA == "") != (preB == "") {
		return cmp.Compare(len(preB), len(preA)) // a release comes after what led to it
	}
	return strings.Compare(preA, preB) // of pseudo-versions, the date decides
}

func TestVersionsAreOrdered(t *testing.T) {
	t.Parallel()
	ascending := []string{
		"v0.0.0-20230803200340-78284954bff6", "v0.0.0-20261014143641-f0251eb4aa3e", "v0.5.0-rc1", "v0.5.0", "v0.10.0", "v1.5.0", "v1.6.2",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			if got, want := compareVersions(a, b), cmp.Compare(i, j); got != want {
				t.Errorf("compareVersions(%s, %s) is %d, want %d", a, b, got, want)
			}
		}
	}
}

// deps.sh gets one release of Go where go.mod's is missing.
func TestDepsGetsAGoThatFits(t *testing.T) {
	t.Parallel()
	wants := regexp.MustCompile(`(?m)^go (\S+)`).FindStringSubmatch(read(t, "go.mod"))
	gets := regexp.MustCompile(`(?m)^go_release=(\S+)`).FindStringSubmatch(read(t, "deploy/deps.sh"))
	if wants == nil || gets == nil {
		t.Fatalf("go.mod says %v, deploy/deps.sh says %v", wants, gets)
	}
	if compareVersions(gets[1], wants[1]) < 0 {
		t.Errorf("deploy/deps.sh gets Go %s, and go.mod wants %s", gets[1], wants[1])
	}
}
