package e2e

import (
	"io"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/secrets"

	"github.com/strongroom-kms/strongroom/e2e/devserver"
)

// gopher is a client of the key manager, as one user.
func gopher(t *testing.T, s *devserver.Server, user, password, project string) *gophercloud.ServiceClient {
	t.Helper()
	provider, err := openstack.AuthenticatedClient(t.Context(), gophercloud.AuthOptions{
		IdentityEndpoint: s.Env["OS_AUTH_URL"],
		Username:         user,
		Password:         password,
		DomainName:       s.Env["OS_USER_DOMAIN_NAME"],
		TenantName:       project,
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := openstack.NewKeyManagerV1(provider, gophercloud.EndpointOpts{Region: s.Env["OS_REGION_NAME"]})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// last is the UUID that a reference ends in.
func last(ref string) string { return ref[len(ref)-36:] }

// What a Go program that uses gophercloud does with secrets.
func TestGophercloud(t *testing.T) {
	s := server(t)
	ctx := t.Context()
	client := gopher(t, s, s.Env["OS_USERNAME"], s.Env["OS_PASSWORD"], s.Env["OS_PROJECT_NAME"])
	expiration := time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC)
	made, err := secrets.Create(ctx, client, secrets.CreateOpts{
		Algorithm: "aes", BitLength: 256, Mode: "cbc", Name: "terraform", SecretType: secrets.SymmetricSecret,
		Payload: "c3VwZXIgc2VjcmV0", PayloadContentType: "application/octet-stream", PayloadContentEncoding: "base64",
		Expiration: &expiration,
	}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	id := last(made.SecretRef)

	read, err := secrets.Get(ctx, client, id).Extract()
	if err != nil {
		t.Fatal(err)
	}
	if read.Name != "terraform" || read.BitLength != 256 || read.Algorithm != "aes" || read.Mode != "cbc" ||
		read.SecretType != "symmetric" || read.Status != "ACTIVE" || !read.Expiration.Equal(expiration) ||
		read.ContentTypes["default"] != "application/octet-stream" {
		t.Errorf("read back as %+v", read)
	}
	body, err := secrets.GetPayload(ctx, client, id, secrets.GetPayloadOpts{PayloadContentType: "application/octet-stream"}).Extract()
	if err != nil || string(body) != "super secret" {
		t.Errorf("payload %q, %v", body, err)
	}

	metadata := secrets.MetadataOpts{"foo": "bar", "something": "something else"}
	if _, err := secrets.CreateMetadata(ctx, client, id, metadata).Extract(); err != nil {
		t.Fatal(err)
	}
	if got, err := secrets.GetMetadata(ctx, client, id).Extract(); err != nil || got["foo"] != "bar" || len(got) != 2 {
		t.Errorf("metadata %v, %v", got, err)
	}
	if err := secrets.CreateMetadatum(ctx, client, id, secrets.MetadatumOpts{Key: "k", Value: "v"}).ExtractErr(); err != nil {
		t.Error(err)
	}
	if _, err := secrets.UpdateMetadatum(ctx, client, id, secrets.MetadatumOpts{Key: "k", Value: "w"}).Extract(); err != nil {
		t.Error(err)
	}
	if m, err := secrets.GetMetadatum(ctx, client, id, "k").Extract(); err != nil || m.Value != "w" {
		t.Errorf("metadatum %v, %v", m, err)
	}
	if err := secrets.DeleteMetadatum(ctx, client, id, "k").ExtractErr(); err != nil {
		t.Error(err)
	}

	pages, err := secrets.List(client, secrets.ListOpts{Name: "terraform", Limit: 1}).AllPages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := secrets.ExtractSecrets(pages); err != nil || len(all) != 1 {
		t.Errorf("listed %d, %v", len(all), err)
	}

	two, err := secrets.Create(ctx, client, secrets.CreateOpts{Name: "second step"}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	second := last(two.SecretRef)
	if err := secrets.Update(ctx, client, second, secrets.UpdateOpts{ContentType: "text/plain", Payload: "late"}).ExtractErr(); err != nil {
		t.Fatal(err)
	}
	r := secrets.GetPayload(ctx, client, second, nil)
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	if b, err := io.ReadAll(r.Body); err != nil || string(b) != "late" {
		t.Errorf("payload %q, %v", b, err)
	}
	for _, id := range []string{id, second} {
		if err := secrets.Delete(ctx, client, id).ExtractErr(); err != nil {
			t.Error(err)
		}
		if _, err := secrets.Get(ctx, client, id).Extract(); !gophercloud.ResponseCodeIs(err, 404) {
			t.Errorf("after the delete: %v", err)
		}
	}
}
