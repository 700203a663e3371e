package event

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
)

// Status is what became of a notification.
type Status string

const (
	Pending   Status = "PENDING" // nobody tried yet
	Delivered Status = "SUCCESS"
	Failed    Status = "FAIL"    // the last attempt; another may follow
	Unusable  Status = "INVALID" // its target is none that the operator lets notifications go to
)

// Notification is one firing of an event.
type Notification struct {
	ID      string // UUID of version 7
	Project auth.ProjectID
	At      time.Time
	Event   string
	Type    Type
	Target  Target // without its type
	Status  Status

	Secret       Subject
	Version      int // 0: it is not of a version
	VersionUntil *time.Time

	Attempts int       // those that were begun
	DueAt    time.Time // while it is claimed: when the claim lapses
}

// Subject is the secret that something happened to, as it was then.
type Subject struct {
	ID        string
	Name      string
	Kind      string // secret_type; empty for Barbican's
	CreatedAt time.Time
	UpdatedAt time.Time
}

// content is what receivers and records get to see (csms.md §8.4). No value is
// in it, nor anything that a value could be told from.
type content struct {
	EventName string `json:"eventName"`
	EventType Type   `json:"eventType"`
	EventTime string `json:"eventTime"`
	Data      struct {
		SecretID          string  `json:"secretId"`
		SecretName        string  `json:"secretName"`
		CreateTime        string  `json:"createTime"`
		UpdateTime        string  `json:"updateTime"`
		VersionID         *string `json:"versionId"`
		VersionExpireTime *string `json:"versionExpireTime"`
	} `json:"data"`
}

// Content is the notification in JSON.
func (n Notification) Content() []byte {
	c := content{EventName: n.Event, EventType: n.Type, EventTime: stamp(n.At)}
	c.Data.SecretID, c.Data.SecretName = n.Secret.ID, n.Secret.Name
	c.Data.CreateTime, c.Data.UpdateTime = stamp(n.Secret.CreatedAt), stamp(n.Secret.UpdatedAt)
	if n.Version != 0 {
		label := fmt.Sprintf("v%d", n.Version)
		c.Data.VersionID = &label
	}
	if n.VersionUntil != nil {
		until := stamp(*n.VersionUntil)
		c.Data.VersionExpireTime = &until
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // texts and nothing else
	}
	return b
}

// stamp is ISO 8601 in UTC, with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
