package csms

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"github.com/strongroom-kms/strongroom/secret"
)

// secretBody is a secret without its value (csms.md §2.3). Its clients' models
// are typed: a member may be null or missing, never of another type.
type secretBody struct {
	ID                  string   `json:"id"`
	Name                string   `json:"name"`
	State               string   `json:"state"`
	KMSKeyID            *string  `json:"kms_key_id"` // null before the first version
	Description         string   `json:"description"`
	CreateTime          int64    `json:"create_time"`
	UpdateTime          int64    `json:"update_time"`
	ScheduledDeleteTime *int64   `json:"scheduled_delete_time"`
	SecretType          string   `json:"secret_type"`
	AutoRotation        bool     `json:"auto_rotation"`
	RotationPeriod      *string  `json:"rotation_period"`
	RotationConfig      *string  `json:"rotation_config"`
	RotationTime        *int64   `json:"rotation_time"`
	NextRotationTime    *int64   `json:"next_rotation_time"`
	EventSubscriptions  []string `json:"event_subscriptions"`
	EnterpriseProjectID string   `json:"enterprise_project_id"`
	RotationFuncURN     *string  `json:"rotation_func_urn"`
}

type secretAnswer struct {
	Secret secretBody `json:"secret"`
}

// defaultEnterpriseProject is everybody's, also of secrets that came through
// the other family's door.
const defaultEnterpriseProject = "0"

func bodyOf(s secret.Secret) secretBody {
	b := secretBody{
		ID:                  string(s.ID),
		Name:                s.Handle,
		State:               string(s.State),
		KMSKeyID:            orNull(string(s.Key)),
		Description:         s.Description,
		CreateTime:          ms(s.CreatedAt),
		UpdateTime:          ms(s.UpdatedAt),
		ScheduledDeleteTime: msOrNull(s.DeleteAt),
		SecretType:          cmp.Or(s.Kind, common),
		AutoRotation:        s.Rotation.Auto,
		RotationPeriod:      orNull(s.Rotation.Period),
		RotationConfig:      orNull(s.Rotation.Config),
		RotationTime:        msOrNull(s.Rotation.Last),
		NextRotationTime:    msOrNull(s.Rotation.Next),
		EventSubscriptions:  []string{},
		EnterpriseProjectID: cmp.Or(s.EnterpriseProject, defaultEnterpriseProject),
		RotationFuncURN:     orNull(s.Rotation.FuncURN),
	}
	if s.Event != "" {
		b.EventSubscriptions = append(b.EventSubscriptions, s.Event)
	}
	return b
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// pageInfo has markers only where there is something to mark: clients page on
// until next_marker is gone, and take an empty one for a name.
type pageInfo struct {
	NextMarker     *string `json:"next_marker"`
	PreviousMarker *string `json:"previous_marker"`
	CurrentCount   int     `json:"current_count"`
}

func page(keys []string, more bool) pageInfo {
	p := pageInfo{CurrentCount: len(keys)}
	if len(keys) > 0 {
		p.PreviousMarker = &keys[0]
		if more {
			p.NextMarker = &keys[len(keys)-1]
		}
	}
	return p
}

type secretsAnswer struct {
	Secrets  []secretBody `json:"secrets"`
	PageInfo pageInfo     `json:"page_info"`
}

// metadataBody is a version without its value.
type metadataBody struct {
	ID            string         `json:"id"`
	CreateTime    int64          `json:"create_time"`
	ExpireTime    *int64         `json:"expire_time"`
	KMSKeyID      string         `json:"kms_key_id"`
	SecretName    string         `json:"secret_name"`
	VersionStages []secret.Stage `json:"version_stages"`
}

type metadataAnswer struct {
	Metadata metadataBody `json:"version_metadata"`
}

type metadatasAnswer struct {
	Metadatas []metadataBody `json:"version_metadatas"`
	PageInfo  pageInfo       `json:"page_info"`
}

func metadataOf(v secret.Version, name string) metadataBody {
	stages := v.Stages
	if stages == nil {
		stages = []secret.Stage{} // deprecated, not unknown
	}
	return metadataBody{
		ID:            v.Label(),
		CreateTime:    ms(v.CreatedAt),
		ExpireTime:    msOrNull(v.ExpiresAt),
		KMSKeyID:      string(v.Key),
		SecretName:    name,
		VersionStages: stages,
	}
}

// versionBody is a version with its value, in one of two members.
type versionBody struct {
	Metadata     metadataBody `json:"version_metadata"`
	SecretString *string      `json:"secret_string,omitempty"`
	SecretBinary []byte       `json:"secret_binary,omitzero"` // base64 by encoding/json
}

type versionAnswer struct {
	Version versionBody `json:"version"`
}

// versionOf tells text from bytes by what the payload is, for it may have come
// through the other family's door (DESIGN §3).
func versionOf(r secret.Revealed) versionBody {
	b := versionBody{Metadata: metadataOf(r.Version, r.Secret.Handle)}
	raw := r.Payload.Reveal()
	if strings.HasPrefix(r.Version.ContentType, "text/") && utf8.Valid(raw) {
		text := string(raw)
		b.SecretString = &text
	} else {
		b.SecretBinary = raw
	}
	return b
}

type stageBody struct {
	Name       secret.Stage `json:"name"`
	UpdateTime int64        `json:"update_time"`
	SecretName string       `json:"secret_name"`
	VersionID  string       `json:"version_id"`
}

type stageAnswer struct {
	Stage stageBody `json:"stage"`
}

func stageOf(name secret.Stage, m secret.Mark, of string) stageBody {
	return stageBody{name, ms(m.Since), of, secret.Version{Number: m.Version}.Label()}
}
