package realm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/kek/envelope"
	"github.com/strongroom-kms/strongroom/policy"
	"github.com/strongroom-kms/strongroom/sensitive"
)

var (
	errNoSuchKey  = fault.New(fault.Unauthenticated, "The access key does not exist or is disabled.")
	errNoHome     = fault.New(fault.Invalid, "project_id is needed: the user has no default project.")
	errNotAMember = fault.New(fault.Denied, "The user has no role in the project.")
	errKeyForm    = fault.New(fault.Invalid, "access must be 5 to 128 letters, digits, - and _.")
)

// sealTries is how often sealing starts over because a key was rotated.
const sealTries = 8

// AccessKey returns what a signature is checked with. A key that is unknown or
// disabled, also through its user, is an Unauthenticated fault. While it is
// remembered that costs no round trip. The secret is shared: do not wipe it.
func (s *Service) AccessKey(ctx context.Context, id string) (auth.AccessKey, error) {
	if !keyID(id) { // nobody has it, and it may be anything
		return auth.AccessKey{}, errNoSuchKey
	}
	k, err := s.keys.get(ctx, id, s.openKey(id))
	if err == nil && !k.Enabled {
		err = errNoSuchKey
	}
	if err != nil {
		return auth.AccessKey{}, err
	}
	return k, nil
}

// openKey reads a key and has the token open its secret, once per CacheTTL.
func (s *Service) openKey(id string) func(context.Context) (auth.AccessKey, error) {
	return func(ctx context.Context) (auth.AccessKey, error) {
		k, err := s.deps.Store.FindAccessKey(ctx, id)
		if errors.Is(err, ErrNoAccessKey) {
			return auth.AccessKey{}, errNoSuchKey
		}
		if err != nil {
			return auth.AccessKey{}, fmt.Errorf("find access key: %w", err)
		}
		k.Enabled = k.Enabled && k.UserEnabled
		if k.Enabled {
			k.Secret, err = s.deps.Sealer.Open(ctx, k.Sealed, keyPlace(k.AccessKey))
			if err != nil {
				return auth.AccessKey{}, fmt.Errorf("open access key: %w", err)
			}
		}
		return k.AccessKey, nil
	}
}

// keyPlace is what binds a sealed secret to its key.
func keyPlace(k auth.AccessKey) envelope.Binding {
	return envelope.Binding{Project: string(k.Project), Secret: "access-key/" + k.ID, Version: 1}
}

// membership is a user in a project, as it is remembered.
type membership struct {
	user    auth.UserID
	project auth.ProjectID
}

// InProject returns the key's user as a principal of p. No role there, a
// disabled project, one that does not exist and one the key is not for are all
// a Denied fault.
func (s *Service) InProject(ctx context.Context, k auth.AccessKey, p auth.ProjectID) (auth.Principal, error) {
	if k.Confined && p != k.Project || !isID(string(p)) {
		return auth.Principal{}, errNotAMember
	}
	m, err := s.member(ctx, k.User, p)
	switch {
	case errors.Is(err, ErrNoProject), errors.Is(err, ErrNoUser):
		return auth.Principal{}, errNotAMember
	case err != nil:
		return auth.Principal{}, fmt.Errorf("find roles: %w", err)
	case !m.User.Enabled || !m.Project.Enabled || len(m.Roles) == 0:
		return auth.Principal{}, errNotAMember
	}
	who := signer(k, m)
	who.Project, who.Roles = p, roleNames(m.Roles)
	return who, nil
}

// member remembers a user's roles in a project, implied ones included.
func (s *Service) member(ctx context.Context, u auth.UserID, p auth.ProjectID) (Member, error) {
	return s.members.get(ctx, membership{u, p}, func(ctx context.Context) (Member, error) {
		m, err := s.deps.Store.Member(ctx, u, p)
		m.Roles = withImplied(m.Roles)
		return m, err
	})
}

func signer(k auth.AccessKey, m Member) auth.Principal {
	return auth.Principal{
		User: k.User, UserName: m.User.Name, Domain: auth.DefaultDomain.ID, ProjectDomain: auth.DefaultDomain.ID,
		Method: auth.BySignature, Credential: k.ID,
	}
}

// ByAccessKey returns the key's user as a principal of the key's own project,
// or without a project where it has no role there. It is for paths that name
// no project: the realm's own.
func (s *Service) ByAccessKey(ctx context.Context, k auth.AccessKey) (auth.Principal, error) {
	who, err := s.InProject(ctx, k, k.Project)
	if errors.Is(err, errNotAMember) {
		return signer(k, Member{}), nil
	}
	return who, err
}

// NewAccessKey is an access key to be made. Empty fields are chosen.
type NewAccessKey struct {
	User        auth.UserID
	Project     auth.ProjectID
	ID          string
	Secret      sensitive.Bytes
	Confined    bool
	Description string
}

// CreateAccessKey makes an access key. Its secret is returned, and can be read
// again only through the signatures it makes.
func (s *Service) CreateAccessKey(ctx context.Context, who auth.Principal, in NewAccessKey) (auth.AccessKey, error) {
	ev, err := s.admitCredential(ctx, who, "access_key.create", credentialTarget(in.User, string(in.Project), in.ID), in.User)
	if err != nil {
		return auth.AccessKey{}, err
	}
	k := auth.AccessKey{
		ID: in.ID, Secret: in.Secret, User: in.User, Project: in.Project, Confined: in.Confined,
		Enabled: true, Description: in.Description, CreatedAt: s.now(),
	}
	if k.Project == "" {
		if k.Project, err = s.homeOf(ctx, k.User); err != nil {
			return auth.AccessKey{}, err
		}
	}
	if err := s.mayUseProject(ctx, k.User, k.Project); err != nil {
		return auth.AccessKey{}, s.refuse(ctx, ev.As(audit.Refused), err)
	}
	return s.addKey(ctx, k, ev)
}

// mayUseProject says whether the user has a role in the project: a key in a
// project of somebody else would spend that one's keys.
func (s *Service) mayUseProject(ctx context.Context, u auth.UserID, p auth.ProjectID) error {
	m, err := s.deps.Store.Member(ctx, u, p)
	switch {
	case errors.Is(err, ErrNoProject):
		return errNotAMember
	case err != nil:
		return fmt.Errorf("find roles: %w", err)
	case len(m.Roles) == 0 || !isID(string(p)):
		return errNotAMember
	}
	return nil
}

func (s *Service) homeOf(ctx context.Context, u auth.UserID) (auth.ProjectID, error) {
	user, err := s.deps.Store.FindUser(ctx, u)
	if err != nil {
		return "", fmt.Errorf("find user: %w", err)
	}
	home, err := s.home(ctx, u, user.DefaultProject)
	if err != nil {
		return "", err
	}
	if len(home) == 0 {
		return "", errNoHome
	}
	return home[0].ID, nil
}

// addKey chooses what is not chosen yet, seals the secret and stores the key.
// The secret is sealed before anything is written: the token may take seconds.
func (s *Service) addKey(ctx context.Context, k auth.AccessKey, ev audit.Event) (auth.AccessKey, error) {
	if k.ID == "" {
		k.ID = randomUpper(20)
	}
	if !keyID(k.ID) {
		return auth.AccessKey{}, errKeyForm
	}
	if k.Secret.Len() == 0 {
		k.Secret = randomSecret()
	}
	ev.Target.ID, ev.Target.Project = k.ID, string(k.Project)
	defer s.keys.drop(k.ID)
	for range sealTries {
		sealed, err := s.deps.Sealer.Seal(ctx, k.Secret, envelope.Default, keyPlace(k))
		if err != nil {
			return auth.AccessKey{}, fmt.Errorf("seal access key: %w", err)
		}
		err = s.deps.Store.AddAccessKey(ctx, SealedKey{AccessKey: k, Sealed: sealed}, ev)
		if !errors.Is(err, envelope.ErrKEKGone) {
			return k, err
		}
		s.deps.Sealer.Forget(string(k.Project), envelope.Default, sealed.KEK.ID)
	}
	return auth.AccessKey{}, envelope.ErrKEKGone
}

// AccessKeys lists a user's keys without their secrets; all users' for "".
func (s *Service) AccessKeys(ctx context.Context, who auth.Principal, u auth.UserID) ([]auth.AccessKey, error) {
	if err := s.read(ctx, who, "access_key.list", credentialTarget(u, "", ""), u); err != nil {
		return nil, err
	}
	return s.deps.Store.ListAccessKeys(ctx, u)
}

// ShowAccessKey returns a key without its secret.
func (s *Service) ShowAccessKey(ctx context.Context, who auth.Principal, id string) (auth.AccessKey, error) {
	k, err := s.findKey(ctx, who, policy.IdentityRead, "access_key.show", id)
	if err != nil {
		return auth.AccessKey{}, err
	}
	return k, s.read(ctx, who, "access_key.show", credentialTarget(k.User, string(k.Project), id), k.User)
}

// UpdateAccessKey enables or disables a key, or describes it anew. What is nil
// stays.
func (s *Service) UpdateAccessKey(ctx context.Context, who auth.Principal, id string, enabled *bool, description *string) (auth.AccessKey, error) {
	k, err := s.findKey(ctx, who, policy.IdentityManage, "access_key.update", id)
	if err != nil {
		return auth.AccessKey{}, err
	}
	ev, err := s.admitCredential(ctx, who, "access_key.update", credentialTarget(k.User, string(k.Project), id), k.User)
	if err != nil {
		return auth.AccessKey{}, err
	}
	set(&k.Enabled, enabled)
	set(&k.Description, description)
	defer s.keys.drop(id)
	return k, s.deps.Store.UpdateAccessKey(ctx, k, ev)
}

// DeleteAccessKey removes a key for good.
func (s *Service) DeleteAccessKey(ctx context.Context, who auth.Principal, id string) error {
	k, err := s.findKey(ctx, who, policy.IdentityManage, "access_key.delete", id)
	if err != nil {
		return err
	}
	ev, err := s.admitCredential(ctx, who, "access_key.delete", credentialTarget(k.User, string(k.Project), id), k.User)
	if err != nil {
		return err
	}
	defer s.keys.drop(id)
	return s.deps.Store.DeleteAccessKey(ctx, id, ev)
}

// findKey finds a key, and records who looks for one that is not there.
func (s *Service) findKey(ctx context.Context, who auth.Principal, act policy.Action, does, id string) (auth.AccessKey, error) {
	k, err := s.deps.Store.FindAccessKey(ctx, id)
	if errors.Is(err, ErrNoAccessKey) {
		return auth.AccessKey{}, s.miss(ctx, who, act, does, credentialTarget("", "", id), ErrNoAccessKey)
	}
	return k.AccessKey, err
}

func credentialTarget(u auth.UserID, project, id string) policy.Target {
	return policy.Target{Kind: "credential", Project: project, ID: id, Owner: string(u)}
}

// isID reports whether id looks like one that the realm makes. Nothing else is
// worth a question to the database.
func isID(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0123456789abcdef") == ""
}

func keyID(id string) bool {
	return len(id) >= 5 && len(id) <= 128 && strings.IndexFunc(id, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}

// randomUpper returns n random characters out of A-Z and 2-7.
func randomUpper(n int) string { return rand.Text()[:n] }

// randomSecret returns 40 random characters, as many as Huawei Cloud and AWS
// hand out: 200 bits.
func randomSecret() sensitive.Bytes {
	return sensitive.Take([]byte((rand.Text() + rand.Text())[:40]))
}
