// Package policy has the words of a decision: actions, targets, and the answer
// with the rules that gave it. Which rules there are is the operator's; the
// engine behind them is in package policy/cedar.
package policy

import "github.com/strongroom-kms/strongroom/fault"

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
	SecretPurge    Action = "secret.purge"    // its time is over; nobody asks for it
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
	SecretACLRead  Action = "secret.acl.read" //
	SecretACLWrite Action = "secret.acl.write"
	SecretACLDrop  Action = "secret.acl.drop"
	ConsumerList   Action = "secret.consumer.list"
	ConsumerAdd    Action = "secret.consumer.add"
	ConsumerRemove Action = "secret.consumer.remove"
	ProjectEnter   Action = "project.enter"   // a path of another project; no rule allows it
	IdentityRead   Action = "identity.read"   // users, projects, roles, assignments
	IdentityManage Action = "identity.manage" //
)

// What Barbican has beside secrets.
const (
	ContainerCreate         Action = "container.create"
	ContainerList           Action = "container.list"
	ContainerShow           Action = "container.show"
	ContainerDelete         Action = "container.delete"
	ContainerSecretAdd      Action = "container.secret.add"
	ContainerSecretRemove   Action = "container.secret.remove"
	ContainerACLRead        Action = "container.acl.read"
	ContainerACLWrite       Action = "container.acl.write"
	ContainerACLDrop        Action = "container.acl.drop"
	ContainerConsumerList   Action = "container.consumer.list"
	ContainerConsumerAdd    Action = "container.consumer.add"
	ContainerConsumerRemove Action = "container.consumer.remove"
	OrderCreate             Action = "order.create"
	OrderList               Action = "order.list"
	OrderUpdate             Action = "order.update" // nobody can, but who may hear that is a rule
	OrderShow               Action = "order.show"
	OrderDelete             Action = "order.delete"
	QuotaShow               Action = "quota.show"           // the caller's own, effective
	ProjectQuotaShow        Action = "project-quota.show"   // of any project
	ProjectQuotaChange      Action = "project-quota.change" // of any project
	ProjectQuotaDelete      Action = "project-quota.delete" // of any project
	StoreList               Action = "store.list"
	StoreShow               Action = "store.show"
	StoreShowDefault        Action = "store.show-default"
	StoreShowPreferred      Action = "store.show-preferred"
	StorePrefer             Action = "store.prefer"
	StoreForget             Action = "store.forget" // the preference
	TransportKeyList        Action = "transport-key.list"
	TransportKeyShow        Action = "transport-key.show"
	TransportKeyCreate      Action = "transport-key.create"
	TransportKeyDelete      Action = "transport-key.delete"
)

// What CSMS has beside secrets, versions and stages.
const (
	SecretSchedule   Action = "secret.schedule"   // its deletion
	SecretUnschedule Action = "secret.unschedule" //
	SecretBackup     Action = "secret.backup"     // every payload, in a blob that only this installation opens
	SecretRevealMany Action = "secret.reveal-many"
	SecretRotate     Action = "secret.rotate"
	TaskList         Action = "rotation.list"
	TagAdd           Action = "tag.add"
	TagList          Action = "tag.list"
	TagRemove        Action = "tag.remove"
	TagBatch         Action = "tag.batch"
	TagListProject   Action = "tag.list-project"
	TagFind          Action = "tag.find" // secrets by their tags
	EventCreate      Action = "event.create"
	EventList        Action = "event.list"
	EventShow        Action = "event.show"
	EventUpdate      Action = "event.update"
	EventDelete      Action = "event.delete"
	RecordList       Action = "notification.list"
	PasswordGenerate Action = "password.generate"
	GrantWrite       Action = "grant.write"
	GrantList        Action = "grant.list"
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
	SecretPurge:    {},
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
	SecretACLRead:  {"secret_acls:get", "", ""},
	SecretACLWrite: {"secret_acls:put_patch", "", ""},
	SecretACLDrop:  {"secret_acls:delete", "", ""},
	ConsumerList:   {"secret_consumers:get", "", ""},
	ConsumerAdd:    {"secret_consumers:post", "", ""},
	ConsumerRemove: {"secret_consumers:delete", "", ""},
	ProjectEnter:   {},
	IdentityRead:   {"", "", "identity:read"},
	IdentityManage: {"", "", "identity:manage"},

	SecretSchedule:   {"", "csms:secret:scheduleDeletion", ""},
	SecretUnschedule: {"", "csms:secret:restoreSecret", ""},
	SecretBackup:     {"", "csms:secret:get", ""},
	SecretRevealMany: {"", "csms:secret:batchGetSecretValue", ""},
	SecretRotate:     {"", "csms:secret:rotate", ""},
	TaskList:         {"", "csms::listTasks", ""},
	TagAdd:           {"", "csms:secret:createTag", ""},
	TagList:          {"", "csms:secret:listTags", ""},
	TagRemove:        {"", "csms:secret:deleteTag", ""},
	TagBatch:         {"", "csms:secret:batchCreateOrDeleteTags", ""},
	TagListProject:   {"", "csms::listProjectTags", ""},
	TagFind:          {"", "csms:secret:getSecretsByTag", ""},
	EventCreate:      {"", "csms::createEvent", ""},
	EventList:        {"", "csms::listEvents", ""},
	EventShow:        {"", "csms::getEvent", ""},
	EventUpdate:      {"", "csms::updateEvent", ""},
	EventDelete:      {"", "csms::deleteEvent", ""},
	RecordList:       {"", "csms::listNotificationRecords", ""},
	PasswordGenerate: {"", "csms::generatePassword", ""},
	GrantWrite:       {"", "csms:secret:grant", ""},
	GrantList:        {"", "csms:secret:listGrants", ""},

	ContainerCreate:         {"containers:post", "", ""},
	ContainerList:           {"containers:get", "", ""},
	ContainerShow:           {"container:get", "", ""},
	ContainerDelete:         {"container:delete", "", ""},
	ContainerSecretAdd:      {"container_secret:post", "", ""},
	ContainerSecretRemove:   {"container_secret:delete", "", ""},
	ContainerACLRead:        {"container_acls:get", "", ""},
	ContainerACLWrite:       {"container_acls:put_patch", "", ""},
	ContainerACLDrop:        {"container_acls:delete", "", ""},
	ContainerConsumerList:   {"container_consumers:get", "", ""},
	ContainerConsumerAdd:    {"container_consumers:post", "", ""},
	ContainerConsumerRemove: {"container_consumers:delete", "", ""},
	OrderCreate:             {"orders:post", "", ""},
	OrderList:               {"orders:get", "", ""},
	OrderUpdate:             {"orders:put", "", ""},
	OrderShow:               {"order:get", "", ""},
	OrderDelete:             {"order:delete", "", ""},
	QuotaShow:               {"quotas:get", "", ""},
	ProjectQuotaShow:        {"project_quotas:get", "", ""},
	ProjectQuotaChange:      {"project_quotas:put", "", ""},
	ProjectQuotaDelete:      {"project_quotas:delete", "", ""},
	StoreList:               {"secretstores:get", "", ""},
	StoreShow:               {"secretstore:get", "", ""},
	StoreShowDefault:        {"secretstores:get_global_default", "", ""},
	StoreShowPreferred:      {"secretstores:get_preferred", "", ""},
	StorePrefer:             {"secretstore_preferred:post", "", ""},
	StoreForget:             {"secretstore_preferred:delete", "", ""},
	TransportKeyList:        {"transport_keys:get", "", ""},
	TransportKeyShow:        {"transport_key:get", "", ""},
	TransportKeyCreate:      {"transport_keys:post", "", ""},
	TransportKeyDelete:      {"transport_key:delete", "", ""},
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
	Kind    string // "secret", "container", "order", "event", "store", "transport-key", "key", "project", "user", …
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

// ErrDenied is what every refusal of the policy wraps.
var ErrDenied = fault.New(fault.Denied, "the caller may not do this")

// Denied is the refusal of act. It names the rule that would have had to allow
// it, as the family's own policy language has it, and nothing of the target.
func Denied(f Family, act Action) error {
	rule := act.In(f)
	if rule == "" {
		return ErrDenied
	}
	return fault.Wrap(fault.Denied, "the policy rule "+rule+" does not allow this to the caller", ErrDenied)
}
