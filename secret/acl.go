package secret

import (
	"time"

	"github.com/strongroom-kms/strongroom/auth"
)

// ACL says who may read a secret or a container beside, or instead of, those
// whom the project's roles let (barbican.md §11).
type ACL struct {
	// Private takes the project's readers away: administrators, the creator and
	// Readers are left.
	Private bool
	// Readers are user IDs of any project, sorted, each once. They need no role.
	Readers   []auth.UserID
	CreatedAt time.Time
	UpdatedAt time.Time
}
