package e2e

import (
	"encoding/base64"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/acls"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/containers"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/secrets"
)

// planned are the attributes of a secret in a Terraform configuration.
type planned struct {
	Name, Algorithm, Mode, SecretType string
	BitLength                         int
	Expiration                        time.Time
	ContentType, Payload              string // in base64
	Metadata                          map[string]string
	Users                             []string
	ProjectAccess                     bool
}

// Terraform's provider makes a secret in steps: the attributes, who may read
// it, the payload, the metadata. Then it reads all of it, and where that
// differs from the configuration it would change or replace the secret at each
// run.
func TestTerraformSecret(t *testing.T) {
	s, ctx := server(t), t.Context()
	client := gopher(t, s, "alice", "alice-password", "alpha")
	want := planned{
		Name: "terraform", Algorithm: "aes", Mode: "cbc", SecretType: "symmetric", BitLength: 256,
		Expiration:  time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC),
		ContentType: "application/octet-stream", Payload: base64.StdEncoding.EncodeToString([]byte("32 bytes of a key for something.")),
		Metadata: map[string]string{"foo": "bar", "something": "something else, with späten Grüßen"},
		Users:    []string{as(t, s, "bob", "bob-password", "beta").user}, ProjectAccess: false,
	}
	made, err := secrets.Create(ctx, client, secrets.CreateOpts{
		Name: want.Name, Algorithm: want.Algorithm, Mode: want.Mode, BitLength: want.BitLength,
		SecretType: secrets.SymmetricSecret, Expiration: &want.Expiration,
	}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	id := last(made.SecretRef)
	if err := acls.SetSecretACL(ctx, client, id, acls.SetOpts{{Type: "read", Users: &want.Users, ProjectAccess: &want.ProjectAccess}}).Err; err != nil {
		t.Fatal(err)
	}
	if err := secrets.Update(ctx, client, id, secrets.UpdateOpts{
		ContentType: want.ContentType, ContentEncoding: "base64", Payload: want.Payload,
	}).ExtractErr(); err != nil {
		t.Fatal(err)
	}
	if err := secrets.CreateMetadata(ctx, client, id, secrets.MetadataOpts(want.Metadata)).Err; err != nil {
		t.Fatal(err)
	}
	plan(t, "after the create", client, id, want)

	// Metadata and who may read are changed in place, the rest by another secret.
	want.Metadata = map[string]string{"foo": "changed", "new": "value"}
	if err := secrets.CreateMetadata(ctx, client, id, secrets.MetadataOpts(want.Metadata)).Err; err != nil {
		t.Fatal(err)
	}
	want.Users = nil
	if err := acls.UpdateSecretACL(ctx, client, id, acls.SetOpts{{Type: "read", Users: &[]string{}, ProjectAccess: &want.ProjectAccess}}).Err; err != nil {
		t.Fatal(err)
	}
	plan(t, "after the update", client, id, want)

	if err := secrets.Delete(ctx, client, id).ExtractErr(); err != nil {
		t.Fatal(err)
	}
	if err := secrets.Get(ctx, client, id).Err; !gophercloud.ResponseCodeIs(err, 404) {
		t.Errorf("after the destroy: %v", err)
	}
	if err := secrets.Delete(ctx, client, id).ExtractErr(); !gophercloud.ResponseCodeIs(err, 404) {
		t.Errorf("a second destroy: %v", err)
	}
}

// plan reads a secret as the provider does, and fails where a plan would show
// a difference.
func plan(t *testing.T, when string, client *gophercloud.ServiceClient, id string, want planned) {
	t.Helper()
	ctx := t.Context()
	s, err := secrets.Get(ctx, client, id).Extract()
	if err != nil {
		t.Fatal(err)
	}
	if s.Status != "ACTIVE" || s.CreatorID == "" || s.Created.IsZero() || s.Updated.Before(s.Created) {
		t.Errorf("%s: computed attributes of %+v", when, s)
	}
	metadata, err := secrets.GetMetadata(ctx, client, id).Extract()
	if err != nil {
		t.Fatal(err)
	}
	payload, err := secrets.GetPayload(ctx, client, id, secrets.GetPayloadOpts{PayloadContentType: s.ContentTypes["default"]}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	acl, err := acls.GetSecretACL(ctx, client, id).Extract()
	if err != nil {
		t.Fatal(err)
	}
	got := planned{
		Name: s.Name, Algorithm: s.Algorithm, Mode: s.Mode, SecretType: s.SecretType, BitLength: s.BitLength,
		Expiration: s.Expiration, ContentType: s.ContentTypes["default"], Payload: base64.StdEncoding.EncodeToString(payload),
		Metadata: metadata, Users: (*acl)["read"].Users, ProjectAccess: (*acl)["read"].ProjectAccess,
	}
	if len(got.Users) == 0 {
		got.Users = nil // the provider does not tell an empty list from none
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s, the plan is not empty (- configured, + read):\n%s", when, diff)
	}
}

func TestTerraformContainer(t *testing.T) {
	s, ctx := server(t), t.Context()
	client := gopher(t, s, "alice", "alice-password", "alpha")
	parts := []containers.SecretRef{
		{Name: "private_key", SecretRef: storeText(t, client, "key", "KEY")},
		{Name: "certificate", SecretRef: storeText(t, client, "crt", "CRT")},
		{Name: "intermediates", SecretRef: storeText(t, client, "ca", "CA")},
	}
	yes, users := true, []string{as(t, s, "bob", "bob-password", "beta").user}
	made, err := containers.Create(ctx, client, containers.CreateOpts{Name: "terraform", Type: containers.CertificateContainer, SecretRefs: parts}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	id := last(made.ContainerRef)
	if err := acls.SetContainerACL(ctx, client, id, acls.SetOpts{{Type: "read", Users: &users, ProjectAccess: &yes}}).Err; err != nil {
		t.Fatal(err)
	}
	for range 2 { // two plans in a row
		c, err := containers.Get(ctx, client, id).Extract()
		if err != nil {
			t.Fatal(err)
		}
		acl, err := acls.GetContainerACL(ctx, client, id).Extract()
		if err != nil {
			t.Fatal(err)
		}
		got := []any{c.Name, c.Type, c.ContainerRef, c.SecretRefs, c.Status, len(c.Consumers), (*acl)["read"].Users, (*acl)["read"].ProjectAccess}
		want := []any{"terraform", "certificate", made.ContainerRef, parts, "ACTIVE", 0, users, true}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the plan is not empty (- configured, + read):\n%s", diff)
		}
	}
	if err := containers.Delete(ctx, client, id).ExtractErr(); err != nil {
		t.Fatal(err)
	}
	if err := containers.Get(ctx, client, id).Err; !gophercloud.ResponseCodeIs(err, 404) {
		t.Errorf("after the destroy: %v", err)
	}
}
