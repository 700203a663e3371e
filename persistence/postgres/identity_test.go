package postgres_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/password"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/hsm/hsmtest"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/persistence/storetest"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

func TestRealm(t *testing.T) {
	t.Parallel()
	storetest.RunIdentity(t, func(t *testing.T) storetest.Realm {
		db := pgtest.Open(t)
		return storetest.Realm{Store: db, Keys: db}
	})
}

func randomID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// What an access token, an access key and a project cost: DESIGN §5 says
// nothing while warm, and each is one round trip while cold.
func TestIdentityBudgets(t *testing.T) {
	t.Parallel()
	db := pgtest.Open(t)
	token := new(hsmtest.Memory)
	var ahead time.Duration
	s := aliceIn(t, db, token, func() time.Time { return time.Now().Add(ahead) })
	login := realm.Login{Method: realm.Password, User: realm.UserRef{Name: "alice"}, Password: sensitive.Take([]byte("alice's"))}
	issued, err := s.Authenticate(t.Context(), auth.Principal{Family: policy.Identity}, login)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.AccessKey(t.Context(), "AKALICE1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		prove func() error
		calls int64 // of the token, while cold
	}{
		{"ByToken", func() error { _, err := s.ByToken(t.Context(), string(issued.Token.Reveal())); return err }, 0},
		{"AccessKey", func() error { _, err := s.AccessKey(t.Context(), "AKALICE1"); return err }, 1},
		{"InProject", func() error { _, err := s.InProject(t.Context(), key, key.Project); return err }, 0},
	} {
		for _, most := range []uint64{2, 1} { // the first time also prepares the statement
			ahead += 6 * time.Second
			trips, calls := db.RoundTrips(), token.Calls()
			if err := tc.prove(); err != nil {
				t.Fatal(err)
			}
			if cold := db.RoundTrips() - trips; cold > most {
				t.Errorf("%s: %d round trips while cold", tc.name, cold)
			}
			if cold := token.Calls() - calls; cold != tc.calls {
				t.Errorf("%s: %d token calls while cold, want %d", tc.name, cold, tc.calls)
			}
			trips, calls = db.RoundTrips(), token.Calls()
			if err := tc.prove(); err != nil {
				t.Fatal(err)
			}
			if warm := db.RoundTrips() - trips; warm != 0 {
				t.Errorf("%s: %d round trips while warm", tc.name, warm)
			}
			if warm := token.Calls() - calls; warm != 0 {
				t.Errorf("%s: %d token calls while warm", tc.name, warm)
			}
		}
	}
}

// aliceIn is an identity with one user, who has an access key.
func aliceIn(t *testing.T, db *postgres.DB, token kek.Token, now func() time.Time) *realm.Service {
	t.Helper()
	hasher, err := password.New(1)
	if err != nil {
		t.Fatal(err)
	}
	s := realm.NewService(realm.Deps{
		Store:  db,
		Sealer: kek.NewSealer(kek.Deps{Tokens: kek.OneGroup(token), Store: db, NewID: uuid.NewString, Now: time.Now}),
		Judge:  operatorOnly{}, Recorder: unasked{t}, Passwords: hasher, NewID: randomID,
		NewEventID: func() string { return uuid.Must(uuid.NewV7()).String() },
		Now:        now,
	})
	if err := s.Load(t.Context(), realm.Accounts{Users: []realm.Persona{{
		Name: "alice", Password: "alice's", Project: "red", Roles: []string{"member"}, AccessKey: "AKALICE1", SecretKey: "secret",
	}}}); err != nil {
		t.Fatal(err)
	}
	return s
}

// What holds for secrets holds for access keys: nothing new comes under a KEK
// or a master key that was disabled after the sealing.
func TestAccessKeyIsNotAddedUnderADisabledKey(t *testing.T) {
	t.Parallel()
	d := openDoors(t)
	aliceIn(t, d.DB, new(hsmtest.Memory), time.Now)
	k, err := d.FindAccessKey(t.Context(), "AKALICE1")
	if err != nil {
		t.Fatal(err)
	}
	project, mine := string(k.Project), k.Sealed.KEK
	add := func(id string, want error) {
		t.Helper()
		k.ID = id
		err := d.AddAccessKey(t.Context(), k, audit.Event{ID: uuid.Must(uuid.NewV7()).String(), At: time.Now()})
		if !errors.Is(err, want) {
			t.Errorf("AddAccessKey %s = %v, want %v", id, err, want)
		}
	}
	if err := d.SetKEK(project, mine.ID, kek.Active, true); err != nil {
		t.Fatal(err)
	}
	add("AKALICE2", envelope.ErrKEKGone)
	err = errors.Join(d.SetKEK(project, mine.ID, kek.Active, false), d.SetMasterKey(project, mine.MasterKey, "disabled"))
	if err != nil {
		t.Fatal(err)
	}
	add("AKALICE3", envelope.ErrKEKGone)
	if err := d.SetMasterKey(project, mine.MasterKey, "enabled"); err != nil {
		t.Fatal(err)
	}
	add("AKALICE4", nil)
}

type operatorOnly struct{}

func (operatorOnly) Decide(who auth.Principal, _ policy.Action, _ policy.Target) policy.Decision {
	return policy.Decision{Allowed: who.Method == auth.ByOperator}
}

// A change of the realm and its event are in the database together.
func TestRealmChangesAreOnRecord(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	db := pgtest.OpenURL(t, url)
	made := auth.Role{ID: auth.RoleID(randomID()), Name: "member"}
	event := func() audit.Event {
		return audit.Event{ID: uuid.Must(uuid.NewV7()).String(), At: time.Now(), Action: "role.create"}
	}
	if err := db.CreateRole(t.Context(), made, event()); err != nil {
		t.Fatal(err)
	}
	made.ID = auth.RoleID(randomID())
	if err := db.CreateRole(t.Context(), made, event()); err == nil {
		t.Error("two roles have one name")
	}
	pool, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var roles, events int
	err = pool.QueryRowContext(t.Context(), `
		SELECT (SELECT count(*) FROM roles), (SELECT count(*) FROM audit_events)`).Scan(&roles, &events)
	if err != nil || roles != 1 || events != 1 {
		t.Errorf("%d roles and %d events, err %v", roles, events, err)
	}
}

// unasked records nothing: no test here is refused anything.
type unasked struct{ t *testing.T }

func (u unasked) Record(_ context.Context, ev audit.Event) error {
	u.t.Errorf("refused: %+v", ev)
	return nil
}
