package kek_test

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/memory"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/softhsm/softhsmtest"
)

// racers seals one payload each through nodes, all at once, and opens each
// through another node.
func racers(t *testing.T, nodes []*kek.Sealer, callers int) {
	t.Helper()
	var wait sync.WaitGroup
	start := make(chan struct{})
	sealed := make([]envelope.Sealed, callers)
	errs := make([]error, callers)
	for i := range callers {
		wait.Go(func() {
			<-start
			sealed[i], errs[i] = nodes[i%len(nodes)].Seal(t.Context(), payload(strconv.Itoa(i)), envelope.Default, place(i+1))
		})
	}
	close(start)
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i, s := range sealed {
		if s.KEK.ID != sealed[0].KEK.ID {
			t.Errorf("caller %d sealed under KEK %s, caller 0 under %s", i, s.KEK.ID, sealed[0].KEK.ID)
		}
		opens(t, nodes[(i+1)%len(nodes)], s, place(i+1), strconv.Itoa(i))
	}
}

func TestFirstUsesOfOneProcessMakeOneKEK(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	st := &counting{Store: r.store}
	racers(t, []*kek.Sealer{r.node(r.token, st)}, 20)
	if n := len(keys(t, r.token)); n != 1 {
		t.Errorf("%d keys in the token, want 1", n)
	}
	// One process asks once for all of its callers: one key is generated, not
	// one for each and all but one destroyed.
	if calls := r.token.Calls(); calls != 1+20+20+1 { // generate, wraps, unwraps, the list above
		t.Errorf("%d token calls, want 42", calls)
	}
	if n := st.leases.Load(); n != 2 {
		t.Errorf("%d calls of Lease, want 2", n)
	}
}

func TestFirstUsesOfManyNodesMakeOneKEK(t *testing.T) {
	t.Parallel()
	for range 20 {
		r := &room{token: new(hsmtest.Memory), store: new(memory.Store), now: newClock()}
		var nodes []*kek.Sealer
		for range 5 {
			nodes = append(nodes, r.node(r.token, r.store))
		}
		racers(t, nodes, 20)
		if rows, n := pendingRows(t, r, "p"), len(keys(t, r.token)); len(rows) != 0 || n != 1 {
			t.Errorf("%d pending rows and %d keys, want none and 1", len(rows), n)
		}
	}
}

// The same with a real database and a real token: each node has its own pool,
// and all nodes share one token.
func TestFirstUsesOfManyNodesMakeOneKEKInARealToken(t *testing.T) {
	t.Parallel()
	tok, url := softhsmtest.Open(t), pgtest.URL(t)
	raw, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	r := &room{now: newClock()}
	var nodes []*kek.Sealer
	for range 5 {
		nodes = append(nodes, r.node(tok, pgtest.OpenURL(t, url)))
	}
	racers(t, nodes, 20)

	var id, state string
	var rows int
	if err := raw.QueryRow(`SELECT count(*) OVER (), id, state FROM keks`).Scan(&rows, &id, &state); err != nil {
		t.Fatal(err)
	}
	if rows != 1 || state != string(kek.Active) {
		t.Errorf("%d KEK rows, the first one %s; want one that is active", rows, state)
	}
	if ids := keys(t, tok); len(ids) != 1 || ids[0].String() != id {
		t.Errorf("the token holds %v, want only %s", ids, id)
	}
	var masterKeys int
	if err := raw.QueryRow(`SELECT count(*) FROM master_keys`).Scan(&masterKeys); err != nil {
		t.Fatal(err)
	}
	if masterKeys != 1 {
		t.Errorf("%d master keys, want 1", masterKeys)
	}
}

// Many callers name one UUID that nobody has: one key of that UUID is made.
func TestOneKeyForAUUIDThatManyName(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	id := envelope.MasterKey(uuid.NewString())
	var wait sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		node := r.node(r.token, r.store)
		wait.Go(func() { errs[i] = node.Make(t.Context(), "p", id) })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Resolve(t.Context(), "p", id); err != nil || got != id {
		t.Errorf("Resolve = %s, %v, want %s", got, err, id)
	}
	if n := len(keys(t, r.token)); n != 1 {
		t.Errorf("%d keys, want 1", n)
	}
}

// A project's first key is heard of once, whoever wins the race, and before it
// protects anything.
func TestFirstKeyIsHeardOfOnce(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	var heard atomic.Int64
	var nodes []*kek.Sealer
	for range 5 {
		nodes = append(nodes, kek.NewSealer(kek.Deps{
			Tokens: kek.OneGroup(r.token), Store: r.store, NewID: uuid.NewString, Now: time.Now,
			OnDefault: func(_ context.Context, mk kek.NewMasterKey) error {
				if mk.Project != "p" || mk.Alias != string(envelope.Default) || !mk.ID.IsID() {
					t.Errorf("heard of %+v", mk)
				}
				heard.Add(1)
				return nil
			},
		}))
	}
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() { seal(t, nodes[i%5], "x", place(i+1)) })
	}
	wait.Wait()
	if n := heard.Load(); n != 1 {
		t.Errorf("heard of %d keys, want 1", n)
	}
}
