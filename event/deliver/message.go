package deliver

import (
	"encoding/json"
	"fmt"
	"net/url"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/strongroom-kms/strongroom/event"
)

// mediaType is that of a whole CloudEvent in JSON: what is signed covers all of
// it.
const mediaType = "application/cloudevents+json"

// kinds are what CloudEvents call the types.
var kinds = map[event.Type]string{
	event.VersionCreated: "io.github.strongroom-kms.csms.secret.version-created",
	event.VersionExpired: "io.github.strongroom-kms.csms.secret.version-expired",
	event.Rotated:        "io.github.strongroom-kms.csms.secret.rotated",
	event.RotationFailed: "io.github.strongroom-kms.csms.secret.rotation-failed",
	event.Deleted:        "io.github.strongroom-kms.csms.secret.deleted",
}

// message is n as a receiver gets it. It is the same however often it is sent.
func message(n event.Notification) ([]byte, error) {
	e := cloudevents.New()
	e.SetID(n.ID)
	e.SetSource("/v1/" + url.PathEscape(string(n.Project)) + "/csms/events/" + n.Event)
	e.SetType(kinds[n.Type])
	e.SetSubject(n.Secret.Name)
	e.SetTime(n.At)
	if err := e.SetData(cloudevents.ApplicationJSON, n.Content()); err != nil {
		return nil, fmt.Errorf("make CloudEvent: %w", err)
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("make CloudEvent: %w", err)
	}
	return json.Marshal(e)
}
