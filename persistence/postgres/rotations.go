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
	"github.com/strongroom-kms/strongroom/rotation"
	"github.com/strongroom-kms/strongroom/secret"
)

var _ rotation.Store = (*DB)(nil)

// taskPart is what a change of a secret does to its rotation's task.
type taskPart uint8

const (
	noTask taskPart = iota
	beginTask
	endTask
)

// taskChange is a task that begins or ends with a change of its secret.
type taskChange struct {
	part taskPart
	task rotation.Task
}

// text is the part of the statement of Apply; take takes parameters.
func (p taskPart) text(take func(int) string) string {
	switch p {
	case beginTask:
		id, rest := take(1), take(columns(taskColumns)-1)
		return `,
		task AS (
			INSERT INTO rotation_tasks (project, secret, due_at, id, ` + strings.TrimPrefix(taskColumns, "id, ") + `)
			SELECT s.project, s.id, CASE WHEN ` + take(1) + `::boolean THEN now() END, ` + id + `, ` + rest + ` FROM s
		)`
	case endTask:
		id := take(1)
		return `,
		task AS (
			UPDATE rotation_tasks t SET status = ` + take(1) + `, error_code = ` + take(1) + `, error_text = ` + take(1) + `,
				due_at = NULL, holder = NULL, claimed_until = NULL
			FROM s WHERE t.project = $1 AND t.id = ` + id + ` AND t.status = 'ROTATING'
		)`
	}
	return ""
}

// taskColumns are a task's, but for its secret and its claim.
const taskColumns = `id, secret_name, func_urn, auto, version, status, step, attempts, error_code, error_text, started_at`

func (c taskChange) arguments() []any {
	t := c.task
	switch c.part {
	case beginTask:
		return []any{
			t.ID, t.Name, t.FuncURN, t.Auto, int64(t.Version), string(t.Status), string(t.Step), int64(t.Attempts),
			t.ErrorCode, t.ErrorText, t.StartedAt, t.Status == rotation.Running,
		}
	case endTask:
		return []any{t.ID, string(t.Status), t.ErrorCode, t.ErrorText}
	}
	return nil
}

// BeginRotation implements rotation.Store.
func (db *DB) BeginRotation(ctx context.Context, c secret.Change, t rotation.Task, ev audit.Event) error {
	err := db.apply(ctx, c, taskChange{beginTask, t}, ev)
	if violates(err, "rotation_tasks_one_running") {
		return secret.ErrRotating
	}
	return err
}

// EndRotation implements rotation.Store.
func (db *DB) EndRotation(ctx context.Context, c secret.Change, t rotation.Task, ev audit.Event) error {
	return db.apply(ctx, c, taskChange{endTask, t}, ev)
}

// claimText looks into all projects. What is locked is found again by its
// place, as in purgeText.
const claimTaskText = `
	WITH due AS (
		SELECT t.ctid AS place FROM rotation_tasks t
		WHERE t.status = 'ROTATING' AND t.due_at <= now() AND (t.claimed_until IS NULL OR t.claimed_until <= now())
		ORDER BY t.due_at
		LIMIT $3
		FOR UPDATE SKIP LOCKED
	)
	UPDATE rotation_tasks t
	SET holder = $1, claimed_until = now() + $2 * interval '1 microsecond', attempts = t.attempts + 1
	WHERE t.ctid = ANY (ARRAY(SELECT place FROM due))
	RETURNING t.project, t.secret, ` + taskColumns

// ClaimRotations implements rotation.Store. The database's clock counts.
func (db *DB) ClaimRotations(ctx context.Context, holder string, lapse time.Duration, limit int) ([]rotation.Task, error) {
	tasks, err := db.tasks(ctx, "rotation_claim", claimTaskText, holder, lapse.Microseconds(), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("claim rotations: %w", err)
	}
	return tasks, nil
}

// tasks runs a statement that returns tasks.
func (db *DB) tasks(ctx context.Context, name, text string, args ...any) ([]rotation.Task, error) {
	var tasks []rotation.Task
	err := db.query(ctx, name, text, args, func(scan func(...any) error) error {
		var t rotation.Task
		var project, id, status, step string
		if err := scan(&project, &id, &t.ID, &t.Name, &t.FuncURN, &t.Auto, &t.Version, &status, &step, &t.Attempts,
			&t.ErrorCode, &t.ErrorText, &t.StartedAt); err != nil {
			return err
		}
		t.Project, t.Secret = auth.ProjectID(project), secret.ID(id)
		t.Status, t.Step, t.StartedAt = rotation.Status(status), rotation.Step(step), t.StartedAt.UTC()
		tasks = append(tasks, t)
		return nil
	})
	return tasks, err
}

const held = ` WHERE project = $1 AND id = $2 AND holder = $3 AND claimed_until > now() AND status = 'ROTATING'`

// AdvanceRotation implements rotation.Store.
func (db *DB) AdvanceRotation(ctx context.Context, holder string, t rotation.Task) error {
	n, err := db.exec(ctx, "rotation_advance", `UPDATE rotation_tasks SET step = $4`+held,
		string(t.Project), t.ID, holder, string(t.Step))
	return claimed(n, err)
}

// DelayRotation implements rotation.Store.
func (db *DB) DelayRotation(ctx context.Context, holder string, t rotation.Task, pause time.Duration) error {
	n, err := db.exec(ctx, "rotation_delay", `
		UPDATE rotation_tasks SET step = $4, error_code = $5, error_text = $6, due_at = now() + $7 * interval '1 microsecond',
			holder = NULL, claimed_until = NULL`+held,
		string(t.Project), t.ID, holder, string(t.Step), t.ErrorCode, t.ErrorText, pause.Microseconds())
	return claimed(n, err)
}

func claimed(n int64, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("change rotation: %w", err)
	case n == 0:
		return rotation.ErrClaimLost
	}
	return nil
}

// OrphanRotation implements rotation.Store.
func (db *DB) OrphanRotation(ctx context.Context, t rotation.Task) error {
	_, err := db.exec(ctx, "rotation_orphan", `
		UPDATE rotation_tasks t SET status = $3, error_code = $4, error_text = $5, due_at = NULL, holder = NULL, claimed_until = NULL
		WHERE t.project = $1 AND t.id = $2 AND t.status = 'ROTATING'`,
		string(t.Project), t.ID, string(t.Status), t.ErrorCode, t.ErrorText)
	if err != nil {
		return fmt.Errorf("end rotation: %w", err)
	}
	return nil
}

var dueText = `
	SELECT s.project, s.id FROM secrets s
	WHERE s.auto_rotation AND s.rotate_at IS NOT NULL AND s.state = 'ENABLED' AND s.rotating_version = 0
	  AND s.rotate_at <= $1 AND ` + alive("s", "$1") + `
	ORDER BY s.rotate_at
	LIMIT $2`

// DueRotations implements rotation.Store.
func (db *DB) DueRotations(ctx context.Context, now time.Time, limit int) ([]rotation.Due, error) {
	var due []rotation.Due
	err := db.query(ctx, "rotation_due", dueText, []any{now, int64(limit)}, func(scan func(...any) error) error {
		var project, id string
		if err := scan(&project, &id); err != nil {
			return err
		}
		due = append(due, rotation.Due{Project: auth.ProjectID(project), Secret: secret.ID(id)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find due rotations: %w", err)
	}
	return due, nil
}

// taskFilter is the tasks of project $1 that a query wants; an empty parameter
// wants all.
const taskFilter = `
	FROM rotation_tasks t
	WHERE t.project = $1 AND ($2::uuid IS NULL OR t.id = $2) AND ($3 = '' OR t.secret_name = $3) AND ($4 = '' OR t.status = $4)`

const (
	countTasksText = `SELECT count(*)` + taskFilter
	listTasksText  = `SELECT t.project, t.secret, ` + taskColumns + taskFilter + `
	  AND ($5::uuid IS NULL OR t.id < $5)
	ORDER BY t.id DESC
	LIMIT $6`
)

// RotationTasks implements rotation.Store.
func (db *DB) RotationTasks(ctx context.Context, p auth.ProjectID, q rotation.Query) (rotation.Page, error) {
	var page rotation.Page
	args := []any{string(p), null(q.ID), q.Name, string(q.Status)}
	err := db.row(ctx, "rotation_count", countTasksText, args...).Scan(&page.Total)
	if err == nil {
		page.Tasks, err = db.tasks(ctx, "rotation_list", listTasksText, append(args, null(q.After), int64(q.Limit+1))...)
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return rotation.Page{}, fmt.Errorf("list rotations: %w", err)
	}
	if page.More = len(page.Tasks) > q.Limit; page.More {
		page.Tasks = page.Tasks[:q.Limit]
	}
	return page, nil
}

// ForgetRotations implements rotation.Store.
func (db *DB) ForgetRotations(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := db.exec(ctx, "rotation_forget", `
		DELETE FROM rotation_tasks t WHERE t.ctid = ANY (ARRAY(
			SELECT o.ctid FROM rotation_tasks o WHERE o.status <> 'ROTATING' AND o.started_at < $1 LIMIT $2))`,
		before, int64(limit))
	if err != nil {
		return 0, fmt.Errorf("forget rotations: %w", err)
	}
	return int(n), nil
}
