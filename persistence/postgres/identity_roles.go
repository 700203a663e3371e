package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
)

// CreateRole implements realm.Store.
func (db *DB) CreateRole(ctx context.Context, r auth.Role, ev audit.Event) error {
	return roleFault("create role", db.changeRealm(ctx, "role_create", ev, nil, do(`
		INSERT INTO roles (id, name, description) VALUES ($1, $2, $3)`, r.ID, r.Name, r.Description)))
}

// UpdateRole implements realm.Store.
func (db *DB) UpdateRole(ctx context.Context, r auth.Role, ev audit.Event) error {
	return roleFault("update role", db.changeRealm(ctx, "role_update", ev, realm.ErrNoRole, do(`
		UPDATE roles SET name = $2, description = $3 WHERE id = $1`, r.ID, r.Name, r.Description)))
}

// DeleteRole implements realm.Store.
func (db *DB) DeleteRole(ctx context.Context, id auth.RoleID, ev audit.Event) error {
	return roleFault("delete role", db.changeRealm(ctx, "role_delete", ev, realm.ErrNoRole, do(`
		DELETE FROM roles WHERE id = $1`, id)))
}

func roleFault(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case violates(err, "roles_name"):
		return realm.ErrNameTaken
	case violates(err, "role_assignments_project"):
		return realm.ErrNoProject
	case violates(err, "role_assignments_user"):
		return realm.ErrNoUser
	case violates(err, "role_assignments_role"):
		return realm.ErrNoRole
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// FindRole implements realm.Store.
func (db *DB) FindRole(ctx context.Context, id auth.RoleID) (auth.Role, error) {
	var r auth.Role
	err := db.row(ctx, "role_find", `SELECT id, name, description FROM roles WHERE id = $1`, id).
		Scan(&r.ID, &r.Name, &r.Description)
	if errors.Is(err, sql.ErrNoRows) {
		return r, realm.ErrNoRole
	}
	return r, err
}

// ListRoles implements realm.Store.
func (db *DB) ListRoles(ctx context.Context, name string) ([]auth.Role, error) {
	var found []auth.Role
	err := db.query(ctx, "role_list", `
		SELECT id, name, description FROM roles WHERE $1 = '' OR name = $1 ORDER BY name`,
		[]any{name}, func(scan func(...any) error) error {
			var r auth.Role
			err := scan(&r.ID, &r.Name, &r.Description)
			found = append(found, r)
			return err
		})
	return found, err
}

// Assign implements realm.Store.
func (db *DB) Assign(ctx context.Context, a auth.Assignment, ev audit.Event) error {
	return roleFault("assign role", db.changeRealm(ctx, "role_assign", ev, nil, do(`
		INSERT INTO role_assignments (project, user_id, role_id) VALUES ($1, $2, $3)
		ON CONFLICT DO NOTHING`, a.Project, a.User, a.Role)))
}

// Unassign implements realm.Store.
func (db *DB) Unassign(ctx context.Context, a auth.Assignment, ev audit.Event) error {
	return roleFault("take role away", db.changeRealm(ctx, "role_unassign", ev, realm.ErrNoAssignment, do(`
		DELETE FROM role_assignments WHERE project = $1 AND user_id = $2 AND role_id = $3`,
		a.Project, a.User, a.Role)))
}

// Assignments implements realm.Store.
func (db *DB) Assignments(ctx context.Context, a auth.Assignment) ([]realm.NamedAssignment, error) {
	var found []realm.NamedAssignment
	err := db.query(ctx, "role_assignments", `
		SELECT a.project, a.user_id, a.role_id, p.name, u.name, r.name
		FROM role_assignments a
		JOIN projects p ON p.id = a.project
		JOIN users u ON u.id = a.user_id
		JOIN roles r ON r.id = a.role_id
		WHERE ($1 = '' OR a.project = $1) AND ($2 = '' OR a.user_id = $2) AND ($3 = '' OR a.role_id = $3)
		ORDER BY p.is_domain DESC, p.name, u.name, r.name`,
		[]any{string(a.Project), string(a.User), string(a.Role)}, func(scan func(...any) error) error {
			var n realm.NamedAssignment
			err := scan(&n.Project, &n.User, &n.Role, &n.ProjectName, &n.UserName, &n.RoleName)
			found = append(found, n)
			return err
		})
	return found, err
}

// Member implements realm.Store.
func (db *DB) Member(ctx context.Context, u auth.UserID, p auth.ProjectID) (realm.Member, error) {
	var m realm.Member
	var project struct {
		id, name, description sql.NullString
		enabled               sql.NullBool
		createdAt             sql.NullTime
		stamp                 sql.NullInt64
	}
	var ids, names pq.StringArray
	err := scanUser(db.row(ctx, "role_member", `
		SELECT `+userColumns+`, u.stamp, `+projectColumns+`, p.stamp, `+assignedRoles("$1", "$2")+`
		FROM users u LEFT JOIN projects p ON p.id = $2
		WHERE u.id = $1`, u, p).Scan, &m.User, &m.UserStamp,
		&project.id, &project.name, &project.description, &project.enabled, &project.createdAt, &project.stamp,
		&ids, &names)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return realm.Member{}, realm.ErrNoUser
	case err != nil:
		return realm.Member{}, err
	case !project.id.Valid:
		return realm.Member{}, realm.ErrNoProject
	}
	m.Project = auth.Project{
		ID: auth.ProjectID(project.id.String), Name: project.name.String, Description: project.description.String,
		Enabled: project.enabled.Bool, CreatedAt: utc(project.createdAt),
	}
	m.ProjectStamp = project.stamp.Int64
	m.Roles = rolesOf(ids, names)
	return m, nil
}
