package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/audit"
	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/fault"
	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/kek"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// Realm is what RunIdentity needs: a realm's store, and the key hierarchy that
// its access keys depend on.
type Realm struct {
	Store realm.Store
	Keys  kek.Store
}

// RunIdentity exercises one implementation of realm.Store. open returns an
// empty one.
func RunIdentity(t *testing.T, open func(t *testing.T) Realm) {
	for name, test := range map[string]func(*testing.T, *people){
		"ProjectsKeepWhatTheyWere":      projectsKeepWhatTheyWere,
		"UsersKeepWhatTheyWere":         usersKeepWhatTheyWere,
		"RolesKeepWhatTheyWere":         rolesKeepWhatTheyWere,
		"NamesAreUnique":                namesAreUnique,
		"WhatIsMissingSaysSo":           whatIsMissingSaysSo,
		"TheDomainStays":                theDomainStays,
		"AssignmentsAreListed":          assignmentsAreListed,
		"MembersHaveTheirRoles":         membersHaveTheirRoles,
		"TokensStandForWhatIsTrueNow":   tokensStandForWhatIsTrueNow,
		"TokensDie":                     tokensDie,
		"TokensOfACredentialAreLimited": tokensOfACredentialAreLimited,
		"PurgeTakesTheExpired":          purgeTakesTheExpired,
		"AccessKeysKeepWhatTheyWere":    accessKeysKeepWhatTheyWere,
		"AccessKeysNeedTheActiveKEK":    accessKeysNeedTheActiveKEK,
		"AppCredsKeepWhatTheyWere":      appCredsKeepWhatTheyWere,
		"DeletingTakesAlong":            deletingTakesAlong,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, settle(t, open(t)))
		})
	}
}

// born is when everything in these tests was made.
var born = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// people is a small realm: alice, bob, two projects, two roles.
type people struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // of the test
	store realm.Store
	keys  kek.Store

	alice, bob     auth.User
	red, blue      auth.Project
	member, reader auth.Role
}

func settle(t *testing.T, r Realm) *people {
	t.Helper()
	p := &people{t: t, ctx: t.Context(), store: r.Store, keys: r.Keys}
	p.red = auth.Project{ID: auth.ProjectID(hexID()), Name: "red", Description: "a colour", Enabled: true, CreatedAt: born}
	p.blue = auth.Project{ID: auth.ProjectID(hexID()), Name: "blue", Enabled: true, CreatedAt: born}
	p.member = auth.Role{ID: auth.RoleID(hexID()), Name: "member", Description: "does things"}
	p.reader = auth.Role{ID: auth.RoleID(hexID()), Name: "reader"}
	p.ok(p.store.CreateProject(p.ctx, p.red, event()))
	p.ok(p.store.CreateProject(p.ctx, p.blue, event()))
	p.ok(p.store.CreateRole(p.ctx, p.member, event()))
	p.ok(p.store.CreateRole(p.ctx, p.reader, event()))
	p.alice = auth.User{
		ID: auth.UserID(hexID()), Name: "alice", Email: "a@example.org", Description: "who", Enabled: true,
		DefaultProject: p.red.ID, CreatedAt: born, PasswordAt: born,
	}
	p.bob = auth.User{ID: auth.UserID(hexID()), Name: "bob", Enabled: true, CreatedAt: born}
	p.ok(p.store.CreateUser(p.ctx, p.alice, "hash of alice", event()))
	p.ok(p.store.CreateUser(p.ctx, p.bob, "", event()))
	return p
}

func hexID() string {
	u := uuid.New()
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 32)
	for _, b := range u {
		out = append(out, digits[b>>4], digits[b&15])
	}
	return string(out)
}

func event() audit.Event {
	return audit.Event{ID: uuid.Must(uuid.NewV7()).String(), At: born, Action: "test", Outcome: audit.Success}
}

func (p *people) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *people) want(err, want error) {
	p.t.Helper()
	if !errors.Is(err, want) {
		p.t.Errorf("error %v, want %v", err, want)
	}
}

func (p *people) assign(project auth.ProjectID, u auth.User, r auth.Role) {
	p.t.Helper()
	p.ok(p.store.Assign(p.ctx, auth.Assignment{Project: project, User: u.ID, Role: r.ID}, event()))
}

// same compares two values that == works for.
func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func names(roles []auth.Role) string {
	out := ""
	for _, r := range roles {
		out += r.Name + " "
	}
	return out
}

func projectsKeepWhatTheyWere(t *testing.T, p *people) {
	got, err := p.store.FindProject(p.ctx, p.red.ID)
	p.ok(err)
	same(t, "found", got, p.red)

	p.red.Name, p.red.Description, p.red.Enabled = "crimson", "", false
	p.ok(p.store.UpdateProject(p.ctx, p.red, event()))
	got, err = p.store.FindProject(p.ctx, p.red.ID)
	p.ok(err)
	same(t, "updated", got, p.red)

	p.assign(p.blue.ID, p.bob, p.reader)
	p.assign(p.blue.ID, p.bob, p.member)
	on := true
	for _, tc := range []struct {
		q    realm.ProjectQuery
		want string
	}{
		{realm.ProjectQuery{}, "blue crimson "},
		{realm.ProjectQuery{Name: "blue"}, "blue "},
		{realm.ProjectQuery{Name: "b%"}, ""},
		{realm.ProjectQuery{Name: "Default"}, ""},
		{realm.ProjectQuery{Member: p.bob.ID}, "blue "},
		{realm.ProjectQuery{Member: p.alice.ID}, ""},
		{realm.ProjectQuery{Enabled: &on}, "blue "},
	} {
		list, err := p.store.ListProjects(p.ctx, tc.q)
		p.ok(err)
		got := ""
		for _, l := range list {
			got += l.Name + " "
		}
		same(t, "list", got, tc.want)
	}
}

func usersKeepWhatTheyWere(t *testing.T, p *people) {
	got, err := p.store.FindUser(p.ctx, p.alice.ID)
	p.ok(err)
	same(t, "found", got, p.alice)
	byName, err := p.store.FindLogin(p.ctx, "", "alice")
	p.ok(err)
	same(t, "by name", byName, realm.Account{User: p.alice, Hash: "hash of alice"})

	p.alice.Name, p.alice.Email, p.alice.DefaultProject = "alicia", "", ""
	p.ok(p.store.UpdateUser(p.ctx, p.alice, nil, event()))
	byID, err := p.store.FindLogin(p.ctx, p.alice.ID, "")
	p.ok(err)
	same(t, "updated", byID, realm.Account{User: p.alice, Hash: "hash of alice"})

	next := "another hash"
	p.alice.PasswordAt = born.Add(time.Hour)
	p.ok(p.store.UpdateUser(p.ctx, p.alice, &next, event()))
	byID, err = p.store.FindLogin(p.ctx, p.alice.ID, "")
	p.ok(err)
	same(t, "with a new password", byID, realm.Account{User: p.alice, Hash: next, Stamp: byID.Stamp})
	if byID.Stamp == 0 {
		t.Error("a new password did not move the stamp")
	}

	off := false
	for _, tc := range []struct {
		q    realm.UserQuery
		want int
	}{{realm.UserQuery{}, 2}, {realm.UserQuery{Name: "bob"}, 1}, {realm.UserQuery{Name: "alice"}, 0}, {realm.UserQuery{Enabled: &off}, 0}} {
		list, err := p.store.ListUsers(p.ctx, tc.q)
		p.ok(err)
		same(t, "list", len(list), tc.want)
	}
}

func rolesKeepWhatTheyWere(t *testing.T, p *people) {
	p.reader.Name, p.reader.Description = "observer", "looks"
	p.ok(p.store.UpdateRole(p.ctx, p.reader, event()))
	got, err := p.store.FindRole(p.ctx, p.reader.ID)
	p.ok(err)
	same(t, "updated", got, p.reader)
	all, err := p.store.ListRoles(p.ctx, "")
	p.ok(err)
	same(t, "all", names(all), "member observer ")
	some, err := p.store.ListRoles(p.ctx, "member")
	p.ok(err)
	same(t, "some", names(some), "member ")
}

func namesAreUnique(_ *testing.T, p *people) {
	id := hexID()
	p.want(p.store.CreateProject(p.ctx, auth.Project{ID: auth.ProjectID(id), Name: "red", CreatedAt: born}, event()), realm.ErrNameTaken)
	p.want(p.store.CreateUser(p.ctx, auth.User{ID: auth.UserID(id), Name: "bob", CreatedAt: born}, "", event()), realm.ErrNameTaken)
	p.want(p.store.CreateRole(p.ctx, auth.Role{ID: auth.RoleID(id), Name: "member"}, event()), realm.ErrNameTaken)
	p.blue.Name, p.bob.Name, p.reader.Name = "red", "alice", "member"
	p.want(p.store.UpdateProject(p.ctx, p.blue, event()), realm.ErrNameTaken)
	p.want(p.store.UpdateUser(p.ctx, p.bob, nil, event()), realm.ErrNameTaken)
	p.want(p.store.UpdateRole(p.ctx, p.reader, event()), realm.ErrNameTaken)
	// The domain has a name of its own.
	p.ok(p.store.CreateProject(p.ctx, auth.Project{ID: auth.ProjectID(id), Name: "Default", CreatedAt: born}, event()))
}

func whatIsMissingSaysSo(_ *testing.T, p *people) {
	id := hexID()
	_, err := p.store.FindProject(p.ctx, auth.ProjectID(id))
	p.want(err, realm.ErrNoProject)
	_, err = p.store.FindUser(p.ctx, auth.UserID(id))
	p.want(err, realm.ErrNoUser)
	for _, name := range []string{"", "nobody"} {
		_, err = p.store.FindLogin(p.ctx, "", name)
		p.want(err, realm.ErrNoUser)
	}
	_, err = p.store.FindRole(p.ctx, auth.RoleID(id))
	p.want(err, realm.ErrNoRole)
	_, err = p.store.FindToken(p.ctx, realm.Digest{1}, born)
	p.want(err, realm.ErrNoToken)
	_, err = p.store.FindAccessKey(p.ctx, "nothing")
	p.want(err, realm.ErrNoAccessKey)
	_, _, err = p.store.FindAppCred(p.ctx, id)
	p.want(err, realm.ErrNoAppCred)
	_, err = p.store.Member(p.ctx, auth.UserID(id), p.red.ID)
	p.want(err, realm.ErrNoUser)
	_, err = p.store.Member(p.ctx, p.alice.ID, auth.ProjectID(id))
	p.want(err, realm.ErrNoProject)

	p.want(p.store.UpdateProject(p.ctx, auth.Project{ID: auth.ProjectID(id), Name: "x"}, event()), realm.ErrNoProject)
	p.want(p.store.DeleteProject(p.ctx, auth.ProjectID(id), event()), realm.ErrNoProject)
	p.want(p.store.UpdateUser(p.ctx, auth.User{ID: auth.UserID(id), Name: "x"}, nil, event()), realm.ErrNoUser)
	p.want(p.store.DeleteUser(p.ctx, auth.UserID(id), event()), realm.ErrNoUser)
	p.want(p.store.UpdateRole(p.ctx, auth.Role{ID: auth.RoleID(id), Name: "x"}, event()), realm.ErrNoRole)
	p.want(p.store.DeleteRole(p.ctx, auth.RoleID(id), event()), realm.ErrNoRole)
	p.want(p.store.RemoveToken(p.ctx, realm.Digest{1}, event()), realm.ErrNoToken)
	p.want(p.store.UpdateAccessKey(p.ctx, auth.AccessKey{ID: "nothing"}, event()), realm.ErrNoAccessKey)
	p.want(p.store.DeleteAccessKey(p.ctx, "nothing", event()), realm.ErrNoAccessKey)
	p.want(p.store.DeleteAppCred(p.ctx, id, event()), realm.ErrNoAppCred)

	p.want(p.store.CreateUser(p.ctx, auth.User{ID: auth.UserID(id), Name: "x", DefaultProject: auth.ProjectID(id), CreatedAt: born}, "", event()), realm.ErrNoProject)
	p.want(p.store.Assign(p.ctx, auth.Assignment{Project: auth.ProjectID(id), User: p.bob.ID, Role: p.member.ID}, event()), realm.ErrNoProject)
	p.want(p.store.Assign(p.ctx, auth.Assignment{Project: p.red.ID, User: auth.UserID(id), Role: p.member.ID}, event()), realm.ErrNoUser)
	p.want(p.store.Assign(p.ctx, auth.Assignment{Project: p.red.ID, User: p.bob.ID, Role: auth.RoleID(id)}, event()), realm.ErrNoRole)
	p.want(p.store.Unassign(p.ctx, auth.Assignment{Project: p.red.ID, User: p.bob.ID, Role: p.member.ID}, event()), realm.ErrNoAssignment)
	p.want(p.store.AddToken(p.ctx, realm.Digest{1}, realm.Grant{User: auth.User{ID: auth.UserID(id)}, IssuedAt: born, ExpiresAt: born}, event()), realm.ErrNoUser)
}

// The domain is there from the start, as a place for roles and no project.
func theDomainStays(t *testing.T, p *people) {
	p.assign(auth.InDomain, p.alice, p.member)
	m, err := p.store.Member(p.ctx, p.alice.ID, auth.InDomain)
	p.ok(err)
	same(t, "roles", names(m.Roles), "member ")
	same(t, "enabled", m.Project.Enabled, true)
	p.want(p.store.DeleteProject(p.ctx, auth.InDomain, event()), realm.ErrNoProject)
	p.want(p.store.UpdateProject(p.ctx, auth.Project{ID: auth.InDomain, Name: "x"}, event()), realm.ErrNoProject)
	list, err := p.store.ListProjects(p.ctx, realm.ProjectQuery{Member: p.alice.ID})
	p.ok(err)
	same(t, "projects", len(list), 0)
}

func assignmentsAreListed(t *testing.T, p *people) {
	p.assign(p.red.ID, p.alice, p.reader)
	p.assign(p.red.ID, p.alice, p.member)
	p.assign(p.red.ID, p.alice, p.member) // once more is no error
	p.assign(p.blue.ID, p.bob, p.member)
	p.assign(auth.InDomain, p.bob, p.reader)
	for _, tc := range []struct {
		a    auth.Assignment
		want string
	}{
		{auth.Assignment{}, "Default/bob/reader blue/bob/member red/alice/member red/alice/reader "},
		{auth.Assignment{Project: p.red.ID}, "red/alice/member red/alice/reader "},
		{auth.Assignment{User: p.bob.ID}, "Default/bob/reader blue/bob/member "},
		{auth.Assignment{Role: p.member.ID}, "blue/bob/member red/alice/member "},
		{auth.Assignment{Project: p.red.ID, User: p.alice.ID, Role: p.reader.ID}, "red/alice/reader "},
		{auth.Assignment{Project: p.red.ID, User: p.bob.ID}, ""},
	} {
		list, err := p.store.Assignments(p.ctx, tc.a)
		p.ok(err)
		got := ""
		for _, n := range list {
			got += n.ProjectName + "/" + n.UserName + "/" + n.RoleName + " "
		}
		same(t, "assignments", got, tc.want)
	}
	p.ok(p.store.Unassign(p.ctx, auth.Assignment{Project: p.red.ID, User: p.alice.ID, Role: p.member.ID}, event()))
	list, err := p.store.Assignments(p.ctx, auth.Assignment{Project: p.red.ID})
	p.ok(err)
	same(t, "left", len(list), 1)
}

func membersHaveTheirRoles(t *testing.T, p *people) {
	p.assign(p.red.ID, p.alice, p.reader)
	p.assign(p.red.ID, p.alice, p.member)
	m, err := p.store.Member(p.ctx, p.alice.ID, p.red.ID)
	p.ok(err)
	same(t, "user", m.User, p.alice)
	same(t, "project", m.Project, p.red)
	same(t, "roles", names(m.Roles), "member reader ")
	m, err = p.store.Member(p.ctx, p.bob.ID, p.red.ID)
	p.ok(err)
	same(t, "roles of a stranger", len(m.Roles), 0)
}

// sealedKey makes an access key under the active KEK of its project.
func (p *people) sealedKey(id string, u auth.User, project auth.ProjectID) realm.SealedKey {
	p.t.Helper()
	return realm.SealedKey{
		AccessKey: auth.AccessKey{
			ID: id, User: u.ID, Project: project, Confined: true, Enabled: true, Description: "of " + u.Name, CreatedAt: born,
		},
		Sealed: envelope.Sealed{KEK: p.activeKEK(project), WrappedDEK: []byte("wrapped"), Body: []byte("sealed")},
	}
}

// activeKEK returns the project's active KEK, made where it is missing.
func (p *people) activeKEK(project auth.ProjectID) envelope.KEK {
	p.t.Helper()
	l, err := p.keys.Lease(p.ctx, string(project), envelope.Default, 1)
	if fault.KindOf(err) == fault.NotFound {
		id := uuid.New()
		v, err := p.keys.Prepare(p.ctx, kek.NewMasterKey{
			Project: string(project), ID: envelope.MasterKey(uuid.NewString()), Alias: string(envelope.Default),
			Default: true, CreatedAt: born,
		}, envelope.KEKID(id.String()), time.Now().Add(time.Hour))
		p.ok(err)
		p.ok(p.keys.Activate(p.ctx, v, key.Made{Ref: key.Ref{ID: key.ID(id), Format: 1, Canary: key.Canary{Wrapped: []byte("canary")}}}))
		l, err = p.keys.Lease(p.ctx, string(project), envelope.Default, 1)
		p.ok(err)
		return l.KEK
	}
	p.ok(err)
	return l.KEK
}
