package soak_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// machine does random things to some secrets of one project, each on a node
// drawn anew, and to the model.
type machine struct {
	*cluster
	fatal   func(format string, args ...any) // does not return
	who     auth.Principal
	secrets map[string]*kept // by name
	touched string           // the secret of the last step
	backups []backup
	steps   int
	dead    map[string]bool // names whose secret is past its deletion time, and not yet purged
}

func (c *cluster) machine(fatal func(string, ...any)) *machine {
	return &machine{cluster: c, fatal: fatal, who: caller(), secrets: map[string]*kept{}, dead: map[string]bool{}}
}

// run does some hundred steps, after each of which the store and the model must
// agree.
func (m *machine) run(t *rapid.T) {
	ctx := context.Background()
	actions := map[string]func(*rapid.T){}
	for name, do := range map[string]func(context.Context, *rapid.T){
		"create": m.create, "delete": m.remove, "add": m.add, "add more": m.add, "add yet more": m.add,
		"move": m.move, "move again": m.move, "drop": m.drop, "expire": m.expire, "describe": m.describe,
		"schedule": m.schedule, "cancel": m.cancel, "wait": m.wait, "purge": m.purge,
		"rotate": m.rotate, "end a rotation": m.endRotation, "back up": m.backUp, "restore": m.restore,
	} {
		actions[name] = func(t *rapid.T) {
			do(ctx, t)
			m.steps++
		}
	}
	actions[""] = func(t *rapid.T) { m.check(ctx, t, m.touched) }
	t.Repeat(actions)
	for name := range m.secrets {
		m.check(ctx, t, name)
	}
	for _, name := range slices.Sorted(maps.Keys(m.secrets)) { // nothing is left to fall due for the next one
		if l := m.locate(ctx, t, name, secret.Want{}); l != nil {
			m.told(l.Delete(ctx), nil, "delete "+name+" in the end")
		}
	}
	m.told(m.buried(ctx), nil, "purge in the end")
}

func (m *machine) told(got, want error, what string) {
	if want == nil && got != nil || !errors.Is(got, want) {
		m.fatal("%s: answered %v, want %v", what, got, want)
	}
}

// name draws a secret; there are few, so that they are met again.
func (m *machine) name(t *rapid.T) string {
	m.touched = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "secret")
	return m.touched
}

func (m *machine) node(t *rapid.T) *secret.Service {
	return m.nodes[rapid.IntRange(0, len(m.nodes)-1).Draw(t, "node")]
}

// locate finds a secret by name, and nothing where the model has none.
func (m *machine) locate(ctx context.Context, t *rapid.T, name string, want secret.Want) *secret.Located {
	l, err := m.node(t).Locate(ctx, m.who, policy.SecretShow, secret.Named(m.who.Project, name), want)
	if m.secrets[name] == nil {
		m.told(err, secret.ErrNotFound, "locate "+name)
		return nil
	}
	m.told(err, nil, "locate "+name)
	return l
}

func (m *machine) create(ctx context.Context, t *rapid.T) {
	name, value, now := m.name(t), uuid.NewString(), m.clock.now()
	sec, err := m.node(t).Create(ctx, m.who, named(name, value))
	if m.secrets[name] != nil {
		m.told(err, secret.ErrNameTaken, "create "+name)
		return
	}
	m.told(err, nil, "create "+name)
	delete(m.dead, name) // whoever takes the name of a secret that is over ends it
	m.secrets[name] = newKept(sec.ID, keptVersion{value: value, made: now})
	m.secrets[name].grace = m.grace
}

// seldom lets a step be another one three times out of four, so that secrets
// grow old.
func seldom(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "sure") != 0 {
		t.Skip("not this time")
	}
}

func (m *machine) remove(ctx context.Context, t *rapid.T) {
	seldom(t)
	name := m.name(t)
	if l := m.locate(ctx, t, name, secret.Want{}); l != nil {
		m.told(l.Delete(ctx), nil, "delete "+name)
		delete(m.secrets, name)
	}
}

// stages are more than a secret may have, and the three that do not count.
var stages = func() *rapid.Generator[secret.Stage] {
	all := []secret.Stage{secret.Current, secret.Previous, secret.Pending}
	for n := range secret.MaxStages + 2 {
		all = append(all, secret.Stage("own-"+strconv.Itoa(n)))
	}
	return rapid.SampledFrom(all)
}()

func (m *machine) add(ctx context.Context, t *rapid.T) {
	name := m.name(t)
	l := m.locate(ctx, t, name, all(0))
	if l == nil {
		return
	}
	var want []secret.Stage
	if rapid.Bool().Draw(t, "with stages") {
		want = rapid.SliceOfNDistinct(stages, 1, 5, rapid.ID).Draw(t, "stages")
	}
	k, value, expires, now := m.secrets[name], uuid.NewString(), m.expiry(t), m.clock.now()
	v, err := l.AddVersion(ctx, secret.NewVersion{Payload: text(value), ContentType: secret.Text, Stages: want, ExpiresAt: expires})
	m.told(err, k.add(keptVersion{value, now, expires}, want), fmt.Sprintf("add a version with %v to %s", want, name))
	if err == nil && (v.Number != k.latest || line(v.Number, v.Stages, v.ExpiresAt) != line(k.latest, k.stages(k.latest), expires)) {
		m.fatal("added %s, want v%d with %v", line(v.Number, v.Stages, v.ExpiresAt), k.latest, k.stages(k.latest))
	}
}

// expiry is a time that is to come, or none.
func (m *machine) expiry(t *rapid.T) *time.Time {
	if !rapid.Bool().Draw(t, "expires") {
		return nil
	}
	at := m.clock.now().Add(time.Hour).Truncate(time.Second)
	return &at
}

// version draws a number that was given, or is to be given next.
func (m *machine) version(t *rapid.T, name string) int {
	return rapid.IntRange(1, m.secrets[name].latest+1).Draw(t, "version")
}

func (m *machine) move(ctx context.Context, t *rapid.T) {
	name := m.name(t)
	if l := m.locate(ctx, t, name, all(0)); l != nil {
		stage, version := stages.Draw(t, "stage"), m.version(t, name)
		mark, err := l.SetStage(ctx, stage, version)
		m.told(err, m.secrets[name].move(stage, version), fmt.Sprintf("put %s of %s on v%d", stage, name, version))
		if err == nil && mark.Version != version {
			m.fatal("%s of %s was said to be on v%d, want v%d", stage, name, mark.Version, version)
		}
	}
}

func (m *machine) drop(ctx context.Context, t *rapid.T) {
	name := m.name(t)
	if l := m.locate(ctx, t, name, all(0)); l != nil {
		stage := stages.Draw(t, "stage")
		m.told(l.DropStage(ctx, stage), m.secrets[name].drop(stage), fmt.Sprintf("drop %s of %s", stage, name))
	}
}

func (m *machine) expire(ctx context.Context, t *rapid.T) {
	name := m.name(t)
	if l := m.locate(ctx, t, name, all(0)); l != nil {
		version, at := m.version(t, name), m.expiry(t)
		_, err := l.SetExpiry(ctx, version, at)
		m.told(err, m.secrets[name].expire(version, at), fmt.Sprintf("let v%d of %s expire", version, name))
	}
}

func (m *machine) describe(ctx context.Context, t *rapid.T) {
	name := m.name(t)
	if l := m.locate(ctx, t, name, secret.Want{}); l != nil {
		words := rapid.StringMatching(`[a-z]{0,8}`).Draw(t, "description")
		_, err := l.Update(ctx, secret.Update{Description: &words})
		m.told(err, m.secrets[name].can(), "describe "+name)
		if err == nil {
			m.secrets[name].description = words
		}
	}
}

func (m *machine) schedule(ctx context.Context, t *rapid.T) {
	seldom(t)
	name := m.name(t)
	if l := m.locate(ctx, t, name, secret.Want{}); l != nil {
		days := rapid.IntRange(7, 30).Draw(t, "days")
		sec, err := l.Schedule(ctx, time.Duration(days)*24*time.Hour)
		if m.secrets[name].can() != nil {
			m.told(err, secret.ErrScheduled, "schedule "+name)
			return
		}
		m.told(err, nil, "schedule "+name)
		m.secrets[name].due = *sec.DeleteAt
	}
}

func (m *machine) cancel(ctx context.Context, t *rapid.T) {
	name := m.name(t)
	if l := m.locate(ctx, t, name, secret.Want{}); l != nil {
		_, err := l.Unschedule(ctx)
		if m.secrets[name].can() == nil {
			m.told(err, secret.ErrNotScheduled, "cancel "+name)
			return
		}
		m.told(err, nil, "cancel "+name)
		m.secrets[name].due = time.Time{}
	}
}

// wait lets time pass; deletions fall due.
func (m *machine) wait(_ context.Context, t *rapid.T) {
	m.clock.pass(time.Duration(rapid.IntRange(1, 10).Draw(t, "days")) * 24 * time.Hour)
	for name, k := range m.secrets {
		if !k.due.IsZero() && !k.due.After(m.clock.now()) {
			delete(m.secrets, name)
			m.dead[name] = true
			m.touched = name
		}
	}
}

func (m *machine) purge(ctx context.Context, _ *rapid.T) { m.told(m.buried(ctx), nil, "purge") }

// buried removes what is due: each once, and nothing else.
func (m *machine) buried(ctx context.Context) error {
	n, err := m.nodes[0].Purge(ctx, m.clock.now(), 100)
	if err == nil && n != len(m.dead) {
		err = fmt.Errorf("removed %d, want %d", n, len(m.dead))
	}
	clear(m.dead)
	return err
}

// check looks at one secret from a node drawn anew: read after write holds
// across nodes (CSMS-182).
func (m *machine) check(ctx context.Context, t *rapid.T, name string) {
	if name == "" {
		return
	}
	k, version := m.secrets[name], 0
	if k != nil {
		version = rapid.SampledFrom(slices.Sorted(maps.Keys(k.versions))).Draw(t, "read back")
	}
	l := m.locate(ctx, t, name, all(version))
	if l == nil {
		return
	}
	m.inspect(ctx, l, name)
	got, err := l.Reveal(ctx)
	m.told(err, k.can(), fmt.Sprintf("read v%d of %s", version, name))
	if err == nil && (got.Version.Number != version || string(got.Payload.Reveal()) != k.versions[version].value) {
		m.fatal("v%d of %s reads back as something else", version, name)
	}
}

// inspect asserts what must hold of every secret, and what the model says of
// this one.
func (m *machine) inspect(ctx context.Context, l *secret.Located, name string) {
	k := m.secrets[name]
	sec, err := l.Show(ctx)
	m.told(err, nil, "show "+name)
	versions, err := l.Versions(ctx)
	m.told(err, nil, "list the versions of "+name)
	var lines []string
	at := map[secret.Stage]int{}
	for _, v := range versions {
		lines = append(lines, line(v.Number, v.Stages, v.ExpiresAt))
		for _, s := range v.Stages {
			if other := at[s]; other != 0 {
				m.fatal("%s of %s is on v%d and on v%d", s, name, other, v.Number)
			}
			at[s] = v.Number
			mark, err := l.Stage(ctx, s)
			m.told(err, nil, "show the stage "+string(s))
			if mark.Version != v.Number {
				m.fatal("%s of %s is on v%d, and listed with v%d", s, name, mark.Version, v.Number)
			}
		}
	}
	if len(versions) > secret.MaxVersions || at[secret.Current] == 0 {
		m.fatal("%s has %d versions, and v%d is current", name, len(versions), at[secret.Current])
	}
	if want := k.lines(); !slices.Equal(lines, want) {
		m.fatal("%s has\n%s\nwant\n%s", name, strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	state := secret.Enabled
	if k.can() != nil {
		state = secret.PendingDelete
	}
	if sec.ID != k.id || sec.State != state || sec.Description != k.description || sec.Latest != k.latest {
		m.fatal("%s is %s, %s, %q and was given %d numbers; want %s, %s, %q and %d",
			name, sec.ID, sec.State, sec.Description, sec.Latest, k.id, state, k.description, k.latest)
	}
}

// bury waits until all that is to be deleted is, and purges it.
func (c *cluster) bury(t *testing.T) {
	t.Helper()
	c.clock.pass(31 * 24 * time.Hour)
	if _, err := c.nodes[0].Purge(t.Context(), c.clock.now(), 1000); err != nil {
		t.Error(err)
	}
}

// Two nodes take turns, in lanes at once that share nothing but the rules: one
// where a version may be purged at once, one where it must have some age.
func TestSecretsAreAsTheModelSays(t *testing.T) {
	t.Parallel()
	// Time passes by the day, and model and store read the clock some
	// milliseconds apart: half a day keeps that from mattering.
	graces := []time.Duration{0, 36 * time.Hour}
	goal := long(10_000, 1_000_000) / len(graces)
	for lane := range graces {
		t.Run(strconv.Itoa(lane), func(t *testing.T) {
			t.Parallel()
			for steps := 0; steps < goal && !t.Failed(); {
				t.Run(fmt.Sprintf("from step %d", steps), func(t *testing.T) { steps += round(t, goal-steps, graces[lane]) })
			}
		})
	}
}

// round is a hundred runs of the machine, or fewer where that many steps are
// done, on a database of their own. It says how many steps it did.
func round(t *testing.T, goal int, grace time.Duration) int {
	c, steps, failed := newCluster(t, 2, grace, nil), 0, false
	rapid.Check(t, func(rt *rapid.T) {
		if steps >= goal && !failed {
			return
		}
		if failed { // rapid looks for fewer steps; what the last ones left is not of these
			c.bury(t)
		}
		failed = true
		m := c.machine(rt.Fatalf)
		m.run(rt)
		steps += m.steps
		failed = false
	})
	return steps
}
