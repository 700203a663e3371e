package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/quota"
)

// quotaColumns are the limits in the order of quota.Resources.
var quotaColumns = func() string {
	var names []string
	for _, r := range quota.Resources {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}()

// quotaRow is what was set for a project on its way out of the database.
type quotaRow [5]sql.NullInt64

func (r *quotaRow) dest() []any {
	out := make([]any, len(r))
	for i := range r {
		out[i] = &r[i]
	}
	return out
}

func (r *quotaRow) take() quota.Limits {
	set := quota.Limits{}
	for i, n := range r {
		if n.Valid {
			set[quota.Resources[i]] = n.Int64
		}
	}
	return set
}

// ProjectQuota implements quota.Store.
func (db *DB) ProjectQuota(ctx context.Context, p auth.ProjectID) (quota.Limits, error) {
	var r quotaRow
	err := db.row(ctx, "quota_find", `SELECT `+quotaColumns+` FROM project_quotas WHERE project = $1`, string(p)).Scan(r.dest()...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, quota.ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("read project quota: %w", err)
	}
	return r.take(), nil
}

// ProjectQuotas implements quota.Store. Each row of the page carries the count;
// a page past the end has no row, and only then a second statement counts.
func (db *DB) ProjectQuotas(ctx context.Context, limit, offset int) ([]quota.Project, int, error) {
	var found []quota.Project
	var total int
	err := db.query(ctx, "quota_list", `
		SELECT (SELECT count(*) FROM project_quotas), project, `+quotaColumns+`
		FROM project_quotas ORDER BY created_at, project LIMIT $1 OFFSET $2`,
		[]any{int64(limit), int64(offset)}, func(scan func(...any) error) error {
			var r quotaRow
			var id string
			if err := scan(append([]any{&total, &id}, r.dest()...)...); err != nil {
				return err
			}
			found = append(found, quota.Project{ID: auth.ProjectID(id), Limits: r.take()})
			return nil
		})
	if err == nil && len(found) == 0 && offset > 0 {
		err = db.row(ctx, "quota_count", `SELECT count(*) FROM project_quotas`).Scan(&total)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list project quotas: %w", err)
	}
	return found, total, nil
}

// changeQuotaText sets what is not NULL and leaves the rest as it was.
var changeQuotaText = func() string {
	var merged []string
	for _, r := range quota.Resources {
		merged = append(merged, string(r)+" = coalesce(excluded."+string(r)+", q."+string(r)+")")
	}
	return `
		WITH q AS (
			INSERT INTO project_quotas AS q (project, created_at, updated_at, ` + quotaColumns + `)
			VALUES ($1, $2, $2, ` + params(6, len(quota.Resources)) + `)
			ON CONFLICT ON CONSTRAINT project_quotas_pkey
				DO UPDATE SET updated_at = excluded.updated_at, ` + strings.Join(merged, ", ") + `
			RETURNING project
		)
		INSERT INTO audit_events (project, id, at, event)
		SELECT project, $3, $4, $5 FROM q`
}()

// ChangeProjectQuota implements quota.Store.
func (db *DB) ChangeProjectQuota(ctx context.Context, p auth.ProjectID, l quota.Limits, now time.Time, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	args := []any{string(p), now, ev.ID, ev.At, string(record)}
	for _, r := range quota.Resources {
		var n any
		if set, ok := l[r]; ok {
			n = set
		}
		args = append(args, n)
	}
	if _, err := db.exec(ctx, "quota_change", changeQuotaText, args...); err != nil {
		return fmt.Errorf("change project quota: %w", err)
	}
	return nil
}

// DeleteProjectQuota implements quota.Store.
func (db *DB) DeleteProjectQuota(ctx context.Context, p auth.ProjectID, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	n, err := db.exec(ctx, "quota_delete", `
		WITH q AS (DELETE FROM project_quotas WHERE project = $1 RETURNING project)
		INSERT INTO audit_events (project, id, at, event)
		SELECT project, $2, $3, $4 FROM q`, string(p), ev.ID, ev.At, string(record))
	switch {
	case err != nil:
		return fmt.Errorf("delete project quota: %w", err)
	case n == 0:
		return quota.ErrNotFound
	}
	return nil
}
