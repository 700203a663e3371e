package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/huandu/go-sqlbuilder"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/secret"
)

var comparisons = map[secret.Comparison]string{
	secret.Equal: "=", secret.After: ">", secret.NotBefore: ">=", secret.Before: "<", secret.NotAfter: "<=",
}

// List implements secret.Store.
func (db *DB) List(ctx context.Context, p auth.ProjectID, q secret.Query, now time.Time) ([]secret.Secret, int, error) {
	count, page, err := listBuilders(q, ofProject(p, q, now))
	if err != nil {
		return nil, 0, err
	}
	found, total, err := db.list(ctx, "secret_list", count, page, q)
	if err != nil {
		return nil, 0, fmt.Errorf("list secrets: %w", err)
	}
	return found, total, nil
}

// list reads a page, and what q wants beside it. Each of its rows carries the
// count; a page past the end has no row, and only then a second statement
// counts. name is for metrics.
func (db *DB) list(ctx context.Context, name string, count, page sqlbuilder.Builder, q secret.Query) ([]secret.Secret, int, error) {
	var found []secret.Secret
	var total int
	var unsettled string
	text, args := page.Build()
	err := db.query(ctx, name, text, args, func(scan func(...any) error) error {
		var r secretRow
		if err := scan(append([]any{&total, &unsettled}, r.dest()...)...); err != nil {
			return err
		}
		found = append(found, r.take())
		return nil
	})
	if err == nil && len(found) == 0 && q.Offset > 0 {
		text, args = count.Build()
		err = db.row(ctx, "secret_count", text, args...).Scan(&total, &unsettled)
	}
	if err == nil && q.Consumers {
		err = db.addConsumers(ctx, found)
	}
	db.tallies.note("secrets", unsettled)
	return found, total, err
}

// scope is where a list looks.
type scope struct {
	rows  func(*sqlbuilder.SelectBuilder) // adds the conditions
	total sqlbuilder.Builder              // how many there are, if tallies know; may be nil
}

// ofProject are the secrets of one project.
func ofProject(p auth.ProjectID, q secret.Query, now time.Time) scope {
	found := listedByCreation
	if foundByName(q) {
		found = listedByName
	}
	return scope{
		rows: func(b *sqlbuilder.SelectBuilder) {
			b.Where(b.Equal("s.project", string(p)), found("s", b.Var(now)))
		},
		total: totalOf("secrets", p, ended(p, now)),
	}
}

// foundByName reports whether the index of names is the one for q.
func foundByName(q secret.Query) bool {
	start, _ := literal(q.Name)
	return start != "" || !selective(q) && len(q.Sort) == 1 && q.Sort[0].By == secret.ByName
}

// listBuilders returns the statement that counts and the one that reads the
// page. Both return the total and the project whose tallies need work; then
// come the secrets.
//
// A page is found by an index alone where there is one for its order, and only
// its own rows are looked up in the table, whatever was skipped. The database
// must not choose how: it plans without knowing the project, and plans that are
// good for a small one read all of a large one.
func listBuilders(q secret.Query, look scope) (count, page sqlbuilder.Builder, err error) {
	by, err := inOrder(q.Sort)
	if err != nil {
		return nil, nil, err
	}
	rows := func(columns string) (*sqlbuilder.SelectBuilder, error) {
		b := sqlbuilder.PostgreSQL.NewSelectBuilder().Select(columns).From("secrets s")
		look.rows(b)
		return b, filter(b, q)
	}
	counted, err := rows("count(*), ''")
	if err != nil {
		return nil, nil, err
	}
	found, err := rows("s.project" + by.selected())
	if err != nil {
		return nil, nil, err
	}
	switch {
	case look.total == nil || selective(q):
		return counted, by.ofMatches(found, q), nil
	case !by.indexed:
		return look.total, by.ofAll(look.total, found, q), nil
	}
	again, err := rows("s.project" + by.selected())
	if err != nil {
		return nil, nil, err
	}
	return look.total, by.ofIndex(look.total, found, again, q), nil
}

// selective reports whether q selects anything away.
func selective(q secret.Query) bool {
	return q.Name+q.Algorithm+q.Mode+q.Type != "" || q.BitLength != 0 ||
		len(q.Created)+len(q.Updated)+len(q.Expiration) > 0
}

// filter adds the conditions of q. Column names come from this file alone, and
// values are arguments.
func filter(b *sqlbuilder.SelectBuilder, q secret.Query) error {
	nameRange(b, q.Name)
	for _, f := range []struct{ column, pattern string }{
		{"s.name", q.Name}, {"s.algorithm", q.Algorithm}, {"s.mode", q.Mode},
	} {
		if f.pattern != "" {
			b.Where(f.column + " LIKE " + b.Var(closedPattern(f.pattern)))
		}
	}
	if q.BitLength != 0 {
		b.Where("s.bit_length = " + b.Var(int64(q.BitLength)) + "::bigint")
	}
	if q.Type != "" {
		b.Where(b.Equal("s.type", q.Type))
	}
	for _, f := range []struct {
		column string
		bounds []secret.Bound
	}{
		{"s.created_at", q.Created}, {"s.updated_at", q.Updated}, {"s.expiration", q.Expiration},
	} {
		for _, bound := range f.bounds {
			op, ok := comparisons[bound.Op]
			if !ok {
				return errors.New("list secrets: unknown comparison")
			}
			b.Where(f.column + " " + op + " " + b.Var(bound.At))
		}
	}
	return nil
}

// closedPattern is a LIKE pattern that does not end in the middle of an escape,
// which PostgreSQL refuses: a backslash at the end stands for itself.
func closedPattern(p string) string {
	if tail := len(p) - len(strings.TrimRight(p, `\`)); tail%2 == 1 {
		return p + `\`
	}
	return p
}
