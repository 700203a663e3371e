package rotation_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/secret"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// servers are the databases that everything here is tried at.
func eachServer(t *testing.T, test func(t *testing.T, s server)) {
	t.Run("PostgreSQL", func(t *testing.T) { test(t, startPostgreSQL(t)) })
	t.Run("MariaDB", func(t *testing.T) { test(t, startMariaDB(t)) })
}

func TestRotation(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		w := newWorld(t, s)
		t.Run("SingleUser", func(t *testing.T) { w.in(t).testSingleUser() })
		t.Run("MultiUser", func(t *testing.T) { w.in(t).testMultiUser() })
		t.Run("KilledAtEveryStep", func(t *testing.T) { w.in(t).testKilled() })
		t.Run("Rejected", func(t *testing.T) { w.in(t).testRejected() })
		t.Run("Away", func(t *testing.T) { w.in(t).testAway() })
		t.Run("NewPasswordDoesNotLogIn", func(t *testing.T) { w.in(t).testReverted() })
		t.Run("AnswerLost", func(t *testing.T) { w.in(t).testAnswerLost() })
		t.Run("Administrator", func(t *testing.T) { w.in(t).testAdministrator() })
	})
}

func (w *world) testSingleUser() {
	name, old := w.single(secret.Rotation{Auto: true, Period: "1d"})
	n := w.node()
	task := w.rotate(n, name)
	if got := w.task(name); got.ID != task.ID || got.Status != rotation.Running || task.Version != 2 {
		w.Errorf("%+v, %+v", task, got)
	}
	if at, _ := w.stages(name); at[secret.Current] != 1 || at[secret.Pending] != 2 {
		w.Error(at)
	}
	w.finish(n)
	if got := w.task(name); got.Status != rotation.Succeeded || got.Attempts != 1 || got.Auto || got.ErrorText != "" {
		w.Errorf("%+v", got)
	}
	at, versions := w.stages(name)
	if at[secret.Current] != 2 || at[secret.Previous] != 1 || at[secret.Pending] != 0 || versions != 2 {
		w.Error(at, versions)
	}
	fresh := w.accountOf(name, secret.Current)
	if err := w.login(fresh); err != nil || fresh.Name != name {
		w.Error(fresh.Name, err)
	}
	w.wantsLogin(name, old, false)
	sec, err := w.locate(name, secret.Want{}).Show(w.Context())
	if r := sec.Rotation; err != nil || r.Last == nil || r.Next == nil || r.Next.Sub(*r.Last) != 24*time.Hour || r.Version != 0 {
		w.Errorf("%+v, %v", r, err)
	}
	w.hidden(old, string(fresh.Password.Reveal()), adminPassword)
}

func (w *world) testMultiUser() {
	w.server.account(w, "twin_a", "password of a")
	w.server.account(w, "twin_b", "password of b")
	w.create("twins", "RDS", "MultiUser", users("twin_a", "password of a", "twin_b", "password of b"), secret.Rotation{})
	n := w.node()
	for round, want := range []string{"twin_b", "twin_a", "twin_b"} {
		before := w.accountOf("twins", secret.Current)
		w.rotate(n, "twins")
		w.finish(n)
		now := w.accountOf("twins", secret.Current)
		if now.Name != want || w.accountOf("twins", secret.Previous).Name != before.Name {
			w.Errorf("round %d: %s, want %s", round, now.Name, want)
		}
		// Who has not heard of the new one yet still works with the old one.
		if err := errors.Join(w.login(now), w.login(before)); err != nil {
			w.Errorf("round %d: %v", round, err)
		}
	}
}

func (w *world) testRejected() {
	w.create("nobody", "RDS", "SingleUser", users("no such account", "x"), secret.Rotation{})
	n := w.node()
	w.rotate(n, "nobody")
	w.finish(n)
	w.failed("nobody", 1)
}

// failed asserts what is left of a rotation that failed: nothing but its task.
func (w *world) failed(name string, attempts int) {
	w.Helper()
	got := w.task(name)
	if got.Status != rotation.Failed || got.ErrorCode != rotation.CodeBackEnd || got.ErrorText == "" || got.Attempts != attempts {
		w.Errorf("%+v", got)
	}
	at, versions := w.stages(name)
	if at[secret.Current] != 1 || len(at) != 1 || versions != 1 {
		w.Error(at, versions)
	}
}

func (w *world) testAway() {
	name, old := w.single(secret.Rotation{})
	w.target = away{}
	n := w.node()
	w.rotate(n, name)
	w.finish(n)
	w.failed(name, w.pace.Attempts)
	w.wantsLogin(name, old, true)
}

type away struct{}

func (away) SetPassword(context.Context, rotation.Account, rotation.Account) error {
	return rotation.ErrAway
}
func (away) Login(context.Context, rotation.Account) error { return rotation.ErrAway }

func (w *world) testReverted() {
	name, old := w.single(secret.Rotation{})
	w.server.lockOut(w, name)
	n := w.node()
	w.rotate(n, name)
	w.finish(n)
	w.failed(name, 1)
	w.server.letIn(w, name)
	w.wantsLogin(name, old, true)
}

// deaf does what it is told, and the answer gets lost, for some times.
type deaf struct {
	rotation.Target
	mu    sync.Mutex
	times int
	works bool // that what it is told happens
}

func (d *deaf) SetPassword(ctx context.Context, admin, a rotation.Account) error {
	d.mu.Lock()
	lost, works := d.times > 0, d.works
	d.times--
	d.mu.Unlock()
	if !lost {
		return d.Target.SetPassword(ctx, admin, a)
	}
	if works {
		if err := d.Target.SetPassword(ctx, admin, a); err != nil {
			return err
		}
	}
	return errors.New("the answer is lost")
}

// Nobody knows what happened: it ends only once somebody does.
func (w *world) testAnswerLost() {
	for _, works := range []bool{true, false} {
		name, old := w.single(secret.Rotation{})
		w.target = &deaf{Target: w.server.target(), times: 2 * w.pace.Attempts, works: works}
		n := w.node()
		w.rotate(n, name)
		w.finish(n)
		if got := w.task(name); got.Status != rotation.Succeeded || got.Attempts != 2*w.pace.Attempts+1 {
			w.Errorf("%+v", got)
		}
		if err := w.login(w.accountOf(name, secret.Current)); err != nil {
			w.Error(err)
		}
		w.wantsLogin(name, old, false)
	}
	w.target = w.server.target()
}

// The administrator's own secret rotates like any other, also where the answer
// was lost and its old password does not count any more.
func (w *world) testAdministrator() {
	w.target = w.server.target()
	w.create("own-admin", "RDS", "SingleUser", users(adminName, adminPassword), secret.Rotation{})
	w.target = &deaf{Target: w.server.target(), times: 1, works: true}
	n := w.node()
	w.rotate(n, "own-admin")
	w.finish(n)
	if got := w.task("own-admin"); got.Status != rotation.Succeeded {
		w.Errorf("%+v", got)
	}
	fresh := w.accountOf("own-admin", secret.Current)
	if err := w.login(fresh); err != nil {
		w.Error(err)
	}
	// Back again, for whoever comes next.
	back := rotation.Account{Name: adminName, Password: sensitive.Take([]byte(adminPassword))}
	if err := w.server.target().SetPassword(w.Context(), fresh, back); err != nil {
		w.Error(err)
	}
}

// in is the world for a part of a test.
func (w *world) in(tb testing.TB) *world {
	part := &world{
		TB: tb, db: w.db, url: w.url, raw: w.raw, secrets: w.secrets, server: w.server,
		target: w.server.target(), store: w.db, record: w.record, pace: w.pace,
	}
	part.names.Store(part.now().UnixNano())
	return part
}
