// Package wiretest holds conversations with a dialect: files that have every
// byte a client sees, and so are its documentation as well.
package wiretest

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata")

// Converse sends the requests of each file in testdata, in order, to a server
// of its own, and compares the answers with those in the file. open returns
// what sends one request, as text, and returns its answer, as text. With
// -update the answers are written anew; the diff is what clients will notice.
func Converse(t *testing.T, open func(t *testing.T) (say func(request string) string)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			was, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			say := open(t)
			now := &txtar.Archive{Comment: was.Comment}
			for _, f := range was.Files {
				if f.Name == "request" {
					answer := txtar.File{Name: "response", Data: []byte(say(string(f.Data)))}
					now.Files = append(now.Files, f, answer)
				}
			}
			got, want := txtar.Format(now), txtar.Format(was)
			switch {
			case bytes.Equal(got, want):
			case *update:
				if err := os.WriteFile(file, got, 0o600); err != nil {
					t.Fatal(err)
				}
			default:
				t.Errorf("the conversation went\n%s\nwant\n%s", got, want)
			}
		})
	}
}
