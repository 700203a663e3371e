package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/huandu/go-sqlbuilder"
	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/secret"
)

// aclValues are the values of the columns of an ACL, NULL without one.
func aclValues(a *secret.ACL) []any {
	if a == nil {
		return []any{nil, nil, nil, nil}
	}
	ids := make(pq.StringArray, len(a.Readers))
	for i, id := range a.Readers {
		ids[i] = string(id)
	}
	return []any{a.Private, ids, a.CreatedAt, a.UpdatedAt}
}

// readers are whom the columns of an ACL list.
func readers(ids []string) []auth.UserID {
	users := make([]auth.UserID, len(ids))
	for i, id := range ids {
		users[i] = auth.UserID(id)
	}
	return users
}

// sharedWith are the secrets whose ACL lists reader, of every project unless p
// names one.
func sharedWith(reader auth.UserID, p auth.ProjectID, now time.Time) scope {
	return scope{rows: func(b *sqlbuilder.SelectBuilder) {
		b.Where("s.acl_readers @> "+b.Var(pq.StringArray{string(reader)})+"::text[]", alive("s", b.Var(now)))
		if p != "" {
			// Written so that no index that begins with the project is tried:
			// the whole project would be read.
			b.Where("(s.project = " + b.Var(string(p)) + ") IS TRUE")
		}
	}}
}

// ListShared implements secret.Store. It is the one list that looks into other
// projects; an index of its own finds who is listed, and where.
func (db *DB) ListShared(ctx context.Context, reader auth.UserID, p auth.ProjectID, q secret.Query, now time.Time) ([]secret.Secret, int, error) {
	count, page, err := listBuilders(q, sharedWith(reader, p, now))
	if err != nil {
		return nil, 0, err
	}
	found, total, err := db.list(ctx, "secret_list_shared", count, page, q)
	if err != nil {
		return nil, 0, fmt.Errorf("list shared secrets: %w", err)
	}
	return found, total, nil
}
