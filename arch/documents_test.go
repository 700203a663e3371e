package arch_test

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// committed returns the files that git knows or would take, or, in an archive
// without git, all there are.
func committed(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z")
	cmd.Dir = ".."
	if out, err := cmd.Output(); err == nil {
		var names []string
		for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
			if _, err := os.Stat(filepath.Join("..", name)); err == nil { // deleted ones are listed, too
				names = append(names, name)
			}
		}
		return names
	}
	var names []string
	err := filepath.WalkDir("..", func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, strings.TrimPrefix(filepath.ToSlash(name), "../"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```")
)

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, name := range committed(t) {
		if path.Ext(name) != ".md" {
			continue
		}
		text := fenced.ReplaceAllString(read(t, name), "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			if _, err := os.Stat(filepath.Join("..", target)); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
				continue
			}
			if anchor != "" && path.Ext(target) == ".md" && !hasHeading(read(t, target), anchor) {
				t.Errorf("%s links to %s, where no heading is called that", name, m[1])
			}
		}
	}
}

func TestDecisionsAreListed(t *testing.T) {
	t.Parallel()
	index := read(t, "docs/adr/README.md")
	for _, name := range committed(t) {
		if ok, _ := path.Match("docs/adr/[0-9]*.md", name); ok && !strings.Contains(index, "]("+path.Base(name)+")") {
			t.Errorf("docs/adr/README.md does not list %s", name)
		}
	}
}

// Each known defect of upstream's Barbican is decided in a row of its own.
func TestUpstreamsDefectsAreDecided(t *testing.T) {
	t.Parallel()
	rows := map[string]int{}
	for line := range strings.Lines(read(t, "docs/dialects.md")) {
		if strings.HasPrefix(line, "|") {
			for _, name := range regexp.MustCompile(`\bD[0-9]+\b`).FindAllString(line, -1) {
				rows[name]++
			}
		}
	}
	for i := 1; i <= 30; i++ {
		if name := "D" + strconv.Itoa(i); rows[name] == 0 {
			t.Errorf("docs/dialects.md does not say what becomes of %s", name)
		}
	}
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

func hasHeading(text, anchor string) bool {
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		slug := notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		if strings.ReplaceAll(slug, " ", "-") == anchor {
			return true
		}
	}
	return false
}

// typed finds what a reader would type: prose may say "make sure".
var typed = regexp.MustCompile("(?m)^ *(?:\\$ +)?make +([a-z][a-z-]*)|`make +([a-z][a-z-]*)")

func TestDocumentedTargetsExist(t *testing.T) {
	t.Parallel()
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):.*## `).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets[m[1]] = true
	}
	if !targets["test"] || !targets["run"] {
		t.Fatalf("the Makefile has the targets %v", targets)
	}
	for _, name := range committed(t) {
		if path.Ext(name) != ".md" {
			continue
		}
		text := read(t, name)
		for _, m := range typed.FindAllStringSubmatch(code(text), -1) {
			if target := m[1] + m[2]; !targets[target] {
				t.Errorf("%s speaks of make %s, and the Makefile has no such target", name, target)
			}
		}
	}
}

// code returns the parts of a document that are to be typed.
func code(text string) string {
	var b strings.Builder
	for _, block := range fenced.FindAllString(text, -1) {
		b.WriteString(block + "\n")
	}
	for _, inline := range regexp.MustCompile("`make [^`]*`").FindAllString(text, -1) {
		b.WriteString(inline + "\n")
	}
	return b.String()
}

// Nothing committed may name a place or a service of the machine it was made
// on. The names are put together here, or this file would be found.
func TestNoFileNamesAMachine(t *testing.T) {
	t.Parallel()
	place := regexp.MustCompile(`(^|[^a-zA-Z0-9_.])/(` + "work" + `|` + "farm" + `)/`)
	hosts := []string{"proxy." + "golang.org", "sum." + "golang.org", "deb." + "debian.org", "registry." + "npmjs.org"}
	for _, name := range committed(t) {
		text := read(t, name)
		if bytes.IndexByte([]byte(text), 0) >= 0 {
			continue // no text
		}
		if at := place.FindString(text); at != "" {
			t.Errorf("%s has a path of a machine in it: %s", name, strings.TrimSpace(at))
		}
		for _, host := range hosts {
			if strings.Contains(text, host) {
				t.Errorf("%s names the registry %s", name, host)
			}
		}
	}
}
