package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// The README's commands, pasted one block after the other into a terminal that
// sourced env.sh.
func TestCommandsOfTheREADME(t *testing.T) {
	needs(t, "openstack", "curl")
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("cd " + t.TempDir() + "\n")
	blocks := 0
	for _, m := range shellBlock.FindAllSubmatch(text, -1) {
		block := string(m[1])
		// The two commands have tests of their own: this one runs in the second
		// of them, behind a server like the first one's.
		if strings.HasPrefix(block, "make ") || strings.HasPrefix(block, "source ") {
			continue
		}
		script.WriteString(block)
		blocks++
	}
	if blocks < 3 {
		t.Fatalf("only %d blocks of commands", blocks)
	}
	out := shell(t, server(t), script.String())
	for _, want := range []string{"hello, world", "same", "correct horse"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in what they print:\n%s", want, out)
		}
	}
}
