package storetest

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/kek/envelope"
)

// token stores an access token of u as it would be issued now.
func (p *people) token(n byte, u auth.User, project auth.ProjectID, appCred string) realm.Digest {
	p.t.Helper()
	g := realm.Grant{
		User: u, Methods: []string{"password", "token"}, Credential: appCred, AuditID: "audit",
		IssuedAt: born, ExpiresAt: born.Add(time.Hour), Domain: project == auth.InDomain,
	}
	a, err := p.store.FindLogin(p.ctx, u.ID, "")
	p.ok(err)
	g.UserStamp = a.Stamp
	if project != "" {
		m, err := p.store.Member(p.ctx, u.ID, project)
		p.ok(err)
		g.ProjectStamp = m.ProjectStamp
		if !g.Domain {
			g.Project = m.Project
		}
	}
	d := realm.Digest{n}
	p.ok(p.store.AddToken(p.ctx, d, g, event()))
	return d
}

func tokensStandForWhatIsTrueNow(t *testing.T, p *people) {
	p.assign(p.red.ID, p.alice, p.member)
	p.assign(auth.InDomain, p.alice, p.reader)
	scoped := p.token(1, p.alice, p.red.ID, "")
	unscoped := p.token(2, p.alice, "", "")
	domain := p.token(3, p.alice, auth.InDomain, "")

	p.assign(p.red.ID, p.alice, p.reader)
	p.alice.Name = "alicia"
	p.ok(p.store.UpdateUser(p.ctx, p.alice, nil, event()))
	g, err := p.store.FindToken(p.ctx, scoped, born)
	p.ok(err)
	same(t, "user", g.User, p.alice)
	same(t, "project", g.Project, p.red)
	same(t, "roles", names(g.Roles), "member reader ")
	same(t, "methods", len(g.Methods), 2)
	same(t, "audit ID", g.AuditID, "audit")
	same(t, "issued", g.IssuedAt, born)
	same(t, "expires", g.ExpiresAt, born.Add(time.Hour))
	same(t, "domain", g.Domain, false)

	g, err = p.store.FindToken(p.ctx, unscoped, born)
	p.ok(err)
	same(t, "unscoped: project", g.Project, auth.Project{})
	same(t, "unscoped: roles", len(g.Roles), 0)
	same(t, "unscoped: domain", g.Domain, false)

	g, err = p.store.FindToken(p.ctx, domain, born)
	p.ok(err)
	same(t, "domain: project", g.Project, auth.Project{})
	same(t, "domain: roles", names(g.Roles), "reader ")
	same(t, "domain: domain", g.Domain, true)

	// Found though it expired: the service looks at the time.
	_, err = p.store.FindToken(p.ctx, scoped, born.Add(2*time.Hour))
	p.ok(err)
}

func tokensDie(t *testing.T, p *people) {
	hash := "new hash"
	off, on := p.alice, p.alice
	off.Enabled = false
	closed := p.red
	closed.Enabled = false
	for n, tc := range []struct {
		name string
		of   auth.User
		act  func(d realm.Digest) error
	}{
		{"revoked", p.alice, func(d realm.Digest) error { return p.store.RemoveToken(p.ctx, d, event()) }},
		{"new password", p.alice, func(realm.Digest) error { return p.store.UpdateUser(p.ctx, p.alice, &hash, event()) }},
		{"user disabled", p.alice, func(realm.Digest) error { return p.store.UpdateUser(p.ctx, off, nil, event()) }},
		{"user enabled again", p.alice, func(realm.Digest) error {
			p.ok(p.store.UpdateUser(p.ctx, off, nil, event()))
			return p.store.UpdateUser(p.ctx, on, nil, event())
		}},
		{"project disabled", p.alice, func(realm.Digest) error { return p.store.UpdateProject(p.ctx, closed, event()) }},
		{"project enabled again", p.alice, func(realm.Digest) error {
			p.ok(p.store.UpdateProject(p.ctx, closed, event()))
			return p.store.UpdateProject(p.ctx, p.red, event())
		}},
		{"user deleted", p.bob, func(realm.Digest) error { return p.store.DeleteUser(p.ctx, p.bob.ID, event()) }},
		{"project deleted", p.alice, func(realm.Digest) error { return p.store.DeleteProject(p.ctx, p.red.ID, event()) }},
	} {
		p.ok(p.store.UpdateUser(p.ctx, on, nil, event()))
		p.ok(p.store.UpdateProject(p.ctx, p.red, event()))
		p.assign(p.red.ID, tc.of, p.member)
		d := p.token(byte(n+1), tc.of, p.red.ID, "")
		if _, err := p.store.FindToken(p.ctx, d, born); err != nil {
			t.Errorf("%s: before: %v", tc.name, err)
		}
		p.ok(tc.act(d))
		if _, err := p.store.FindToken(p.ctx, d, born); err == nil {
			t.Errorf("%s: the token is still good", tc.name)
		}
	}
}

func (p *people) appCred(name string, roles ...auth.Role) auth.ApplicationCredential {
	p.t.Helper()
	c := auth.ApplicationCredential{
		ID: hexID(), Name: name, Description: "for a program", User: p.alice.ID, Project: p.red.ID,
		Roles: roles, Unrestricted: true, CreatedAt: born, ExpiresAt: born.Add(24 * time.Hour),
	}
	p.ok(p.store.AddAppCred(p.ctx, c, "hash of "+name, event()))
	return c
}

func tokensOfACredentialAreLimited(t *testing.T, p *people) {
	p.assign(p.red.ID, p.alice, p.member)
	c := p.appCred("robot", p.reader)
	d := p.token(1, p.alice, p.red.ID, c.ID)
	g, err := p.store.FindToken(p.ctx, d, born)
	p.ok(err)
	same(t, "credential", g.Credential, c.ID)
	same(t, "roles", names(g.Roles), "member ")
	same(t, "only", names(g.Only), "reader ")
	_, err = p.store.FindToken(p.ctx, d, c.ExpiresAt)
	p.want(err, realm.ErrNoToken)
	p.ok(p.store.DeleteAppCred(p.ctx, c.ID, event()))
	_, err = p.store.FindToken(p.ctx, d, born)
	p.want(err, realm.ErrNoToken)
}

func purgeTakesTheExpired(t *testing.T, p *people) {
	for n := range byte(5) {
		p.token(n+1, p.alice, "", "")
	}
	for _, tc := range []struct {
		before time.Time
		want   int
	}{{born.Add(time.Hour), 0}, {born.Add(time.Hour + 1000), 3}, {born.Add(time.Hour + 1000), 2}, {born.Add(2 * time.Hour), 0}} {
		n, err := p.store.PurgeTokens(p.ctx, tc.before, 3)
		p.ok(err)
		same(t, "purged", n, tc.want)
	}
	_, err := p.store.FindToken(p.ctx, realm.Digest{1}, born)
	p.want(err, realm.ErrNoToken)
}

func accessKeysKeepWhatTheyWere(t *testing.T, p *people) {
	k := p.sealedKey("AKALICE1", p.alice, p.red.ID)
	p.ok(p.store.AddAccessKey(p.ctx, k, event()))
	got, err := p.store.FindAccessKey(p.ctx, k.ID)
	p.ok(err)
	sameKey(t, got.AccessKey, k.AccessKey)
	same(t, "KEK", got.Sealed.KEK.ID, k.Sealed.KEK.ID)
	same(t, "master key", got.Sealed.KEK.MasterKey, k.Sealed.KEK.MasterKey)
	if !bytes.Equal(got.Sealed.WrappedDEK, k.Sealed.WrappedDEK) || !bytes.Equal(got.Sealed.Body, k.Sealed.Body) {
		t.Error("the envelope came back changed")
	}
	if !got.Sealed.KEK.Usable || !got.Sealed.KEK.Default || len(got.Sealed.KEK.Canary) == 0 {
		t.Errorf("KEK %+v", got.Sealed.KEK)
	}

	twin := p.sealedKey(k.ID, p.bob, p.blue.ID)
	p.want(p.store.AddAccessKey(p.ctx, twin, event()), realm.ErrKeyTaken)
	p.ok(p.store.AddAccessKey(p.ctx, p.sealedKey("AKBOB1", p.bob, p.blue.ID), event()))

	k.Enabled, k.Description = false, "off"
	p.ok(p.store.UpdateAccessKey(p.ctx, k.AccessKey, event()))
	got, err = p.store.FindAccessKey(p.ctx, k.ID)
	p.ok(err)
	sameKey(t, got.AccessKey, k.AccessKey)

	for u, want := range map[auth.UserID]int{"": 2, p.alice.ID: 1} {
		list, err := p.store.ListAccessKeys(p.ctx, u)
		p.ok(err)
		same(t, "list", len(list), want)
		sameKey(t, list[0], k.AccessKey)
	}

	p.bob.Enabled = false
	p.ok(p.store.UpdateUser(p.ctx, p.bob, nil, event()))
	got, err = p.store.FindAccessKey(p.ctx, "AKBOB1")
	p.ok(err)
	same(t, "the key of a disabled user", got.Enabled, true)
	same(t, "its disabled user", got.UserEnabled, false)

	p.ok(p.store.DeleteAccessKey(p.ctx, k.ID, event()))
	_, err = p.store.FindAccessKey(p.ctx, k.ID)
	p.want(err, realm.ErrNoAccessKey)
	p.ok(p.store.AddAccessKey(p.ctx, p.sealedKey(k.ID, p.alice, p.red.ID), event()))
}

// sameKey compares all but the secrets, which a store never has.
func sameKey(t *testing.T, got, want auth.AccessKey) {
	t.Helper()
	if got.Secret.Len() != 0 {
		t.Error("a store has the secret of an access key")
	}
	if got.ID != want.ID || got.User != want.User || got.Project != want.Project || got.Confined != want.Confined ||
		got.Enabled != want.Enabled || got.Description != want.Description || !got.CreatedAt.Equal(want.CreatedAt) {
		t.Errorf("access key %+v, want %+v", got, want)
	}
}

// A KEK that nobody has is like one that was retired since the secret was
// sealed.
func accessKeysNeedTheActiveKEK(_ *testing.T, p *people) {
	k := p.sealedKey("AKALICE1", p.alice, p.red.ID)
	k.Sealed.KEK.ID = envelope.KEKID(uuid.NewString())
	p.want(p.store.AddAccessKey(p.ctx, k, event()), envelope.ErrKEKGone)
	_, err := p.store.FindAccessKey(p.ctx, k.ID)
	p.want(err, realm.ErrNoAccessKey)
}

func appCredsKeepWhatTheyWere(t *testing.T, p *people) {
	c := p.appCred("robot", p.member, p.reader)
	got, hash, err := p.store.FindAppCred(p.ctx, c.ID)
	p.ok(err)
	same(t, "hash", hash, "hash of robot")
	sameAppCred(t, got, c)
	p.appCred("another")

	for name, want := range map[string]int{"": 2, "robot": 1, "nothing": 0} {
		list, err := p.store.ListAppCreds(p.ctx, p.alice.ID, name)
		p.ok(err)
		same(t, "list of "+name, len(list), want)
		if name == "robot" {
			sameAppCred(t, list[0], c)
		}
	}
	list, err := p.store.ListAppCreds(p.ctx, p.bob.ID, "")
	p.ok(err)
	same(t, "bob's", len(list), 0)

	twin := c
	twin.ID = hexID()
	p.want(p.store.AddAppCred(p.ctx, twin, "x", event()), realm.ErrNameTaken)
	twin.Name, twin.Roles = "twin", []auth.Role{{ID: auth.RoleID(hexID())}}
	p.want(p.store.AddAppCred(p.ctx, twin, "x", event()), realm.ErrNoRole)

	p.ok(p.store.DeleteRole(p.ctx, p.reader.ID, event()))
	got, _, err = p.store.FindAppCred(p.ctx, c.ID)
	p.ok(err)
	same(t, "roles without a deleted one", names(got.Roles), "member ")
}

func sameAppCred(t *testing.T, got, want auth.ApplicationCredential) {
	t.Helper()
	if got.ID != want.ID || got.Name != want.Name || got.Description != want.Description || got.User != want.User ||
		got.Project != want.Project || names(got.Roles) != names(want.Roles) || got.Unrestricted != want.Unrestricted ||
		!got.CreatedAt.Equal(want.CreatedAt) || !got.ExpiresAt.Equal(want.ExpiresAt) {
		t.Errorf("application credential %+v, want %+v", got, want)
	}
}

func deletingTakesAlong(t *testing.T, p *people) {
	p.assign(p.red.ID, p.alice, p.member)
	p.assign(p.red.ID, p.bob, p.member)
	p.assign(p.blue.ID, p.bob, p.reader)
	c := p.appCred("robot", p.member)
	p.ok(p.store.AddAccessKey(p.ctx, p.sealedKey("AKALICE1", p.alice, p.red.ID), event()))
	p.ok(p.store.AddAccessKey(p.ctx, p.sealedKey("AKBOB1", p.bob, p.blue.ID), event()))
	p.bob.DefaultProject = p.red.ID
	p.ok(p.store.UpdateUser(p.ctx, p.bob, nil, event()))

	p.ok(p.store.DeleteProject(p.ctx, p.red.ID, event()))
	_, err := p.store.FindAccessKey(p.ctx, "AKALICE1")
	p.want(err, realm.ErrNoAccessKey)
	_, _, err = p.store.FindAppCred(p.ctx, c.ID)
	p.want(err, realm.ErrNoAppCred)
	list, err := p.store.Assignments(p.ctx, auth.Assignment{})
	p.ok(err)
	same(t, "assignments left", len(list), 1)
	bob, err := p.store.FindUser(p.ctx, p.bob.ID)
	p.ok(err)
	same(t, "default project", bob.DefaultProject, "")

	p.ok(p.store.DeleteRole(p.ctx, p.reader.ID, event()))
	p.ok(p.store.DeleteUser(p.ctx, p.bob.ID, event()))
	_, err = p.store.FindAccessKey(p.ctx, "AKBOB1")
	p.want(err, realm.ErrNoAccessKey)
	list, err = p.store.Assignments(p.ctx, auth.Assignment{})
	p.ok(err)
	same(t, "assignments left", len(list), 0)
	// Both names of access keys are free again.
	p.ok(p.store.AddAccessKey(p.ctx, p.sealedKey("AKBOB1", p.alice, p.blue.ID), event()))
	p.ok(p.store.AddAccessKey(p.ctx, p.sealedKey("AKALICE1", p.alice, p.blue.ID), event()))
}
