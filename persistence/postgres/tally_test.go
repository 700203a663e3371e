package postgres_test

import (
	"database/sql"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/secret"
)

// number is what the database itself says.
func (w *workload) number(text string, args ...any) (n int) {
	w.tb.Helper()
	if err := w.raw.QueryRowContext(w.tb.Context(), text, args...).Scan(&n); err != nil {
		w.tb.Fatal(err)
	}
	return n
}

const (
	livingRows  = `SELECT count(*) FROM secrets WHERE project = $1 AND (expiration IS NULL OR expiration > now()) AND (delete_at IS NULL OR delete_at > now())`
	looseRows   = `SELECT count(*) FROM secrets WHERE project = $1 AND NOT tallied`
	sumOfTally  = `SELECT coalesce(sum(n), 0) FROM row_tallies WHERE project = $1 AND what = 'secrets'`
	tallyRows   = `SELECT count(*) FROM row_tallies WHERE project = $1`
	talliedRows = `SELECT count(*) FROM secrets WHERE project = $1 AND tallied`
)

func (w *workload) total() int {
	w.tb.Helper()
	_, total, err := w.db.List(w.tb.Context(), w.project, secret.Query{Limit: 1}, time.Now())
	if err != nil {
		w.tb.Fatal(err)
	}
	return total
}

// Small projects have no tallies, large ones few loose rows; and the total is
// the same before and after.
func TestTalliesKeepTotals(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	settled := func(total, loose, tallies int) {
		t.Helper()
		if n := w.total(); n != total {
			t.Errorf("the list says %d, want %d", n, total)
		}
		if _, err := w.db.Settle(t.Context(), 10_000); err != nil {
			t.Fatal(err)
		}
		if n := w.total(); n != total || n != w.number(livingRows, w.project) {
			t.Errorf("settled, the list says %d of %d, want %d", n, w.number(livingRows, w.project), total)
		}
		if n := w.number(looseRows, w.project); n != loose {
			t.Errorf("%d rows are in no tally, want %d", n, loose)
		}
		if n := w.number(tallyRows, w.project); n != tallies {
			t.Errorf("%d tallies, want %d", n, tallies)
		}
	}
	settled(0, 0, 0)
	w.seed(w.project, 1000)
	settled(1000, 1000, 0)
	w.seed(w.project, 1)
	settled(1001, 0, 1)
	w.seed(w.project, 40)
	settled(1041, 40, 1)

	// A row that is in a tally leaves one, whoever removes it; another does not.
	if _, err := w.raw.Exec(`DELETE FROM secrets WHERE project = $1 AND (NOT tallied OR name < 'secret-01000000')`, w.project); err != nil {
		t.Fatal(err)
	}
	left := w.number(livingRows, w.project)
	if gone := 1001 - left; gone < looseTallies {
		t.Fatalf("only %d tallied rows were deleted", gone)
	}
	settled(left, 0, 1)

	// What has ended does not count, whether its row is there or not.
	if _, err := w.raw.Exec(`UPDATE secrets SET expiration = now() - interval '1 s' WHERE project = $1 AND name < 'secret-02000000'`, w.project); err != nil {
		t.Fatal(err)
	}
	left = w.number(livingRows, w.project)
	settled(left, 0, 1)
	if _, err := w.raw.Exec(`DELETE FROM secrets WHERE project = $1 AND expiration < now()`, w.project); err != nil {
		t.Fatal(err)
	}
	settled(left, 0, 1)
	if _, err := w.raw.Exec(`DELETE FROM secrets WHERE project = $1`, w.project); err != nil {
		t.Fatal(err)
	}
	if _, err := w.create(1); err != nil { // an empty page notes nothing
		t.Fatal(err)
	}
	settled(1, 1, 0)
}

const looseTallies = 100

// Whatever happens at once, each list is exact: it says what its own snapshot
// has. Rows come and go, are changed, end and are put into tallies, and tallies
// are added up, while another one looks.
func TestTalliesAreExactUnderRaces(t *testing.T) {
	t.Parallel()
	w := newWorkloadOn(t, pgtest.URL(t), 8)
	ctx := t.Context()
	w.seed(w.project, 3000)
	deadline := time.Now().Add(3 * time.Second)
	var wg sync.WaitGroup
	many := func(n int, do func(r *rand.Rand) error) {
		for i := range n {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 7))
				for time.Now().Before(deadline) && !t.Failed() {
					if err := do(r); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	exec := func(text string, args ...any) error {
		_, err := w.raw.ExecContext(ctx, text, args...)
		return err
	}
	many(2, func(r *rand.Rand) error {
		s, err := w.create(r.Int())
		if err == nil && r.IntN(2) == 0 {
			err = w.db.Delete(ctx, s, w.event())
		}
		if errors.Is(err, secret.ErrNotFound) {
			return nil // the next one has removed it
		}
		return err
	})
	many(1, func(*rand.Rand) error { // removes what may just be put into a tally
		return exec(`DELETE FROM secrets WHERE project = $1 AND id IN (
			SELECT id FROM secrets WHERE project = $1 AND id > $2 ORDER BY id LIMIT 3)`, w.project, uuid.NewString())
	})
	many(1, func(*rand.Rand) error {
		return exec(`UPDATE secrets SET revision = revision + 1 WHERE project = $1 AND id IN (
			SELECT id FROM secrets WHERE project = $1 AND id > $2 ORDER BY id LIMIT 1)`, w.project, uuid.NewString())
	})
	many(2, func(r *rand.Rand) error {
		if r.IntN(4) == 0 {
			w.seed(w.project, 1200)
		}
		w.total() // notes what needs work
		_, err := w.db.Settle(ctx, 10_000)
		return err
	})
	// The total of a list, and what the same snapshot counts.
	wg.Go(func() {
		for time.Now().Before(deadline) && !t.Failed() {
			tx, err := w.raw.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
			if err != nil {
				t.Error(err)
				return
			}
			var living, loose, sums int
			for text, to := range map[string]*int{livingRows: &living, looseRows: &loose, sumOfTally: &sums} {
				if err := tx.QueryRowContext(ctx, text, w.project).Scan(to); err != nil {
					t.Error(err)
				}
			}
			_ = tx.Rollback()
			if sums+loose != living {
				t.Errorf("a snapshot of %d rows: %d in tallies and %d loose", living, sums, loose)
			}
		}
	})
	wg.Wait()
	if n, living := w.total(), w.number(livingRows, w.project); n != living {
		t.Errorf("at last the list says %d of %d", n, living)
	}
	if n := w.number(talliedRows, w.project); n == 0 {
		t.Error("nothing was put into a tally meanwhile")
	}
}

// A page is the same from whichever end of an index it was looked for.
func TestPagesFromBothEnds(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	const rows = 12_000 // more than twice what is always skipped from the front
	w.seed(w.project, rows)
	for _, by := range []secret.SortKey{secret.ByCreated, secret.ByName, secret.ByUpdated} {
		for _, down := range []bool{false, true} {
			q := secret.Query{Sort: []secret.Order{{By: by, Descending: down}}}
			all := w.ids(secret.Query{Sort: q.Sort, Limit: 2 * rows})
			if len(all) != rows {
				t.Fatalf("%d secrets, want %d", len(all), rows)
			}
			for _, offset := range []int{0, 1, 4990, 5995, 6001, 9000, rows - 20, rows - 10, rows - 3, rows, rows + 1, 1<<63 - 1} {
				q.Limit, q.Offset = 10, offset
				want := all[min(offset, rows) : min(offset, rows-10)+10]
				if offset >= rows-10 {
					want = all[min(offset, rows):]
				}
				got := w.ids(q)
				if len(got) != len(want) || len(got) > 0 && (got[0] != want[0] || got[len(got)-1] != want[len(want)-1]) {
					t.Errorf("by %s, down: %v, from %d: %v, want %v", by, down, offset, got, want)
				}
			}
		}
	}
}

func (w *workload) ids(q secret.Query) (ids []secret.ID) {
	w.tb.Helper()
	page, total, err := w.db.List(w.tb.Context(), w.project, q, time.Now())
	if err != nil {
		w.tb.Fatal(err)
	}
	if total != 12_000 {
		w.tb.Errorf("from %d, %d in all", q.Offset, total)
	}
	for _, s := range page {
		ids = append(ids, s.ID)
	}
	return ids
}

// Containers are counted in the same way.
func TestTalliesOfContainers(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	if _, err := w.raw.Exec(`
		INSERT INTO containers (project, id, type, creator, created_at, updated_at)
		SELECT $1, gen_random_uuid(), 'generic', 'u', now(), now() FROM generate_series(1, 1200)`, w.project); err != nil {
		t.Fatal(err)
	}
	total := func(want int, q container.Query) {
		t.Helper()
		q.Limit = 1
		if _, n, err := w.db.ListContainers(t.Context(), w.project, q); n != want || err != nil {
			t.Errorf("the list says %d, %v, want %d", n, err, want)
		}
	}
	total(1200, container.Query{})
	w.allTallied("containers")
	c := w.stored(container.Generic)
	total(1201, container.Query{})
	if err := w.db.DeleteContainer(t.Context(), c, w.event()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.raw.Exec(`DELETE FROM containers WHERE id < '80000000-0000-0000-0000-000000000000'`); err != nil {
		t.Fatal(err)
	}
	left := w.rows("containers")
	total(left, container.Query{})
	total(left, container.Query{Type: string(container.Generic)})
	total(left, container.Query{Offset: 5000})
}

// allTallied puts all rows of a table that was listed into tallies.
func (w *workload) allTallied(table string) {
	w.tb.Helper()
	if _, err := w.db.Settle(w.tb.Context(), 10_000); err != nil {
		w.tb.Fatal(err)
	}
	if n := w.number(`SELECT count(*) FROM ` + table + ` WHERE NOT tallied`); n != 0 {
		w.tb.Errorf("%d %s are in no tally", n, table)
	}
}

// And orders, which keep their words.
func TestTalliesOfOrders(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	c := w.ordered(order.Key, nil, 0)
	w.copied("orders", 1200)
	total := func(want int, q order.Query) {
		t.Helper()
		q.Limit = 1
		if _, n, err := w.db.ListOrders(t.Context(), c.Project, q); n != want || err != nil {
			t.Errorf("the list says %d, %v, want %d", n, err, want)
		}
	}
	total(1201, order.Query{})
	w.allTallied("orders")
	w.copied("orders", 3)
	total(1204, order.Query{})
	if err := w.db.DeleteOrder(t.Context(), c.Order, w.event()); err != nil {
		t.Fatal(err)
	}
	total(1203, order.Query{})
	total(1203, order.Query{Offset: 5000})
	total(1203, order.Query{Word: "aes"})
	total(0, order.Query{Word: "des"})
}

// copied adds copies of one row with all it says, as somebody does who fills
// tables by hand and knows nothing of tallies.
func (w *workload) copied(table string, n int) {
	w.tb.Helper()
	var columns string
	if err := w.raw.QueryRow(`
		SELECT string_agg(column_name, ', ') FROM information_schema.columns
		WHERE table_schema = current_schema() AND table_name = $1 AND is_generated = 'NEVER' AND column_name <> 'id'`, table).Scan(&columns); err != nil {
		w.tb.Fatal(err)
	}
	if _, err := w.raw.Exec(`
		INSERT INTO `+table+` (id, `+columns+`)
		SELECT gen_random_uuid(), `+columns+` FROM (SELECT * FROM `+table+` ORDER BY tallied DESC, id LIMIT 1) t, generate_series(1, $1)`, n); err != nil {
		w.tb.Fatal(err)
	}
}

// A copy of a row that is in a tally is in none.
func TestCopiesOfTalliedRows(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	w.fill(1)
	w.copied("secrets", 1000)
	w.total()
	w.allTallied("secrets")
	w.copied("secrets", 500)
	if n := w.total(); n != 1501 {
		t.Errorf("the list says %d, want 1501", n)
	}
}
