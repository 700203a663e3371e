package csms_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// elsewhere are the rows of csms.md §13, among those of secrets, versions and
// stages, that no test in this folder can show yet, and why.
var elsewhere = map[string]string{
	"CSMS-003": "conformance/huawei: the vendor's own SDK",
	"CSMS-029": "later: master keys that are not symmetric come with the KMS API",
	"CSMS-182": "soak: every step of the state machine is read back on another node, and TestNodesAgree",
	"CSMS-189": "conformance/huawei: the calls of Terraform's provider, TestTerraformSecret",
	"CSMS-190": "conformance/huawei for Go; later for Java and Python",
}

// Every row of this issue is cited by a test here, or says where it is.
func TestEveryRowIsCited(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range files {
		if f == "rows_test.go" {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	rows := func(from, to int) {
		for n := from; n <= to; n++ {
			id := fmt.Sprintf("CSMS-%03d", n)
			if strings.Contains(text.String(), id) == (elsewhere[id] != "") {
				t.Errorf("%s: cited in a test or listed as elsewhere, exactly one of them", id)
			}
		}
	}
	rows(1, 195)
}
