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

// sortColumns has the column of each attribute that a list may be sorted by.
// Every secret has the same status.
var sortColumns = map[secret.SortKey]string{
	secret.ByAlgorithm:  "s.algorithm",
	secret.ByBitLength:  "s.bit_length",
	secret.ByCreated:    "s.created_at",
	secret.ByExpiration: "s.expiration",
	secret.ByMode:       "s.mode",
	secret.ByName:       "s.name",
	secret.ByType:       "s.type",
	secret.ByUpdated:    "s.updated_at",
}

var comparisons = map[secret.Comparison]string{
	secret.Equal: "=", secret.After: ">", secret.NotBefore: ">=", secret.Before: "<", secret.NotAfter: "<=",
}

// List implements secret.Store. Each row of the page carries the count; a page
// past the end has no row, and only then a second statement counts.
func (db *DB) List(ctx context.Context, p auth.ProjectID, q secret.Query, now time.Time) ([]secret.Secret, int, error) {
	count, page, err := listBuilders(q, ofProject(p, now))
	if err != nil {
		return nil, 0, err
	}
	found, total, err := db.list(ctx, "secret_list", count, page, q)
	if err != nil {
		return nil, 0, fmt.Errorf("list secrets: %w", err)
	}
	return found, total, nil
}

// list reads a page, its count, and what q wants beside it. name is for
// metrics.
func (db *DB) list(ctx context.Context, name string, count, page *sqlbuilder.SelectBuilder, q secret.Query) ([]secret.Secret, int, error) {
	var found []secret.Secret
	var total int
	text, args := page.Build()
	err := db.query(ctx, name, text, args, func(scan func(...any) error) error {
		var r secretRow
		if err := scan(append([]any{&total}, r.dest()...)...); err != nil {
			return err
		}
		found = append(found, r.take())
		return nil
	})
	if err == nil && len(found) == 0 && q.Offset > 0 {
		text, args = count.Build()
		err = db.row(ctx, "secret_count", text, args...).Scan(&total)
	}
	if err == nil && q.Consumers {
		err = db.addConsumers(ctx, found)
	}
	return found, total, err
}

// scope adds where a list looks.
type scope func(*sqlbuilder.SelectBuilder)

// ofProject are the secrets of one project.
func ofProject(p auth.ProjectID, now time.Time) scope {
	return func(b *sqlbuilder.SelectBuilder) {
		b.Where(b.Equal("s.project", string(p)), listed("s", b.Var(now)))
	}
}

// listBuilders returns the statement that counts and the one that reads the
// page.
func listBuilders(q secret.Query, look scope) (count, page *sqlbuilder.SelectBuilder, err error) {
	count = sqlbuilder.PostgreSQL.NewSelectBuilder().Select("count(*)").From("secrets s")
	page = sqlbuilder.PostgreSQL.NewSelectBuilder()
	page.Select("("+page.Var(count)+")", secretColumns(ownHandle)).From("secrets s")
	for _, b := range []*sqlbuilder.SelectBuilder{count, page} {
		look(b)
		if err := filter(b, q); err != nil {
			return nil, nil, err
		}
	}
	for _, o := range q.Sort {
		column, ok := sortColumns[o.By]
		switch {
		case ok && o.Descending:
			page.OrderBy(column + " DESC")
		case ok:
			page.OrderBy(column)
		case o.By != secret.ByStatus:
			return nil, nil, errors.New("list secrets: unknown sort key")
		}
	}
	page.OrderBy("s.created_at", "s.id").Limit(q.Limit).Offset(q.Offset)
	return count, page, nil
}

// filter adds the conditions of q. Column names come from this file alone, and
// values are arguments.
func filter(b *sqlbuilder.SelectBuilder, q secret.Query) error {
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
