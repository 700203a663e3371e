package barbican_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// blocks are the rows of the checklist (§25) about what this package serves.
var blocks = [][2]int{
	{1, 49}, {50, 113}, {120, 154}, {160, 182}, {190, 203}, {210, 242}, {250, 289}, {290, 311}, {320, 350}, {360, 408}, {420, 435}, {440, 481}, {490, 505}, {510, 519}, {520, 523}, {530, 543}, {550, 562},
}

// later are the rows that need what is not served yet, and what that is.
var later = map[string]string{}

// Every row is either cited by a test or in the table above, and not in both.
func TestEveryRowHasATest(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	cited := map[string]bool{}
	for _, f := range files {
		if f == "rows_test.go" {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range regexp.MustCompile(`BAR-\d{3}`).FindAllString(string(text), -1) {
			cited[id] = true
		}
	}
	known := map[string]bool{}
	for _, b := range blocks {
		for n := b[0]; n <= b[1]; n++ {
			id := fmt.Sprintf("BAR-%03d", n)
			known[id] = true
			if cited[id] == (later[id] != "") {
				t.Errorf("%s: tested %v, later %q", id, cited[id], later[id])
			}
		}
	}
	for id := range cited {
		if !known[id] {
			t.Errorf("%s is not a row of these sections", id)
		}
	}
}
