package arch_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// many is how many files a package may have before it owes its reader a map.
const many = 8

var (
	where  = regexp.MustCompile(`(?ms)^// # Where things are$\n(.*?)^(?:// # |package )`)
	gofile = regexp.MustCompile(`[a-z_]+\*?\.go`)
)

// A package of many files says in its comment where things are, and such a map
// names every file and none that is gone.
func TestBigPackagesHaveAMap(t *testing.T) {
	t.Parallel()
	maps := 0
	for p := range graph(t).doc {
		files := written(t, p)
		var text string
		for _, name := range files {
			text += read(t, path.Join(p, name))
		}
		found := where.FindStringSubmatch(text)
		if found == nil {
			if len(files) > many {
				t.Errorf("%s has %d files, and its comment does not say where things are", p, len(files))
			}
			continue
		}
		maps++
		named := gofile.FindAllString(found[1], -1)
		for _, name := range files {
			if name != "doc.go" && !slices.ContainsFunc(named, func(n string) bool { return matches(n, name) }) {
				t.Errorf("the map of %s lacks %s", p, name)
			}
		}
		for _, n := range named {
			if !slices.ContainsFunc(files, func(name string) bool { return matches(n, name) }) {
				t.Errorf("the map of %s names %s, which does not exist", p, n)
			}
		}
	}
	if maps < 10 {
		t.Errorf("only %d maps found", maps)
	}
}

// written returns a package's files, tests aside.
func written(t *testing.T, p string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("..", p))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") {
			names = append(names, name)
		}
	}
	return names
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// Whoever looks for a package finds it in docs/architecture.md.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	t.Parallel()
	_, table, ok := strings.Cut(read(t, "docs/architecture.md"), "\n## Packages\n")
	if !ok {
		t.Fatal("docs/architecture.md has no list of packages")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	var names []string
	for _, m := range regexp.MustCompile("`([a-z][a-z0-9/-]*)`").FindAllStringSubmatch(table, -1) {
		names = append(names, m[1])
	}
	g := graph(t)
	for p := range g.doc {
		if !slices.Contains(names, p) {
			t.Errorf("docs/architecture.md does not name %s", p)
		}
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join("..", name)); err != nil {
			t.Errorf("docs/architecture.md names %s, which does not exist", name)
		}
	}
}
