package identity

import "github.com/strongroom-kms/strongroom/fault"

// StatusOf is the status of a kind, for the test that each has one.
func StatusOf(k fault.Kind) int { return status[k] }
