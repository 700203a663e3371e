package realm

import (
	"context"
	"time"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

// What a Store answers where a thing is missing or taken.
var (
	ErrNoProject    = fault.New(fault.NotFound, "Could not find project.")
	ErrNoUser       = fault.New(fault.NotFound, "Could not find user.")
	ErrNoRole       = fault.New(fault.NotFound, "Could not find role.")
	ErrNoAssignment = fault.New(fault.NotFound, "Could not find role assignment.")
	ErrNoToken      = fault.New(fault.NotFound, "Could not find token.")
	ErrNoAccessKey  = fault.New(fault.NotFound, "Could not find credential.")
	ErrNoAppCred    = fault.New(fault.NotFound, "Could not find application credential.")
	ErrNameTaken    = fault.New(fault.Exists, "The name is already in use.")
	ErrKeyTaken     = fault.New(fault.Exists, "The access key is already in use.")
)

// Store keeps the realm. A change and its audit event become durable together
// or not at all. A method that finds something is one round trip. Package
// persistence/storetest says precisely what a Store does.
type Store interface {
	Projects
	Users
	Roles
	Tokens
	AccessKeys
	AppCreds
}

// Projects keeps projects. Lists are sorted by name.
type Projects interface {
	// CreateProject: ErrNameTaken.
	CreateProject(ctx context.Context, p auth.Project, ev audit.Event) error
	// UpdateProject replaces all but ID and CreatedAt: ErrNoProject,
	// ErrNameTaken. Disabling moves the project's stamp.
	UpdateProject(ctx context.Context, p auth.Project, ev audit.Event) error
	// DeleteProject takes its assignments, access keys and application
	// credentials along: ErrNoProject.
	DeleteProject(ctx context.Context, id auth.ProjectID, ev audit.Event) error
	FindProject(ctx context.Context, id auth.ProjectID) (auth.Project, error)
	ListProjects(ctx context.Context, q ProjectQuery) ([]auth.Project, error)
}

// ProjectQuery selects projects. Empty fields select nothing away.
type ProjectQuery struct {
	Name    string
	Member  auth.UserID // has some role there
	Enabled *bool
}

// Users keeps users. Lists are sorted by name.
type Users interface {
	// CreateUser stores u with the hash of a password, or "" for none:
	// ErrNameTaken, ErrNoProject for an unknown default project.
	CreateUser(ctx context.Context, u auth.User, hash string, ev audit.Event) error
	// UpdateUser replaces all but ID, CreatedAt and, where hash is nil, the
	// password: ErrNoUser, ErrNameTaken, ErrNoProject. Disabling and a new
	// password move the user's stamp.
	UpdateUser(ctx context.Context, u auth.User, hash *string, ev audit.Event) error
	// DeleteUser takes assignments, tokens and all credentials along: ErrNoUser.
	DeleteUser(ctx context.Context, id auth.UserID, ev audit.Event) error
	FindUser(ctx context.Context, id auth.UserID) (auth.User, error)
	ListUsers(ctx context.Context, q UserQuery) ([]auth.User, error)
	// FindLogin finds a user by ID or, where that is empty, by name, and what
	// it logs in with: ErrNoUser.
	FindLogin(ctx context.Context, id auth.UserID, name string) (Account, error)
}

// UserQuery selects users. Empty fields select nothing away.
type UserQuery struct {
	Name    string
	Enabled *bool
}

// Account is a user at the moment of a login.
type Account struct {
	User  auth.User
	Hash  string // of the password; empty: none
	Stamp int64
}

// Roles keeps roles and assignments.
type Roles interface {
	// CreateRole: ErrNameTaken.
	CreateRole(ctx context.Context, r auth.Role, ev audit.Event) error
	// UpdateRole: ErrNoRole, ErrNameTaken.
	UpdateRole(ctx context.Context, r auth.Role, ev audit.Event) error
	// DeleteRole takes its assignments along: ErrNoRole.
	DeleteRole(ctx context.Context, id auth.RoleID, ev audit.Event) error
	FindRole(ctx context.Context, id auth.RoleID) (auth.Role, error)
	// ListRoles lists the roles of that name, or all: sorted by name.
	ListRoles(ctx context.Context, name string) ([]auth.Role, error)

	// Assign gives a role; one that is given already is no error: ErrNoProject,
	// ErrNoUser, ErrNoRole.
	Assign(ctx context.Context, a auth.Assignment, ev audit.Event) error
	// Unassign takes a role away: ErrNoAssignment.
	Unassign(ctx context.Context, a auth.Assignment, ev audit.Event) error
	// Assignments lists what matches every field of a that is not empty, sorted
	// by project, user and role name.
	Assignments(ctx context.Context, a auth.Assignment) ([]NamedAssignment, error)
	// Member returns what a user is in a project or in the domain, whatever is
	// disabled: ErrNoUser, ErrNoProject. Roles may be empty.
	Member(ctx context.Context, u auth.UserID, p auth.ProjectID) (Member, error)
}

// NamedAssignment is an assignment with the names of its three parts.
type NamedAssignment struct {
	auth.Assignment
	ProjectName, UserName, RoleName string
}

// Member is a user in a project, or in the domain.
type Member struct {
	User         auth.User
	Project      auth.Project
	Roles        []auth.Role // assigned, sorted by name
	UserStamp    int64
	ProjectStamp int64
}

// Digest is the SHA-256 of an access token.
type Digest [32]byte

// Tokens keeps access tokens.
type Tokens interface {
	// AddToken stores a token that was just issued.
	AddToken(ctx context.Context, d Digest, g Grant, ev audit.Event) error
	// FindToken returns what a token stands for now: ErrNoToken where nobody
	// issued it, it was revoked, its user or project is disabled, gone or has
	// another stamp, or its application credential is gone or has had its time.
	// An expired token is found until it is purged; whoever asks looks at its
	// time. Roles are those that are assigned now.
	FindToken(ctx context.Context, d Digest, now time.Time) (Grant, error)
	// RemoveToken revokes one token: ErrNoToken.
	RemoveToken(ctx context.Context, d Digest, ev audit.Event) error
	// PurgeTokens removes some tokens, limit at most, that expired before then,
	// and says how many.
	PurgeTokens(ctx context.Context, before time.Time, limit int) (int, error)
}

// SealedKey is an access key as it is kept: Secret is empty, Sealed has it.
type SealedKey struct {
	auth.AccessKey
	UserEnabled bool // of its user; only read
	Sealed      envelope.Sealed
}

// AccessKeys keeps access keys.
type AccessKeys interface {
	// AddAccessKey: ErrKeyTaken, ErrNoUser, ErrNoProject; envelope.ErrKEKGone
	// where the KEK stopped being active since the secret was sealed.
	AddAccessKey(ctx context.Context, k SealedKey, ev audit.Event) error
	// FindAccessKey finds a key whatever is disabled: ErrNoAccessKey.
	FindAccessKey(ctx context.Context, id string) (SealedKey, error)
	// UpdateAccessKey changes Enabled and Description: ErrNoAccessKey.
	UpdateAccessKey(ctx context.Context, k auth.AccessKey, ev audit.Event) error
	DeleteAccessKey(ctx context.Context, id string, ev audit.Event) error
	// ListAccessKeys lists a user's keys, or all, without their secrets, sorted
	// by ID.
	ListAccessKeys(ctx context.Context, u auth.UserID) ([]auth.AccessKey, error)
}

// AppCreds keeps application credentials.
type AppCreds interface {
	// AddAppCred stores c with the hash of its secret: ErrNameTaken, ErrNoUser,
	// ErrNoProject, ErrNoRole.
	AddAppCred(ctx context.Context, c auth.ApplicationCredential, hash string, ev audit.Event) error
	// FindAppCred finds one and the hash of its secret, expired ones too:
	// ErrNoAppCred.
	FindAppCred(ctx context.Context, id string) (auth.ApplicationCredential, string, error)
	DeleteAppCred(ctx context.Context, id string, ev audit.Event) error
	// ListAppCreds lists a user's credentials, of that name or all, by name.
	ListAppCreds(ctx context.Context, u auth.UserID, name string) ([]auth.ApplicationCredential, error)
}

// Sealer keeps the secrets of access keys. *kek.Sealer is one.
type Sealer interface {
	Seal(ctx context.Context, payload sensitive.Bytes, under envelope.MasterKey, at envelope.Binding) (envelope.Sealed, error)
	Open(ctx context.Context, s envelope.Sealed, at envelope.Binding) (sensitive.Bytes, error)
	// Forget is called when a KEK that Seal used is not active any more.
	Forget(project string, under envelope.MasterKey, gone envelope.KEKID)
}

// Judge decides whether who may do act on t, and names the rule that decided.
type Judge interface {
	Decide(who auth.Principal, act policy.Action, t policy.Target) policy.Decision
}

// Recorder makes the record of a refusal durable before the answer leaves. A
// change needs none: its event is an argument of the Store.
type Recorder interface {
	Record(ctx context.Context, ev audit.Event) error
}

// Passwords hashes and verifies. *password.Hasher is one.
type Passwords interface {
	Hash(ctx context.Context, password sensitive.Bytes) (string, error)
	// Verify takes as long for hash "", which nothing matches, as for any other.
	Verify(ctx context.Context, password sensitive.Bytes, hash string) (bool, error)
}
