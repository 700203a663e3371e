package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/secret"
)

// tagsOf are the tags of the secret s as JSON, by key.
const tagsOf = `(SELECT json_agg(json_build_object('key', t.key, 'value', t.value) ORDER BY t.key)
			 FROM secret_tags t WHERE t.project = s.project AND t.secret = s.id)`

func readTags(text []byte) ([]secret.Tag, error) {
	var rows []struct{ Key, Value string }
	if err := readJSON(text, &rows); err != nil {
		return nil, err
	}
	tags := make([]secret.Tag, 0, len(rows))
	for _, r := range rows {
		tags = append(tags, secret.Tag(r))
	}
	return tags, nil
}

// tagArguments are a change's arguments for Apply: keys and values to put, keys
// to drop.
func tagArguments(c secret.TagChange) []any {
	keys, values, gone := pq.StringArray{}, pq.StringArray{}, pq.StringArray{}
	for _, t := range c.Put {
		keys, values = append(keys, t.Key), append(values, t.Value)
	}
	return []any{keys, values, append(gone, c.Drop...)}
}

// projectTagsText goes from one pair of key and value to the next by the index,
// and so costs what there are different ones, not what there are secrets.
var projectTagsText = `
		WITH RECURSIVE pairs AS (
			(SELECT t.key, t.value FROM secret_tags t
			 WHERE t.project = $1 AND t.key > '' ORDER BY t.key, t.value LIMIT 1)
			UNION ALL
			SELECT n.key, n.value FROM pairs p CROSS JOIN LATERAL (
				SELECT t.key, t.value FROM secret_tags t
				WHERE t.project = $1 AND t.key > '' AND (t.key, t.value) > (p.key, p.value)
				ORDER BY t.key, t.value LIMIT 1) n
		)
		SELECT p.key, p.value FROM pairs p
		CROSS JOIN LATERAL (
			SELECT FROM secret_tags t
			CROSS JOIN LATERAL (
				SELECT FROM secrets s WHERE s.project = $1 AND s.id = t.secret AND ` + alive("s", "$2") + ` OFFSET 0) living
			WHERE t.project = $1 AND t.key > '' AND t.key = p.key AND t.value = p.value
			LIMIT 1) used
		ORDER BY p.key, p.value`

// ProjectTags implements secret.Store.
func (db *DB) ProjectTags(ctx context.Context, p auth.ProjectID, now time.Time) ([]secret.TagValues, error) {
	var all []secret.TagValues
	err := db.query(ctx, "tags_of_project", projectTagsText, []any{string(p), now}, func(scan func(...any) error) error {
		var key, value string
		if err := scan(&key, &value); err != nil {
			return err
		}
		if n := len(all); n == 0 || all[n-1].Key != key {
			all = append(all, secret.TagValues{Key: key})
		}
		last := &all[len(all)-1]
		last.Values = append(last.Values, value)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list tags: %w", err)
	}
	return all, nil
}

// taggedHits is a CTE of that name, with the secrets that a query selects. $1
// is the project, $2 the time, $3 parts of the name, $4 to $6 the number, key
// and value of each wanted pair (NULL: any value), and $7 how many filters.
//
// Where there are filters, only what has one of the tags is looked at.
func taggedHits(byTags bool) string {
	named := ` AND NOT EXISTS (SELECT FROM unnest($3::text[]) w (part) WHERE strpos(s.listed_as, w.part) = 0)`
	if !byTags {
		return `
		hits AS MATERIALIZED (
			SELECT s.id, s.listed_as FROM secrets s
			WHERE s.project = $1 AND ` + listed("s", "$2") + named + `
		)`
	}
	return `
		matches AS (
			SELECT t.secret
			FROM unnest($4::int[], $5::text[], $6::text[]) f (n, key, value)
			CROSS JOIN LATERAL (
				SELECT t.secret FROM secret_tags t
				WHERE t.project = $1 AND t.key > '' AND t.key = f.key AND t.value = f.value
				UNION ALL
				SELECT t.secret FROM secret_tags t
				WHERE t.project = $1 AND t.key > '' AND t.key = f.key AND f.value IS NULL
			) t
			GROUP BY t.secret HAVING count(DISTINCT f.n) = $7
		),
		hits AS MATERIALIZED (
			SELECT s.id, s.listed_as FROM matches m
			CROSS JOIN LATERAL (
				SELECT s.id, s.listed_as FROM secrets s
				WHERE s.project = $1 AND s.id = m.secret AND ` + alive("s", "$2") + named + ` OFFSET 0) s
		)`
}

// taggedTexts count what is selected, and read a page of it; the first index is
// whether there are filters.
var countTaggedTexts, pageTaggedTexts = func() (count, page map[bool]string) {
	count, page = map[bool]string{}, map[bool]string{}
	for byTags, first := range map[bool]int{false: 4, true: 8} {
		hits := `
		WITH` + taggedHits(byTags)
		count[byTags] = hits + `
		SELECT count(*) FROM hits`
		page[byTags] = hits + `
		SELECT (SELECT count(*) FROM hits), ` + tagsOf + `, ` + secretColumns(csmsHandle("$2")) + `
		FROM (SELECT id FROM hits ORDER BY listed_as, id LIMIT ` + params(first, 1) + ` OFFSET ` + params(first+1, 1) + `) p
		CROSS JOIN LATERAL (SELECT r.* FROM secrets r WHERE r.project = $1 AND r.id = p.id OFFSET 0) s
		ORDER BY s.listed_as, s.id`
	}
	return count, page
}()

// FindTagged implements secret.Store. Each row of a page carries the count; a
// page past the end has no row, and only then a second statement counts.
func (db *DB) FindTagged(ctx context.Context, p auth.ProjectID, q secret.TagQuery, now time.Time) ([]secret.Tagged, int, error) {
	byTags, args := taggedArguments(p, q, now)
	var page []secret.Tagged
	var total int
	if q.Limit > 0 {
		err := db.query(ctx, "secret_find_tagged", pageTaggedTexts[byTags], append(args, int64(q.Limit), int64(q.Offset)),
			func(scan func(...any) error) error {
				var r secretRow
				var text []byte
				if err := scan(append([]any{&total, &text}, r.dest()...)...); err != nil {
					return err
				}
				tags, err := readTags(text)
				page = append(page, secret.Tagged{Secret: r.take(), Tags: tags})
				return err
			})
		if err != nil {
			return nil, 0, fmt.Errorf("find secrets by tag: %w", err)
		}
	}
	if len(page) == 0 && (q.Limit == 0 || q.Offset > 0) {
		if err := db.row(ctx, "secret_count_tagged", countTaggedTexts[byTags], args...).Scan(&total); err != nil {
			return nil, 0, fmt.Errorf("count secrets by tag: %w", err)
		}
	}
	return page, total, nil
}

func taggedArguments(p auth.ProjectID, q secret.TagQuery, now time.Time) (byTags bool, args []any) {
	args = []any{string(p), now, append(pq.StringArray{}, q.Names...)}
	if len(q.Tags) == 0 {
		return false, args
	}
	var numbers pq.Int64Array
	var keys pq.StringArray
	var values []*string
	for i, f := range q.Tags {
		wanted := []*string{nil}
		if len(f.Values) > 0 {
			wanted = wanted[:0]
			for j := range f.Values {
				wanted = append(wanted, &f.Values[j])
			}
		}
		for _, v := range wanted {
			numbers, keys, values = append(numbers, int64(i)), append(keys, f.Key), append(values, v)
		}
	}
	return true, append(args, numbers, keys, pq.Array(values), int64(len(q.Tags)))
}
