package postgres

import (
	"errors"
	"slices"
	"strings"

	"github.com/huandu/go-sqlbuilder"

	"github.com/strongroom-kms/strongroom/secret"
)

// sortColumns has the column of each attribute that a list may be sorted by.
// Every secret has the same status.
var sortColumns = map[secret.SortKey]string{
	secret.ByAlgorithm:  "algorithm",
	secret.ByBitLength:  "bit_length",
	secret.ByCreated:    "created_at",
	secret.ByExpiration: "expiration",
	secret.ByMode:       "mode",
	secret.ByName:       "name",
	secret.ByType:       "type",
	secret.ByUpdated:    "updated_at",
}

// ordering is what a list is sorted by.
type ordering struct {
	columns    []string // of secrets
	descending []bool
	indexed    bool // an index has this order
}

// inOrder is the order of a list: what was asked for, then by creation and
// UUID, in the direction of what was asked for first. So an index serves both
// directions.
func inOrder(sort []secret.Order) (ordering, error) {
	o := ordering{indexed: true}
	for _, key := range sort {
		column, ok := sortColumns[key.By]
		if !ok && key.By != secret.ByStatus {
			return o, errors.New("list secrets: unknown sort key")
		}
		if ok {
			o.columns, o.descending = append(o.columns, column), append(o.descending, key.Descending)
		}
	}
	if len(o.columns) > 0 {
		o.indexed = len(o.columns) == 1 && (o.columns[0] == "created_at" || o.columns[0] == "name")
	}
	down := len(o.descending) > 0 && o.descending[0]
	for _, column := range []string{"created_at", "id"} {
		if !slices.Contains(o.columns, column) {
			o.columns, o.descending = append(o.columns, column), append(o.descending, down)
		}
	}
	return o, nil
}

// selected are the columns that are sorted by, the UUID among them, behind
// another one.
func (o ordering) selected() string { return ", s." + strings.Join(o.columns, ", s.") }

// by is the text behind ORDER BY.
func (o ordering) by(table string, reverse bool) string {
	terms := make([]string, len(o.columns))
	for i, c := range o.columns {
		terms[i] = table + c
		if o.descending[i] != reverse {
			terms[i] += " DESC"
		}
	}
	return strings.Join(terms, ", ")
}

// rest reads the secrets of a page, one by one: nothing but the primary key
// comes into question, and OFFSET 0 keeps it so.
func (o ordering) rest() string {
	//nolint:unqueryvet // what the SELECT around it takes, it takes by name
	return `
		SELECT (SELECT total FROM t), (SELECT unsettled FROM t), ` + secretColumns(ownHandle) + `
		FROM page p
		CROSS JOIN LATERAL (SELECT r.* FROM secrets r WHERE r.project = p.project AND r.id = p.id OFFSET 0) s
		ORDER BY ` + o.by("s.", false)
}

// ofMatches reads a page of what was selected: all of it is found once, to be
// counted and sorted.
func (o ordering) ofMatches(found sqlbuilder.Builder, q secret.Query) sqlbuilder.Builder {
	return postgreSQL(`
		WITH matches AS MATERIALIZED ($?),
		t AS (SELECT count(*) AS total, '' AS unsettled FROM matches),
		page AS (SELECT project, id FROM matches s ORDER BY `+o.by("s.", false)+` LIMIT $? OFFSET $?)`+o.rest(),
		found, q.Limit, q.Offset)
}

// ofAll reads a page of a whole project in an order that no index has.
func (o ordering) ofAll(total, found sqlbuilder.Builder, q secret.Query) sqlbuilder.Builder {
	return postgreSQL(`
		WITH t (total, unsettled) AS MATERIALIZED ($?),
		page AS (SELECT project, id FROM ($?) s ORDER BY `+o.by("s.", false)+` LIMIT $? OFFSET $?)`+o.rest(),
		total, found, q.Limit, q.Offset)
}

// farFrom is the offset from which on a page may be looked for from the other
// end: before that it is not worth a thought.
const farFrom = "5000"

// ofIndex reads a page of a whole project by an index, from the nearer end.
// What is in between is skipped in the index; a LIMIT of 0 reads nothing.
func (o ordering) ofIndex(total, found, again sqlbuilder.Builder, q secret.Query) sqlbuilder.Builder {
	return postgreSQL(`
		WITH t (total, unsettled) AS MATERIALIZED ($0),
		place AS MATERIALIZED (
			SELECT greatest(total - $4::bigint, 0) AS rest, $4::bigint > `+farFrom+` AND $4::bigint > total / 2 AS far FROM t
		),
		page AS (
			(SELECT project, id FROM ($1) s ORDER BY `+o.by("s.", false)+`
			 LIMIT (SELECT CASE WHEN far THEN 0 ELSE $3::bigint END FROM place) OFFSET $4::bigint)
			UNION ALL
			(SELECT project, id FROM ($2) s ORDER BY `+o.by("s.", true)+`
			 LIMIT (SELECT CASE WHEN far THEN least($3::bigint, rest) ELSE 0 END FROM place)
			 OFFSET (SELECT greatest(rest - $3::bigint, 0) FROM place))
		)`+o.rest(),
		total, found, again, q.Limit, q.Offset)
}

// postgreSQL is a statement that takes values and other statements.
func postgreSQL(text string, args ...any) sqlbuilder.Builder {
	return sqlbuilder.WithFlavor(sqlbuilder.Build(text, args...), sqlbuilder.PostgreSQL)
}
