package e2e

import (
	"slices"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/acls"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/secrets"
)

func TestGophercloudACLs(t *testing.T) {
	s, ctx := server(t), t.Context()
	id := last(storeText(t, gopher(t, s, "alice", "alice-password", "alpha"), "shared", "between us"))
	gopherShares(t, func(c *gophercloud.ServiceClient) error {
		return secrets.GetPayload(ctx, c, id, nil).Err
	}, aclCalls{
		get: func(c *gophercloud.ServiceClient) (*acls.ACL, error) { return acls.GetSecretACL(ctx, c, id).Extract() },
		set: func(c *gophercloud.ServiceClient, o acls.SetOpts) error { return acls.SetSecretACL(ctx, c, id, o).Err },
		update: func(c *gophercloud.ServiceClient, o acls.SetOpts) error {
			return acls.UpdateSecretACL(ctx, c, id, o).Err
		},
		remove: func(c *gophercloud.ServiceClient) error { return acls.DeleteSecretACL(ctx, c, id).ExtractErr() },
	})
}

// aclCalls are the calls that secrets and containers each have of their own.
type aclCalls struct {
	get         func(*gophercloud.ServiceClient) (*acls.ACL, error)
	set, update func(*gophercloud.ServiceClient, acls.SetOpts) error
	remove      func(*gophercloud.ServiceClient) error
}

// gopherShares has alice share what she made with bob, keep it from olga of
// her own project, and take it all back. read gets it as somebody.
func gopherShares(t *testing.T, read func(*gophercloud.ServiceClient) error, call aclCalls) {
	t.Helper()
	s := server(t)
	alice := gopher(t, s, "alice", "alice-password", "alpha")
	olga := gopher(t, s, "olga", "olga-password", "alpha")
	bob := gopher(t, s, "bob", "bob-password", "beta")
	bobID := as(t, s, "bob", "bob-password", "beta").user
	reads := func(when string, who *gophercloud.ServiceClient, may bool) {
		t.Helper()
		if err := read(who); may && err != nil || !may && !gophercloud.ResponseCodeIs(err, 403) {
			t.Errorf("%s: reading it: %v", when, err)
		}
	}
	stored := func(when string, access bool, users ...string) {
		t.Helper()
		acl, err := call.get(alice)
		if err != nil {
			t.Fatal(err)
		}
		if got := (*acl)["read"]; got.ProjectAccess != access || !slices.Equal(got.Users, users) {
			t.Errorf("%s: stored %+v", when, got)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	yes, no, nobody, bobs := true, false, []string{}, []string{bobID}

	stored("at first", true)
	reads("at first, olga", olga, true)
	reads("at first, bob", bob, false)

	must(call.set(alice, acls.SetOpts{{Type: "read", Users: &bobs, ProjectAccess: &no}}))
	stored("private and shared", false, bobID)
	reads("private and shared, bob", bob, true)
	reads("private and shared, olga", olga, false)
	reads("private and shared, alice", alice, true)

	must(call.update(alice, acls.SetOpts{{Type: "read", Users: &nobody}}))
	stored("nobody is listed", false)
	reads("nobody is listed, bob", bob, false)
	must(call.update(alice, acls.SetOpts{{Type: "read", ProjectAccess: &yes}}))
	reads("no longer private, olga", olga, true)

	must(call.remove(alice))
	stored("without an ACL", true)
	for who, c := range map[string]*gophercloud.ServiceClient{"bob": bob, "olga": olga} {
		if err := call.set(c, acls.SetOpts{{Type: "read", Users: &bobs}}); !gophercloud.ResponseCodeIs(err, 403) {
			t.Errorf("%s shared it: %v", who, err)
		}
	}
}

// storeText stores a text and returns its reference.
func storeText(t *testing.T, client *gophercloud.ServiceClient, name, text string) string {
	t.Helper()
	stored, err := secrets.Create(t.Context(), client, secrets.CreateOpts{Name: name, Payload: text, PayloadContentType: "text/plain"}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	return stored.SecretRef
}
