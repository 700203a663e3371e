package auth

import (
	"time"

	"github.com/strongroom-kms/strongroom/sensitive"
)

// AccessKey is what a request is signed with (AK/SK). Its secret is shared by
// everybody who asked for the same key: it must not be wiped.
type AccessKey struct {
	ID      string
	Secret  sensitive.Bytes
	User    UserID
	Project ProjectID // where its secret is sealed, and the project it means by default
	// Confined keeps the key to Project, as OpenStack's ec2 credentials are;
	// any other key reaches every project of its user.
	Confined    bool
	Enabled     bool
	Description string
	CreatedAt   time.Time
}

// ApplicationCredential lets a program be a user, in one project and with some
// of the user's roles.
type ApplicationCredential struct {
	ID          string // 32 lower-case hex digits
	Name        string // unique among its user's
	Description string
	User        UserID
	Project     ProjectID
	Roles       []Role
	// Unrestricted lets it manage the user's other credentials.
	Unrestricted bool
	CreatedAt    time.Time
	ExpiresAt    time.Time // zero: never
}

// Expired reports whether the credential has had its time.
func (c ApplicationCredential) Expired(now time.Time) bool {
	return !c.ExpiresAt.IsZero() && !c.ExpiresAt.After(now)
}
