package soak_test

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/strongroom-kms/strongroom/secret"
)

// kept is a secret as the model remembers it: csms.md §5 and §6 once more, told
// as plainly as possible and apart from what the product is made of.
type kept struct {
	id          secret.ID
	description string
	latest      int                  // highest number ever given
	versions    map[int]*keptVersion // that are there
	on          map[secret.Stage]int // where each stage is
	due         time.Time            // of its deletion; zero: none is planned
	rotating    int                  // the version that a rotation is about to put into force
	grace       time.Duration        // how old a version must be to be purged
}

type keptVersion struct {
	value   string
	made    time.Time
	expires *time.Time
}

func newKept(id secret.ID, first keptVersion) *kept {
	return &kept{
		id: id, latest: 1, versions: map[int]*keptVersion{1: &first},
		on: map[secret.Stage]int{secret.Current: 1},
	}
}

// can says whether values may be read or changed now.
func (k *kept) can() error {
	if !k.due.IsZero() {
		return secret.ErrPendingDelete
	}
	return nil
}

// add is what should become of k with one more version; k stays as it is where
// that is refused.
func (k *kept) add(v keptVersion, want []secret.Stage) error {
	if err := k.can(); err != nil {
		return err
	}
	if len(want) == 0 {
		want = []secret.Stage{secret.Current}
	}
	if k.rotating != 0 && slices.Contains(want, secret.Pending) {
		return secret.ErrRotating
	}
	next := k.latest + 1
	on := k.moved(want, next)
	if own(on) > secret.MaxStages {
		return secret.ErrManyStages
	}
	versions := maps.Clone(k.versions)
	versions[next] = &v
	for _, n := range slices.Sorted(maps.Keys(versions)) {
		staged := slices.Contains(slices.Collect(maps.Values(on)), n)
		if len(versions) > secret.MaxVersions && n != next && !staged && v.made.Sub(versions[n].made) >= k.grace {
			delete(versions, n)
		}
	}
	if len(versions) > secret.MaxVersions {
		return secret.ErrManyVersions
	}
	k.versions, k.on, k.latest = versions, on, next
	return nil
}

// move is PUT of a stage.
func (k *kept) move(name secret.Stage, version int) error {
	if err := k.can(); err != nil {
		return err
	}
	if k.rotating != 0 && name == secret.Pending {
		return secret.ErrRotating
	}
	if k.versions[version] == nil {
		return secret.ErrNoVersion
	}
	on := k.moved([]secret.Stage{name}, version)
	if own(on) > secret.MaxStages {
		return secret.ErrManyStages
	}
	k.on = on
	return nil
}

// moved is where the stages are after want went to version.
func (k *kept) moved(want []secret.Stage, version int) map[secret.Stage]int {
	on := maps.Clone(k.on)
	for _, s := range want {
		on[s] = version
	}
	was := k.on[secret.Current]
	if on[secret.Current] != was && !slices.Contains(want, secret.Previous) {
		on[secret.Previous] = was
	}
	return on
}

func (k *kept) drop(name secret.Stage) error {
	if err := k.can(); err != nil {
		return err
	}
	switch {
	case name == secret.Current, name == secret.Previous, name == secret.Pending && k.rotating != 0:
		return secret.ErrBuiltInStage
	case k.on[name] == 0:
		return secret.ErrNoStage
	}
	delete(k.on, name)
	return nil
}

func (k *kept) expire(version int, at *time.Time) error {
	if err := k.can(); err != nil {
		return err
	}
	if k.versions[version] == nil {
		return secret.ErrNoVersion
	}
	k.versions[version].expires = at
	return nil
}

// begin and end are a rotation (csms.md §7.1).
func (k *kept) begin(v keptVersion) error {
	if err := k.can(); err != nil {
		return err
	}
	if err := k.add(v, []secret.Stage{secret.Pending}); err != nil {
		return err
	}
	k.rotating = k.latest
	return nil
}

func (k *kept) end(succeeded bool) error {
	if k.rotating == 0 {
		return secret.ErrNotRotating
	}
	if succeeded {
		k.on = k.moved([]secret.Stage{secret.Current}, k.rotating)
	}
	delete(k.on, secret.Pending)
	if !succeeded && len(k.stages(k.rotating)) == 0 {
		delete(k.versions, k.rotating)
	}
	k.rotating = 0
	return nil
}

// copied is what a backup of k holds.
func (k *kept) copied() *kept {
	c := *k
	c.versions, c.on = map[int]*keptVersion{}, maps.Clone(k.on)
	for n, v := range k.versions {
		v := *v
		c.versions[n] = &v
	}
	return &c
}

// stages are those on a version, by name.
func (k *kept) stages(version int) []secret.Stage {
	var out []secret.Stage
	for s, n := range k.on {
		if n == version {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

func own(on map[secret.Stage]int) int {
	n := 0
	for s := range on {
		if !slices.Contains([]secret.Stage{secret.Current, secret.Previous, secret.Pending}, s) {
			n++
		}
	}
	return n
}

// line is what is to see of one version.
func line(number int, stages []secret.Stage, expires *time.Time) string {
	out := "v" + strconv.Itoa(number)
	for _, s := range slices.Sorted(slices.Values(stages)) {
		out += " " + string(s)
	}
	if expires != nil {
		out += " until " + expires.UTC().Format(time.RFC3339Nano)
	}
	return out
}

// lines are what a list of the versions should say.
func (k *kept) lines() []string {
	var out []string
	for _, n := range slices.Sorted(maps.Keys(k.versions)) {
		out = append(out, line(n, k.stages(n), k.versions[n].expires))
	}
	return out
}
