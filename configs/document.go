package configs

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"go.yaml.in/yaml/v3"
)

// document is a koanf.Parser for one YAML file. It collects keys that stand
// there twice, so that they can be reported together with everything else.
type document struct{ twins []problem }

// Unmarshal implements koanf.Parser.
func (d *document) Unmarshal(b []byte) (map[string]any, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil {
		return nil, err
	}
	d.tidy(&root, "")
	var out map[string]any
	if err := root.Decode(&out); err != nil {
		return nil, errors.New("the file is not a mapping of sections")
	}
	return out, nil
}

// Marshal implements koanf.Parser.
func (d *document) Marshal(m map[string]any) ([]byte, error) { return yaml.Marshal(m) }

// tidy removes twins, and keys without a value: an empty section keeps its
// defaults, where a merge would replace them by nothing.
func (d *document) tidy(n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode {
		for _, child := range n.Content {
			d.tidy(child, path)
		}
		return
	}
	lines := map[string]int{}
	kept := n.Content[:0]
	for pair := range slices.Chunk(n.Content, 2) {
		name, value := pair[0], pair[1]
		full := strings.TrimPrefix(path+"."+name.Value, ".")
		if line, ok := lines[name.Value]; ok {
			d.twins = append(d.twins, problem{full, fmt.Sprintf("stands twice, in lines %d and %d", line, name.Line)})
			continue
		}
		lines[name.Value] = name.Line
		if value.Tag == "!!null" {
			continue
		}
		d.tidy(value, full)
		kept = append(kept, name, value)
	}
	n.Content = kept
}

// unreadable takes the decoder's error apart. It has no value in it: one in a
// wrong place may be a secret.
func unreadable(err error) []problem {
	if e, ok := err.(*mapstructure.DecodeError); ok { //nolint:errorlint // this function itself unwraps
		return atKey(e)
	}
	var all []problem
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			all = append(all, unreadable(e)...)
		}
		return all
	}
	if inner := errors.Unwrap(err); inner != nil {
		return unreadable(inner)
	}
	return []problem{{"configuration", err.Error()}}
}

func atKey(e *mapstructure.DecodeError) []problem {
	text := errors.Unwrap(e).Error()
	unknown, ok := strings.CutPrefix(text, "has invalid keys: ")
	if !ok {
		return []problem{{e.Name(), text}}
	}
	var all []problem
	for name := range strings.SplitSeq(unknown, ", ") {
		all = append(all, problem{strings.TrimPrefix(e.Name()+"."+name, "."), "unknown key"})
	}
	return all
}
