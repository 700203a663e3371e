package postgres_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
)

// A statement is planned once per connection, perhaps while the tables are
// empty: even then no plan may read a whole table, and none of a list may touch
// ciphertext.
func TestPlansUseIndexes(t *testing.T) {
	t.Parallel()
	w := newWorkload(t)
	t.Run("of empty tables", func(t *testing.T) { w.looksAtPlans(t) })
	ss := w.fill(300)
	for _, s := range ss {
		w.stored(container.Generic, entry("a", s), entry("b", ss[0]))
	}
	for range 300 {
		w.ordered(order.Key, nil, 1)
	}
	w.analyze()
	t.Run("of full tables", func(t *testing.T) { w.looksAtPlans(t) })
}

func (w *workload) looksAtPlans(t *testing.T) {
	texts := postgres.Texts()
	// What the foreign key of secret_versions asks.
	texts["foreign key"] = "SELECT 1 FROM ONLY secrets x WHERE project = $1 AND id = $2 FOR KEY SHARE OF x"
	// What a deleted secret and a deleted container ask of the tables of containers.
	texts["leave containers"] = "DELETE FROM ONLY container_secrets WHERE $1 = project AND $2 = secret"
	texts["empty a container"] = "DELETE FROM ONLY container_secrets WHERE $1 = project AND $2 = container"
	texts["leave consumers"] = "DELETE FROM ONLY secret_consumers WHERE $1 = project AND $2 = secret"
	texts["leave tags"] = "DELETE FROM ONLY secret_tags WHERE $1 = project AND $2 = secret"
	for i, name := range postgres.NamesOf(texts) {
		plan := w.explain(t, "plan"+strconv.Itoa(i), texts[name])
		for _, table := range []string{"secrets", "secret_versions", "secret_directory", "secret_stages", "secret_metadata", "secret_consumers", "secret_tags",
			"containers", "container_directory", "container_secrets", "container_consumers", "project_quotas", "orders"} {
			if strings.Contains(plan, "Seq Scan on "+table+" ") {
				t.Errorf("%s reads all of %s:\n%s", name, table, plan)
			}
		}
		if strings.HasPrefix(name, "list") && strings.Contains(plan, "secret_versions") {
			t.Errorf("%s reads ciphertext:\n%s", name, plan)
		}
		// What is looked for by project and id is found by the primary key: any
		// other index would read the project.
		for _, line := range strings.Split(plan, "\n") {
			if strings.Contains(line, "using secrets_by_") && !strings.HasPrefix(name, "list") && !strings.Contains(plan, "listed_as") {
				t.Errorf("%s uses an index for lists: %s\n%s", name, strings.TrimSpace(line), plan)
			}
		}
		if strings.Contains(plan, "using orders_by_creation") && !strings.HasPrefix(name, "list") {
			t.Errorf("%s uses an index for lists:\n%s", name, plan)
		}
		// The tags of a project begin with its first one, and go on one by one.
		if oneByOne := name == "tags of a project" && !strings.Contains(plan, "Hash"); !oneByOne && wholeProject.MatchString(plan) {
			t.Errorf("%s reads what a project has in all secrets or containers:\n%s", name, plan)
		}
		if want := byIndex[name]; !strings.Contains(plan, want) {
			t.Errorf("%s does not use %s:\n%s", name, want, plan)
		}
		if index, ok := foundBy[name]; ok && !strings.Contains(plan, index) {
			t.Errorf("%s does not use %s:\n%s", name, index, plan)
		}
		for _, line := range strings.Split(plan, "\n") {
			if strings.Contains(line, "Filter: ") && strings.Contains(line, "listed_as = ") {
				t.Errorf("%s looks for a handle in a whole project:\n%s", name, plan)
			}
		}
		if strings.HasPrefix(name, "list named") && strings.Contains(plan, "Sort") {
			t.Errorf("%s sorts what an index has in order:\n%s", name, plan)
		}
	}
}

// byIndex is what a statement goes by where others would do, too slowly.
var byIndex = map[string]string{
	"list shared": "secrets_by_reader", "list shared within": "secrets_by_reader",
	"unregister": "secret_consumers_use", "consumers": "secret_consumers_by_creation",
}

// wholeProject is a look into what secrets or containers have many of that goes
// by the project alone.
var wholeProject = regexp.MustCompile(`on (container_secrets|container_consumers|secret_consumers|secret_tags).*\n\s+Index Cond: \(\(?project = [^)]*\)\n`)

// foundBy is how lists find the rows of a page.
var foundBy = map[string]string{
	"tags of a project":   "using secret_tags_by_key",
	"page of tagged true": "using secret_tags_by_key",
	"ended":               "Index Scan using secrets_to_purge",
	"tally":               "Index Scan using secrets_untallied",
	"tally look":          "using secrets_untallied",
	"purge":               "Index Cond: ((project = $1) AND (id = w.id))",
	"list":                "Index Only Scan using secrets_by_creation",
	"list backwards":      "Index Only Scan Backward using secrets_by_creation",
	"list in names order": "Index Only Scan using secrets_by_name",
	"list one name":       "Index Cond: ((project = $1) AND (name = ",
	"list by name":        "Index Cond: ((project = $1) AND (name >= ",
	"list named":          "using secrets_by_handle",
	"list named by event": "using secrets_by_event",
}

func (w *workload) set(t *testing.T, name, value string) {
	t.Helper()
	if _, err := w.db.Pool().ExecContext(t.Context(), "SET "+name+" = "+value); err != nil {
		t.Fatal(err)
	}
}

var parameter = regexp.MustCompile(`\$\d+`)

func (w *workload) explain(t *testing.T, name, text string) string {
	t.Helper()
	most := 0
	for _, p := range parameter.FindAllString(text, -1) {
		n, _ := strconv.Atoi(p[1:])
		most = max(most, n)
	}
	nulls := "(" + strings.TrimSuffix(strings.Repeat("NULL,", most), ",") + ")"
	pool := w.db.Pool() // of one connection, with the product's settings
	if strings.Contains(text, "SET tallied") {
		w.set(t, "enable_bitmapscan", "off") // as DB.tally does
		defer w.set(t, "enable_bitmapscan", "on")
	}
	if _, err := pool.ExecContext(t.Context(), "PREPARE "+name+" AS "+text); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := pool.ExecContext(t.Context(), "DEALLOCATE "+name); err != nil {
			t.Error(err)
		}
	}()
	rows, err := pool.QueryContext(t.Context(), "EXPLAIN (COSTS OFF) EXECUTE "+name+nulls)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
