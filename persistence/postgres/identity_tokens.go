package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
)

// AddToken implements realm.Store, in one statement: logging in is hot where a
// client asks for a token each time.
func (db *DB) AddToken(ctx context.Context, d realm.Digest, g realm.Grant, ev audit.Event) error {
	event, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode audit event: %w", err)
	}
	scope := string(g.Project.ID)
	if g.Domain {
		scope = string(auth.InDomain)
	}
	_, err = db.exec(ctx, "token_add", `
		WITH token AS (
			INSERT INTO access_tokens (digest, user_id, project, methods, credential, audit_id,
			                           user_stamp, project_stamp, issued_at, expires_at)
			VALUES ($1, $2, nullif($3, ''), $4, nullif($5, ''), $6, $7, $8, $9, $10)
		)
		INSERT INTO audit_events (project, id, at, event) VALUES ($11, $12, $13, $14)`,
		d[:], g.User.ID, scope, strings.Join(g.Methods, ","), g.Credential, g.AuditID,
		g.UserStamp, g.ProjectStamp, g.IssuedAt, g.ExpiresAt,
		ev.Project, ev.ID, ev.At, string(event))
	if violates(err, "access_tokens_user") {
		return realm.ErrNoUser
	}
	return err
}

// FindToken implements realm.Store.
func (db *DB) FindToken(ctx context.Context, d realm.Digest, now time.Time) (realm.Grant, error) {
	var g realm.Grant
	var methods string
	var project struct {
		id, name, description sql.NullString
		createdAt             sql.NullTime
		domain                sql.NullBool
	}
	var ids, names, onlyIDs, onlyNames pq.StringArray
	err := scanUser(db.row(ctx, "token_find", `
		SELECT `+userColumns+`,
		       p.id, p.name, p.description, p.created_at, p.is_domain,
		       t.methods, coalesce(t.credential, ''), t.audit_id, t.issued_at, t.expires_at, t.user_stamp, t.project_stamp,
		       `+assignedRoles("t.user_id", "t.project")+`,
		       ARRAY(SELECT r.id FROM application_credential_roles c JOIN roles r ON r.id = c.role_id
		             WHERE c.credential = t.credential ORDER BY r.name),
		       ARRAY(SELECT r.name FROM application_credential_roles c JOIN roles r ON r.id = c.role_id
		             WHERE c.credential = t.credential ORDER BY r.name)
		FROM access_tokens t
		JOIN users u ON u.id = t.user_id AND u.enabled AND u.stamp = t.user_stamp
		LEFT JOIN projects p ON p.id = t.project
		WHERE t.digest = $1
		  AND (t.project IS NULL OR (p.enabled AND p.stamp = t.project_stamp))
		  AND (t.credential IS NULL OR EXISTS (
		       SELECT 1 FROM application_credentials c
		       WHERE c.id = t.credential AND (c.expires_at IS NULL OR c.expires_at > $2)))`, d[:], now).Scan, &g.User,
		&project.id, &project.name, &project.description, &project.createdAt, &project.domain,
		&methods, &g.Credential, &g.AuditID, &g.IssuedAt, &g.ExpiresAt, &g.UserStamp, &g.ProjectStamp,
		&ids, &names, &onlyIDs, &onlyNames)
	if errors.Is(err, sql.ErrNoRows) {
		return realm.Grant{}, realm.ErrNoToken
	}
	if err != nil {
		return realm.Grant{}, err
	}
	if g.Domain = project.domain.Bool; project.id.Valid && !g.Domain {
		g.Project = auth.Project{
			ID: auth.ProjectID(project.id.String), Name: project.name.String, Description: project.description.String,
			Enabled: true, CreatedAt: utc(project.createdAt),
		}
	}
	g.Methods = strings.Split(methods, ",")
	g.IssuedAt, g.ExpiresAt = g.IssuedAt.UTC(), g.ExpiresAt.UTC()
	g.Roles, g.Only = rolesOf(ids, names), rolesOf(onlyIDs, onlyNames)
	return g, nil
}

// RemoveToken implements realm.Store.
func (db *DB) RemoveToken(ctx context.Context, d realm.Digest, ev audit.Event) error {
	return db.changeRealm(ctx, "token_remove", ev, realm.ErrNoToken, do(`
		DELETE FROM access_tokens WHERE digest = $1`, d[:]))
}

// PurgeTokens implements realm.Store. Rows that another purge has taken are
// left to it.
func (db *DB) PurgeTokens(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := db.exec(ctx, "token_purge", `
		DELETE FROM access_tokens WHERE digest IN (
			SELECT digest FROM access_tokens WHERE expires_at < $1
			ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, before, limit)
	return int(n), err
}
