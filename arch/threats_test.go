package arch_test

import (
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// named finds a test and its folder in a table of the threat model:
// `TestName` `folder`, or `TestName/Case` `folder` for one case of a suite.
var named = regexp.MustCompile("`((?:Test|Fuzz)\\w+)(?:/(\\w+))?` `([\\w/]+)`")

// suites are where the cases of contract suites stand.
var suites = []string{"hsm/hsmtest", "persistence/storetest"}

func TestThreatsNameTestsThatExist(t *testing.T) {
	t.Parallel()
	rows := 0
	for line := range strings.Lines(read(t, "docs/threat-model.md")) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "---") || strings.TrimSpace(cells[3]) == "Test" {
			continue
		}
		rows++
		found := named.FindAllStringSubmatch(cells[3], -1)
		if len(found) == 0 {
			t.Errorf("no test shows what stops this: %s", strings.TrimSpace(cells[1]))
		}
		for _, m := range found {
			text := sources(t, m[3], "*_test.go")
			if !strings.Contains(text, "\nfunc "+m[1]+"(") {
				t.Errorf("the threat model names %s in %s, which does not exist", m[1], m[3])
			}
			for _, dir := range suites {
				text += sources(t, dir, "*.go")
			}
			if m[2] != "" && !strings.Contains(text, `"`+m[2]+`"`) {
				t.Errorf("the threat model names the case %s of %s, which does not exist", m[2], m[1])
			}
		}
	}
	if rows < 30 {
		t.Errorf("only %d threats found", rows)
	}
}

func sources(t *testing.T, dir, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		b.WriteString(read(t, path.Join(dir, filepath.Base(f))))
	}
	return b.String()
}
