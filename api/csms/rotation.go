package csms

import (
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/fault"
)

// rotationConfig is what rotation_config says, whichever spelling it has.
type rotationConfig struct {
	instance  string
	multiUser bool
}

const maxRotationConfig = 1024 // characters

// The same two members in the seed's request, in its answer, and in the SDK
// (csms.md §7.2).
var (
	instanceSpellings = []string{"rds_instance_id", "RDSInstanceId", "InstanceId"}
	subTypeSpellings  = []string{"Secret_sub_type", "SecretSubType"}
)

// parseRotationConfig reads the text of a database secret. It is stored and
// echoed as it came; this only checks it.
func parseRotationConfig(s string) (rotationConfig, error) {
	if s == "" {
		return rotationConfig{}, missing("rotation_config")
	}
	object, ok := looseObject(s)
	if !ok {
		return rotationConfig{}, invalid("rotation_config")
	}
	c := rotationConfig{instance: firstText(object, instanceSpellings)}
	if c.instance == "" {
		return rotationConfig{}, fault.New(fault.Invalid, "The value of parameter rotation_config is invalid: it names no instance.")
	}
	switch firstText(object, subTypeSpellings) {
	case "SingleUser":
	case "MultiUser":
		c.multiUser = true
	default:
		return rotationConfig{}, fault.New(fault.Invalid, "The value of parameter rotation_config is invalid: its sub type is neither SingleUser nor MultiUser.")
	}
	return c, nil
}

func firstText(object map[string]any, names []string) string {
	for _, n := range names {
		if s, _ := object[n].(string); s != "" {
			return s
		}
	}
	return ""
}

// rotationConfigText checks what is asked of the text in any secret.
func rotationConfigText(s string) error {
	if utf8.RuneCountInString(s) > maxRotationConfig {
		return invalid("rotation_config")
	}
	return short("rotation_config", s, maxRotationConfig*utf8.UTFMax)
}
