package secret_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/memory"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// room is the secret store in memory: the real service, sealer and store, with
// a judge and a record that tests look at.
type room struct {
	*secret.Service
	deps   secret.Deps
	token  *hsmtest.Memory
	store  *memory.Store
	sealer *kek.Sealer
	judge  *judge
	record *record
	ticks  atomic.Int64
}

// newRoom is a room that change, if any, has altered.
func newRoom(t *testing.T, change func(r *room, d *secret.Deps)) *room {
	t.Helper()
	r := &room{token: new(hsmtest.Memory), store: new(memory.Store), judge: new(judge), record: new(record)}
	r.sealer = kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(r.token), Store: r.store, NewID: uuid.NewString, Now: r.now})
	r.deps = secret.Deps{
		Store: r.store, Sealer: r.sealer, Keys: r.sealer, Judge: r.judge, Recorder: r.record,
		NewID:      func() secret.ID { return secret.ID(uuid.NewString()) },
		NewEventID: func() string { return uuid.Must(uuid.NewV7()).String() },
		Now:        r.now,
	}
	if change != nil {
		change(r, &r.deps)
	}
	r.Service = secret.NewService(r.deps)
	return r
}

// now is a little later each time.
func (r *room) now() time.Time {
	return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC).Add(time.Duration(r.ticks.Add(1)) * time.Millisecond)
}

// judge allows all but what a test denies.
type judge struct {
	mu     sync.Mutex
	all    bool // deny everything
	denied []policy.Action
}

func (j *judge) Decide(_ auth.Principal, act policy.Action, _ policy.Target) policy.Decision {
	j.mu.Lock()
	defer j.mu.Unlock()
	return policy.Decision{Allowed: !j.all && !slices.Contains(j.denied, act), Rules: []string{"a rule"}}
}

// record keeps events, unless it fails.
type record struct {
	mu     sync.Mutex
	err    error
	events []audit.Event
}

func (r *record) Record(_ context.Context, ev audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.events = append(r.events, ev)
	}
	return r.err
}

// forget empties the record.
func (r *record) forget() { r.events = nil }

// only fails the test unless exactly one event was recorded, and returns it.
func (r *record) only(t *testing.T, act policy.Action, outcome audit.Outcome) audit.Event {
	t.Helper()
	if len(r.events) != 1 {
		t.Fatalf("%d events, want one: %+v", len(r.events), r.events)
	}
	ev := r.events[0]
	if ev.Action != string(act) || ev.Outcome != outcome {
		t.Errorf("recorded %s %s, want %s %s", ev.Action, ev.Outcome, act, outcome)
	}
	return ev
}

var errRecord = errors.New("the disk is full")

var (
	huawei = auth.Principal{
		User: "u1", UserName: "alice", Project: "p1", Roles: []string{"admin"}, Method: auth.BySignature,
		Family: policy.Huawei, Request: "req-1", From: "192.0.2.1",
	}
	barbican = auth.Principal{
		User: "u1", UserName: "alice", Project: "p1", Roles: []string{"creator"}, Method: auth.ByToken,
		Family: policy.KeyManager, Request: "req-2", From: "192.0.2.1",
	}
)

func value(text string) sensitive.Bytes { return sensitive.Take([]byte(text)) }

// named is a new CSMS secret with a payload.
func named(name string) secret.New {
	return secret.New{Name: &name, Type: "opaque", Kind: "COMMON", Payload: value("v1 of " + name), ContentType: secret.Text}
}

func version(text string, stages ...secret.Stage) secret.NewVersion {
	return secret.NewVersion{Payload: value(text), ContentType: secret.Text, Stages: stages}
}

func (r *room) create(t *testing.T, who auth.Principal, in secret.New) secret.Secret {
	t.Helper()
	sec, err := r.Create(t.Context(), who, in)
	if err != nil {
		t.Fatal(err)
	}
	return sec
}

// everything is what any operation may need.
var everything = secret.Want{Sealed: true, Every: true, Versions: true, Metadata: true, Consumers: true, Tags: true}

func (r *room) locate(t *testing.T, who auth.Principal, id secret.ID) *secret.Located {
	t.Helper()
	l, err := r.Locate(t.Context(), who, policy.SecretShow, secret.Within(who.Project, id), everything)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// found is a secret as the store has it, past every gate.
func (r *room) found(t *testing.T, id secret.ID) secret.Found {
	t.Helper()
	f, err := r.store.Find(t.Context(), secret.Anywhere(id), everything, r.now())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// reads fails the test unless the current payload is text.
func (r *room) reads(t *testing.T, id secret.ID, text string) {
	t.Helper()
	got, err := r.locate(t, huawei, id).Reveal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Payload.Reveal()) != text {
		t.Errorf("payload %q, want %q", got.Payload.Reveal(), text)
	}
}

// put puts a secret into a state that the domain cannot reach yet.
func (r *room) put(t *testing.T, id secret.ID, state secret.State) {
	t.Helper()
	sec := r.found(t, id).Secret
	sec.State = state
	if state == secret.PendingDelete {
		at := r.now().Add(7 * 24 * time.Hour)
		sec.DeleteAt = &at
	}
	err := r.store.Apply(t.Context(), secret.Change{Secret: sec}, audit.Event{ID: uuid.NewString(), At: r.now(), Project: string(sec.Project)})
	if err != nil {
		t.Fatal(err)
	}
}

// sealer counts what it is asked, and runs a hook after each sealing.
type sealer struct {
	secret.BackupSealer
	seals, opens atomic.Int64
	forgot       []envelope.KEKID
	sealed       func(envelope.Sealed)
}

func (s *sealer) Seal(ctx context.Context, payload sensitive.Bytes, under envelope.MasterKey, at envelope.Binding) (envelope.Sealed, error) {
	s.seals.Add(1)
	out, err := s.BackupSealer.Seal(ctx, payload, under, at)
	if err == nil && s.sealed != nil {
		s.sealed(out)
	}
	return out, err
}

func (s *sealer) Open(ctx context.Context, e envelope.Sealed, at envelope.Binding) (sensitive.Bytes, error) {
	s.opens.Add(1)
	return s.BackupSealer.Open(ctx, e, at)
}

func (s *sealer) Forget(project string, under envelope.MasterKey, gone envelope.KEKID) {
	s.forgot = append(s.forgot, gone)
	s.BackupSealer.Forget(project, under, gone)
}

func number(n int) string { return strconv.Itoa(n) }

func ptr[T any](v T) *T { return &v }
