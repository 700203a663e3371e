package secret

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Stage is a movable label; each is on exactly one version of a secret.
type Stage string

// The built-in stages. A secret with versions always has Current.
const (
	Current  Stage = "SYSCURRENT"
	Previous Stage = "SYSPREVIOUS"
	Pending  Stage = "SYSPENDING" // while a rotation runs
)

// BuiltIn reports whether s is one of the product's own stages.
func (s Stage) BuiltIn() bool { return s == Current || s == Previous || s == Pending }

// Mark is where a stage is, and since when. Version 0: nowhere.
type Mark struct {
	Version int
	Since   time.Time
}

// stages is the position of every stage of one secret.
type stages map[Stage]Mark

// positions is where every stage of a found secret is.
func (f Found) positions() stages {
	m := stages{}
	maps.Copy(m, f.Stages)
	for s, mark := range map[Stage]Mark{Current: f.Secret.Current, Previous: f.Secret.Previous} {
		if mark.Version != 0 {
			m[s] = mark
		}
	}
	return m
}

func (m stages) put(s Stage, version int, now time.Time) {
	if m[s].Version != version {
		m[s] = Mark{version, now}
	}
}

// own counts the caller's stages, which MaxStages limits.
func (m stages) own() int {
	n := 0
	for s := range m {
		if !s.BuiltIn() {
			n++
		}
	}
	return n
}

// on lists the stages on a version, built-in ones first, then by name.
func (m stages) on(version int) []Stage {
	var out []Stage
	for s, mark := range m {
		if mark.Version == version {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Stage) int {
		if a.BuiltIn() != b.BuiltIn() {
			if a.BuiltIn() {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	return out
}

// move puts want on version. Where that takes Current from another version,
// Previous follows to that one, unless want places Previous itself (csms.md
// §5.1 steps 4–6, §6.2).
func (m stages) move(want []Stage, version int, now time.Time) {
	was := m[Current].Version
	for _, s := range want {
		m.put(s, version, now)
	}
	if slices.Contains(want, Current) && was != 0 && was != version && !slices.Contains(want, Previous) {
		m.put(Previous, was, now)
	}
}

// purge names the versions that must go so that at most MaxVersions remain:
// the oldest without a stage, never the newest. At most 15 versions can hold
// stages, so there always are enough.
func (m stages) purge(versions []Version, newest int) []int {
	surplus := len(versions) - MaxVersions
	var gone []int
	for _, v := range versions {
		if surplus <= 0 {
			break
		}
		if v.Number != newest && len(m.on(v.Number)) == 0 {
			gone = append(gone, v.Number)
			surplus--
		}
	}
	return gone
}
