package postgres_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/quota"
	"github.com/strongroom-kms/strongroom/secret"
)

// ordered stores an order that is due now, at an attempt.
func (w *workload) ordered(kind order.Kind, passphrase *envelope.Sealed, attempt int) order.Claimed {
	w.tb.Helper()
	c := w.order(kind, passphrase, attempt)
	if err := w.db.CreateOrder(w.tb.Context(), c, c.CreatedAt, w.event()); err != nil {
		w.tb.Fatal(err)
	}
	return c
}

func (w *workload) order(kind order.Kind, passphrase *envelope.Sealed, attempt int) order.Claimed {
	name, mode, now := "name", "cbc", time.Now().UTC().Truncate(time.Microsecond)
	later := now.Add(time.Hour)
	return order.Claimed{
		Order: order.Order{
			ID: order.ID(uuid.NewString()), Project: w.project, Kind: kind, Status: order.Pending, Creator: "u", Request: "req-1",
			Meta: order.Meta{
				Name: &name, Algorithm: "aes", Mode: &mode, BitLength: 256, Expiration: &later, ContentType: secret.Binary,
				Shown: []byte(`{"algorithm":"aes"}`), Words: []string{"algorithm", "aes"},
			},
			CreatedAt: now, UpdatedAt: now,
		},
		Attempt: attempt, Lapses: attempt, Passphrase: passphrase,
	}
}

// yield is n secrets, in a container where there are several.
func (w *workload) yield(n int) order.Yield {
	var y order.Yield
	now := time.Now().UTC().Truncate(time.Microsecond)
	box := w.container(container.RSA)
	for i := range n {
		name := []string{"private_key", "public_key", "private_key_passphrase"}[i]
		s := secret.Secret{
			ID: secret.ID(uuid.NewString()), Project: w.project, Family: policy.KeyManager, Type: "symmetric", Creator: "u",
			State: secret.Enabled, CreatedAt: now, UpdatedAt: now, Latest: 1, LatestAt: now,
			Current: secret.Mark{Version: 1, Since: now}, ContentType: secret.Binary, Key: w.kek.MasterKey,
		}
		y.Secrets = append(y.Secrets, order.Made{Secret: s, Version: w.version(1), Event: w.event()})
		box.Entries = append(box.Entries, container.Entry{Name: &name, Secret: s.ID})
	}
	if n > 1 {
		y.Container, y.Event = &box, w.event()
	}
	return y
}

func (w *workload) claim(t *testing.T, kinds ...order.Kind) order.Claimed {
	t.Helper()
	now := time.Now()
	c, ok, err := w.db.ClaimOrder(t.Context(), kinds, now, now.Add(time.Hour))
	if err != nil || !ok {
		t.Fatalf("ClaimOrder = %v, %v", ok, err)
	}
	return c
}

func TestOrderComesBackAsItWas(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	c := w.ordered(order.Key, nil, 0)
	for name, get := range map[string]func() (order.Order, error){
		"FindOrder": func() (order.Order, error) { return w.db.FindOrder(t.Context(), w.project, c.ID) },
		"ListOrders": func() (order.Order, error) {
			all, _, err := w.db.ListOrders(t.Context(), w.project, order.Query{Limit: 1})
			return all[0], err
		},
		"ClaimOrder": func() (order.Order, error) { return w.claim(t, order.Key).Order, nil },
	} {
		got, err := get()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.ID != c.ID || got.Project != c.Project || got.Kind != c.Kind || got.Status != order.Pending || got.Creator != "u" ||
			got.Request != "req-1" || !got.CreatedAt.Equal(c.CreatedAt) || *got.Meta.Name != "name" || *got.Meta.Mode != "cbc" ||
			got.Meta.Algorithm != "aes" || got.Meta.BitLength != 256 || !got.Meta.Expiration.Equal(*c.Meta.Expiration) ||
			string(got.Meta.Shown) != string(c.Meta.Shown) || got.Failure != nil || got.Secret != "" || got.Container != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, id := range []order.ID{order.ID(uuid.NewString()), "", "bogus", "' OR 1=1"} {
		if _, err := w.db.FindOrder(t.Context(), w.project, id); !errors.Is(err, order.ErrNotFound) {
			t.Errorf("FindOrder(%q): %v", id, err)
		}
	}
	if _, err := w.db.FindOrder(t.Context(), "other", c.ID); !errors.Is(err, order.ErrNotFound) {
		t.Errorf("from another project: %v", err)
	}
}

// What an order made is there whole: secrets, versions, places in the
// directories, container, events; the passphrase is gone.
func TestCompletedOrderIsThereWhole(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 3; n++ {
		w := newWorkload(t)
		kind := order.Asymmetric
		if n == 1 {
			kind = order.Key
		}
		sealed := w.version(1).Sealed
		c := w.ordered(kind, &sealed, 1)
		y := w.yield(n)
		if err := w.db.CompleteOrder(t.Context(), c, y, time.Now()); err != nil {
			t.Fatal(err)
		}
		got, err := w.db.FindOrder(t.Context(), w.project, c.ID)
		if err != nil || got.Status != order.Active {
			t.Fatalf("%+v, %v", got, err)
		}
		boxes := 0
		if n > 1 {
			boxes = 1
			box, err := w.db.FindContainer(t.Context(), container.Handle{ID: got.Container}, container.Want{Contents: true})
			if err != nil || len(box.Entries) != n || *box.Entries[0].Name != "private_key" || box.Entries[0].Secret != y.Secrets[0].Secret.ID {
				t.Errorf("container %+v, %v", box, err)
			}
		} else if got.Secret != y.Secrets[0].Secret.ID {
			t.Errorf("order %+v", got)
		}
		for table, want := range map[string]int{
			"secrets": n, "secret_versions": n, "secret_directory": n, "containers": boxes, "container_directory": boxes,
			"audit_events": 1 + n + boxes, "orders WHERE kek IS NOT NULL OR wrapped_dek IS NOT NULL OR body IS NOT NULL": 0,
		} {
			if rows := w.rows(table); rows != want {
				t.Errorf("%d secrets: %d rows of %s, want %d", n, rows, table, want)
			}
		}
		if _, err := w.db.Find(t.Context(), secret.Anywhere(y.Secrets[n-1].Secret.ID), secret.Want{Sealed: true}, time.Now()); err != nil {
			t.Errorf("the last secret: %v", err)
		}
	}
}

// Whoever is not the last to have claimed a PENDING order stores nothing.
func TestOnlyTheLastAttemptCompletes(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ctx, now := t.Context(), time.Now()
	first := w.ordered(order.Key, nil, 1)
	second := w.claim(t, order.Key)
	if second.ID != first.ID || second.Attempt != 2 || second.Lapses != 2 {
		t.Fatalf("claimed %+v", second)
	}
	lost := func(c order.Claimed, when string) {
		t.Helper()
		if err := w.db.CompleteOrder(ctx, c, w.yield(1), now); !errors.Is(err, order.ErrLost) {
			t.Errorf("CompleteOrder %s: %v", when, err)
		}
		if err := w.db.FailOrder(ctx, c, order.Failure{Code: "500", Reason: "r"}, w.event()); !errors.Is(err, order.ErrLost) {
			t.Errorf("FailOrder %s: %v", when, err)
		}
		if err := w.db.KeepOrder(ctx, c, now.Add(-time.Hour)); !errors.Is(err, order.ErrLost) {
			t.Errorf("KeepOrder %s: %v", when, err)
		}
		if err := w.db.ReleaseOrder(ctx, c, now.Add(-time.Hour)); err != nil {
			t.Errorf("ReleaseOrder %s: %v", when, err)
		}
	}
	if err := w.db.KeepOrder(ctx, second, now.Add(2*time.Hour)); err != nil {
		t.Errorf("KeepOrder of the last claim: %v", err)
	}
	lost(first, "after somebody else's claim")
	if _, ok, err := w.db.ClaimOrder(ctx, []order.Kind{order.Key}, now.Add(90*time.Minute), now.Add(2*time.Hour)); ok || err != nil {
		t.Errorf("a claim that holds was broken: %v, %v", ok, err)
	}
	if n := w.rows("secrets"); n != 0 {
		t.Fatalf("%d secrets", n)
	}
	if err := w.db.CompleteOrder(ctx, second, w.yield(1), now); err != nil {
		t.Fatal(err)
	}
	lost(second, "once it is complete")
	third := w.ordered(order.Key, nil, 1)
	if err := w.db.FailOrder(ctx, third, order.Failure{Code: "400", Reason: "r"}, w.event()); err != nil {
		t.Fatal(err)
	}
	lost(third, "once it failed")
	if got, err := w.db.FindOrder(ctx, w.project, third.ID); err != nil || got.Failure == nil || *got.Failure != (order.Failure{Code: "400", Reason: "r"}) {
		t.Errorf("%+v, %v", got.Failure, err)
	}
	fourth := w.ordered(order.Key, nil, 1)
	if err := w.db.DeleteOrder(ctx, fourth.Order, w.event()); err != nil {
		t.Fatal(err)
	}
	lost(fourth, "once it is deleted")
	if n, events := w.rows("secrets"), w.rows("audit_events"); n != 1 || events != 3+1+1+1 {
		t.Errorf("%d secrets, %d events", n, events)
	}
}

func TestClaimsComeInTurn(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ctx, now := t.Context(), time.Now()
	late := w.order(order.Key, nil, 0)
	if err := w.db.CreateOrder(ctx, late, now.Add(time.Minute), w.event()); err != nil {
		t.Fatal(err)
	}
	pair, a, b := w.ordered(order.Asymmetric, nil, 0), w.ordered(order.Key, nil, 0), w.ordered(order.Key, nil, 0)
	var got []order.ID
	for _, kinds := range [][]order.Kind{{order.Key}, {order.Key, order.Asymmetric}, {order.Key}, {order.Key, order.Asymmetric}} {
		c, ok, err := w.db.ClaimOrder(ctx, kinds, time.Now(), now.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			got = append(got, c.ID)
		}
	}
	if want := []order.ID{a.ID, pair.ID, b.ID}; !slices.Equal(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
	if err := w.db.ReleaseOrder(ctx, order.Claimed{Order: a.Order, Attempt: 1}, now); err != nil {
		t.Fatal(err)
	}
	if c := w.claim(t, order.Key); c.ID != a.ID || c.Attempt != 2 || c.Lapses != 1 {
		t.Errorf("claimed %+v after it was given back", c)
	}
}

// Many claim at once: nobody gets what another one has.
func TestClaimsDoNotMeet(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 8)
	const many = 60
	for range many {
		w.ordered(order.Key, nil, 0)
	}
	var mu sync.Mutex
	got := map[order.ID]int{}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for misses := 0; misses < 3; {
				now := time.Now()
				c, ok, err := w.db.ClaimOrder(t.Context(), []order.Kind{order.Key}, now, now.Add(time.Hour))
				if err != nil {
					t.Error(err)
					return
				}
				if !ok { // the others may be holding the rest
					misses++
					continue
				}
				mu.Lock()
				got[c.ID] += c.Attempt
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	for id, n := range got {
		if n != 1 {
			t.Errorf("order %s was claimed %d times", id, n)
		}
	}
	if len(got) != many {
		t.Errorf("%d of %d orders were claimed", len(got), many)
	}
}

// A KEK that is going takes neither a passphrase nor what an order makes, and
// one that a passphrase depends on does not go.
func TestOrdersAndKEKs(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ctx := t.Context()
	sealed := w.version(1).Sealed
	held := w.ordered(order.Asymmetric, &sealed, 1)
	if _, err := w.raw.ExecContext(ctx, `UPDATE keks SET state = 'decrypt-only'`); err != nil {
		t.Fatal(err)
	}
	if err := w.db.Retire(ctx, w.kek); !errors.Is(err, postgres.ErrKEKInUse) {
		t.Errorf("Retire with a passphrase under it: %v", err)
	}
	c := w.claim(t, order.Asymmetric)
	if p := c.Passphrase; p == nil || !p.KEK.Usable || p.KEK.ID != w.kek.ID || p.KEK.Group == "" || p.KEK.Format != 1 || len(p.KEK.Canary) == 0 || len(p.Body) != len(w.body) {
		t.Errorf("passphrase %+v", p)
	}
	if err := w.db.CreateOrder(ctx, w.order(order.Asymmetric, &sealed, 0), time.Now(), w.event()); !errors.Is(err, envelope.ErrKEKGone) {
		t.Errorf("CreateOrder: %v", err)
	}
	if err := w.db.CompleteOrder(ctx, c, w.yield(3), time.Now()); !errors.Is(err, envelope.ErrKEKGone) {
		t.Errorf("CompleteOrder: %v", err)
	}
	if err := w.db.DeleteOrder(ctx, held.Order, w.event()); err != nil {
		t.Fatal(err)
	}
	if err := w.db.Retire(ctx, w.kek); err != nil {
		t.Errorf("Retire: %v", err)
	}
	if n := w.rows("secrets") + w.rows("containers"); n != 0 {
		t.Errorf("%d secrets and containers", n)
	}
}

// Who would take the last place waits for whoever is just taking it; and a
// quota of orders says nothing of what they make.
func TestOrderQuota(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 8)
	w.allow(quota.Limits{quota.Orders: 3, quota.Secrets: 0, quota.Containers: 0})
	var wait sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 12 {
		wait.Go(func() {
			err := w.db.CreateOrder(t.Context(), w.order(order.Asymmetric, nil, 1), time.Now(), w.event())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
			case !errors.Is(err, quota.ErrReached):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if made != 3 {
		t.Errorf("%d orders, want 3", made)
	}
	if err := w.db.CompleteOrder(t.Context(), w.claim(t, order.Asymmetric), w.yield(2), time.Now()); err != nil {
		t.Errorf("CompleteOrder: %v", err)
	}
}

// Every method is one round trip once its statement is prepared (DESIGN §5). A
// page past the end of a list is counted by a second one.
func TestOrderRoundTrips(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	ctx, now := t.Context(), time.Now()
	var ordered order.Claimed
	var before uint64
	for _, tc := range []struct {
		name  string
		trips uint64 // when warm
		do    func() error
	}{
		{"CreateOrder", 1, func() error {
			ordered = w.order(order.Key, nil, 0)
			return w.db.CreateOrder(ctx, ordered, now, w.event())
		}},
		{"CreateOrder with a passphrase", 1, func() error {
			sealed := w.version(1).Sealed
			return w.db.CreateOrder(ctx, w.order(order.Asymmetric, &sealed, 0), now, w.event())
		}},
		{"FindOrder", 1, func() error { _, err := w.db.FindOrder(ctx, w.project, ordered.ID); return err }},
		{"ListOrders", 1, func() error {
			_, _, err := w.db.ListOrders(ctx, w.project, order.Query{Limit: 2, Word: "aes"})
			return err
		}},
		{"ListOrders past the end", 2, func() error {
			_, _, err := w.db.ListOrders(ctx, w.project, order.Query{Limit: 2, Offset: 1000})
			return err
		}},
		{"ClaimOrder", 1, func() (err error) {
			ordered, _, err = w.db.ClaimOrder(ctx, []order.Kind{order.Key}, now, now.Add(time.Hour))
			return err
		}},
		{"KeepOrder", 1, func() error { return w.db.KeepOrder(ctx, ordered, now.Add(time.Hour)) }},
		{"ReleaseOrder", 1, func() error { return w.db.ReleaseOrder(ctx, ordered, now) }},
		{"CompleteOrder of a pair", 1, func() error {
			c := w.ordered(order.Asymmetric, nil, 1)
			before = w.db.RoundTrips()
			return w.db.CompleteOrder(ctx, c, w.yield(3), now)
		}},
		{"CompleteOrder of a key", 1, func() error {
			ordered = w.ordered(order.Key, nil, 1)
			before = w.db.RoundTrips()
			return w.db.CompleteOrder(ctx, ordered, w.yield(1), now)
		}},
		{"FailOrder", 1, func() error {
			ordered = w.ordered(order.Key, nil, 1)
			before = w.db.RoundTrips()
			return w.db.FailOrder(ctx, ordered, order.Failure{Code: "500", Reason: "r"}, w.event())
		}},
		{"DeleteOrder", 1, func() error {
			ordered = w.ordered(order.Key, nil, 1)
			before = w.db.RoundTrips()
			return w.db.DeleteOrder(ctx, ordered.Order, w.event())
		}},
	} {
		for _, warm := range []bool{false, true} {
			before = w.db.RoundTrips()
			if err := tc.do(); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			if trips := w.db.RoundTrips() - before; warm && trips != tc.trips {
				t.Errorf("%s: %d round trips, want %d", tc.name, trips, tc.trips)
			}
		}
	}
}
