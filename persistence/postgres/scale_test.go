package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/secret"
)

const (
	smallProject = auth.ProjectID("00000000000000000000000000000001")
	largeProject = auth.ProjectID("00000000000000000000000000000002")
)

// seed stores n secrets of a project without ciphertext, a second apart.
func (w *workload) seed(p auth.ProjectID, n int) {
	w.tb.Helper()
	if _, err := w.raw.ExecContext(w.tb.Context(), `
		WITH s AS (
			INSERT INTO secrets (project, id, family, name, type, algorithm, creator, state, description, kind,
				auto_rotation, rotation_period, rotation_config, rotation_func_urn, enterprise_project,
				created_at, updated_at, latest, current_version, previous_version, content_type)
			SELECT $1, gen_random_uuid(), CASE WHEN i % 2 = 0 THEN 'huawei' ELSE 'key-manager' END,
				'secret-' || lpad((i::bigint * 7919 % 10000019)::text, 8, '0'), 'opaque', 'alg-' || i % 1000, 'u', 'ENABLED', '', 'COMMON',
				false, '', '', '', '0', '2026-01-01Z'::timestamptz + i * interval '1 s', '2026-01-01Z'::timestamptz + i * interval '1 s',
				0, 0, 0, ''
			FROM generate_series($2::int + 1, $2::int + $3::int) i
			RETURNING id, project
		)
		INSERT INTO secret_directory (id, project) SELECT id, project FROM s`, string(p), w.seeded.Add(int64(n))-int64(n), n); err != nil {
		w.tb.Fatal(err)
	}
}

// settle does what the job does, for a project that a list has found in need.
func (w *workload) settle(p auth.ProjectID) {
	w.tb.Helper()
	if _, _, err := w.db.List(w.tb.Context(), p, secret.Query{Limit: 1}, time.Now()); err != nil {
		w.tb.Fatal(err)
	}
	for more := true; more; {
		var err error
		if more, err = w.db.Settle(w.tb.Context(), 100_000); err != nil {
			w.tb.Fatal(err)
		}
	}
}

// A list costs the same in a project of a thousand secrets and of a million,
// where an index has its order. What BenchmarkScale prints beside the times is
// what the job needs to make it so.
func BenchmarkScale(b *testing.B) {
	w := newWorkload(b)
	w.seed(smallProject, 1000)
	w.seed(largeProject, 1_000_000)
	began := time.Now()
	w.settle(largeProject)
	b.Logf("a million secrets tallied in %v", time.Since(began).Round(time.Millisecond))
	if _, err := w.raw.ExecContext(b.Context(), "VACUUM ANALYZE"); err != nil {
		b.Fatal(err)
	}
	name := func(i int) string { return fmt.Sprintf("secret-%08d", i*7919%10_000_019) }
	for _, tc := range []struct {
		name string
		q    secret.Query
		at   float64 // part of the project that is skipped
	}{
		{"first", secret.Query{}, 0},
		{"last", secret.Query{}, 0.99998},
		{"tenth", secret.Query{}, 0.1},
		{"middle", secret.Query{}, 0.5},
		{"newest", secret.Query{Sort: []secret.Order{{By: secret.ByCreated, Descending: true}}}, 0},
		{"byname", secret.Query{Sort: []secret.Order{{By: secret.ByName}}}, 0},
		{"bynamemiddle", secret.Query{Sort: []secret.Order{{By: secret.ByName, Descending: true}}}, 0.5},
		{"onename", secret.Query{Name: "secret-########"}, 0},
		{"prefix", secret.Query{Name: "secret-#####%"}, 0},
		{"since", secret.Query{Created: []secret.Bound{{Op: secret.After, At: time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC)}}}, 0},
		{"byupdate", secret.Query{Sort: []secret.Order{{By: secret.ByUpdated}}}, 0},
		{"algorithm", secret.Query{Algorithm: "alg-7"}, 0},
	} {
		for _, p := range []struct {
			project auth.ProjectID
			size    int
			name    string // of one in it
		}{{smallProject, 1000, name(500)}, {largeProject, 1_000_000, name(500_000)}} {
			b.Run(fmt.Sprintf("%s/%d", tc.name, p.size), func(b *testing.B) {
				q := tc.q
				q.Limit, q.Offset = 10, int(tc.at*float64(p.size))
				if n := strings.Count(q.Name, "#"); n > 0 {
					q.Name = strings.Replace(q.Name, strings.Repeat("#", n), p.name[7:7+n], 1)
				}
				w.run(b, func(int) error {
					page, total, err := w.db.List(b.Context(), p.project, q, time.Now())
					if err == nil && (len(page) == 0 || total == 0) {
						return fmt.Errorf("%d secrets of %d", len(page), total)
					}
					return err
				})
			})
			if tc.name != "first" {
				continue
			}
			b.Run(fmt.Sprintf("csms/%d", p.size), func(b *testing.B) {
				w.run(b, func(int) error {
					_, err := w.db.ListNamed(b.Context(), p.project, secret.NamedQuery{Limit: 10, After: p.name}, time.Now())
					return err
				})
			})
		}
	}
}
