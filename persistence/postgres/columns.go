package postgres

import (
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/secret"
)

// alive is the condition that the secret s exists at a moment: one that is past
// its expiration or its deletion time does not, although its row is there
// until a job removes it.
func alive(s, now string) string {
	return "(" + s + ".expiration IS NULL OR " + s + ".expiration > " + now + ") AND (" +
		s + ".delete_at IS NULL OR " + s + ".delete_at > " + now + ")"
}

// ownHandle is by what the secret s goes where nobody looked at its neighbours:
// CSMS's own by their names, others by their UUIDs, which always work.
const ownHandle = `CASE WHEN s.family = 'huawei' THEN s.listed_as ELSE s.id::text END`

// csmsHandle is what CSMS calls the secret s: one of Barbican that is listed as
// another one is, too, goes by its UUID.
func csmsHandle(now string) string {
	return `CASE WHEN s.family = 'huawei' OR s.name IS NULL OR NOT EXISTS (
				SELECT FROM secrets o
				WHERE o.project = s.project AND o.listed_as = s.listed_as AND o.id <> s.id AND ` + listed("o", now) + `)
			THEN s.listed_as ELSE s.id::text END`
}

// listed is alive for statements that look for s by handle, and the next two by
// creation and by name. The index for each has the part that holds for every
// row as its condition, which keeps all other statements off it.
func listed(s, now string) string { return s + ".family > '' AND " + alive(s, now) }

func listedByCreation(s, now string) string {
	return s + ".created_at > '-infinity' AND " + alive(s, now)
}

func listedByName(s, now string) string { return s + ".type >= '' AND " + alive(s, now) }

// secretColumns is everything of the secret s, in the order in which secretRow
// scans it.
func secretColumns(handle string) string {
	return `
		s.id, s.project, s.family, s.name, ` + handle + `,
		s.type, s.algorithm, s.mode, s.bit_length, s.expiration, s.creator,
		s.state, s.description, s.kind, s.master_key, s.delete_at,
		s.auto_rotation, s.rotation_period, s.rotation_config, s.rotation_func_urn, s.rotated_at, s.rotate_at, s.rotating_version,
		s.event, s.enterprise_project, s.created_at, s.updated_at,
		s.latest, s.latest_at, s.current_version, s.current_since, s.previous_version, s.previous_since,
		s.content_type, s.revision,
		s.acl_private, s.acl_readers, s.acl_created_at, s.acl_updated_at`
}

// secretRow is a secret on its way out of the database.
type secretRow struct {
	secret                                    secret.Secret
	family                                    string
	expiration, deleteAt, rotatedAt, rotateAt sql.NullTime
	latestAt, currentSince, previousSince     sql.NullTime
	masterKey, event                          sql.NullString
	name, algorithm, mode                     sql.NullString
	bitLength                                 sql.NullInt64
	id, project, creator, state               string
	private                                   sql.NullBool
	readers                                   pq.StringArray
	aclCreated, aclUpdated                    sql.NullTime
}

func (r *secretRow) dest() []any {
	s := &r.secret
	return []any{
		&r.id, &r.project, &r.family, &r.name, &s.Handle,
		&s.Type, &r.algorithm, &r.mode, &r.bitLength, &r.expiration, &r.creator,
		&r.state, &s.Description, &s.Kind, &r.masterKey, &r.deleteAt,
		&s.Rotation.Auto, &s.Rotation.Period, &s.Rotation.Config, &s.Rotation.FuncURN, &r.rotatedAt, &r.rotateAt, &s.Rotation.Version,
		&r.event, &s.EnterpriseProject, &s.CreatedAt, &s.UpdatedAt,
		&s.Latest, &r.latestAt, &s.Current.Version, &r.currentSince, &s.Previous.Version, &r.previousSince,
		&s.ContentType, &s.Revision,
		&r.private, &r.readers, &r.aclCreated, &r.aclUpdated,
	}
}

// take returns what was scanned, times in UTC.
func (r *secretRow) take() secret.Secret {
	s := r.secret
	s.ID, s.Project, s.Creator, s.State = secret.ID(r.id), auth.ProjectID(r.project), auth.UserID(r.creator), secret.State(r.state)
	s.Family = policy.KeyManager
	if r.family == policy.Huawei.String() {
		s.Family = policy.Huawei
	}
	s.Name, s.Algorithm, s.Mode = maybe(r.name), maybe(r.algorithm), maybe(r.mode)
	if r.bitLength.Valid {
		n := int(r.bitLength.Int64)
		s.BitLength = &n
	}
	s.Expiration, s.DeleteAt = maybeTime(r.expiration), maybeTime(r.deleteAt)
	s.Rotation.Last, s.Rotation.Next = maybeTime(r.rotatedAt), maybeTime(r.rotateAt)
	s.Key, s.Event = envelope.MasterKey(r.masterKey.String), r.event.String
	s.CreatedAt, s.UpdatedAt = s.CreatedAt.UTC(), s.UpdatedAt.UTC()
	s.LatestAt = orZero(r.latestAt)
	s.Current.Since, s.Previous.Since = orZero(r.currentSince), orZero(r.previousSince)
	if r.private.Valid {
		s.ACL = &secret.ACL{
			Private: r.private.Bool, Readers: readers(r.readers),
			CreatedAt: orZero(r.aclCreated), UpdatedAt: orZero(r.aclUpdated),
		}
	}
	return s
}

func maybe(v sql.NullString) *string {
	if !v.Valid {
		return nil
	}
	return &v.String
}

func maybeTime(v sql.NullTime) *time.Time {
	if !v.Valid {
		return nil
	}
	t := v.Time.UTC()
	return &t
}

func orZero(v sql.NullTime) time.Time {
	if !v.Valid {
		return time.Time{}
	}
	return v.Time.UTC()
}

// null is NULL for a zero value.
func null[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// nullTime is NULL for the zero time.
func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// nullable is NULL for a nil pointer.
func nullable[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// changing are the columns that Apply may change, and changed their values.
const changing = `state, description, master_key, delete_at,
	auto_rotation, rotation_period, rotation_config, rotation_func_urn, rotated_at, rotate_at, rotating_version,
	event, enterprise_project, updated_at,
	latest, latest_at, current_version, current_since, previous_version, previous_since, content_type,
	acl_private, acl_readers, acl_created_at, acl_updated_at`

func changed(s secret.Secret) []any {
	return append([]any{
		string(s.State), s.Description, null(string(s.Key)), nullable(s.DeleteAt),
		s.Rotation.Auto, s.Rotation.Period, s.Rotation.Config, s.Rotation.FuncURN,
		nullable(s.Rotation.Last), nullable(s.Rotation.Next), int64(s.Rotation.Version),
		null(s.Event), s.EnterpriseProject, s.UpdatedAt,
		int64(s.Latest), nullTime(s.LatestAt),
		int64(s.Current.Version), nullTime(s.Current.Since), int64(s.Previous.Version), nullTime(s.Previous.Since),
		s.ContentType,
	}, aclValues(s.ACL)...)
}

// fixed are the columns that never change, and fixedValues their values.
const fixed = `project, id, family, name, type, algorithm, mode, bit_length, expiration, creator, kind, created_at`

func fixedValues(s secret.Secret) []any {
	var bits any
	if s.BitLength != nil {
		bits = int64(*s.BitLength)
	}
	return []any{
		string(s.Project), string(s.ID), s.Family.String(), nullable(s.Name),
		s.Type, nullable(s.Algorithm), nullable(s.Mode), bits, nullable(s.Expiration), string(s.Creator),
		s.Kind, s.CreatedAt,
	}
}

// columns counts the columns of a list.
func columns(list string) int { return strings.Count(list, ",") + 1 }

// params are n placeholders from $first on.
func params(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$")
		b.WriteString(strconv.Itoa(first + i))
	}
	return b.String()
}
