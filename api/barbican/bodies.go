package barbican

import (
	"cmp"
	"time"

	"github.com/strongroom-kms/strongroom/secret"
)

// secretBody is a secret as clients see it. A client passes its members to a
// constructor with a closed list of arguments, so there must never be more
// (§8.2).
type secretBody struct {
	Created      string            `json:"created"`
	Updated      string            `json:"updated"`
	Status       string            `json:"status"`
	Name         *string           `json:"name"`
	SecretType   string            `json:"secret_type"`
	Expiration   *string           `json:"expiration"`
	Algorithm    *string           `json:"algorithm"`
	BitLength    *int              `json:"bit_length"`
	Mode         *string           `json:"mode"`
	CreatorID    *string           `json:"creator_id"`
	Consumers    *[]consumerBody   `json:"consumers,omitempty"`
	ContentTypes map[string]string `json:"content_types,omitempty"`
	SecretRef    string            `json:"secret_ref"`
}

func (c *call) secretBody(s secret.Secret) secretBody {
	b := secretBody{
		Created:    formatTime(s.CreatedAt),
		Updated:    formatTime(s.UpdatedAt),
		Status:     "ACTIVE", // always: a secret without a payload lacks content_types instead
		Name:       s.Name,
		SecretType: cmp.Or(s.Type, "opaque"),
		Expiration: timeOrNull(s.Expiration),
		Algorithm:  s.Algorithm,
		BitLength:  s.BitLength,
		Mode:       s.Mode,
		SecretRef:  c.ref(s.ID),
	}
	if s.Creator != "" {
		id := string(s.Creator)
		b.CreatorID = &id
	}
	if c.version >= v1_1 {
		b.Consumers = consumersIn(s)
	}
	if s.ContentType != "" {
		b.ContentTypes = map[string]string{"default": s.ContentType}
	}
	return b
}

func timeOrNull(t *time.Time) *string {
	if t == nil {
		return nil
	}
	text := formatTime(*t)
	return &text
}

// refBody answers a creation.
type refBody struct {
	SecretRef string `json:"secret_ref"`
}

// listBody is a page of secrets.
type listBody struct {
	Secrets  []secretBody `json:"secrets"`
	Previous string       `json:"previous,omitempty"`
	Next     string       `json:"next,omitempty"`
	Total    int          `json:"total"`
}

type metadataBody struct {
	Metadata map[string]string `json:"metadata"`
}

type metadataRefBody struct {
	MetadataRef string `json:"metadata_ref"`
}

type metadatumBody struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}
