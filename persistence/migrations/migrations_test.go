package migrations_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/persistence/migrations"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
)

var update = flag.Bool("update", false, "write schema.golden.sql anew")

const golden = "schema.golden.sql"

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func migrate(t *testing.T, db *sql.DB) []string {
	t.Helper()
	applied, err := migrations.Migrate(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return applied
}

// known counts the migrations that there are. Numbers may be left out.
func known(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob("0*.sql")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

func TestSchemaIsTheGoldenOne(t *testing.T) {
	t.Parallel()
	got := describe(t, open(t, pgtest.URL(t)))
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the schema differs from %s; go test ./persistence/migrations -update writes it anew (-want +got):\n%s", golden, diff)
	}
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.Empty(t))
	all := migrate(t, db)
	if len(all) != known(t) {
		t.Errorf("applied %v, want %d migrations", all, known(t))
	}
	first := describe(t, db)
	if again := migrate(t, db); len(again) != 0 {
		t.Errorf("a second run applied %v", again)
	}
	if err := migrations.Down(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	if left := describe(t, db); strings.Contains(left, "CREATE") {
		t.Errorf("after Down there is:\n%s", left)
	}
	migrate(t, db)
	if diff := cmp.Diff(first, describe(t, db)); diff != "" {
		t.Errorf("the second time differs (-first +second):\n%s", diff)
	}
}

func TestManyMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Empty(t)
	var wg sync.WaitGroup
	applied := make([][]string, 4)
	for i := range applied {
		db := open(t, url)
		wg.Go(func() {
			var err error
			if applied[i], err = migrations.Migrate(context.WithoutCancel(t.Context()), db); err != nil {
				t.Errorf("migrator %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if all := slices.Concat(applied...); len(all) != known(t) {
		t.Errorf("applied %v, want each of %d once", applied, known(t))
	}
}

func TestStatusTellsWhatIsMissing(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.Empty(t))
	for _, applied := range []bool{false, true} {
		states, err := migrations.Status(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		last := 0
		for _, s := range states {
			number, _, _ := strings.Cut(s.Name, "_")
			n, err := strconv.Atoi(number)
			if err != nil || n <= last {
				t.Errorf("%s comes after number %d: no number, or a twin", s.Name, last)
			}
			last = n
			if s.Applied != applied || s.At.IsZero() == applied {
				t.Errorf("%+v, want applied: %v", s, applied)
			}
		}
		if len(states) != known(t) || last != int(migrations.Latest()) {
			t.Errorf("%d migrations up to %d, want %d up to %d", len(states), last, known(t), migrations.Latest())
		}
		migrate(t, db)
	}
}

// describe writes down every table of the schema, as SQL that a person can
// read. PostgreSQL's own dump changes with its version.
func describe(t *testing.T, db *sql.DB) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("-- The tables and functions as the migrations leave them. Written by their test; do not edit.\n")
	for _, table := range strs(t, db, `
		SELECT c.relname FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
		  AND c.relname NOT IN ('schema_migrations', 'migration_lock')
		ORDER BY c.relname`) {
		lines := strs(t, db, `
			SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
				|| CASE WHEN a.attcollation NOT IN (0, (SELECT oid FROM pg_collation WHERE collname = 'default'))
					THEN ' COLLATE ' || quote_ident(l.collname) ELSE '' END
				|| CASE WHEN a.attstorage <> y.typstorage THEN ' STORAGE ' || a.attstorage::text ELSE '' END
				|| CASE WHEN a.attgenerated = 's' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') STORED'
					WHEN d.adbin IS NOT NULL THEN ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) ELSE '' END
				|| CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
			FROM pg_attribute a
			JOIN pg_type y ON y.oid = a.atttypid
			LEFT JOIN pg_collation l ON l.oid = a.attcollation
			LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
			WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
			ORDER BY a.attnum`, table)
		lines = append(lines, strs(t, db, `
			SELECT 'CONSTRAINT ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid)
			FROM pg_constraint WHERE conrelid = $1::regclass
			ORDER BY array_position('{p,u,f,c}', contype::text), conname`, table)...)
		fmt.Fprintf(&b, "\nCREATE TABLE %s (\n    %s\n);\n", table, strings.Join(lines, ",\n    "))
		for _, index := range strs(t, db, `
			SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i
			WHERE i.indrelid = $1::regclass AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
			ORDER BY i.indexrelid::regclass::text`, table) {
			b.WriteString(index + ";\n")
		}
		for _, trigger := range strs(t, db, `
			SELECT pg_get_triggerdef(oid) FROM pg_trigger
			WHERE tgrelid = $1::regclass AND NOT tgisinternal ORDER BY tgname`, table) {
			b.WriteString(trigger + ";\n")
		}
	}
	for _, function := range strs(t, db, `
		SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY proname`) {
		b.WriteString("\n" + strings.TrimSpace(function) + ";\n")
	}
	for _, function := range strs(t, db, `
		SELECT pg_get_functiondef(p.oid) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace ORDER BY p.proname`) {
		b.WriteString("\n" + strings.TrimSpace(function) + ";\n")
	}
	return b.String()
}

func strs(t *testing.T, db *sql.DB, text string, args ...any) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
