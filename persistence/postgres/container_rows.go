package postgres

import (
	"database/sql"

	"github.com/lib/pq"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/secret"
)

// containerRow is a container on its way out of the database.
type containerRow struct {
	container                  container.Container
	id, project, kind, creator string
	name                       sql.NullString
	aclPrivate                 sql.NullBool
	aclReaders                 pq.StringArray
	aclCreated, aclUpdated     sql.NullTime
	contents                   bool
	entries, consumers         []byte
}

func (r *containerRow) dest(want container.Want) []any {
	c := &r.container
	dest := []any{
		&r.id, &r.project, &r.name, &r.kind, &r.creator, &c.CreatedAt, &c.UpdatedAt,
		&r.aclPrivate, &r.aclReaders, &r.aclCreated, &r.aclUpdated,
	}
	if r.contents = want.Contents; r.contents {
		dest = append(dest, &r.entries, &r.consumers)
	}
	return dest
}

// take returns what was scanned, times in UTC.
func (r *containerRow) take() (container.Container, error) {
	c := r.container
	c.ID, c.Project, c.Name = container.ID(r.id), auth.ProjectID(r.project), maybe(r.name)
	c.Type, c.Creator = container.Type(r.kind), auth.UserID(r.creator)
	c.CreatedAt, c.UpdatedAt = c.CreatedAt.UTC(), c.UpdatedAt.UTC()
	if r.aclPrivate.Valid {
		c.ACL = &secret.ACL{
			Private: r.aclPrivate.Bool, Readers: make([]auth.UserID, 0, len(r.aclReaders)),
			CreatedAt: orZero(r.aclCreated), UpdatedAt: orZero(r.aclUpdated),
		}
		for _, u := range r.aclReaders {
			c.ACL.Readers = append(c.ACL.Readers, auth.UserID(u))
		}
	}
	if r.contents {
		c.Entries, c.Consumers = []container.Entry{}, []container.Party{}
		if err := readJSON(r.entries, &c.Entries); err != nil {
			return c, err
		}
		if err := readJSON(r.consumers, &c.Consumers); err != nil {
			return c, err
		}
	}
	return c, nil
}
