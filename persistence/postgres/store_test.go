package postgres_test

import (
	"database/sql"
	"testing"

	_ "github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/persistence/pgtest"
	"github.com/strongroom-kms/strongroom/persistence/postgres"
	"github.com/strongroom-kms/strongroom/persistence/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return openDoors(t) })
}

// doors is a store with a way around it.
type doors struct {
	*postgres.DB
	t   *testing.T
	raw *sql.DB
}

func openDoors(t *testing.T) *doors {
	t.Helper()
	url := pgtest.URL(t)
	raw, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return &doors{pgtest.OpenURL(t, url), t, raw}
}

func (d *doors) exec(text string, args ...any) error {
	_, err := d.raw.ExecContext(d.t.Context(), text, args...)
	return err
}

func (d *doors) SetKEK(project string, id envelope.KEKID, state kek.State, disabled bool) error {
	return d.exec(`UPDATE keks SET state = $3, disabled = $4 WHERE project = $1 AND id = $2`, project, id, state, disabled)
}

func (d *doors) SetMasterKey(project string, id envelope.MasterKey, state string) error {
	return d.exec(`UPDATE master_keys SET state = $3 WHERE project = $1 AND id = $2`, project, id, state)
}

func (d *doors) DestroyMasterKey(project string, id envelope.MasterKey) error {
	return d.exec(`
		WITH k AS (DELETE FROM keks WHERE project = $1 AND master_key = $2),
		m AS (DELETE FROM master_keys WHERE project = $1 AND id = $2)
		UPDATE master_key_directory SET destroyed = true WHERE id = $2`, project, id)
}

func (d *doors) SetPreferred(project, group string) error {
	if group == "" {
		return d.exec(`DELETE FROM preferred_token_groups WHERE project = $1`, project)
	}
	return d.exec(`
		WITH g AS (
			INSERT INTO token_groups (name, id, created_at, updated_at) VALUES ($2, gen_random_uuid(), now(), now())
			ON CONFLICT (name) DO UPDATE SET updated_at = now() RETURNING name
		)
		INSERT INTO preferred_token_groups (project, token_group, created_at, updated_at)
		SELECT $1, name, now(), now() FROM g
		ON CONFLICT (project) DO UPDATE SET token_group = excluded.token_group`, project, group)
}

func (d *doors) AddEvent(project, name string) error {
	return d.exec(`
		INSERT INTO secret_events (project, name, id, types, state, target_type, target_id, target_name, created_at, updated_at)
		VALUES ($1, $2, gen_random_uuid(), '{SECRET_VERSION_CREATED,SECRET_ROTATED,SECRET_DELETED}', 'ENABLED', 'SMN', 'urn', 'topic', now(), now())`, project, name)
}

func (d *doors) Rows(project string) (map[string]int, error) {
	n := map[string]int{}
	for _, table := range []string{
		"secrets", "secret_directory", "secret_versions", "secret_stages", "secret_metadata", "secret_consumers", "secret_tags", "audit_events",
	} {
		var rows int
		err := d.raw.QueryRowContext(d.t.Context(), `SELECT count(*) FROM `+table+` WHERE project = $1`, project).Scan(&rows)
		if err != nil {
			return nil, err
		}
		n[table] = rows
	}
	return n, nil
}
