package container_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
)

// shelf is a store with one container in it that answers every change with err
// and remembers what it was told. What the tests do not need, it has not.
type shelf struct {
	container.Store
	one     container.Container
	err     error
	changes []audit.Event
	acl     secret.ACLChange
}

func (s *shelf) change(ev audit.Event) error {
	s.changes = append(s.changes, ev)
	return s.err
}

func (s *shelf) CreateContainer(_ context.Context, _ container.Container, ev audit.Event) error {
	return s.change(ev)
}

func (s *shelf) FindContainer(_ context.Context, h container.Handle, _ container.Want) (container.Container, error) {
	if h.ID != s.one.ID {
		return container.Container{}, container.ErrNotFound
	}
	return s.one, nil
}

func (s *shelf) DeleteContainer(_ context.Context, _ container.Container, ev audit.Event) error {
	return s.change(ev)
}

func (s *shelf) AddEntry(_ context.Context, _ container.Container, _ container.Entry, ev audit.Event) error {
	return s.change(ev)
}

func (s *shelf) RemoveEntry(_ context.Context, _ container.Container, _ container.Entry, ev audit.Event) error {
	return s.change(ev)
}

func (s *shelf) PutContainerACL(_ context.Context, _ container.Container, c secret.ACLChange, ev audit.Event) error {
	s.acl = c
	return s.change(ev)
}

func (s *shelf) DropContainerACL(_ context.Context, _ container.Container, _ bool, ev audit.Event) error {
	return s.change(ev)
}

func (s *shelf) AddContainerConsumer(_ context.Context, c container.Container, _ container.Consumer, ev audit.Event) (container.Container, error) {
	return c, s.change(ev)
}

func (s *shelf) RemoveContainerConsumer(_ context.Context, c container.Container, _ container.Party, _ auth.ProjectID, ev audit.Event) (container.Container, error) {
	return c, s.change(ev)
}

func (s *shelf) ListContainers(context.Context, auth.ProjectID, container.Query) ([]container.Container, int, error) {
	return []container.Container{s.one}, 1, nil
}

func (s *shelf) ListContainerConsumers(context.Context, container.Container, int, int) ([]container.Consumer, int, error) {
	return []container.Consumer{{}}, 1, nil
}

func (s *shelf) FindContainerConsumer(context.Context, container.Container, string) (container.Consumer, error) {
	return container.Consumer{}, s.err
}

// desk has the judge and the record of one test.
type desk struct {
	denied bool
	asked  []policy.Target
	events []audit.Event
}

func (d *desk) Decide(_ auth.Principal, _ policy.Action, t policy.Target) policy.Decision {
	d.asked = append(d.asked, t)
	return policy.Decision{Allowed: !d.denied}
}

func (d *desk) Record(_ context.Context, ev audit.Event) error {
	d.events = append(d.events, ev)
	return nil
}

const someID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"

func newDesk() (*container.Service, *shelf, *desk) {
	d := &desk{}
	s := &shelf{one: container.Container{
		ID: someID, Project: "p1", Type: container.Generic, Creator: "u1",
		ACL: &secret.ACL{Private: true, Readers: []auth.UserID{"u2"}},
	}}
	now := func() time.Time { return time.Unix(1, 0) }
	return container.NewService(container.Deps{
		Store: s, NewID: func() string { return someID },
		Gate: gate.Gate{Judge: d, Recorder: d, NewEventID: func() string { return "event" }, Now: now},
	}), s, d
}

var (
	owner = auth.Principal{User: "u1", Project: "p1", Family: policy.KeyManager}
	guest = auth.Principal{User: "u2", Project: "p2", Family: policy.KeyManager}
)

// operations are all that can be done to a container, and which action each is.
var operations = []struct {
	act     policy.Action
	changes bool
	do      func(context.Context, *container.Located) error
}{
	{policy.ContainerShow, false, func(ctx context.Context, l *container.Located) error { _, err := l.Show(ctx); return err }},
	{policy.ContainerDelete, true, func(ctx context.Context, l *container.Located) error { return l.Delete(ctx) }},
	{policy.ContainerSecretAdd, true, func(ctx context.Context, l *container.Located) error { return l.Add(ctx, container.Entry{}) }},
	{policy.ContainerSecretAdd, false, func(ctx context.Context, l *container.Located) error { return l.TakesEntries(ctx) }},
	{policy.ContainerSecretRemove, true, func(ctx context.Context, l *container.Located) error { return l.Remove(ctx, container.Entry{}) }},
	{policy.ContainerACLRead, false, func(ctx context.Context, l *container.Located) error { _, err := l.ACL(ctx); return err }},
	{policy.ContainerACLWrite, true, func(ctx context.Context, l *container.Located) error { return l.SetACL(ctx, secret.ACLChange{}) }},
	{policy.ContainerACLWrite, true, func(ctx context.Context, l *container.Located) error {
		return l.SetACL(ctx, secret.ACLChange{Private: new(bool)})
	}},
	{policy.ContainerACLWrite, true, func(ctx context.Context, l *container.Located) error {
		return l.PatchACL(ctx, secret.ACLChange{Private: new(bool)})
	}},
	{policy.ContainerACLDrop, true, func(ctx context.Context, l *container.Located) error { return l.DropACL(ctx) }},
	{policy.ContainerConsumerList, false, func(ctx context.Context, l *container.Located) error { _, _, err := l.Consumers(ctx, 1, 0); return err }},
	{policy.ContainerConsumerList, false, func(ctx context.Context, l *container.Located) error { _, err := l.Consumer(ctx, someID); return err }},
	{policy.ContainerConsumerAdd, true, func(ctx context.Context, l *container.Located) error {
		_, err := l.Register(ctx, container.Party{})
		return err
	}},
	{policy.ContainerConsumerRemove, true, func(ctx context.Context, l *container.Located) error {
		_, err := l.Unregister(ctx, container.Party{})
		return err
	}},
}

// Whatever is done to a container passes the gate: the judge hears who owns it
// and whom its ACL lists, a refusal is recorded, and nothing happens after one.
func TestEveryOperationPassesTheGate(t *testing.T) {
	for i, op := range operations {
		for _, denied := range []bool{false, true} {
			s, store, d := newDesk()
			l, err := s.Locate(t.Context(), owner, op.act, container.Anywhere(someID), container.Want{})
			if err != nil {
				t.Fatal(err)
			}
			d.denied = denied
			err = op.do(t.Context(), l)
			if len(d.asked) != 1 || !d.asked[0].Private || d.asked[0].Owner != "u1" || !slices.Equal(d.asked[0].Readers, []string{"u2"}) ||
				d.asked[0].Kind != "container" || d.asked[0].Project != "p1" {
				t.Errorf("%d, %s: the judge heard %+v", i, op.act, d.asked)
			}
			if denied {
				if !errors.Is(err, policy.ErrDenied) || len(store.changes) != 0 || len(d.events) != 1 ||
					d.events[0].Action != string(op.act) || d.events[0].Outcome != audit.Denied {
					t.Errorf("%d, %s denied: %v, changes %+v, recorded %+v", i, op.act, err, store.changes, d.events)
				}
				continue
			}
			if err != nil || (len(store.changes) == 1) != op.changes || len(d.events) != 0 {
				t.Errorf("%d, %s: %v, changes %+v, recorded %+v", i, op.act, err, store.changes, d.events)
			}
			for _, ev := range store.changes {
				if ev.Action != string(op.act) || ev.Outcome != audit.Success || ev.Target.ID != someID {
					t.Errorf("%d, %s: event %+v", i, op.act, ev)
				}
			}
		}
	}
}

func TestMakingAndListingPassTheGate(t *testing.T) {
	for act, do := range map[policy.Action]func(s *container.Service) error{
		policy.ContainerCreate: func(s *container.Service) error {
			_, err := s.Create(t.Context(), owner, container.New{Type: "nonsense"})
			return err
		},
		policy.ContainerList: func(s *container.Service) error {
			_, _, err := s.List(t.Context(), owner, container.Query{})
			return err
		},
	} {
		s, store, d := newDesk()
		d.denied = true
		if err := do(s); !errors.Is(err, policy.ErrDenied) || len(store.changes) != 0 || len(d.events) != 1 || d.events[0].Action != string(act) {
			t.Errorf("%s: %v, recorded %+v", act, err, d.events)
		}
	}
}

// What was allowed and not done for a reason that the caller hears is recorded,
// too.
func TestWhatWasNotDoneIsRecorded(t *testing.T) {
	for why, want := range map[error]audit.Outcome{
		container.ErrNotFound: audit.Missing, container.ErrNoSecret: audit.Missing,
		container.ErrNoConsumer: audit.Missing, container.ErrLacksSecret: audit.Missing,
		container.ErrHasSecret: audit.Refused, container.ErrNotRegistrar: audit.Refused,
		quota.Reached(quota.Consumers): audit.Refused,
	} {
		for i, op := range operations {
			if !op.changes {
				continue
			}
			s, store, d := newDesk()
			store.err = why
			l, err := s.Locate(t.Context(), owner, op.act, container.Within("p1", someID), container.Want{})
			if err != nil {
				t.Fatal(err)
			}
			if err := op.do(t.Context(), l); !errors.Is(err, why) || len(d.events) != 1 || d.events[0].Outcome != want {
				t.Errorf("%d, %s: %v, recorded %+v, want %s", i, op.act, err, d.events, want)
			}
		}
	}
}

// Consumers are named by their UUIDs, so those can be guessed.
func TestMissedConsumerIsRecorded(t *testing.T) {
	s, store, d := newDesk()
	store.err = container.ErrNoConsumer
	l, err := s.Locate(t.Context(), owner, policy.ContainerConsumerList, container.Anywhere(someID), container.Want{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Consumer(t.Context(), someID); !errors.Is(err, container.ErrNoConsumer) || len(d.events) != 1 || d.events[0].Outcome != audit.Missing {
		t.Errorf("%v, recorded %+v", err, d.events)
	}
}

func TestMissIsRecorded(t *testing.T) {
	s, _, d := newDesk()
	_, err := s.Locate(t.Context(), guest, policy.ContainerShow, container.Anywhere("other"), container.Want{})
	if !errors.Is(err, container.ErrNotFound) || len(d.events) != 1 || d.events[0].Outcome != audit.Missing {
		t.Errorf("%v, recorded %+v", err, d.events)
	}
}

// Deleting and changing what is inside is for the own project alone, whatever
// the policy says (barbican.md §12.4).
func TestGuestsDoNotChangeContents(t *testing.T) {
	for i, op := range operations {
		s, store, d := newDesk()
		l, err := s.Locate(t.Context(), guest, op.act, container.Anywhere(someID), container.Want{})
		if err != nil {
			t.Fatal(err)
		}
		err = op.do(t.Context(), l)
		switch op.act {
		case policy.ContainerDelete, policy.ContainerSecretAdd, policy.ContainerSecretRemove:
			if !errors.Is(err, container.ErrNotFound) || len(store.changes) != 0 || len(d.events) != 1 {
				t.Errorf("%d, %s: %v, changes %+v, recorded %+v", i, op.act, err, store.changes, d.events)
			}
		default:
			if err != nil {
				t.Errorf("%d, %s: %v", i, op.act, err)
			}
		}
	}
}

func TestOnlyGenericContainersTakeEntries(t *testing.T) {
	for _, kind := range []container.Type{container.RSA, container.Certificate, container.DSA} {
		s, store, d := newDesk()
		store.one.Type = kind
		l, err := s.Locate(t.Context(), owner, policy.ContainerSecretAdd, container.Anywhere(someID), container.Want{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Add(t.Context(), container.Entry{}); !errors.Is(err, container.ErrNotGeneric) || len(store.changes) != 0 || len(d.events) != 1 {
			t.Errorf("%s: %v", kind, err)
		}
		if err := l.Remove(t.Context(), container.Entry{}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestReadersAreListedOnce(t *testing.T) {
	s, store, _ := newDesk()
	l, err := s.Locate(t.Context(), owner, policy.ContainerACLWrite, container.Anywhere(someID), container.Want{})
	if err != nil {
		t.Fatal(err)
	}
	sent := []auth.UserID{"b", "a", "b", ""}
	if err := l.SetACL(t.Context(), secret.ACLChange{Readers: &sent}); err != nil {
		t.Fatal(err)
	}
	if got := store.acl; got.Private == nil || *got.Private || !slices.Equal(*got.Readers, []auth.UserID{"", "a", "b"}) {
		t.Errorf("%+v", got)
	}
	if sent[0] != "b" {
		t.Error("the caller's list was sorted")
	}
}

func TestTypesWantTheirNames(t *testing.T) {
	name := func(names ...string) (all []container.Entry) {
		for _, n := range names {
			all = append(all, container.Entry{Name: &n})
		}
		return all
	}
	for _, tc := range []struct {
		kind    container.Type
		entries []container.Entry
		fine    bool
	}{
		{container.Generic, name("any", ""), true},
		{container.Generic, []container.Entry{{}}, true},
		{container.RSA, nil, true},
		{container.RSA, name("public_key", "private_key"), true},
		{container.RSA, name("public_key", "private_key", "private_key_passphrase"), true},
		{container.RSA, name("public_key"), false},
		{container.RSA, name("public_key", "private_key", "certificate"), false},
		{container.RSA, append(name("public_key", "private_key"), container.Entry{}), false},
		{container.Certificate, name("certificate"), true},
		{container.Certificate, name("intermediates"), false},
		{container.Certificate, name("certificate", "public_key"), false},
		{container.DSA, nil, false},
		{"", nil, false},
	} {
		s, _, _ := newDesk()
		_, err := s.Create(t.Context(), owner, container.New{Type: tc.kind, Entries: tc.entries})
		if (err == nil) != tc.fine || (err != nil && fault.KindOf(err) != fault.Invalid) {
			t.Errorf("%s with %d entries: %v", tc.kind, len(tc.entries), err)
		}
	}
}

func TestNewServiceWantsEverything(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("NewService went through")
		}
	}()
	container.NewService(container.Deps{NewID: func() string { return "" }})
}
