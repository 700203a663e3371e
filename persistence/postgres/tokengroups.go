package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/secretstore"
)

var _ secretstore.Preferences = (*DB)(nil)

// InstallTokenGroups returns a store for each group, in their order. The first
// node that has a group gives it the id that it then has for ever.
func (db *DB) InstallTokenGroups(ctx context.Context, names []string, now time.Time) ([]secretstore.Store, error) {
	now = now.UTC().Truncate(time.Microsecond)
	ids := make(pq.StringArray, len(names))
	for i := range ids {
		ids[i] = uuid.NewString()
	}
	if _, err := db.exec(ctx, "token_group_install", `
		INSERT INTO token_groups (name, id, created_at, updated_at)
		SELECT g.name, g.id, $3, $3 FROM unnest($1::text[], $2::uuid[]) g (name, id)
		ON CONFLICT (name) DO NOTHING`, pq.StringArray(names), ids, now); err != nil {
		return nil, fmt.Errorf("install token groups: %w", err)
	}
	var stores []secretstore.Store
	err := db.query(ctx, "token_group_list", `
		SELECT t.id, t.name, t.created_at, t.updated_at
		FROM unnest($1::text[]) WITH ORDINALITY g (name, place) JOIN token_groups t ON t.name = g.name ORDER BY g.place`,
		[]any{pq.StringArray(names)}, func(scan func(...any) error) error {
			var s secretstore.Store
			err := scan(&s.ID, &s.Name, &s.CreatedAt, &s.UpdatedAt)
			s.CreatedAt, s.UpdatedAt = s.CreatedAt.UTC(), s.UpdatedAt.UTC()
			stores = append(stores, s)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("list token groups: %w", err)
	}
	return stores, nil
}

// MissingGroup is a token group that is not configured although something
// depends on it.
type MissingGroup struct {
	Name      string
	Preferred int  // by so many projects
	HoldsKeys bool // that open what is stored
}

// MissingGroups finds what depends on a group that is none of names. The time
// it takes does not depend on how many keys there are.
func (db *DB) MissingGroups(ctx context.Context, names []string) ([]MissingGroup, error) {
	var missing []MissingGroup
	err := db.query(ctx, "token_group_missing", `
		SELECT g.name,
			(SELECT count(*) FROM preferred_token_groups p WHERE p.token_group = g.name),
			EXISTS (SELECT FROM keks k WHERE k.token_group = g.name AND k.state IN ('active', 'decrypt-only'))
		FROM (SELECT name FROM token_groups UNION SELECT 'default') g
		WHERE g.name <> ALL ($1::text[]) ORDER BY g.name`,
		[]any{pq.StringArray(names)}, func(scan func(...any) error) error {
			var m MissingGroup
			err := scan(&m.Name, &m.Preferred, &m.HoldsKeys)
			if m.Preferred > 0 || m.HoldsKeys {
				missing = append(missing, m)
			}
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("find missing token groups: %w", err)
	}
	return missing, nil
}

// PreferredGroup implements secretstore.Preferences.
func (db *DB) PreferredGroup(ctx context.Context, p auth.ProjectID) (string, error) {
	var name string
	err := db.row(ctx, "token_group_preferred", `
		SELECT token_group FROM preferred_token_groups WHERE project = $1`, string(p)).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", secretstore.ErrNonePreferred
	}
	if err != nil {
		return "", fmt.Errorf("find preferred token group: %w", err)
	}
	return name, nil
}

// PreferGroup implements secretstore.Preferences. Every statement that stores a
// version reads this row (heldKEK).
func (db *DB) PreferGroup(ctx context.Context, p auth.ProjectID, group string, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	_, err = db.exec(ctx, "token_group_prefer", `
		WITH preferred AS (
			INSERT INTO preferred_token_groups (project, token_group, created_at, updated_at)
			VALUES ($1, $2, $3, $3)
			ON CONFLICT (project) DO UPDATE SET token_group = excluded.token_group, updated_at = excluded.updated_at
		)
		INSERT INTO audit_events (project, id, at, event) VALUES ($1, $4, $3, $5)`,
		string(p), group, ev.At, ev.ID, string(record))
	if violates(err, "preferred_token_groups_group") {
		return secretstore.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("prefer token group: %w", err)
	}
	return nil
}

// ForgetPreference implements secretstore.Preferences.
func (db *DB) ForgetPreference(ctx context.Context, p auth.ProjectID, ev audit.Event) error {
	record, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	n, err := db.exec(ctx, "token_group_forget", `
		WITH gone AS (DELETE FROM preferred_token_groups WHERE project = $1 RETURNING project)
		INSERT INTO audit_events (project, id, at, event) SELECT project, $3, $2, $4 FROM gone`,
		string(p), ev.At, ev.ID, string(record))
	switch {
	case err != nil:
		return fmt.Errorf("forget preferred token group: %w", err)
	case n == 0:
		return secretstore.ErrNonePreferred
	}
	return nil
}
