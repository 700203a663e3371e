package order_test

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
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/order/keypair"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var u1 = auth.Principal{
	User: "u1", Project: "p", Roles: []string{"creator"}, Method: auth.ByToken, Family: policy.KeyManager, Request: "req-1",
}

// world is a database and a token that several nodes share.
type world struct {
	*testing.T
	db    *postgres.DB
	token *hsmtest.Memory

	mu      sync.Mutex
	now     time.Time
	refused policy.Action // by every judge
	events  []audit.Event // recorded by reads and refusals
	ended   []error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{T: t, db: pgtest.Open(t), token: new(hsmtest.Memory), now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) turn(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Decide implements gate.Judge.
func (w *world) Decide(_ auth.Principal, act policy.Action, _ policy.Target) policy.Decision {
	w.mu.Lock()
	defer w.mu.Unlock()
	return policy.Decision{Allowed: act != w.refused}
}

// Record implements gate.Recorder.
func (w *world) Record(_ context.Context, ev audit.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, ev)
	return nil
}

// node is one process of the installation.
func (w *world) node(change ...func(*order.Deps)) *order.Service {
	w.Helper()
	sealer := kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(w.token), Store: w.db, NewID: uuid.NewString, Now: w.clock})
	d := order.Deps{
		Store: w.db, Sealer: sealer, Random: sealer, Pairs: keypair.NewMaker(2), Judge: w, Recorder: w, Now: w.clock,
		Patience: time.Minute, Claim: time.Minute, // nobody is heard of while a test lasts
		NewID:          func() order.ID { return order.ID(uuid.NewString()) },
		NewSecretID:    func() secret.ID { return secret.ID(uuid.NewString()) },
		NewContainerID: func() container.ID { return container.ID(uuid.NewString()) },
		NewEventID:     func() string { return uuid.Must(uuid.NewV7()).String() },
		Ended: func(_ order.Order, _ time.Duration, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ended = append(w.ended, err)
		},
	}
	for _, c := range change {
		c(&d)
	}
	s := order.NewService(d)
	w.Cleanup(func() { _ = s.Close() })
	return s
}

func aKey() order.New {
	return order.New{Kind: order.Key, Meta: order.Meta{Algorithm: "aes", BitLength: 256, ContentType: secret.Binary, Shown: []byte("{}")}}
}

func aPair(passphrase string) order.New {
	return order.New{
		Kind: order.Asymmetric, Passphrase: sensitive.Take([]byte(passphrase)),
		Meta: order.Meta{Algorithm: "ec", BitLength: 256, ContentType: secret.Binary, Shown: []byte("{}")},
	}
}

func (w *world) order(s *order.Service, in order.New) order.Order {
	w.Helper()
	o, err := s.Create(w.Context(), u1, in)
	if err != nil {
		w.Fatal(err)
	}
	return o
}

// is reads an order and checks its status.
func (w *world) is(id order.ID, want order.Status) order.Order {
	w.Helper()
	o, err := w.db.FindOrder(w.Context(), "p", id)
	if err != nil {
		w.Fatal(err)
	}
	if o.Status != want {
		w.Fatalf("order is %s (%+v), want %s", o.Status, o.Failure, want)
	}
	return o
}

// becomes waits for a status that background work brings about.
func (w *world) becomes(id order.ID, want order.Status) order.Order {
	w.Helper()
	for range 1000 {
		if o, err := w.db.FindOrder(w.Context(), "p", id); err != nil || o.Status == want {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return w.is(id, want)
}

func (w *world) resume(s *order.Service) {
	w.Helper()
	if err := s.Resume(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// secrets counts the project's secrets and those that have an order.
func (w *world) secrets() int {
	w.Helper()
	_, total, err := w.db.List(w.Context(), "p", secret.Query{Limit: 1}, w.clock())
	if err != nil {
		w.Fatal(err)
	}
	return total
}

func (w *world) containers() int {
	w.Helper()
	_, total, err := w.db.ListContainers(w.Context(), "p", container.Query{Limit: 1})
	if err != nil {
		w.Fatal(err)
	}
	return total
}

// payload opens a secret that an order made.
func (w *world) payload(id secret.ID) []byte {
	w.Helper()
	found, err := w.db.Find(w.Context(), secret.Within("p", id), secret.Want{Sealed: true}, w.clock())
	if err != nil {
		w.Fatal(err)
	}
	if found.Secret.Creator != "u1" || found.Secret.State != secret.Enabled || found.Version.Number != 1 {
		w.Errorf("secret %+v", found.Secret)
	}
	sealer := kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(w.token), Store: w.db, NewID: uuid.NewString, Now: w.clock})
	sec := secret.NewService(secret.Deps{
		Store: w.db, Sealer: sealer, Keys: sealer, Judge: w, Recorder: w, Now: w.clock,
		NewID: func() secret.ID { return "" }, NewEventID: uuid.NewString,
	})
	l, err := sec.Locate(w.Context(), u1, policy.SecretReveal, secret.Within("p", id), secret.Want{Sealed: true})
	if err != nil {
		w.Fatal(err)
	}
	v, err := l.Reveal(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return v.Payload.Reveal()
}

// mortal is a store whose process dies: from then on it does nothing.
type mortal struct {
	order.Store
	mu   sync.Mutex
	dead bool
	// before and after are the methods at whose beginning or end it dies.
	before, after string
}

var errDead = errors.New("this process has died")

func (m *mortal) step(name string, do func() error) error {
	m.mu.Lock()
	if m.dead = m.dead || m.before == name; m.dead {
		m.mu.Unlock()
		return errDead
	}
	m.mu.Unlock()
	err := do()
	if m.after == name {
		m.mu.Lock()
		m.dead = true
		m.mu.Unlock()
		return errDead
	}
	return err
}

func (m *mortal) CreateOrder(ctx context.Context, c order.Claimed, due time.Time, ev audit.Event) error {
	return m.step("create", func() error { return m.Store.CreateOrder(ctx, c, due, ev) })
}

func (m *mortal) CompleteOrder(ctx context.Context, c order.Claimed, y order.Yield, now time.Time) error {
	return m.step("complete", func() error { return m.Store.CompleteOrder(ctx, c, y, now) })
}

func (m *mortal) FailOrder(ctx context.Context, c order.Claimed, why order.Failure, ev audit.Event) error {
	return m.step("fail", func() error { return m.Store.FailOrder(ctx, c, why, ev) })
}

func (m *mortal) ReleaseOrder(ctx context.Context, c order.Claimed, due time.Time) error {
	return m.step("release", func() error { return m.Store.ReleaseOrder(ctx, c, due) })
}

// die is what a random number generator or a maker of pairs does whose process
// dies over it.
func (m *mortal) die() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	return fault.New(fault.Unavailable, "this process has died")
}

// random and pairs are functions that a test puts in the place of the token
// and the maker.
type (
	random func(ctx context.Context, n int) (sensitive.Bytes, error)
	pairs  func(ctx context.Context) (order.Pair, error)
)

func (f random) Random(ctx context.Context, _ string, n int) (sensitive.Bytes, error) {
	return f(ctx, n)
}

func (f pairs) Make(ctx context.Context, _ string, _ int, _ sensitive.Bytes) (order.Pair, error) {
	return f(ctx)
}
