package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// contentFormat is the number of the format below. Each one that was ever
// written stays readable.
const contentFormat = 1

// content is what is in a backup but the values: one line of JSON. The values
// follow it, end to end, so that they are in no buffer that is not wiped.
type content struct {
	Format  int            `json:"format"`
	Domain  string         `json:"domain"`
	Project auth.ProjectID `json:"project"`
	ID      ID             `json:"id"`

	Name              string             `json:"name"` // what CSMS called it
	Type              string             `json:"type"`
	Algorithm         *string            `json:"algorithm,omitempty"`
	Mode              *string            `json:"mode,omitempty"`
	BitLength         *int               `json:"bit_length,omitempty"`
	Expiration        *time.Time         `json:"expiration,omitempty"`
	Creator           auth.UserID        `json:"creator"`
	Description       string             `json:"description"`
	Kind              string             `json:"kind"`
	Key               envelope.MasterKey `json:"key"`
	KeyIsDefault      bool               `json:"key_is_default"`
	Rotation          Rotation           `json:"rotation"`
	Event             string             `json:"event,omitempty"`
	EnterpriseProject string             `json:"enterprise_project"`
	CreatedAt         time.Time          `json:"created_at"`
	ACL               *ACL               `json:"acl,omitempty"`
	Metadata          map[string]string  `json:"metadata,omitempty"`
	Tags              []Tag              `json:"tags,omitempty"`

	Latest   int              `json:"latest"` // the next version is one more
	LatestAt time.Time        `json:"latest_at"`
	Stages   map[Stage]Mark   `json:"stages"`
	Versions []contentVersion `json:"versions"`
}

type contentVersion struct {
	Number      int        `json:"number"`
	ContentType string     `json:"content_type"`
	CreatedAt   time.Time  `json:"created_at"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
	Size        int        `json:"size"` // of its value, in bytes
}

// contentOf describes a secret that was found with Want.Every,
// Want.Metadata and Want.Tags, its values being of those sizes.
func contentOf(f Found, domain string, values []sensitive.Bytes) content {
	s := f.Secret
	c := content{
		Format: contentFormat, Domain: domain, Project: s.Project, ID: s.ID,
		Name: s.Handle, Type: s.Type, Algorithm: s.Algorithm, Mode: s.Mode, BitLength: s.BitLength, Expiration: s.Expiration,
		Creator: s.Creator, Description: s.Description, Kind: s.Kind, Key: s.Key,
		Rotation: s.Rotation, Event: s.Event, EnterpriseProject: s.EnterpriseProject, CreatedAt: s.CreatedAt,
		ACL: s.ACL, Metadata: f.Metadata, Tags: f.Tags, Latest: s.Latest, LatestAt: s.LatestAt, Stages: f.positions(),
	}
	for i, v := range f.Versions {
		c.KeyIsDefault = c.KeyIsDefault || v.Key == s.Key && v.Sealed.KEK.Default
		c.Versions = append(c.Versions, contentVersion{v.Number, v.ContentType, v.CreatedAt, v.ExpiresAt, values[i].Len()})
	}
	return c
}

// encode puts the values behind what describes them. The caller wipes it.
func (c content) encode(values []sensitive.Bytes) (sensitive.Bytes, error) {
	head, err := json.Marshal(c)
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("encode backup: %w", err)
	}
	size := len(head) + 1
	for _, v := range values {
		size += v.Len()
	}
	out := append(make([]byte, 0, size), head...) // never grows: a copy would not be wiped
	out = append(out, '\n')
	for _, v := range values {
		out = append(out, v.Reveal()...)
	}
	return sensitive.Take(out), nil
}

// readContent reads what encode wrote; the values are parts of it. It was
// authenticated before, so anything else is a mistake of ours, and ErrBlob.
func readContent(from sensitive.Bytes) (content, []sensitive.Bytes, error) {
	var c content
	head, rest, ok := bytes.Cut(from.Reveal(), []byte{'\n'})
	if !ok || json.Unmarshal(head, &c) != nil || !c.consistent() {
		return content{}, nil, envelope.ErrBlob
	}
	values := make([]sensitive.Bytes, 0, len(c.Versions))
	for _, v := range c.Versions {
		if v.Size < 0 || v.Size > min(MaxPayload, len(rest)) {
			return content{}, nil, envelope.ErrBlob
		}
		values = append(values, sensitive.Take(rest[:v.Size:v.Size]))
		rest = rest[v.Size:]
	}
	if len(rest) != 0 {
		return content{}, nil, envelope.ErrBlob
	}
	return c, values, nil
}

// consistent reports whether c describes a secret that may exist.
func (c content) consistent() bool {
	if c.Format != contentFormat || c.Name == "" || len(c.Versions) == 0 || len(c.Versions) > MaxVersions {
		return false
	}
	numbers := map[int]bool{}
	last := 0
	for _, v := range c.Versions {
		if v.Number <= last || v.Number > c.Latest {
			return false
		}
		last = v.Number
		numbers[last] = true
	}
	for _, m := range c.Stages {
		if !numbers[m.Version] {
			return false
		}
	}
	_, current := c.Stages[Current]
	return current && stages(c.Stages).own() <= MaxStages
}

// restored is the secret that c describes, with a new UUID in a project, before
// its values are sealed.
func (c content) restored(id ID, p auth.ProjectID, now time.Time) (Found, error) {
	rotation := c.Rotation
	rotation.Version = 0 // whichever ran then does not run for this one
	if rotation.Next == nil || !rotation.Next.After(now) {
		var err error
		if rotation, err = rotation.schedule(now); err != nil {
			return Found{}, err
		}
	}
	if c.Expiration != nil && !c.Expiration.After(now) {
		return Found{}, ErrExpiresPast
	}
	f := Found{
		Secret: Secret{
			ID: id, Project: p, Family: restoring, Name: &c.Name, Handle: c.Name,
			Type: c.Type, Algorithm: c.Algorithm, Mode: c.Mode, BitLength: c.BitLength, Expiration: c.Expiration,
			Creator: c.Creator, State: Enabled, Description: c.Description, Kind: c.Kind, Rotation: rotation,
			Event: c.Event, EnterpriseProject: c.EnterpriseProject, CreatedAt: c.CreatedAt, UpdatedAt: now, ACL: c.ACL,
			Latest: c.Latest, LatestAt: c.LatestAt, Current: c.Stages[Current], Previous: c.Stages[Previous],
		},
		Stages: map[Stage]Mark{}, Metadata: c.Metadata, Tags: c.Tags,
	}
	for s, m := range c.Stages {
		if s != Current && s != Previous {
			f.Stages[s] = m
		}
	}
	for _, v := range c.Versions {
		f.Versions = append(f.Versions, Version{
			Number: v.Number, ContentType: v.ContentType, CreatedAt: v.CreatedAt, ExpiresAt: v.ExpiresAt,
		})
		if v.Number == f.Secret.Current.Version {
			f.Secret.ContentType = v.ContentType
		}
	}
	return f, nil
}
