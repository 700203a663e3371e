package rotation

// Config is what rotation_config says, whichever spelling it has.
type Config struct {
	Instance  string
	MultiUser bool
}

// The same two members in the seed's request, in its answer, and in the SDK
// (csms.md §7.2).
var (
	instanceSpellings = []string{"rds_instance_id", "RDSInstanceId", "InstanceId"}
	subTypeSpellings  = []string{"Secret_sub_type", "SecretSubType"}
)

// ParseConfig reads the text of a database secret, which is stored and echoed
// as it came. An error is ErrConfig; c says how far it came.
func ParseConfig(text string) (c Config, err error) {
	object, ok := LooseObject(text)
	if !ok {
		return Config{}, ErrConfig
	}
	c.Instance = firstText(object, instanceSpellings)
	switch firstText(object, subTypeSpellings) {
	case "SingleUser":
	case "MultiUser":
		c.MultiUser = true
	default:
		return c, ErrConfig
	}
	if c.Instance == "" {
		return c, ErrConfig
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
