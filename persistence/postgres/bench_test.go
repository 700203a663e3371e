package postgres_test

import (
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// The hot statements, with what each costs the server: CPU of the one
// backend, in microseconds per operation.

func BenchmarkFindPayload(b *testing.B) {
	w := newWorkload(b)
	s := w.fill(200)
	w.run(b, func(i int) error {
		_, err := w.db.Find(b.Context(), secret.Anywhere(s[i%len(s)].ID), secret.Want{Sealed: true}, time.Now())
		return err
	})
}

func BenchmarkFindNamedVersion(b *testing.B) {
	w := newWorkload(b)
	w.family = policy.Huawei
	s := w.fill(200)
	w.run(b, func(i int) error {
		_, err := w.db.Find(b.Context(), secret.Named(w.project, *s[i%len(s)].Name), secret.Want{Sealed: true, Versions: true}, time.Now())
		return err
	})
}

func BenchmarkFindMetadata(b *testing.B) {
	w := newWorkload(b)
	s := w.fill(200)
	w.run(b, func(i int) error {
		_, err := w.db.Find(b.Context(), secret.Anywhere(s[i%len(s)].ID), secret.Want{}, time.Now())
		return err
	})
}

func BenchmarkCreate(b *testing.B) {
	w := newWorkload(b)
	w.run(b, func(i int) error {
		_, err := w.create(i)
		return err
	})
}

func BenchmarkAddVersion(b *testing.B) {
	w := newWorkload(b)
	w.family = policy.Huawei
	s := w.fill(1)[0]
	w.run(b, func(i int) error {
		s.Latest++
		s.Previous, s.Current.Version = s.Current, s.Latest
		v := w.version(s.Latest)
		c := secret.Change{Secret: s, Add: &v}
		if s.Latest > 20 {
			c.Purge = []int{s.Latest - 20}
		}
		err := w.db.Apply(b.Context(), c, w.event())
		s.Revision++
		return err
	})
}

func BenchmarkList(b *testing.B) {
	w := newWorkload(b)
	w.fill(200)
	w.run(b, func(i int) error {
		_, _, err := w.db.List(b.Context(), w.project, secret.Query{Limit: 10, Offset: i % 100}, time.Now())
		return err
	})
}

type workload struct {
	tb      testing.TB
	url     string
	db      *postgres.DB
	raw     *sql.DB
	project auth.ProjectID
	family  policy.Family
	kek     kek.Version
	body    []byte
	seeded  atomic.Int64
}

// newWorkload has one connection, so that there is one backend to look at.
func newWorkload(tb testing.TB) *workload { return newWorkloadOn(tb, pgtest.URL(tb), 1) }

func newWorkloadOn(tb testing.TB, url string, connections int) *workload {
	db, err := postgres.Open(tb.Context(), postgres.Config{URL: url, MaxOpen: connections})
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := sql.Open("postgres", url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _, _ = db.Close(), raw.Close() })
	w := &workload{tb: tb, url: url, db: db, raw: raw, project: "0123456789abcdef0123456789abcdef", family: policy.KeyManager, body: make([]byte, 1024+28)}
	mk := kek.NewMasterKey{Project: string(w.project), ID: envelope.MasterKey(uuid.NewString()), Alias: "csms/default", Default: true, CreatedAt: time.Now()}
	if w.kek, err = db.Prepare(tb.Context(), mk, envelope.KEKID(uuid.NewString()), time.Now().Add(time.Minute)); err != nil {
		tb.Fatal(err)
	}
	if err := db.Activate(tb.Context(), w.kek, key.Made{Ref: key.Ref{Format: 1, Canary: key.Canary{Wrapped: make([]byte, 62)}}}); err != nil {
		tb.Fatal(err)
	}
	return w
}

func (w *workload) event() audit.Event {
	return audit.Event{
		ID: uuid.Must(uuid.NewV7()).String(), At: time.Now(), Project: string(w.project),
		Initiator: audit.Initiator{User: "f3a9c1", Name: "demo", Roles: []string{"creator", "member"}, Method: "token"},
		Family:    "key-manager", Action: "secret.create", Rule: "secrets:post", Outcome: audit.Success,
		Target:  audit.Target{Kind: "secret", Project: string(w.project), ID: uuid.NewString(), Name: "name"},
		Request: "req-" + uuid.NewString(),
	}
}

func (w *workload) version(n int) secret.Version {
	return secret.Version{
		Number: n, ContentType: secret.Text, CreatedAt: time.Now(),
		Sealed: envelope.Sealed{KEK: envelope.KEK{ID: w.kek.ID}, WrappedDEK: make([]byte, 62), Body: w.body, AsDefault: true},
	}
}

func (w *workload) create(i int) (secret.Secret, error) {
	now := time.Now()
	name := fmt.Sprint("secret-", i)
	s := secret.Secret{
		ID: secret.ID(uuid.NewString()), Project: w.project, Family: w.family, Name: &name, Type: "opaque", Creator: "f3a9c1",
		State: secret.Enabled, Key: w.kek.MasterKey, CreatedAt: now, UpdatedAt: now,
		Latest: 1, LatestAt: now, Current: secret.Mark{Version: 1, Since: now}, ContentType: secret.Text,
	}
	v := w.version(1)
	return s, w.db.Create(w.tb.Context(), s, &v, w.event())
}

func (w *workload) fill(n int) []secret.Secret {
	var all []secret.Secret
	for i := range n {
		s, err := w.create(i)
		if err != nil {
			w.tb.Fatal(err)
		}
		all = append(all, s)
	}
	w.analyze()
	return all
}

func (w *workload) analyze() {
	if _, err := w.raw.ExecContext(w.tb.Context(), "VACUUM ANALYZE"); err != nil {
		w.tb.Fatal(err)
	}
}

func (w *workload) run(b *testing.B, do func(i int) error) {
	var pid int
	if err := w.raw.QueryRowContext(b.Context(), `
		SELECT pid FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'strongroom'`).Scan(&pid); err != nil {
		b.Fatal(err)
	}
	if err := do(0); err != nil { // prepares
		b.Fatal(err)
	}
	cpu := backendCPU(b, pid)
	trips := w.db.RoundTrips()
	for i := 1; b.Loop(); i++ {
		if err := do(i); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((backendCPU(b, pid)-cpu).Nanoseconds())/1000/float64(b.N), "server-µs/op")
	b.ReportMetric(float64(w.db.RoundTrips()-trips)/float64(b.N), "trips/op")
}

// backendCPU is the time that a process was on a CPU.
func backendCPU(tb testing.TB, pid int) time.Duration {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/schedstat")
	if err != nil {
		tb.Skip(err)
	}
	n, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return time.Duration(n)
}
