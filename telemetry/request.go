package telemetry

import "github.com/google/uuid"

// NewRequestID returns a fresh identifier, req-<uuid>, in OpenStack's form.
func NewRequestID() string { return "req-" + uuid.NewString() }
