package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
)

// CreateProject implements realm.Store.
func (db *DB) CreateProject(ctx context.Context, p auth.Project, ev audit.Event) error {
	return projectFault("create project", db.changeRealm(ctx, "project_create", ev, nil, do(`
		INSERT INTO projects (id, name, description, enabled, created_at) VALUES ($1, $2, $3, $4, $5)`,
		p.ID, p.Name, p.Description, p.Enabled, p.CreatedAt)))
}

// UpdateProject implements realm.Store.
func (db *DB) UpdateProject(ctx context.Context, p auth.Project, ev audit.Event) error {
	return projectFault("update project", db.changeRealm(ctx, "project_update", ev, realm.ErrNoProject, do(`
		UPDATE projects SET name = $2, description = $3, enabled = $4,
		       stamp = stamp + CASE WHEN enabled AND NOT $4 THEN 1 ELSE 0 END
		WHERE id = $1 AND NOT is_domain`,
		p.ID, p.Name, p.Description, p.Enabled)))
}

// DeleteProject implements realm.Store. The project's row goes last but is
// locked first: a key that is being added waits for it, and finds it gone.
func (db *DB) DeleteProject(ctx context.Context, id auth.ProjectID, ev audit.Event) error {
	return projectFault("delete project", db.changeRealm(ctx, "project_delete", ev, realm.ErrNoProject,
		do(`SELECT 1 FROM projects WHERE id = $1 AND NOT is_domain FOR UPDATE`, id),
		do(`DELETE FROM access_key_directory WHERE project = $1`, id),
		do(`DELETE FROM access_keys WHERE project = $1`, id),
		do(`DELETE FROM projects WHERE id = $1`, id)))
}

func projectFault(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case violates(err, "projects_name"):
		return realm.ErrNameTaken
	}
	return fmt.Errorf("%s: %w", doing, err)
}

const projectColumns = `p.id, p.name, p.description, p.enabled, p.created_at`

func scanProject(scan func(...any) error, p *auth.Project, more ...any) error {
	err := scan(append([]any{&p.ID, &p.Name, &p.Description, &p.Enabled, &p.CreatedAt}, more...)...)
	p.CreatedAt = p.CreatedAt.UTC()
	return err
}

// FindProject implements realm.Store.
func (db *DB) FindProject(ctx context.Context, id auth.ProjectID) (auth.Project, error) {
	var p auth.Project
	err := scanProject(db.row(ctx, "project_find", `
		SELECT `+projectColumns+` FROM projects p WHERE p.id = $1`, id).Scan, &p)
	if errors.Is(err, sql.ErrNoRows) {
		return p, realm.ErrNoProject
	}
	return p, err
}

// ListProjects implements realm.Store.
func (db *DB) ListProjects(ctx context.Context, q realm.ProjectQuery) ([]auth.Project, error) {
	var found []auth.Project
	err := db.query(ctx, "project_list", `
		SELECT `+projectColumns+` FROM projects p
		WHERE NOT p.is_domain
		  AND ($1 = '' OR p.name = $1)
		  AND ($2 = '' OR EXISTS (SELECT 1 FROM role_assignments a WHERE a.user_id = $2 AND a.project = p.id))
		  AND ($3::boolean IS NULL OR p.enabled = $3)
		ORDER BY p.name`,
		[]any{q.Name, string(q.Member), q.Enabled}, func(scan func(...any) error) error {
			var p auth.Project
			err := scanProject(scan, &p)
			found = append(found, p)
			return err
		})
	return found, err
}
