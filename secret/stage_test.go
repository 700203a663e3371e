package secret

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// grow adds versions to a secret as the service does, without a store.
func grow(t *testing.T, f Found, want ...[]Stage) Found {
	t.Helper()
	for _, stages := range want {
		f = apply(t, f, stages)
	}
	return f
}

func apply(t *testing.T, f Found, want []Stage) Found {
	t.Helper()
	n := f.Secret.Latest + 1
	c, err := f.adding(Version{Number: n, ContentType: Text, CreatedAt: t0}, want, t0)
	if err != nil {
		t.Fatalf("version %d with %v: %v", n, want, err)
	}
	return f.after(c)
}

// after is the found secret once a store has applied c.
func (f Found) after(c Change) Found {
	next := Found{Secret: c.Secret, Stages: map[Stage]Mark{}}
	for s, m := range f.Stages {
		if !slices.Contains(c.Drop, s) {
			next.Stages[s] = m
		}
	}
	for s, m := range c.Put {
		next.Stages[s] = m
	}
	for _, v := range f.Versions {
		if !slices.Contains(c.Purge, v.Number) {
			next.Versions = append(next.Versions, v)
		}
	}
	if c.Add != nil {
		next.Versions = append(next.Versions, *c.Add)
	}
	return next
}

func TestStagesMove(t *testing.T) {
	def := []Stage(nil)
	for _, tc := range []struct {
		name     string // csms.md §13
		versions [][]Stage
		want     map[int][]Stage
	}{
		{"CSMS-087 first version", [][]Stage{def}, map[int][]Stage{1: {Current}}},
		{"CSMS-089 second version", [][]Stage{def, def}, map[int][]Stage{1: {Previous}, 2: {Current}}},
		{"CSMS-090 third version", [][]Stage{def, def, def}, map[int][]Stage{1: nil, 2: {Previous}, 3: {Current}}},
		{
			"CSMS-091 own stage only",
			[][]Stage{def, def, def, {"test"}},
			map[int][]Stage{2: {Previous}, 3: {Current}, 4: {"test"}},
		},
		{
			"CSMS-092 current and an own one",
			[][]Stage{def, {Current, "blue"}},
			map[int][]Stage{1: {Previous}, 2: {Current, "blue"}},
		},
		{
			"CSMS-093 own stage moves",
			[][]Stage{def, {"blue"}, {"blue"}},
			map[int][]Stage{1: {Current}, 2: nil, 3: {"blue"}},
		},
		{
			"CSMS-094 previous moves alone",
			[][]Stage{def, def, {Previous}},
			map[int][]Stage{1: nil, 2: {Current}, 3: {Previous}},
		},
		{"CSMS-099 twice the same", [][]Stage{def, {"a", "a"}}, map[int][]Stage{1: {Current}, 2: {"a"}}},
		{"a first version is current whatever it asks", [][]Stage{{"a"}}, map[int][]Stage{1: {Current, "a"}}},
		{"both built-in ones at once", [][]Stage{def, {Current, Previous}}, map[int][]Stage{1: nil, 2: {Current, Previous}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := grow(t, Found{}, tc.versions...)
			for n, want := range tc.want {
				if got := f.positions().on(n); !slices.Equal(got, want) {
					t.Errorf("version %d has %v, want %v", n, got, want)
				}
			}
		})
	}
}

func TestOwnStagesAreLimited(t *testing.T) { // CSMS-097
	var twelve []Stage
	for i := range MaxStages {
		twelve = append(twelve, Stage("s"+string(rune('a'+i))))
	}
	f := grow(t, Found{}, nil, append(twelve, Current))
	if _, err := f.adding(Version{Number: 3}, []Stage{"one-more"}, t0); err != ErrManyStages {
		t.Errorf("a 13th stage: %v, want ErrManyStages", err)
	}
	if _, err := f.adding(Version{Number: 3}, []Stage{"sa"}, t0); err != nil {
		t.Errorf("moving one of the twelve: %v", err)
	}
}

func TestPurgeTakesTheOldestWithoutAStage(t *testing.T) { // CSMS-103, CSMS-104
	f := grow(t, Found{}, []Stage{Current, "keep"})
	for range 25 {
		f = apply(t, f, nil)
	}
	var left []int
	for _, v := range f.Versions {
		left = append(left, v.Number)
	}
	if len(left) != MaxVersions || left[0] != 1 || left[1] != 8 || left[19] != 26 {
		t.Errorf("left %v, want 1, 8…26", left)
	}
}

// Whatever is done to a secret, one version is current, no stage is on two
// versions, and no staged version is purged.
func TestStagesStayConsistent(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := Found{}
		names := rapid.SliceOfN(rapid.SampledFrom([]Stage{Current, Previous, Pending, "a", "b", "c"}), 0, 4)
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			var c Change
			if f.Secret.Latest > 0 && rapid.Bool().Draw(r, "move") {
				v := f.Versions[rapid.IntRange(0, len(f.Versions)-1).Draw(r, "to")].Number
				pos := f.positions()
				pos.move([]Stage{names.Filter(func(s []Stage) bool { return len(s) > 0 }).Draw(r, "stage")[0]}, v, t0)
				c = f.moved(pos, t0)
			} else {
				var err error
				if c, err = f.adding(Version{Number: f.Secret.Latest + 1, CreatedAt: t0}, names.Draw(r, "stages"), t0); err != nil {
					r.Fatal(err)
				}
			}
			f = f.after(c)
			has := func(n int) bool {
				return slices.ContainsFunc(f.Versions, func(v Version) bool { return v.Number == n })
			}
			pos := f.positions()
			if pos[Current].Version == 0 {
				r.Fatal("no version is current")
			}
			for s, m := range pos {
				if !has(m.Version) {
					r.Fatalf("stage %s is on version %d, which is gone", s, m.Version)
				}
			}
			if len(f.Versions) > MaxVersions {
				r.Fatalf("%d versions", len(f.Versions))
			}
		}
	})
}

func TestParsePeriod(t *testing.T) { // CSMS-040, CSMS-041
	for text, want := range map[string]time.Duration{
		"6h": 6 * time.Hour, "360m": 6 * time.Hour, "21600s": 6 * time.Hour,
		"1d": 24 * time.Hour, "365d": maxPeriod, "8760h": maxPeriod,
	} {
		if got, err := ParsePeriod(text); err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "d", "5h", "366d", "8761h", "1w", "6", "6H", "-1d", "+6h", "1.5d", "1d12h", "0d", "06h", " 6h",
		"99999999999999999999d", "18446744073709551616s", "213503982334602d",
	} {
		if got, err := ParsePeriod(text); err == nil {
			t.Errorf("%q = %v, want an error", text, got)
		}
	}
}

func TestVersionTimesIncreaseByMilliseconds(t *testing.T) { // CSMS-116
	prev := t0
	for range 5 {
		next := after(prev, t0.Add(300*time.Microsecond))
		if next.UnixMilli() <= prev.UnixMilli() {
			t.Fatalf("%v does not come after %v", next, prev)
		}
		prev = next
	}
	if later := t0.Add(time.Second); after(t0, later) != later {
		t.Error("a time that is later anyway was changed")
	}
}
