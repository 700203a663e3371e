package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/secret"
)

// byHandle is the UUID of the secret that CSMS means by a handle: of the one of
// its own that has the name, else of the only one that is listed so, else the
// handle itself where it is a UUID (id is NULL where it is not). What comes
// later is not looked up where something earlier was found.
func byHandle(project, handle, id, now string) string {
	return `coalesce(
			(SELECT n.id FROM secrets n
			 WHERE n.project = ` + project + ` AND n.name = ` + handle + ` AND n.family = 'huawei' AND ` + alive("n", now) + `),
			(SELECT (array_agg(g.id))[1] FROM (
				SELECT n.id FROM secrets n
				WHERE n.project = ` + project + ` AND n.listed_as = ` + handle + ` AND ` + listed("n", now) + `
				LIMIT 2) g
			 HAVING count(*) = 1),
			` + id + `::uuid)`
}

// listNamedText pages through one index, without counting or skipping. $1 is
// the project, $2 the time, $3 the marker, $4 the marker again if it is a UUID,
// $5 how many, and $6 the event where only its subscribers are wanted.
//
// Secrets that are listed as the same stand together, in order of their UUIDs.
// So a marker means a place: that of the secret it means, or, where it means
// none any more, the place after whatever was listed as it.
func listNamedText(which string) string {
	return `
		WITH start AS (
			SELECT p.listed_as, p.id FROM secrets p
			WHERE p.project = $1 AND p.id = ` + byHandle("$1", "$3", "$4", "$2") + `
		)
		SELECT ` + secretColumns(csmsHandle("$2")) + `
		FROM secrets s
		WHERE s.project = $1 AND ` + which + `
		  AND (s.listed_as, s.id) > (
			coalesce((SELECT listed_as FROM start), $3),
			coalesce((SELECT id FROM start), 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
		ORDER BY s.listed_as, s.id
		LIMIT $5`
}

var (
	listNamedAllText   = listNamedText(listed("s", "$2"))
	listNamedEventText = listNamedText("s.event = $6 AND " + alive("s", "$2"))
)

// ListNamed implements secret.Store.
func (db *DB) ListNamed(ctx context.Context, p auth.ProjectID, q secret.NamedQuery, now time.Time) ([]secret.Secret, error) {
	var id any
	if isUUID(q.After) {
		id = q.After
	}
	text, args := listNamedAllText, []any{string(p), now, q.After, id, int64(q.Limit) + 1}
	if q.Event != "" {
		text, args = listNamedEventText, append(args, q.Event)
	}
	var page []secret.Secret
	err := db.query(ctx, "secret_list_named", text, args, func(scan func(...any) error) error {
		var r secretRow
		if err := scan(r.dest()...); err != nil {
			return err
		}
		page = append(page, r.take())
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	return page, nil
}
