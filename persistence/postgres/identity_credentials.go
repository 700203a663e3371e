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
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// AddAccessKey implements realm.Store. The secret was sealed before, so the KEK
// may have gone meanwhile: its key lock keeps it from being retired until the
// row that depends on it is there.
func (db *DB) AddAccessKey(ctx context.Context, k realm.SealedKey, ev audit.Event) error {
	err := db.changeRealm(ctx, "access_key_add", ev, envelope.ErrKEKGone,
		do(heldKEK("$1", "$2", "$3"), k.Project, k.Sealed.KEK.ID, db.otherwise(k.Sealed)),
		do(`INSERT INTO access_key_directory (id, project) VALUES ($1, $2)`, k.ID, k.Project),
		do(`INSERT INTO access_keys (project, id, user_id, confined, enabled, description, kek, wrapped_dek, body, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			k.Project, k.ID, k.User, k.Confined, k.Enabled, k.Description,
			k.Sealed.KEK.ID, k.Sealed.WrappedDEK, k.Sealed.Body, k.CreatedAt))
	switch {
	case err == nil:
		return nil
	case violates(err, "access_key_directory_pkey"), violates(err, "access_keys_pkey"):
		return realm.ErrKeyTaken
	case violates(err, "access_keys_user"):
		return realm.ErrNoUser
	case violates(err, "access_keys_project"):
		return realm.ErrNoProject
	}
	return fmt.Errorf("add access key: %w", err)
}

// FindAccessKey implements realm.Store.
func (db *DB) FindAccessKey(ctx context.Context, id string) (realm.SealedKey, error) {
	var k realm.SealedKey
	e := &k.Sealed
	err := db.row(ctx, "access_key_find", `
		SELECT a.project, a.id, a.user_id, a.confined, a.enabled, u.enabled, a.description, a.created_at,
		       a.wrapped_dek, a.body, k.id, k.master_key, k.token_group, k.format, m.is_default, k.canary,
		       m.state = 'enabled' AND NOT k.disabled AND k.state IN ('active', 'decrypt-only')
		FROM access_key_directory d
		JOIN access_keys a ON a.project = d.project AND a.id = d.id
		JOIN users u ON u.id = a.user_id
		JOIN keks k ON k.project = a.project AND k.id = a.kek
		JOIN master_keys m ON m.project = k.project AND m.id = k.master_key
		WHERE d.id = $1`, id).Scan(
		&k.Project, &k.ID, &k.User, &k.Confined, &k.Enabled, &k.UserEnabled, &k.Description, &k.CreatedAt,
		&e.WrappedDEK, &e.Body, &e.KEK.ID, &e.KEK.MasterKey, &e.KEK.Group, &e.KEK.Format, &e.KEK.Default, &e.KEK.Canary, &e.KEK.Usable)
	k.CreatedAt = k.CreatedAt.UTC()
	if errors.Is(err, sql.ErrNoRows) {
		return realm.SealedKey{}, realm.ErrNoAccessKey
	}
	return k, err
}

// UpdateAccessKey implements realm.Store.
func (db *DB) UpdateAccessKey(ctx context.Context, k auth.AccessKey, ev audit.Event) error {
	return db.changeRealm(ctx, "access_key_update", ev, realm.ErrNoAccessKey, do(`
		UPDATE access_keys SET enabled = $3, description = $4 WHERE project = $1 AND id = $2`,
		k.Project, k.ID, k.Enabled, k.Description))
}

// DeleteAccessKey implements realm.Store.
func (db *DB) DeleteAccessKey(ctx context.Context, id string, ev audit.Event) error {
	return db.changeRealm(ctx, "access_key_delete", ev, realm.ErrNoAccessKey,
		do(`DELETE FROM access_keys WHERE id = $1 AND project = (SELECT project FROM access_key_directory WHERE id = $1)`, id),
		do(`DELETE FROM access_key_directory WHERE id = $1`, id))
}

// ListAccessKeys implements realm.Store.
func (db *DB) ListAccessKeys(ctx context.Context, u auth.UserID) ([]auth.AccessKey, error) {
	var found []auth.AccessKey
	err := db.query(ctx, "access_key_list", `
		SELECT project, id, user_id, confined, enabled, description, created_at FROM access_keys
		WHERE $1 = '' OR user_id = $1 ORDER BY id`,
		[]any{string(u)}, func(scan func(...any) error) error {
			var k auth.AccessKey
			err := scan(&k.Project, &k.ID, &k.User, &k.Confined, &k.Enabled, &k.Description, &k.CreatedAt)
			k.CreatedAt = k.CreatedAt.UTC()
			found = append(found, k)
			return err
		})
	return found, err
}

// AddAppCred implements realm.Store.
func (db *DB) AddAppCred(ctx context.Context, c auth.ApplicationCredential, hash string, ev audit.Event) error {
	roles := make(pq.StringArray, len(c.Roles))
	for i, r := range c.Roles {
		roles[i] = string(r.ID)
	}
	err := db.changeRealm(ctx, "application_credential_add", ev, nil,
		do(`INSERT INTO application_credentials (id, user_id, project, name, description, secret, unrestricted, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			c.ID, c.User, c.Project, c.Name, c.Description, hash, c.Unrestricted, c.CreatedAt, orNull(c.ExpiresAt)),
		do(`INSERT INTO application_credential_roles (credential, role_id) SELECT $1, unnest($2::text[])`, c.ID, roles))
	switch {
	case err == nil:
		return nil
	case violates(err, "application_credentials_name"):
		return realm.ErrNameTaken
	case violates(err, "application_credentials_user"):
		return realm.ErrNoUser
	case violates(err, "application_credentials_project"):
		return realm.ErrNoProject
	case violates(err, "application_credential_roles_role"):
		return realm.ErrNoRole
	}
	return fmt.Errorf("add application credential: %w", err)
}

const appCredColumns = `c.id, c.user_id, c.project, c.name, c.description, c.unrestricted, c.created_at, c.expires_at, c.secret,
	ARRAY(SELECT r.id FROM application_credential_roles x JOIN roles r ON r.id = x.role_id WHERE x.credential = c.id ORDER BY r.name),
	ARRAY(SELECT r.name FROM application_credential_roles x JOIN roles r ON r.id = x.role_id WHERE x.credential = c.id ORDER BY r.name)`

func scanAppCred(scan func(...any) error) (auth.ApplicationCredential, string, error) {
	var c auth.ApplicationCredential
	var hash string
	var expires sql.NullTime
	var ids, names pq.StringArray
	err := scan(&c.ID, &c.User, &c.Project, &c.Name, &c.Description, &c.Unrestricted, &c.CreatedAt, &expires, &hash, &ids, &names)
	c.CreatedAt, c.ExpiresAt = c.CreatedAt.UTC(), utc(expires)
	c.Roles = rolesOf(ids, names)
	return c, hash, err
}

// FindAppCred implements realm.Store.
func (db *DB) FindAppCred(ctx context.Context, id string) (auth.ApplicationCredential, string, error) {
	c, hash, err := scanAppCred(db.row(ctx, "application_credential_find", `
		SELECT `+appCredColumns+` FROM application_credentials c WHERE c.id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return auth.ApplicationCredential{}, "", realm.ErrNoAppCred
	}
	return c, hash, err
}

// DeleteAppCred implements realm.Store.
func (db *DB) DeleteAppCred(ctx context.Context, id string, ev audit.Event) error {
	return db.changeRealm(ctx, "application_credential_delete", ev, realm.ErrNoAppCred, do(`
		DELETE FROM application_credentials WHERE id = $1`, id))
}

// ListAppCreds implements realm.Store.
func (db *DB) ListAppCreds(ctx context.Context, u auth.UserID, name string) ([]auth.ApplicationCredential, error) {
	var found []auth.ApplicationCredential
	err := db.query(ctx, "application_credential_list", `
		SELECT `+appCredColumns+` FROM application_credentials c
		WHERE c.user_id = $1 AND ($2 = '' OR c.name = $2) ORDER BY c.name`,
		[]any{string(u), name}, func(scan func(...any) error) error {
			c, _, err := scanAppCred(scan)
			found = append(found, c)
			return err
		})
	return found, err
}
