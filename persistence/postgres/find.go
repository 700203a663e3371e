package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/secret"
)

var _ secret.Store = (*DB)(nil)

// handleKind says by what a secret is looked for.
type handleKind uint8

const (
	anywhere handleKind = iota
	within
	named
)

// versionKind says which version's ciphertext is wanted.
type versionKind uint8

const (
	noVersion versionKind = iota
	byNumber
	byStage // neither current nor previous
	current
	previous
	every
)

// opens is the condition that the KEK k of the master key m may open what it
// wrapped.
const opens = `k.state IN ('active', 'decrypt-only') AND NOT k.disabled AND m.state = 'enabled'`

// findShape names one statement of Find.
type findShape struct {
	handle                              handleKind
	version                             versionKind
	versions, metadata, consumers, tags bool
}

// findTexts has the statement of each shape, made once: the text is what a
// prepared statement is found by.
var findTexts = func() map[findShape]string {
	texts := map[findShape]string{}
	for h := anywhere; h <= named; h++ {
		for v := noVersion; v <= every; v++ {
			for bits := range 1 << 4 {
				shape := findShape{h, v, bits&1 != 0, bits&2 != 0, bits&4 != 0, bits&8 != 0}
				texts[shape] = shape.text()
			}
		}
	}
	return texts
}()

// from is where the secret is looked for: $1 is its UUID or name, $2 the time,
// $3 the project, and $4 the name again if it is a UUID.
var from = map[handleKind]string{
	anywhere: `
		FROM secret_directory d
		JOIN secrets s ON s.project = d.project AND s.id = d.id AND ` + alive("s", "$2"),
	within: `
		FROM secrets s`,
	named: `
		FROM secrets s`,
}

var where = map[handleKind]string{
	anywhere: `
		WHERE d.id = $1`,
	within: `
		WHERE s.project = $3 AND s.id = $1 AND ` + alive("s", "$2"),
	named: `
		WHERE s.project = $3 AND ` + alive("s", "$2") + ` AND s.id = ` + byHandle("$3", "$1", "$4", "$2"),
}

// next is the number of the first parameter after those of the handle.
var next = map[handleKind]int{anywhere: 3, within: 4, named: 5}

func (f findShape) text() string {
	p := params(next[f.handle], 1)
	joined := map[versionKind]string{
		byNumber: p,
		current:  "s.current_version",
		previous: "s.previous_version",
		byStage: `(SELECT t.version FROM secret_stages t
			WHERE t.project = s.project AND t.secret = s.id AND t.name = ` + p + `)`,
	}
	handle := ownHandle
	if f.handle == named {
		handle = csmsHandle("$2")
	}
	text := `
		SELECT ` + secretColumns(handle)
	one := f.version != noVersion && f.version != every
	if one {
		text += `,
			v.number, v.content_type, v.created_at, v.expires_at, v.wrapped_dek, v.body,
			k.id, k.master_key, k.token_group, k.format, k.canary, m.is_default,
			` + opens
	}
	if f.versions {
		more, join := "", ""
		if f.version == every {
			more = `, 'kek', k.id, 'group', k.token_group, 'format', k.format,
					'canary', encode(k.canary, 'base64'), 'default', m.is_default, 'usable', ` + opens
			join = `
			 JOIN master_keys m ON m.project = k.project AND m.id = k.master_key`
		}
		text += `,
			(SELECT json_agg(json_build_object('number', v.number, 'type', v.content_type,
					'created', ` + micros("v.created_at") + `, 'expires', ` + micros("v.expires_at") + `,
					'key', k.master_key` + more + `) ORDER BY v.number)
			 FROM secret_versions v JOIN keks k ON k.project = v.project AND k.id = v.kek` + join + `
			 WHERE v.project = s.project AND v.secret = s.id),
			(SELECT json_agg(json_build_object('name', t.name, 'version', t.version, 'since', ` + micros("t.since") + `))
			 FROM secret_stages t WHERE t.project = s.project AND t.secret = s.id)`
	}
	if f.version == every {
		for _, column := range []string{"wrapped_dek", "body"} {
			text += `,
			(SELECT array_agg(v.` + column + ` ORDER BY v.number) FROM secret_versions v
			 WHERE v.project = s.project AND v.secret = s.id)`
		}
	}
	if f.metadata {
		text += `,
			(SELECT json_object_agg(d.key, d.value) FROM secret_metadata d
			 WHERE d.project = s.project AND d.secret = s.id)`
	}
	if f.consumers {
		text += `,
			` + consumersOf
	}
	if f.tags {
		text += `,
			` + tagsOf
	}
	text += from[f.handle]
	if one {
		text += `
		LEFT JOIN secret_versions v ON v.project = s.project AND v.secret = s.id AND v.number = ` + joined[f.version] + `
		LEFT JOIN keks k ON k.project = v.project AND k.id = v.kek
		LEFT JOIN master_keys m ON m.project = k.project AND m.id = k.master_key`
	}
	return text + where[f.handle]
}

// micros is a time as a number, exactly.
func micros(column string) string { return "(extract(epoch FROM " + column + ") * 1000000)::bigint" }

// Find implements secret.Store.
func (db *DB) Find(ctx context.Context, h secret.Handle, want secret.Want, now time.Time) (secret.Found, error) {
	shape, args, ok := findArgs(h, want, now)
	if !ok {
		return secret.Found{}, secret.ErrNotFound
	}
	var r findRow
	err := db.row(ctx, "secret_find", findTexts[shape], args...).Scan(r.dest(shape)...)
	if errors.Is(err, sql.ErrNoRows) {
		return secret.Found{}, secret.ErrNotFound
	}
	if err != nil {
		return secret.Found{}, fmt.Errorf("find secret: %w", err)
	}
	return r.take(shape)
}

// findArgs says which statement finds h and with which arguments; ok is false
// where h cannot name anything.
func findArgs(h secret.Handle, want secret.Want, now time.Time) (shape findShape, args []any, ok bool) {
	shape = findShape{versions: want.Versions || want.Every, metadata: want.Metadata, consumers: want.Consumers, tags: want.Tags}
	switch {
	case h.ID != "" && !isUUID(string(h.ID)), h.ID == "" && h.Project == "":
		return shape, nil, false
	case h.ID == "":
		shape.handle = named
		var id any
		if isUUID(h.Name) {
			id = h.Name
		}
		args = []any{h.Name, now, string(h.Project), id}
	case h.Project == "":
		args = []any{string(h.ID), now}
	default:
		shape.handle = within
		args = []any{string(h.ID), now, string(h.Project)}
	}
	if !want.Sealed && !want.Every {
		return shape, args, true
	}
	switch {
	case want.Every:
		shape.version = every
	case want.Number != 0:
		shape.version = byNumber
		n := int64(want.Number)
		if n > math.MaxInt32 { // more than the column can hold
			n = 0
		}
		args = append(args, n)
	case want.Stage == "" || want.Stage == secret.Current:
		shape.version = current
	case want.Stage == secret.Previous:
		shape.version = previous
	default:
		shape.version = byStage
		args = append(args, string(want.Stage))
	}
	return shape, args, true
}

// isUUID reports whether text is a UUID in its one spelling. PostgreSQL would
// take others, too.
func isUUID(text string) bool {
	_, err := key.ParseID(text)
	return err == nil
}

// findRow is the one row that Find reads.
type findRow struct {
	secretRow
	number, format               sql.NullInt64
	contentType, kek, key, group sql.NullString
	created, expires             sql.NullTime
	wrappedDEK, body, canary     []byte
	isDefault, usable            sql.NullBool
	wrappedDEKs, bodies          pq.ByteaArray

	versions, stages, metadata, consumers, tags []byte
}

func (r *findRow) dest(shape findShape) []any {
	dest := r.secretRow.dest()
	if shape.version != noVersion && shape.version != every {
		dest = append(dest, &r.number, &r.contentType, &r.created, &r.expires, &r.wrappedDEK, &r.body,
			&r.kek, &r.key, &r.group, &r.format, &r.canary, &r.isDefault, &r.usable)
	}
	if shape.versions {
		dest = append(dest, &r.versions, &r.stages)
	}
	if shape.version == every {
		dest = append(dest, &r.wrappedDEKs, &r.bodies)
	}
	if shape.metadata {
		dest = append(dest, &r.metadata)
	}
	if shape.consumers {
		dest = append(dest, &r.consumers)
	}
	if shape.tags {
		dest = append(dest, &r.tags)
	}
	return dest
}

func (r *findRow) take(shape findShape) (secret.Found, error) {
	f := secret.Found{Secret: r.secretRow.take()}
	if r.number.Valid {
		key := envelope.MasterKey(r.key.String)
		f.Version = secret.Version{
			Number: int(r.number.Int64), ContentType: r.contentType.String,
			CreatedAt: orZero(r.created), ExpiresAt: maybeTime(r.expires), Key: key,
			Sealed: envelope.Sealed{
				KEK: envelope.KEK{
					ID: envelope.KEKID(r.kek.String), MasterKey: key, Group: r.group.String, Format: uint8(r.format.Int64),
					Default: r.isDefault.Bool, Canary: r.canary, Usable: r.usable.Bool,
				},
				WrappedDEK: r.wrappedDEK, Body: r.body,
			},
		}
	}
	if shape.versions {
		var err error
		if f.Versions, err = readVersions(r.versions); err != nil {
			return f, err
		}
		if shape.version == every {
			for i := range f.Versions {
				f.Versions[i].Sealed.WrappedDEK, f.Versions[i].Sealed.Body = r.wrappedDEKs[i], r.bodies[i]
			}
		}
		if f.Stages, err = readStages(r.stages); err != nil {
			return f, err
		}
	}
	if shape.metadata {
		f.Metadata = map[string]string{}
		if err := readJSON(r.metadata, &f.Metadata); err != nil {
			return f, err
		}
	}
	if shape.consumers {
		var err error
		if f.Secret.Consumers, err = readConsumers(r.consumers); err != nil {
			return f, err
		}
	}
	if shape.tags {
		var err error
		if f.Tags, err = readTags(r.tags); err != nil {
			return f, err
		}
	}
	return f, nil
}

// readVersions reads what PostgreSQL put together; times are microseconds
// since 1970.
func readVersions(text []byte) ([]secret.Version, error) {
	var rows []struct {
		Number  int
		Type    string
		Created int64
		Expires *int64
		Key     envelope.MasterKey

		// These come where every version's ciphertext was asked for.
		KEK             envelope.KEKID
		Group           string
		Format          uint8
		Canary          []byte
		Default, Usable bool
	}
	if err := readJSON(text, &rows); err != nil {
		return nil, err
	}
	versions := make([]secret.Version, 0, len(rows))
	for _, r := range rows {
		v := secret.Version{Number: r.Number, ContentType: r.Type, CreatedAt: time.UnixMicro(r.Created).UTC(), Key: r.Key}
		if r.KEK != "" {
			v.Sealed.KEK = envelope.KEK{
				ID: r.KEK, MasterKey: r.Key, Group: r.Group, Format: r.Format, Default: r.Default, Canary: r.Canary, Usable: r.Usable,
			}
		}
		if r.Expires != nil {
			t := time.UnixMicro(*r.Expires).UTC()
			v.ExpiresAt = &t
		}
		versions = append(versions, v)
	}
	return versions, nil
}

func readStages(text []byte) (map[secret.Stage]secret.Mark, error) {
	var rows []struct {
		Name    secret.Stage
		Version int
		Since   int64
	}
	if err := readJSON(text, &rows); err != nil {
		return nil, err
	}
	stages := make(map[secret.Stage]secret.Mark, len(rows))
	for _, r := range rows {
		stages[r.Name] = secret.Mark{Version: r.Version, Since: time.UnixMicro(r.Since).UTC()}
	}
	return stages, nil
}

// readJSON leaves to as it is where there was nothing to put together.
func readJSON(text []byte, to any) error {
	if text == nil {
		return nil
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("read rows: %T", err) // its text quotes values
	}
	return nil
}
