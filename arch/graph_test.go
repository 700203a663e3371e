package arch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/strongroom-kms/strongroom"

// packages are ours, by their names below the module, with what they import
// directly, tests aside. Others' packages keep their whole names.
type packages struct {
	imports map[string][]string
	doc     map[string]string // package comments; not of generated packages
}

func short(path string) string { return strings.TrimPrefix(path, module+"/") }

func (g packages) ours(p string) bool { _, ok := g.imports[p]; return ok }

// below returns the named package and those under it, leaves aside.
func (g packages) below(name string) []string {
	var all []string
	for p := range g.imports {
		if within(p, name) {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all
}

// path finds the shortest way from one of our packages, through ours, to one
// that is wanted.
func (g packages) path(from string, wanted func(string) bool) []string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at != from && wanted(at) {
			var back []string
			for p := at; p != ""; p = came[p] {
				back = append(back, p)
			}
			slices.Reverse(back)
			return back
		}
		for _, to := range g.imports[at] {
			if _, seen := came[to]; !seen {
				came[to] = at
				queue = append(queue, to)
			}
		}
	}
	return nil
}

var list = sync.OnceValues(func() (packages, error) {
	g := packages{imports: map[string][]string{}, doc: map[string]string{}}
	out, err := goList("1", "-e", "-json=ImportPath,Dir,Imports,GoFiles,Doc", "./...")
	if err != nil {
		return g, err
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir, Doc string
			Imports, GoFiles     []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return g, nil
		} else if err != nil {
			return g, err
		}
		name := short(p.ImportPath)
		if generated, err := allGenerated(p.Dir, p.GoFiles); err != nil {
			return g, err
		} else if !generated {
			g.doc[name] = p.Doc
		}
		g.imports[name] = make([]string, len(p.Imports))
		for i, to := range p.Imports {
			g.imports[name][i] = short(to)
		}
	}
})

// allGenerated reports whether nobody wrote any of the files by hand, or there
// are none.
func allGenerated(dir string, files []string) (bool, error) {
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return false, err
		}
		if !bytes.HasPrefix(b, []byte("// Code generated ")) {
			return false, nil
		}
	}
	return true, nil
}

func graph(t *testing.T) packages {
	t.Helper()
	g, err := list()
	if err != nil {
		t.Fatal(err)
	}
	if len(g.imports) < 10 {
		t.Fatalf("go list found %d packages only", len(g.imports))
	}
	return g
}

// goList runs go list at the top of the module.
func goList(cgo string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.New("go list " + strings.Join(args, " ") + ": " + problem.String())
	}
	return out, nil
}

// The server holds no PIN and no handle because it cannot: nothing of PKCS#11
// and no C code is linked into it.
func TestServerHasNoCgo(t *testing.T) {
	t.Parallel()
	for _, cgo := range []string{"0", "1"} {
		out, err := goList(cgo, "-deps", "-f", "{{.ImportPath}}{{if not .Standard}}{{range .CgoFiles}} {{.}}{{end}}{{end}}", "./cmd/strongroom")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			fields := strings.Fields(line)
			p := short(fields[0])
			if len(fields) > 1 {
				t.Errorf("cmd/strongroom links %s, which has C code in %s", p, strings.Join(fields[1:], ", "))
			}
			if below(p, "hsm/worker") || p == "github.com/miekg/pkcs11" || p == "github.com/ThalesGroup/crypto11" {
				t.Errorf("cmd/strongroom links %s: the module is for strongroom-hsm alone", p)
			}
			if cgo == "0" && p == "runtime/cgo" {
				t.Error("cmd/strongroom needs runtime/cgo")
			}
		}
	}
}
