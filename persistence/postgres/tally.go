package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/huandu/go-sqlbuilder"

	"github.com/strongroom-kms/strongroom/auth"
)

// A row counts where it stands until it is put into a tally (migration 8).
// Below these numbers that is not worth it.
const (
	looseRows    = 1000 // of a project, that are in no tally
	looseTallies = 100  // of a project, that are not added up
	tallyBatch   = 500  // rows: as long as changes of them may have to wait
)

// totalOf is how many living rows of a table a project has, and the project
// once more if its tallies need work. dead counts those whose time is over.
// All is read from one snapshot, in which each row is either marked and in a
// tally or neither.
func totalOf(table string, p auth.ProjectID, dead sqlbuilder.Builder) sqlbuilder.Builder {
	return postgreSQL(`
		SELECT tallied.n + loose.n - dead.n AS total,
			CASE WHEN loose.n > `+fmt.Sprint(looseRows)+` OR tallied.rows > `+fmt.Sprint(looseTallies)+` THEN $0 ELSE '' END AS unsettled
		FROM (SELECT coalesce(sum(n), 0)::bigint AS n, count(*) AS rows
				FROM row_tallies WHERE project = $0 AND what = '`+table+`') tallied,
			(SELECT count(*) AS n FROM `+table+` WHERE project = $0 AND NOT tallied) loose,
			($1) dead (n)`, string(p), dead)
}

// ended counts a project's secrets whose time is over and that are not purged
// yet.
func ended(p auth.ProjectID, now time.Time) sqlbuilder.Builder {
	return postgreSQL(`SELECT count(*) FROM secrets WHERE project = $0 AND `+endOf("secrets")+` <= $1`, string(p), now)
}

// endOf is from when on the secret s does not exist: what alive looks at.
func endOf(s string) string { return "least(" + s + ".expiration, " + s + ".delete_at)" }

// tallies are the projects that a process has seen in need of work. Only what
// grows or is looked at needs any, so nothing searches for more.
type tallies struct {
	mu    sync.Mutex
	noted map[tallied]struct{}
}

// tallied is a table's rows of one project.
type tallied struct{ table, project string }

// maxNoted bounds the memory: what is not noted today is seen again.
const maxNoted = 10_000

func (t *tallies) note(table, project string) {
	if project == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.noted == nil {
		t.noted = map[tallied]struct{}{}
	}
	if len(t.noted) < maxNoted {
		t.noted[tallied{table, project}] = struct{}{}
	}
}

// sample notes the project of one in 256 rows, by their random UUIDs. So one
// that grows is noted, though nobody lists it.
func (t *tallies) sample(table string, p auth.ProjectID, id string) {
	if strings.HasSuffix(id, "00") {
		t.note(table, string(p))
	}
}

func (t *tallies) take() []tallied {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]tallied, 0, len(t.noted))
	for k := range t.noted {
		all = append(all, k)
	}
	clear(t.noted)
	return all
}

// Settle puts rows into tallies, and adds up tallies, of the projects that
// this process has seen in need of it. It changes that many rows, give or take
// a few hundred, and says whether more are left. It may stop anywhere, and any
// number of processes may do so at once.
func (db *DB) Settle(ctx context.Context, most int) (more bool, err error) {
	var errs []error
	for _, k := range db.tallies.take() {
		done := false
		if most > 0 {
			if done, err = db.settle(ctx, k, &most); err != nil {
				errs = append(errs, fmt.Errorf("settle tallies: %w", err))
			}
		}
		if !done {
			db.tallies.note(k.table, k.project) // another time
			more = true
		}
	}
	return more, errors.Join(errs...)
}

func (db *DB) settle(ctx context.Context, k tallied, most *int) (done bool, err error) {
	var rows, sums bool
	err = db.row(ctx, "tally_look", tallyLookText(k.table), k.project).Scan(&rows, &sums)
	for place := "-infinity"; err == nil && rows && *most > 0; *most -= tallyBatch {
		var n int
		n, place, err = db.tally(ctx, k, place)
		rows, sums = n == tallyBatch, true
	}
	if err == nil && sums {
		_, err = db.exec(ctx, "tally_sum", sumText(k.table), k.project)
	}
	return err == nil && !rows, err
}

// tally puts one batch of rows into a tally. The planner may not gather what an
// index finds and sort that: a project that was small when it planned may have
// a million rows by now, and all would be gathered for each batch.
func (db *DB) tally(ctx context.Context, k tallied, from string) (n int, place string, err error) {
	err = db.inTx(ctx, "tally_rows", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "SET LOCAL enable_bitmapscan = off"); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, tallyText(k.table), k.project, from).Scan(&n, &place)
	})
	return n, place, err
}

// The numbers of the next two stand in their texts, for the planner to see:
// it would look at all rows if it did not know how few are wanted.

func tallyLookText(table string) string {
	return fmt.Sprintf(`
		SELECT EXISTS (SELECT FROM %[1]s WHERE project = $1 AND NOT tallied ORDER BY created_at OFFSET %[2]d LIMIT 1),
			EXISTS (SELECT FROM row_tallies WHERE project = $1 AND what = '%[1]s' OFFSET %[3]d)`,
		table, looseRows, looseTallies)
}

// tallyText puts some rows of project $1 into a tally, from the creation time
// $2 on, and says how many and how far it came. A row that somebody else
// changes just now is left for later. What is locked is found again by its
// place, where no plan can go wrong.
func tallyText(table string) string {
	return `
		WITH marked AS (
			UPDATE ` + table + ` SET tallied = true
			WHERE ctid = ANY (ARRAY(
				SELECT ctid FROM ` + table + ` WHERE project = $1 AND NOT tallied AND created_at >= $2
				ORDER BY created_at LIMIT ` + fmt.Sprint(tallyBatch) + ` FOR NO KEY UPDATE SKIP LOCKED))
			RETURNING created_at
		),
		tally AS (
			INSERT INTO row_tallies (project, what, n)
			SELECT $1, '` + table + `', count(*) FROM marked HAVING count(*) > 0
		)
		SELECT count(*), coalesce(max(created_at), $2)::text FROM marked`
}

// sumText replaces the tallies of project $1 by their sum. Those that somebody
// else adds up just now are left to them.
func sumText(table string) string {
	return `
		WITH old AS (
			DELETE FROM row_tallies
			WHERE ctid = ANY (ARRAY(
				SELECT ctid FROM row_tallies WHERE project = $1 AND what = '` + table + `' FOR UPDATE SKIP LOCKED))
			RETURNING n
		)
		INSERT INTO row_tallies (project, what, n)
		SELECT $1, '` + table + `', sum(n) FROM old HAVING sum(n) <> 0`
}
