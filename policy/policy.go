// Package policy has the words of a decision: actions, targets, and the answer
// with the rules that gave it. Which rules there are is the operator's; the
// engine behind them is in package policy/cedar.
package policy

// Family is the family of clients through whose door a request came. The same
// operation is a different action to each: Barbican asks for secrets:post
// where Huawei's IAM asks for csms:secret:create.
type Family uint8

const (
	NoFamily   Family = iota
	KeyManager        // OpenStack Key Manager v1
	Huawei            // CSMS v1 and KMS v1.0
	Identity          // the built-in identity
	Operator          // strongroom's own commands
)

func (f Family) String() string {
	switch f {
	case KeyManager:
		return "key-manager"
	case Huawei:
		return "huawei"
	case Identity:
		return "identity"
	case Operator:
		return "operator"
	}
	return "none"
}

// Action is one operation of the domain, before any dialect's name for it.
type Action string

const (
	SecretCreate   Action = "secret.create"
	SecretList     Action = "secret.list"
	SecretShow     Action = "secret.show"     // everything but the payload
	SecretReveal   Action = "secret.reveal"   // the payload
	SecretStore    Action = "secret.store"    // Barbican's second step
	SecretUpdate   Action = "secret.update"   // attributes
	SecretDelete   Action = "secret.delete"   // at once
	MetadataRead   Action = "metadata.read"   // user metadata
	MetadataWrite  Action = "metadata.write"  // user metadata
	VersionAdd     Action = "version.add"     // a new payload
	VersionList    Action = "version.list"    // no payloads
	VersionUpdate  Action = "version.update"  // its expiry
	StageShow      Action = "stage.show"      //
	StageUpdate    Action = "stage.update"    // create or move
	StageDelete    Action = "stage.delete"    //
	KeyCreate      Action = "key.create"      // a master key
	DataKeyCreate  Action = "datakey.create"  // sealing under a master key named by the caller
	DataKeyOpen    Action = "datakey.open"    // opening what was sealed under such a key
	ProjectEnter   Action = "project.enter"   // a path of another project; no rule allows it
	IdentityRead   Action = "identity.read"   // users, projects, roles, assignments
	IdentityManage Action = "identity.manage" //
)

// name has each action's name in each family's own policy language. A missing
// name means that the family has no such operation: it is always refused.
var names = map[Action]struct{ keyManager, huawei, identity string }{
	SecretCreate:   {"secrets:post", "csms:secret:create", ""},
	SecretList:     {"secrets:get", "csms:secret:list", ""},
	SecretShow:     {"secret:get", "csms:secret:get", ""},
	SecretReveal:   {"secret:decrypt", "csms:secret:getVersion", ""},
	SecretStore:    {"secret:put", "", ""},
	SecretUpdate:   {"", "csms:secret:update", ""},
	SecretDelete:   {"secret:delete", "csms:secret:delete", ""},
	MetadataRead:   {"secret_meta:get", "", ""},
	MetadataWrite:  {"secret_meta:put", "", ""},
	VersionAdd:     {"", "csms:secret:createVersion", ""},
	VersionList:    {"", "csms:secret:listVersion", ""},
	VersionUpdate:  {"", "csms:secret:updateVersion", ""},
	StageShow:      {"", "csms:secret:getStage", ""},
	StageUpdate:    {"", "csms:secret:updateStage", ""},
	StageDelete:    {"", "csms:secret:deleteStage", ""},
	KeyCreate:      {"", "kms:cmk:create", ""},
	DataKeyCreate:  {"", "kms:dek:create", ""},
	DataKeyOpen:    {"", "kms:dek:crypto", ""},
	ProjectEnter:   {},
	IdentityRead:   {"", "", "identity:read"},
	IdentityManage: {"", "", "identity:manage"},
}

// Actions lists every action, for tests and for checking policy files.
func Actions() []Action {
	all := make([]Action, 0, len(names))
	for a := range names {
		all = append(all, a)
	}
	return all
}

// In returns the action's name in the policy language of f, and "" where that
// family has no such operation.
func (a Action) In(f Family) string {
	n := names[a]
	switch f {
	case KeyManager:
		return n.keyManager
	case Huawei:
		return n.huawei
	case Identity, Operator:
		return n.identity
	}
	return ""
}

// Target is what an action is asked for. Where the target does not exist yet,
// or the action is on a whole project, only Project is set.
type Target struct {
	Kind    string // "secret", "key", "project", "user", …
	Project string // who owns it
	ID      string
	Name    string
	Owner   string   // user ID of its creator; empty matches nobody
	Private bool     // an ACL took the project's readers away
	Readers []string // user IDs that an ACL lets read, of any project
	Key     string   // UUID of the master key, where the rule may ask
	Version string   // the version asked for, e.g. v2
	Stage   string
}

// Decision is the answer. The zero value refuses.
type Decision struct {
	Allowed bool
	Rules   []string // the rules that decided; empty where no rule allowed it
}
