package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
)

var _ realm.Store = (*DB)(nil)

// changeRealm runs a change of the realm and its event in one transaction.
// missing is what a first statement that changed no row means. People and
// their rights change rarely: four round trips are no matter here.
func (db *DB) changeRealm(ctx context.Context, name string, ev audit.Event, missing error, steps ...step) error {
	event, err := ev.JSON()
	if err != nil {
		return fmt.Errorf("encode audit event: %w", err)
	}
	return db.inTx(ctx, name, func(tx *sql.Tx) error {
		for i, s := range steps {
			n, err := affected(tx.ExecContext(ctx, s.text, s.args...))
			if err != nil {
				return err
			}
			if i == 0 && n == 0 && missing != nil {
				return missing
			}
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO audit_events (project, id, at, event) VALUES ($1, $2, $3, $4)`,
			ev.Project, ev.ID, ev.At, string(event))
		return err
	})
}

// step is one statement of a change.
type step struct {
	text string
	args []any
}

func do(text string, args ...any) step { return step{text, args} }

// orNull is NULL for the zero time, which means never, or not yet.
func orNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// utc is the time of a column that may be NULL.
func utc(t sql.NullTime) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.Time.UTC()
}

// rolesOf joins two arrays of one length, in one order.
func rolesOf(ids, names pq.StringArray) []auth.Role {
	roles := make([]auth.Role, 0, len(ids))
	for i := range ids {
		roles = append(roles, auth.Role{ID: auth.RoleID(ids[i]), Name: names[i]})
	}
	return roles
}

// assignedRoles is a list of two columns: the identifiers and the names of the
// roles that a user has in a project.
func assignedRoles(user, project string) string {
	from := ` FROM role_assignments a JOIN roles r ON r.id = a.role_id
		WHERE a.user_id = ` + user + ` AND a.project = ` + project + ` ORDER BY r.name)`
	return `ARRAY(SELECT r.id` + from + `, ARRAY(SELECT r.name` + from
}
