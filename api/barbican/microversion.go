package barbican

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/strongroom-kms/strongroom/fault"
)

// versionHeader in the form that http.Header keeps it. The wire does not care
// about case.
const versionHeader = "Openstack-Api-Version"

// microversion is which 1.x a client asked for.
type microversion int

const (
	v1_0 microversion = iota
	v1_1              // secrets carry their consumers
	v1_2              // a secret with consumers is not deleted by accident
)

const minVersion, maxVersion = v1_0, v1_2

func (v microversion) String() string { return fmt.Sprintf("1.%d", int(v)) }

var (
	errVersionForm = fault.New(fault.Invalid, "OpenStack-API-Version is not of the form key-manager MAJOR.MINOR.")
	errVersion     = &httpError{status: 406, fault: fault.New(fault.Invalid,
		fmt.Sprintf("The requested microversion is not supported: %v to %v are.", minVersion, maxVersion))}
)

// requested is the microversion that a request asks for (§4.1). The header may
// list several services; the last entry for this one counts. One word alone is
// no entry.
func requested(header []string) (microversion, error) {
	want := ""
	for entry := range strings.SplitSeq(strings.Join(header, ","), ",") {
		words := strings.Fields(entry)
		if len(words) > 1 && strings.EqualFold(words[0], "key-manager") {
			want = strings.Join(words[1:], " ")
		}
	}
	switch want {
	case "":
		return minVersion, nil
	case "latest":
		return maxVersion, nil
	}
	major, minor, ok := strings.Cut(want, ".")
	if !ok || !digits(major) || !digits(minor) {
		return 0, errVersionForm
	}
	// Leading zeros are tolerated, and a number too large to parse is a version
	// that is not supported either.
	ma, errMajor := strconv.Atoi(major)
	mi, errMinor := strconv.Atoi(minor)
	v := microversion(mi)
	if errMajor != nil || errMinor != nil || ma != 1 || v < minVersion || v > maxVersion {
		return 0, errVersion
	}
	return v, nil
}

// digits reports whether s is one or more ASCII digits.
func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
