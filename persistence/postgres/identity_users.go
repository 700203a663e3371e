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

// CreateUser implements realm.Store.
func (db *DB) CreateUser(ctx context.Context, u auth.User, hash string, ev audit.Event) error {
	return userFault("create user", db.changeRealm(ctx, "user_create", ev, nil, do(`
		INSERT INTO users (id, name, email, description, enabled, default_project, password, password_at, created_at)
		VALUES ($1, $2, $3, $4, $5, nullif($6, ''), $7, $8, $9)`,
		u.ID, u.Name, u.Email, u.Description, u.Enabled, u.DefaultProject, hash, orNull(u.PasswordAt), u.CreatedAt)))
}

// UpdateUser implements realm.Store.
func (db *DB) UpdateUser(ctx context.Context, u auth.User, hash *string, ev audit.Event) error {
	return userFault("update user", db.changeRealm(ctx, "user_update", ev, realm.ErrNoUser, do(`
		UPDATE users SET name = $2, email = $3, description = $4, enabled = $5, default_project = nullif($6, ''),
		       password = coalesce($7, password),
		       password_at = CASE WHEN $7::text IS NULL THEN password_at ELSE $8 END,
		       stamp = stamp + CASE WHEN $7::text IS NOT NULL OR (enabled AND NOT $5) THEN 1 ELSE 0 END
		WHERE id = $1`,
		u.ID, u.Name, u.Email, u.Description, u.Enabled, u.DefaultProject, hash, orNull(u.PasswordAt))))
}

// DeleteUser implements realm.Store. The user's row goes last but is locked
// first: a key that is being added waits for it, and finds it gone.
func (db *DB) DeleteUser(ctx context.Context, id auth.UserID, ev audit.Event) error {
	return userFault("delete user", db.changeRealm(ctx, "user_delete", ev, realm.ErrNoUser,
		do(`SELECT 1 FROM users WHERE id = $1 FOR UPDATE`, id),
		do(`DELETE FROM access_key_directory WHERE id IN (SELECT id FROM access_keys WHERE user_id = $1)`, id),
		do(`DELETE FROM access_keys WHERE user_id = $1`, id),
		do(`DELETE FROM users WHERE id = $1`, id)))
}

func userFault(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case violates(err, "users_name"):
		return realm.ErrNameTaken
	case violates(err, "users_default_project"):
		return realm.ErrNoProject
	}
	return fmt.Errorf("%s: %w", doing, err)
}

const userColumns = `u.id, u.name, u.email, u.description, u.enabled, coalesce(u.default_project, ''), u.password_at, u.created_at`

func scanUser(scan func(...any) error, u *auth.User, more ...any) error {
	var passwordAt sql.NullTime
	err := scan(append([]any{&u.ID, &u.Name, &u.Email, &u.Description, &u.Enabled, &u.DefaultProject, &passwordAt, &u.CreatedAt}, more...)...)
	u.PasswordAt, u.CreatedAt = utc(passwordAt), u.CreatedAt.UTC()
	return err
}

// FindUser implements realm.Store.
func (db *DB) FindUser(ctx context.Context, id auth.UserID) (auth.User, error) {
	var u auth.User
	err := scanUser(db.row(ctx, "user_find", `
		SELECT `+userColumns+` FROM users u WHERE u.id = $1`, id).Scan, &u)
	if errors.Is(err, sql.ErrNoRows) {
		return u, realm.ErrNoUser
	}
	return u, err
}

// FindLogin implements realm.Store.
func (db *DB) FindLogin(ctx context.Context, id auth.UserID, name string) (realm.Account, error) {
	var a realm.Account
	err := scanUser(db.row(ctx, "user_login", `
		SELECT `+userColumns+`, u.password, u.stamp FROM users u
		WHERE u.id = $1 OR ($1 = '' AND u.name = $2)`, id, name).Scan, &a.User, &a.Hash, &a.Stamp)
	if errors.Is(err, sql.ErrNoRows) {
		return realm.Account{}, realm.ErrNoUser
	}
	return a, err
}

// ListUsers implements realm.Store.
func (db *DB) ListUsers(ctx context.Context, q realm.UserQuery) ([]auth.User, error) {
	var found []auth.User
	err := db.query(ctx, "user_list", `
		SELECT `+userColumns+` FROM users u
		WHERE ($1 = '' OR u.name = $1) AND ($2::boolean IS NULL OR u.enabled = $2)
		ORDER BY u.name`,
		[]any{q.Name, q.Enabled}, func(scan func(...any) error) error {
			var u auth.User
			err := scanUser(scan, &u)
			found = append(found, u)
			return err
		})
	return found, err
}
