package event_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/gate"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const topic = "urn:smn:cn-north-4:0123:topic"

var huawei = auth.Principal{User: "u1", Project: "p1", Family: policy.Huawei, Method: auth.ByToken}

// room is what a project does, over a real database, at a time of the test's.
type room struct {
	*testing.T
	db      *postgres.DB
	other   *postgres.DB // another node's
	secrets *secret.Service
	events  *event.Service
	record  *record
	clock   *clock
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// record keeps what was recorded of refusals.
type record struct {
	mu     sync.Mutex
	events []audit.Event
}

func (r *record) Record(_ context.Context, ev audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, ev)
	return nil
}

// yes allows everything but what it names.
type yes map[policy.Action]bool

func (no yes) Decide(_ auth.Principal, act policy.Action, _ policy.Target) policy.Decision {
	return policy.Decision{Allowed: !no[act], Rules: []string{"a rule"}}
}

func newEventID() string { return uuid.Must(uuid.NewV7()).String() }

func open(t *testing.T) *room {
	t.Helper()
	url := pgtest.URL(t)
	r := &room{
		T: t, db: pgtest.OpenURL(t, url), other: pgtest.OpenURL(t, url), record: &record{},
		clock: &clock{at: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)},
	}
	sealer := kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(&hsmtest.Memory{}), Store: r.db, NewID: uuid.NewString, Now: r.clock.now})
	r.secrets = secret.NewService(secret.Deps{
		Store: r.db, Sealer: sealer, Keys: sealer, Judge: yes{}, Recorder: r.record, Now: r.clock.now,
		NewID: func() secret.ID { return secret.ID(uuid.NewString()) }, NewEventID: newEventID,
	})
	r.events = r.service(30)
	return r
}

func (r *room) service(most int64) *event.Service {
	return event.NewService(event.Deps{
		Store: r.db, NewID: uuid.NewString, Most: most,
		Gate: gate.Gate{Judge: yes{}, Recorder: r.record, NewEventID: newEventID, Now: r.clock.now},
	})
}

func (r *room) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// event makes one of those types, or of all.
func (r *room) event(name string, types ...event.Type) event.Event {
	r.Helper()
	if len(types) == 0 {
		types = event.Types
	}
	e, err := r.events.Create(r.Context(), huawei, event.New{
		Name: name, Types: types, State: event.Enabled, Target: event.Target{Type: "SMN", ID: topic, Name: "topic"},
	})
	r.must(err)
	return e
}

// secret makes one with a payload, subscribed to an event where that has a
// name.
func (r *room) secret(name, event string) secret.Secret {
	r.Helper()
	s, err := r.secrets.Create(r.Context(), huawei, secret.New{
		Name: &name, Type: "opaque", Kind: "COMMON", Event: event,
		Payload: sensitive.Take([]byte("hunter2")), ContentType: secret.Text,
	})
	r.must(err)
	return s
}

func (r *room) locate(name string) *secret.Located {
	r.Helper()
	l, err := r.secrets.Locate(r.Context(), huawei, policy.SecretShow, secret.Named("p1", name), secret.Want{Versions: true})
	r.must(err)
	return l
}

func (r *room) addVersion(name string, expires *time.Time) {
	r.Helper()
	_, err := r.locate(name).AddVersion(r.Context(), secret.NewVersion{
		Payload: sensitive.Take([]byte("hunter3")), ContentType: secret.Text, ExpiresAt: expires,
	})
	r.must(err)
}

// told are the project's notifications, newest first.
func (r *room) told() []event.Notification {
	r.Helper()
	all, more, err := r.events.Notifications(r.Context(), huawei, "", 1000)
	r.must(err)
	if more {
		r.Fatal("there are more than a thousand")
	}
	return all
}

func (r *room) types() []event.Type {
	r.Helper()
	all := []event.Type{}
	for _, n := range r.told() {
		all = append(all, n.Type)
	}
	return all
}

// receiver takes what it is sent, unless it is down.
type receiver struct {
	mu   sync.Mutex
	down bool
	got  map[string]int // by identifier
	hold func(event.Notification)
}

var errDown = errors.New("nobody answers")

func (v *receiver) Send(_ context.Context, n event.Notification) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.hold != nil {
		v.hold(n)
	}
	if v.down {
		return errDown
	}
	if v.got == nil {
		v.got = map[string]int{}
	}
	v.got[n.ID]++
	return nil
}

func (v *receiver) set(down bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.down = down
}

// courier is a node's, with one target.
func (r *room) courier(db event.Outbox, to event.Sender) *event.Courier {
	return event.NewCourier(event.CourierDeps{
		Outbox: db, Senders: map[string]event.Sender{topic: to}, NewID: newEventID, Now: r.clock.now,
		RetryFor: 24 * time.Hour, Observe: func(event.Notification, event.Status, time.Duration, error) {},
	})
}
