package postgres

// told is what a statement that changes secrets returns of each, as s, for
// notice to tell of.
const told = `, s.listed_as, s.kind, s.created_at, s.updated_at, s.event`

const notificationColumns = `project, id, at, event, type, target_id, target_name,
	secret, secret_name, secret_kind, secret_created_at, secret_updated_at, version, version_expires_at`

// firing are parts of a notice, each an SQL expression.
type firing struct{ id, at, kind, version, until string }

// notice is a CTE that fires the events which the secrets of from, a relation
// called s with what told names, are subscribed to. Whatever changes a secret
// has it in the same statement, and leaves it out for a secret without a
// subscription.
//
// OFFSET 0 keeps the planner, which may know nothing of the table yet, to one
// look-up for each secret.
func notice(from string, f firing) string {
	return `,
		notices AS (
			INSERT INTO secret_notifications (` + notificationColumns + `, due_at)
			SELECT s.project, ` + f.id + `, ` + f.at + `, e.name, ` + f.kind + `, e.target_id, e.target_name,
				s.id, s.listed_as, s.kind, s.created_at, s.updated_at, ` + f.version + `, ` + f.until + `, ` + f.at + `
			FROM ` + from + `
			CROSS JOIN LATERAL (
				SELECT e.name, e.state, e.types, e.target_id, e.target_name FROM secret_events e
				WHERE e.project = s.project AND e.name = s.event OFFSET 0
			) e
			WHERE e.state = 'ENABLED' AND ` + f.kind + ` = ANY (e.types)
		)`
}
